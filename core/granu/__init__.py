"""granu: which changes break an image classifier, from coarse to fine, and how small they can be.

These are the names that plugins are built from; none of them imports torch.
"""

from granu.errors import (
    ClassifierError,
    DataError,
    GranuError,
    OptionError,
    PluginError,
    RunFolderError,
    SpecError,
    UnknownName,
    WeightsError,
)
from granu.plugins.hooks import hookimpl
from granu.plugins.offers import (
    ClassifierOffer,
    DatasetOffer,
    DefenseOffer,
    GeneratorOffer,
    PerturbationOffer,
    Weights,
)
from granu.plugins.options import NoOptions, option
from granu.plugins.spec import Spec, parse_spec
from granu.types import Batch, Criterion, Proposal, Site

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "ClassifierError",
    "ClassifierOffer",
    "Criterion",
    "DataError",
    "DatasetOffer",
    "DefenseOffer",
    "GeneratorOffer",
    "GranuError",
    "NoOptions",
    "OptionError",
    "PerturbationOffer",
    "PluginError",
    "Proposal",
    "RunFolderError",
    "Site",
    "Spec",
    "SpecError",
    "UnknownName",
    "Weights",
    "WeightsError",
    "hookimpl",
    "option",
    "parse_spec",
]

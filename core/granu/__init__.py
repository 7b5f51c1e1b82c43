"""granu: which changes break an image classifier, from coarse to fine, and how small they can be.

These are the names that plugins are built from; none of them imports torch.
"""

from granu.errors import (
    ClassifierError,
    DataError,
    GranuError,
    OptionError,
    PluginTrouble,
    RunFolderError,
    SpecError,
    UnknownName,
    WeightsError,
)
from granu.hooks import hookimpl
from granu.offers import (
    ClassifierOffer,
    DatasetOffer,
    DefenseOffer,
    GeneratorOffer,
    PerturbationOffer,
    Weights,
)
from granu.options import NoOptions, option
from granu.spec import Spec, parse_spec
from granu.types import Batch, Goal, Perturbed, Site

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "ClassifierError",
    "ClassifierOffer",
    "DataError",
    "DatasetOffer",
    "DefenseOffer",
    "GeneratorOffer",
    "Goal",
    "GranuError",
    "NoOptions",
    "OptionError",
    "PerturbationOffer",
    "Perturbed",
    "PluginTrouble",
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

"""granu: which changes break an image classifier, from coarse to fine, and how small they can be.

`attack`, `evaluate` and `compare` are the Python API; the other names are what plugins are built from. Importing granu
does not import torch: names that need it are imported when they are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
    suggest,
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
from granu.plugins.options import option
from granu.types import (
    Batch,
    Classifier,
    ClassifierEvidence,
    Criterion,
    Dataset,
    Evidence,
    Generator,
    ImageEvidence,
    Latent,
    Perturbation,
    Proposal,
    Site,
    SpaceFactory,
    Tail,
)

if TYPE_CHECKING:
    from granu.api import AttackResult, attack, compare, evaluate
    from granu.images.classifier import ImageClassifier
    from granu.images.cropping import Cropping
    from granu.images.ops import clamp_for_descent, fit_channels, gaussian_blur, quantize, resize
    from granu.plugins.catalog import load_catalog
    from granu.plugins.context import BuildContext
    from granu.runs.run import Run
    from granu.search.deepfool import DeepFoolCandidates, DeepFoolStop, deepfool
    from granu.search.pgd import projected_gradient_descent
    from granu.search.state import SearchState
    from granu.spaces.base import NORM_NAMES, PixelSpace, Space
    from granu.spaces.steps import Step, open_tail
    from granu.streams import Streams
    from granu.training.defense import Defense
    from granu.training.processes import mean_over_processes, process_count
    from granu.training.step import TrainingStep
    from granu.weights.checkpoints import (
        WeightsHeader,
        is_granu_weights,
        is_safetensors,
        load_strictly,
        read_tensors,
        read_weights_header,
        save_weights,
    )
    from granu.weights.torchfile import as_state_dict, is_torch_file, read_torch_file

__version__ = "0.1.0"

__all__ = [
    "NORM_NAMES",
    "AttackResult",
    "Batch",
    "BuildContext",
    "Classifier",
    "ClassifierError",
    "ClassifierEvidence",
    "ClassifierOffer",
    "Criterion",
    "Cropping",
    "DataError",
    "Dataset",
    "DatasetOffer",
    "DeepFoolCandidates",
    "DeepFoolStop",
    "Defense",
    "DefenseOffer",
    "Evidence",
    "Generator",
    "GeneratorOffer",
    "GranuError",
    "ImageClassifier",
    "ImageEvidence",
    "Latent",
    "OptionError",
    "Perturbation",
    "PerturbationOffer",
    "PixelSpace",
    "PluginError",
    "Proposal",
    "Run",
    "RunFolderError",
    "SearchState",
    "Site",
    "Space",
    "SpaceFactory",
    "SpecError",
    "Step",
    "Streams",
    "Tail",
    "TrainingStep",
    "UnknownName",
    "Weights",
    "WeightsError",
    "WeightsHeader",
    "as_state_dict",
    "attack",
    "clamp_for_descent",
    "compare",
    "deepfool",
    "evaluate",
    "fit_channels",
    "gaussian_blur",
    "hookimpl",
    "is_granu_weights",
    "is_safetensors",
    "is_torch_file",
    "load_catalog",
    "load_strictly",
    "mean_over_processes",
    "open_tail",
    "option",
    "process_count",
    "projected_gradient_descent",
    "quantize",
    "read_tensors",
    "read_torch_file",
    "read_weights_header",
    "resize",
    "save_weights",
    "suggest",
]

_LAZY = {
    "granu.api": ("AttackResult", "attack", "compare", "evaluate"),
    "granu.images.classifier": ("ImageClassifier",),
    "granu.images.cropping": ("Cropping",),
    "granu.images.ops": ("clamp_for_descent", "fit_channels", "gaussian_blur", "quantize", "resize"),
    "granu.plugins.catalog": ("load_catalog",),
    "granu.plugins.context": ("BuildContext",),
    "granu.runs.run": ("Run",),
    "granu.search.deepfool": ("DeepFoolCandidates", "DeepFoolStop", "deepfool"),
    "granu.search.pgd": ("projected_gradient_descent",),
    "granu.search.state": ("SearchState",),
    "granu.spaces.base": ("NORM_NAMES", "PixelSpace", "Space"),
    "granu.spaces.steps": ("Step", "open_tail"),
    "granu.streams": ("Streams",),
    "granu.training.defense": ("Defense",),
    "granu.training.processes": ("mean_over_processes", "process_count"),
    "granu.training.step": ("TrainingStep",),
    "granu.weights.checkpoints": (
        "WeightsHeader", "is_granu_weights", "is_safetensors", "load_strictly", "read_tensors", "read_weights_header",
        "save_weights",
    ),
    "granu.weights.torchfile": ("as_state_dict", "is_torch_file", "read_torch_file"),
}  # fmt: skip
_MODULES = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a lazy name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'granu' has no attribute '{name}'")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""granu: which changes break an image classifier, from coarse to fine, and how small they can be.

`attack`, `evaluate`, `compare`, `train` and `harden` are the Python API; the other names are what plugins are built
from. Importing granu does not import torch: names that need it are imported when they are first used (PEP 562).
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
    TrainingError,
    UnknownName,
    WeightsError,
    WeightsWarning,
    suggest,
)
from granu.plugins.hooks import hookimpl
from granu.plugins.imagenet import imagenet_classes, imagenet_names, wordnet_id
from granu.plugins.offers import (
    ClassifierOffer,
    DatasetOffer,
    DefenseOffer,
    GeneratorOffer,
    PerturbationOffer,
    Suite,
    Weights,
)
from granu.plugins.options import option
from granu.plugins.spec import Spec, parse_spec
from granu.plugins.torchvision import without_broken_torchvision
from granu.plugins.values import ClassNames, numbered_classes, read_class_names, read_size
from granu.types import (
    Arms,
    Batch,
    Classifier,
    ClassifierEvidence,
    Criterion,
    Dataset,
    DrawingGenerator,
    EncodedLatent,
    EncodingGenerator,
    Evidence,
    Generator,
    ImageEvidence,
    Latent,
    Perturbation,
    Proposal,
    SelectivePerturbation,
    Site,
    SpaceFactory,
    Tail,
)
from granu.wording import printable, reason, shown

if TYPE_CHECKING:
    from granu.api import AttackResult, attack, compare, evaluate
    from granu.files import write_whole
    from granu.hardening.api import harden
    from granu.hardening.rounds import HardenResult
    from granu.images.classifier import ImageClassifier
    from granu.images.cropping import Cropping
    from granu.images.ops import (
        clamp_for_descent,
        decode_png,
        encode_png,
        fit_channels,
        gaussian_blur,
        quantize,
        resize,
        ssim,
    )
    from granu.plugins.catalog import load_catalog
    from granu.plugins.context import BuildContext
    from granu.runs.encodings import TensorStore
    from granu.runs.fingerprints import image_digest
    from granu.runs.plan import PlannedSpace
    from granu.runs.planning import plan_spaces
    from granu.runs.run import Run
    from granu.search.deepfool import DeepFoolCandidates, DeepFoolStop, deepfool
    from granu.search.pgd import projected_gradient_descent
    from granu.search.state import SearchState
    from granu.spaces.base import NORM_NAMES, PixelSpace, Space
    from granu.spaces.inversion import Inversion
    from granu.spaces.linf import LInfSpace
    from granu.spaces.steps import Step, open_tail
    from granu.streams import Streams
    from granu.training.api import TrainResult, train
    from granu.training.attack import Attacked, TrainingAttack
    from granu.training.defense import Defense
    from granu.training.dual import AUX_ROUTE, MAIN_ROUTE, duplicate_norms, is_norm, route_state, routed
    from granu.training.encoded import EncodedBatch, EncodedImages
    from granu.training.images import LabelledImages, open_images
    from granu.training.judging import Judge, open_judge
    from granu.training.perturbations import OpenPerturbation, open_perturbations
    from granu.training.processes import mean_over_processes, process_count
    from granu.training.step import TrainingStep
    from granu.weights.checkpoints import (
        WeightsHeader,
        check_shapes,
        is_granu_weights,
        load_strictly,
        read_tensors,
        read_weights_header,
        save_weights,
    )
    from granu.weights.headers import is_safetensors, read_header
    from granu.weights.opening import read_text
    from granu.weights.pickles import StandIn
    from granu.weights.preprocessing import Preprocessing
    from granu.weights.rebuilding import build_strictly
    from granu.weights.stored import Refused, StoredTensor, read_all
    from granu.weights.torchfile import as_state_dict, is_torch_file, read_pickle, read_torch_file
    from granu.weights.trained import TrainedHeader, load_trained, read_trained, save_trained

__version__ = "0.1.0"

__all__ = [
    "AUX_ROUTE",
    "MAIN_ROUTE",
    "NORM_NAMES",
    "Arms",
    "AttackResult",
    "Attacked",
    "Batch",
    "BuildContext",
    "ClassNames",
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
    "DrawingGenerator",
    "EncodedBatch",
    "EncodedImages",
    "EncodedLatent",
    "EncodingGenerator",
    "Evidence",
    "Generator",
    "GeneratorOffer",
    "GranuError",
    "HardenResult",
    "ImageClassifier",
    "ImageEvidence",
    "Inversion",
    "Judge",
    "LInfSpace",
    "LabelledImages",
    "Latent",
    "OpenPerturbation",
    "OptionError",
    "Perturbation",
    "PerturbationOffer",
    "PixelSpace",
    "PlannedSpace",
    "PluginError",
    "Preprocessing",
    "Proposal",
    "Refused",
    "Run",
    "RunFolderError",
    "SearchState",
    "SelectivePerturbation",
    "Site",
    "Space",
    "SpaceFactory",
    "Spec",
    "SpecError",
    "StandIn",
    "Step",
    "StoredTensor",
    "Streams",
    "Suite",
    "Tail",
    "TensorStore",
    "TrainResult",
    "TrainedHeader",
    "TrainingAttack",
    "TrainingError",
    "TrainingStep",
    "UnknownName",
    "Weights",
    "WeightsError",
    "WeightsHeader",
    "WeightsWarning",
    "as_state_dict",
    "attack",
    "build_strictly",
    "check_shapes",
    "clamp_for_descent",
    "compare",
    "decode_png",
    "deepfool",
    "duplicate_norms",
    "encode_png",
    "evaluate",
    "fit_channels",
    "gaussian_blur",
    "harden",
    "hookimpl",
    "image_digest",
    "imagenet_classes",
    "imagenet_names",
    "is_granu_weights",
    "is_norm",
    "is_safetensors",
    "is_torch_file",
    "load_catalog",
    "load_strictly",
    "load_trained",
    "mean_over_processes",
    "numbered_classes",
    "open_images",
    "open_judge",
    "open_perturbations",
    "open_tail",
    "option",
    "parse_spec",
    "plan_spaces",
    "printable",
    "process_count",
    "projected_gradient_descent",
    "quantize",
    "read_all",
    "read_class_names",
    "read_header",
    "read_pickle",
    "read_size",
    "read_tensors",
    "read_text",
    "read_torch_file",
    "read_trained",
    "read_weights_header",
    "reason",
    "resize",
    "route_state",
    "routed",
    "save_trained",
    "save_weights",
    "shown",
    "ssim",
    "suggest",
    "train",
    "without_broken_torchvision",
    "wordnet_id",
    "write_whole",
]

_LAZY = {
    "granu.api": ("AttackResult", "attack", "compare", "evaluate"),
    "granu.hardening.api": ("harden",),
    "granu.hardening.rounds": ("HardenResult",),
    "granu.images.classifier": ("ImageClassifier",),
    "granu.images.cropping": ("Cropping",),
    "granu.files": ("write_whole",),
    "granu.images.ops": (
        "clamp_for_descent", "decode_png", "encode_png", "fit_channels", "gaussian_blur", "quantize", "resize", "ssim",
    ),
    "granu.plugins.catalog": ("load_catalog",),
    "granu.plugins.context": ("BuildContext",),
    "granu.runs.encodings": ("TensorStore",),
    "granu.runs.fingerprints": ("image_digest",),
    "granu.runs.plan": ("PlannedSpace",),
    "granu.runs.planning": ("plan_spaces",),
    "granu.runs.run": ("Run",),
    "granu.search.deepfool": ("DeepFoolCandidates", "DeepFoolStop", "deepfool"),
    "granu.search.pgd": ("projected_gradient_descent",),
    "granu.search.state": ("SearchState",),
    "granu.spaces.base": ("NORM_NAMES", "PixelSpace", "Space"),
    "granu.spaces.inversion": ("Inversion",),
    "granu.spaces.linf": ("LInfSpace",),
    "granu.spaces.steps": ("Step", "open_tail"),
    "granu.streams": ("Streams",),
    "granu.training.attack": ("Attacked", "TrainingAttack"),
    "granu.training.api": ("TrainResult", "train"),
    "granu.training.defense": ("Defense",),
    "granu.training.dual": ("AUX_ROUTE", "MAIN_ROUTE", "duplicate_norms", "is_norm", "route_state", "routed"),
    "granu.training.encoded": ("EncodedBatch", "EncodedImages"),
    "granu.training.images": ("LabelledImages", "open_images"),
    "granu.training.judging": ("Judge", "open_judge"),
    "granu.training.perturbations": ("OpenPerturbation", "open_perturbations"),
    "granu.training.processes": ("mean_over_processes", "process_count"),
    "granu.training.step": ("TrainingStep",),
    "granu.weights.checkpoints": (
        "WeightsHeader", "check_shapes", "is_granu_weights", "load_strictly", "read_tensors", "read_weights_header",
        "save_weights",
    ),
    "granu.weights.headers": ("is_safetensors", "read_header"),
    "granu.weights.opening": ("read_text",),
    "granu.weights.pickles": ("StandIn",),
    "granu.weights.preprocessing": ("Preprocessing",),
    "granu.weights.rebuilding": ("build_strictly",),
    "granu.weights.stored": ("Refused", "StoredTensor", "read_all"),
    "granu.weights.torchfile": ("as_state_dict", "is_torch_file", "read_pickle", "read_torch_file"),
    "granu.weights.trained": ("TrainedHeader", "load_trained", "read_trained", "save_trained"),
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

"""For authors of plugins: the contracts that every plugin keeps, and a small world to test against (`tiny`)."""

from granu.testing.contracts import (
    check_classifier,
    check_classifier_is_saved,
    check_dataset,
    check_defense,
    check_import_without_torch,
    check_offer,
    check_perturbation,
    check_plugin,
    check_space,
    check_space_factory,
)
from granu.testing.generators import check_encoder, check_generator

__all__ = [
    "check_classifier",
    "check_classifier_is_saved",
    "check_dataset",
    "check_defense",
    "check_encoder",
    "check_generator",
    "check_import_without_torch",
    "check_offer",
    "check_perturbation",
    "check_plugin",
    "check_space",
    "check_space_factory",
]

"""Shell completion: installed names, listed without building anything."""

from __future__ import annotations

from granu.plugins.catalog import load_catalog


def perturbations(incomplete: str) -> list[str]:
    """Complete names for --perturb, generators among them."""
    return _beginning("perturbation", incomplete)


def classifiers(incomplete: str) -> list[str]:
    """Complete names for --classifier and --judge."""
    return _beginning("classifier", incomplete)


def defenses(incomplete: str) -> list[str]:
    """Complete names for --defense."""
    return _beginning("defense", incomplete)


def suites(incomplete: str) -> list[str]:
    """Complete names for --suite."""
    return _beginning("suite", incomplete)


def _beginning(kind: str, incomplete: str) -> list[str]:
    return [name for name in load_catalog().of_kind(kind) if name.startswith(incomplete)]

"""What the shell may complete: the names that are installed, without building anything."""

from __future__ import annotations

from granu.plugins.catalog import load_catalog


def perturbations(incomplete: str) -> list[str]:
    """Names for --perturb; every generator is one."""
    return _beginning("perturbation", incomplete)


def classifiers(incomplete: str) -> list[str]:
    """Names for --classifier and --judge."""
    return _beginning("classifier", incomplete)


def _beginning(kind: str, incomplete: str) -> list[str]:
    return [name for name in load_catalog().of_kind(kind) if name.startswith(incomplete)]

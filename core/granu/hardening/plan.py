"""The request for a hardening and its plan: frozen values, made by `planning` without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from granu.hardening.settings import WITHOUT_EFFECT, HardenSettings
from granu.plugins.catalog import Resolved

BUDGET = "{budget}"  # what stands in a defense for the size that is trained against


@dataclass(frozen=True)
class HardenRequest:
    """A request: specs as typed, or things given from Python that are resolved already."""

    classifier: str | Resolved | None = None
    reference: str | Resolved | None = None
    data: str | Resolved | None = None
    perturbations: tuple[str, ...] = ()
    out: Path | None = None
    val: str | Resolved | None = None
    judges: tuple[str | Resolved, ...] | None = None  # None: those that come with the generator's weights
    defenses: tuple[str, ...] = ()  # CHANGE=DEFENSE
    settings: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, str] = field(default_factory=dict)  # further settings of `granu train`


@dataclass(frozen=True)
class Grain:
    """A change that is measured, and what trains against it."""

    key: str
    defense: str  # a spec, in which BUDGET stands for the size
    draws: bool  # measured on images that its generator draws

    @property
    def sized(self) -> bool:
        """True if its defense takes a size."""
        return BUDGET in self.defense

    def defense_at(self, budget: float) -> str:
        """The spec of the defense that trains against changes of this size."""
        return self.defense.replace(BUDGET, f"{budget:.3g}")


@dataclass(frozen=True)
class HardenPlan:
    """A hardening: the classifier, what it is measured against, the changes, and how it goes."""

    classifier: Resolved
    reference: Resolved
    data: Resolved
    val: Resolved | None  # images to measure on; None: a part of `data`
    judges: tuple[str | Resolved, ...] | None
    grains: tuple[Grain, ...]
    settings: HardenSettings
    training: Mapping[str, str]
    out: Path

    def grain(self, key: str) -> Grain:
        """The grain of that key."""
        return next(grain for grain in self.grains if grain.key == key)

    def as_json(self) -> dict[str, Any]:
        """The plan, for `--dry-run --json` and the record of the decisions."""
        judges = self.judges
        return {
            "classifier": str(self.classifier.spec),
            "reference": str(self.reference.spec),
            "data": str(self.data.spec),
            "val": None if self.val is None else str(self.val.spec),
            "judges": None if judges is None else [j if isinstance(j, str) else str(j.spec) for j in judges],
            "changes": {grain.key: grain.defense for grain in self.grains},
            "settings": self.settings.as_json(),
            "training": dict(self.training),
        }


def identity_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Of a plan as JSON, what must be the same for a hardening to be continued, by name."""
    settings = {key: value for key, value in plan["settings"].items() if key not in WITHOUT_EFFECT}
    return {key: value for key, value in plan.items() if key != "settings"} | settings

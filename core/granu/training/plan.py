"""The request for a training and the plan of all that it will do: frozen values, made by `planning` without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from granu.plugins.catalog import Resolved
from granu.training.settings import WITHOUT_EFFECT, TrainingSettings


@dataclass(frozen=True)
class TrainRequest:
    """A request: specs as typed, or things given from Python that are resolved already."""

    classifier: str | Resolved | None = None
    data: str | Resolved | None = None
    out: Path | None = None
    defenses: tuple[str | Resolved, ...] = ()
    val: str | Resolved | None = None
    settings: Mapping[str, str] = field(default_factory=dict)  # by the name that is typed
    where: str = "granu train"  # the command or the TOML file, for messages about settings


@dataclass(frozen=True)
class TrainPlan:
    """A training: the classifier, what each step minimises, on which images, and how it goes."""

    classifier: Resolved
    defenses: tuple[Resolved, ...]  # in the order in which they are combined; none: plain cross-entropy
    data: Resolved
    val: Resolved | None  # None: a part of `data` is held out
    settings: TrainingSettings
    out: Path

    def as_json(self) -> dict[str, Any]:
        """The plan, for `--dry-run --json` and the header of the trained file."""
        return {
            "classifier": str(self.classifier.spec),
            "defenses": [str(defense.spec) for defense in self.defenses],
            "data": str(self.data.spec),
            "val": None if self.val is None else str(self.val.spec),
            "settings": self.settings.as_json(),
        }


def identity_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Of a plan as JSON, what must be the same for a training to be continued, by name."""
    settings = {key: value for key, value in plan["settings"].items() if key not in WITHOUT_EFFECT}
    return {key: value for key, value in plan.items() if key != "settings"} | settings


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The values that differ between two identities: `epochs 10 there, 20 here; ...`; empty if none does."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} {_show(before.get(name))} there, {_show(now.get(name))} here" for name in names)


def _show(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)

"""A computation written as named steps, so that it can be taken up again in the middle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Step", "StepTail", "open_tail"]


@dataclass(frozen=True)
class Step:
    """Computes the value `name` from the values it `reads`, all of them (B, ...)."""

    name: str
    reads: tuple[str, ...]
    compute: Callable[..., Tensor]


@dataclass(frozen=True)
class StepTail:
    """What lies behind some values of a computation whose last step gives images.

    `values` are the clean ones that the remaining `steps` read, and those of the edited sites that come before.
    """

    steps: Sequence[Step]
    values: Mapping[str, Tensor]
    clean: Mapping[str, Tensor]

    def __call__(self, edits: Mapping[str, Tensor]) -> Tensor:
        """Images (B, C, H, W) with `edits[site]` added to the value there."""
        if strange := edits.keys() - self.clean.keys():
            raise ValueError(f"this tail was opened for {', '.join(self.clean)}, not for {', '.join(sorted(strange))}")
        values = {name: value + edits[name] if name in edits else value for name, value in self.values.items()}
        for step in self.steps:
            value = step.compute(*(values[name] for name in step.reads))
            values[step.name] = value + edits[step.name] if step.name in edits else value
        return values["image"]

    def select(self, index: Tensor) -> StepTail:
        """The tail for some of the images; nothing is computed again."""
        return StepTail(
            self.steps,
            {name: value[index] for name, value in self.values.items()},
            {name: value[index] for name, value in self.clean.items()},
        )


def open_tail(steps: Sequence[Step], inputs: Mapping[str, Tensor], sites: Sequence[str]) -> StepTail:
    """Run the steps up to the first that reads one of `sites`, and on to where all of them are known.

    `inputs` are the values that no step computes. A site that nothing reads is the last value, the image.
    """
    readers = [number for number, step in enumerate(steps) if not set(sites).isdisjoint(step.reads)]
    first = min(readers, default=len(steps))
    with torch.no_grad():
        before = run(steps[:first], inputs, [])
        after = run(steps[first:], before, sites)
    needed = {name for step in steps[first:] for name in step.reads}.union(sites)
    values = {name: value for name, value in before.items() if name in needed}
    return StepTail(steps[first:], values, {site: after[site] for site in sites})


def run(steps: Sequence[Step], values: Mapping[str, Tensor], wanted: Sequence[str]) -> Mapping[str, Tensor]:
    """All values after the steps, or as soon as the `wanted` ones are known."""
    known = dict(values)
    for step in steps:
        if wanted and all(name in known for name in wanted):
            break
        known[step.name] = step.compute(*(known[name] for name in step.reads))
    return known

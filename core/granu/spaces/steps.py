"""A computation written as named steps, so that it can be resumed behind any of its values.

A generator that is written as steps gets its tails from `open_tail`: what comes before the edited sites is computed
once, and each edit computes only the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One step of a computation: the value `name`, computed from the values that it `reads`, (B, ...) each.

    `compute` takes them in the order of `reads` and treats the images of a batch independently.
    """

    name: str
    reads: tuple[str, ...]
    compute: Callable[..., Tensor]


@dataclass
class StepTail:
    """The rest of a computation behind some of its values; keeps the protocol `granu.Tail`.

    `values` are the clean values that `steps` read and do not compute, the edited sites among them. `output` names
    the value that is the images.
    """

    steps: Sequence[Step]
    values: Mapping[str, Tensor]
    clean: Mapping[str, Tensor]
    output: str

    def __call__(self, edits: Mapping[str, Tensor]) -> Tensor:
        """Images (B, C, H, W) with `edits[site]` (B, *site.shape) added to the value there."""
        if unknown := edits.keys() - self.clean.keys():
            known = ", ".join(self.clean)
            raise ValueError(f"this tail was opened for {known}, not for {', '.join(sorted(unknown))}")
        values = {name: _edited(value, name, edits) for name, value in self.values.items()}
        return _run(self.steps, values, edits, keep={self.output})[self.output]

    def select(self, index: Tensor) -> StepTail:
        """The tail for some of the images; nothing is computed again."""
        values = {name: value[index] for name, value in self.values.items()}
        clean = {site: value[index] for site, value in self.clean.items()}
        return StepTail(self.steps, values, clean, self.output)


def open_tail(steps: Sequence[Step], inputs: Mapping[str, Tensor], sites: Sequence[str]) -> StepTail:
    """Run the steps before the first that reads one of `sites`, and keep what the others need.

    `inputs` are the values that no step computes; the last step computes the images. A value is freed as soon as no
    later step reads it. ValueError where a step reads, or `sites` names, a value that there is not.
    """
    _check(steps, inputs, sites)
    readers = (number for number, step in enumerate(steps) if not set(sites).isdisjoint(step.reads))
    first = next(readers, len(steps))
    before, behind = steps[:first], steps[first:]
    last = max((number for number, step in enumerate(behind, 1) if step.name in sites), default=0)
    output = steps[-1].name
    needed = {name for step in behind for name in step.reads} | {*sites, output}
    with torch.no_grad():
        known = _run(before, dict(inputs), {}, keep=needed)
        values = {name: value for name, value in known.items() if name in needed}
        clean = _run(behind[:last], dict(values), {}, keep=set(sites))
    return StepTail(behind, values, {site: clean[site] for site in sites}, output)


def _run(
    steps: Sequence[Step], known: dict[str, Tensor], edits: Mapping[str, Tensor], keep: Set[str]
) -> dict[str, Tensor]:
    """Run all steps on the `known` values; one that no later step reads is deleted, unless `keep` names it."""
    last_read = {name: number for number, step in enumerate(steps) for name in step.reads}
    for number, step in enumerate(steps):
        # no local variable holds the value, so that deleting it below frees its memory before the next step
        known[step.name] = _edited(step.compute(*(known[name] for name in step.reads)), step.name, edits)
        for name in {step.name, *step.reads} - keep:
            if last_read.get(name, number) <= number:
                del known[name]
    return known


def _edited(value: Tensor, name: str, edits: Mapping[str, Tensor]) -> Tensor:
    return value + edits[name] if name in edits else value


def _check(steps: Sequence[Step], inputs: Mapping[str, Tensor], sites: Sequence[str]) -> None:
    known = set(inputs)
    for step in steps:
        if missing := set(step.reads) - known:
            raise ValueError(f"step '{step.name}' reads {', '.join(sorted(missing))}, which nothing before it computes")
        known.add(step.name)
    if unknown := set(sites) - known:
        raise ValueError(f"there is no value {', '.join(sorted(unknown))} among the inputs and steps")

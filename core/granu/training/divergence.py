"""Detection of trainings that have failed: the loss is not finite, or keeps growing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

WINDOW = 20  # steps
FACTOR = 10


class LossWatch:
    """Compares the losses of the last 20 steps with those of the first 20.

    A training diverges when the mean of the last is above ten times the mean of the first, or ten times ln(K) where
    that is larger: K classes guessed at random cost ln(K), and fine-tuning begins with losses near zero. Losses of
    defenses that sum several terms are larger from the first step on, which the comparison takes into account.
    """

    def __init__(self, classes: int) -> None:
        self.guessing = math.log(max(classes, 2))
        self.first: list[float] = []
        self.last: list[float] = []

    def see(self, loss: float) -> str | None:
        """Take in the loss of a step; returns what is wrong, None if nothing is."""
        if not math.isfinite(loss):
            return f"the loss became {loss}"
        if len(self.first) < WINDOW:
            self.first.append(loss)
        self.last = [*self.last, loss][-WINDOW:]
        limit = FACTOR * max(self.guessing, _mean(self.first))
        if len(self.last) == WINDOW and _mean(self.last) > limit:
            return f"the loss diverged to {_mean(self.last):.3g}, from {_mean(self.first):.3g} in the first steps"
        return None

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"first": self.first, "last": self.last}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.first, self.last = list(state["first"]), list(state["last"])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

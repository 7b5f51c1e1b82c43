"""Reasons why no change was found for an image."""

from __future__ import annotations

from enum import IntEnum


class FailureReason(IntEnum):
    """The reason why the search stopped at one image; NONE while nothing stopped it."""

    NONE = 0
    ZERO_GRADIENT = 1
    NOT_FINITE = 2
    NOT_REACHED = 3
    WRONG_SIDE = 4
    OUT_OF_BOUNDS = 5
    LOOPS_SPENT = 6

    @property
    def sentence(self) -> str | None:
        """The reason as a sentence for the trial; None where nothing is wrong."""
        return SENTENCES.get(self)


SENTENCES = {
    FailureReason.ZERO_GRADIENT: "the classifier's gradient is zero here, so pixels cannot be ranked",
    FailureReason.NOT_FINITE: "the classifier's logits or gradient are not finite here",
    FailureReason.NOT_REACHED: "the boundary search did not reach another class within its steps",
    FailureReason.WRONG_SIDE: "the boundary found lies behind the image, and no change along its normal reaches it",
    FailureReason.OUT_OF_BOUNDS: "even every allowed pixel at its bound would not reach the linearised boundary",
    FailureReason.LOOPS_SPENT: "the label was still predicted after the last loop",
}

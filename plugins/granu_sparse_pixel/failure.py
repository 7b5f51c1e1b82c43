"""Why an image could not be broken, message image by image."""

from __future__ import annotations

from enum import IntEnum


class FailureReason(IntEnum):
    """What stopped the search at one image; NONE while nothing did."""

    NONE = 0
    ZERO_GRADIENT = 1
    NOT_FINITE = 2
    NOT_REACHED = 3
    WRONG_SIDE = 4
    NO_ROOM = 5
    LOOPS_SPENT = 6

    @property
    def sentence(self) -> str | None:
        """For the person who reads the trial; None where nothing is wrong."""
        return SENTENCES.get(self)


SENTENCES = {
    FailureReason.ZERO_GRADIENT: "the classifier's gradient is zero here, so no pixel can be message from another",
    FailureReason.NOT_FINITE: "the classifier's logits or gradient are not finite here",
    FailureReason.NOT_REACHED: "the boundary search did not reach another class within its steps",
    FailureReason.WRONG_SIDE: "the boundary found lies behind the image, where no change along its normal can reach it",
    FailureReason.NO_ROOM: "even every allowed pixel at its bound would not reach the linearised boundary",
    FailureReason.LOOPS_SPENT: "the label still stood when all loops were spent",
}

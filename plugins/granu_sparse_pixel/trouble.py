"""Why a picture could not be broken, told picture by picture."""

from __future__ import annotations

from enum import IntEnum


class Trouble(IntEnum):
    """What stopped the search at one picture; NONE while nothing did."""

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
    Trouble.ZERO_GRADIENT: "the classifier's gradient is zero here, so no pixel can be told from another",
    Trouble.NOT_FINITE: "the classifier's logits or gradient are not finite here",
    Trouble.NOT_REACHED: "the boundary search did not reach another class within its steps",
    Trouble.WRONG_SIDE: "the boundary found lies behind the picture, where no change along its normal can reach it",
    Trouble.NO_ROOM: "even every allowed pixel at its bound would not reach the linearised boundary",
    Trouble.LOOPS_SPENT: "the label still stood when all loops were spent",
}

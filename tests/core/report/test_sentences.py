"""The sentences on one image say what its trials say, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from granu.report.sentences import amount, describe
from granu.runs.trials import (
    CLASSIFIER,
    CLEAN_WRONG,
    FAILED,
    FOUND,
    NOT_ENCODED,
    NOT_FOUND,
    RECONSTRUCTION_WRONG,
    UNREADABLE,
    Trial,
)

CLASSES = tuple("0123456789")
NAMES = {"tiny:z": "z", "tiny:layer1": "layer1", "tiny:image": "image"}
KEPT, LOST = {"j": 7, "k": 7}, {"j": 7, "k": 9}


def found(key: str, size: float | None, predicted: int = 9, unit: str = "sigma", **more: Any) -> Trial:
    return Trial("p1", f"tiny:{key}", "a", FOUND, label=7, predicted=predicted, size=size, unit=unit, **more)


def other(key: str, outcome: str, **more: Any) -> Trial:
    return Trial("p1", f"tiny:{key}", "a", outcome, label=7, **more)


def said(*trials: Trial) -> str:
    return describe("a", trials, NAMES, CLASSES)


def test_confirmed_changes_are_listed_by_the_class_that_is_seen_then() -> None:
    trials = (found("z", 0.157, votes=KEPT), found("layer1", 0.0236, votes=KEPT))
    assert said(*trials) == (
        "a sees 9 instead of 7 after a change of 0.157 sigma at z and 0.0236 at layer1; every judge still sees 7."
    )
    assert said(*trials, found("image", 0.8, 3, "pixel L2", votes=KEPT)) == (
        "a sees 9 instead of 7 after a change of 0.157 sigma at z and 0.0236 at layer1, and 3 after one of "
        "0.800 pixel L2 at image; every judge still sees 7."
    )


def test_what_the_judges_do_not_confirm_stands_apart() -> None:
    assert said(found("z", 0.2, votes=LOST), found("image", 0.8, unit="pixel L2", votes=KEPT)) == (
        "a sees 9 instead of 7 after a change of 0.800 pixel L2 at image; every judge still sees 7. "
        "It also sees 9 instead of 7 after a change of 0.200 sigma at z, but there not every judge still sees 7."
    )
    assert said(found("z", 0.2, votes=LOST)) == (
        "a sees 9 instead of 7 after a change of 0.200 sigma at z, but there not every judge still sees 7."
    )


def test_nothing_is_said_of_judges_that_were_not_asked() -> None:
    assert said(found("z", 0.2)) == "a sees 9 instead of 7 after a change of 0.200 sigma at z; no judge was asked."
    assert said(found("z", None, unit="", evidence=CLASSIFIER)) == (
        "a sees 9 instead of 7 after a change of unknown size at z; such a change, inside the classifier, has no image "
        "that judges could see."
    )


def test_what_was_not_found_is_said_with_the_largest_size_tried() -> None:
    missing = (other("z", NOT_FOUND, tried=0.5, unit="sigma"), other("image", NOT_FOUND))
    assert said(*missing) == "No change that fools a was found at z (up to 0.500 sigma) and image."
    assert said(found("layer1", 0.1, votes=KEPT), *missing).endswith(
        "every judge still sees 7. No change that fools it was found at z (up to 0.500 sigma) and image."
    )


@pytest.mark.parametrize(
    ("trial", "sentence"),
    [
        (other("z", CLEAN_WRONG, predicted=3), "a sees 3 instead of 7 before any change, so nothing was searched."),
        (other("z", FAILED, note="no gradient."), "The search could not run at z: no gradient."),
        (other("z", FAILED), "The search could not run at z: no reason given."),
        (other("z", UNREADABLE, note="it is cut off"), "The image could not be read at z: it is cut off."),
    ],
)
def test_images_that_were_not_searched_are_said_to_be(trial: Trial, sentence: str) -> None:
    assert said(trial) == sentence


def test_a_misclassified_clean_image_is_said_once() -> None:
    wrong = [other(key, CLEAN_WRONG, predicted=3) for key in ("z", "image")]
    assert said(*wrong) == "a sees 3 instead of 7 before any change, so nothing was searched."


def test_a_fixed_size_is_told_as_the_level_that_it_is() -> None:
    level = found("z", 3.0, unit="severity", levels={"3": 9})
    assert amount(level) == "severity 3"
    assert said(level, found("layer1", 5.0, unit="severity", levels={"5": 9})) == (
        "a sees 9 instead of 7 after a change of severity 3 at z and severity 5 at layer1; no judge was asked."
    )
    assert amount(found("z", None)) == "" and amount(found("z", 2.0)) == "2.00 sigma"


def test_what_an_encoding_loses_is_no_success_of_the_change_and_is_said_once() -> None:
    arms = {"source": 7, "prepared": 7, "reconstruction": 3}
    lost = [other(key, RECONSTRUCTION_WRONG, predicted=3, arms=arms) for key in ("z", "layer1")]
    assert said(*lost, found("image", 1.0, votes=KEPT)) == (
        "a sees 9 instead of 7 after a change of 1.00 sigma at image; every judge still sees 7. "
        "a sees 3 instead of 7 in the reconstruction, before any edit, so nothing was searched at z and layer1."
    )
    lost_before = other("z", RECONSTRUCTION_WRONG, predicted=4, arms={"source": 7, "prepared": 4, "reconstruction": 7})
    assert said(lost_before) == (
        "a sees 4 instead of 7 once the image is prepared for the generator, before any edit, so nothing was searched "
        "at z."
    )


def test_an_image_that_was_not_encoded_says_why() -> None:
    note = "the PSNR {of} the reconstruction is below psnr=30"
    missing = [other(key, NOT_ENCODED, note=note) for key in ("z", "image")]
    assert (
        said(*missing) == f"The image could not be encoded or edited, so nothing was searched at z and image: {note}."
    )

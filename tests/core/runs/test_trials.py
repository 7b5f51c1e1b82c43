"""Trials as lines of JSON: they come back as they were, and a damaged line is refused with the value that is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from granu.runs.trials import (
    CLASSIFIER,
    CLEAN_WRONG,
    FAILED,
    FOUND,
    NOT_ENCODED,
    NOT_FOUND,
    OUTCOMES,
    RECONSTRUCTION_WRONG,
    UNREADABLE,
    Trial,
    read_trial,
)

FULL = Trial(
    "cat/1.png", "pixel:l2", "zoo:cnn", FOUND, image_hash="0123456789abcdef", label=3, clean_margin=1.5, predicted=5,
    margin=-0.25, unit="pixel L2", size=0.5, tried=0.75, l2=0.5, linf=0.125, ssim=0.875, pixels=7, features=9,
    height=28, width=32, votes={"zoo:judge": 3, "zoo:other": -1}, control=False, forward=101, backward=100,
    extra={"scale": 1.0}, levels={"1": 3, "2.5": 5}, arms={"source": 3, "reconstruction": 3},
    unchanged={"1": 3, "2.5": 3}, texts={"prompt": "a cat in the snow"},
    note="a note",
)  # fmt: skip


def test_a_line_gives_the_trial_back() -> None:
    assert all(getattr(FULL, f.name) not in (None, {}, "") for f in fields(Trial)), "this trial must use every field"
    line = FULL.line()
    assert line.endswith("\n") and line.count("\n") == 1
    assert read_trial(line) == FULL


def test_what_is_unknown_is_left_out_of_the_line() -> None:
    trial = Trial("a", "p", "c", CLEAN_WRONG, label=0, predicted=1, clean_margin=0.0)
    assert json.loads(trial.line()) == {
        "image": "a", "perturbation": "p", "classifier": "c", "outcome": "clean-wrong", "evidence": "images",
        "label": 0, "predicted": 1, "clean_margin": 0.0, "forward": 0, "backward": 0,
    }  # fmt: skip
    assert read_trial(trial.line()) == trial


def test_numbers_that_json_cannot_hold_are_left_unknown() -> None:
    line = replace(FULL, clean_margin=math.inf, margin=math.nan, size=1 / 3).line()
    read = read_trial(line)
    assert (read.clean_margin, read.margin, read.size) == (None, None, 0.3333333)


def test_keys_of_a_newer_granu_are_ignored() -> None:
    assert read_trial(json.dumps({**json.loads(FULL.line()), "colour": "red"})) == FULL


def test_a_whole_number_may_stand_where_a_fraction_belongs() -> None:
    assert read_trial(json.dumps({**json.loads(FULL.line()), "size": 2})).size == 2


DAMAGES: list[tuple[Mapping[str, Any], str]] = [
    ({"size": "large"}, 'size cannot be "large"'),
    ({"size": -0.5}, r"size cannot be negative \(-0.5\)"),
    ({"tried": -1}, "tried cannot be negative"),
    ({"l2": -1e-9}, "l2 cannot be negative"),
    ({"pixels": -1}, "pixels cannot be negative"),
    ({"forward": -1}, "forward cannot be negative"),
    ({"size": math.inf}, "size cannot be Infinity"),
    ({"size": math.nan}, "size cannot be NaN"),
    ({"size": True}, "size cannot be true"),
    ({"label": 1.5}, "label cannot be 1.5"),
    ({"label": "3"}, 'label cannot be "3"'),
    ({"pixels": True}, "pixels cannot be true"),
    ({"control": 1}, "control cannot be 1"),
    ({"control": "yes"}, 'control cannot be "yes"'),
    ({"votes": [1, 2]}, "votes cannot be"),
    ({"votes": {"judge": "cat"}}, "votes cannot be"),
    ({"extra": {"scale": None}}, "extra cannot be"),
    ({"image": 7}, "image cannot be 7"),
    ({"image": None}, "image cannot be null"),
    ({"forward": None}, "forward cannot be null"),
    ({"note": 3}, "note cannot be 3"),
    (
        {"outcome": "broken"},
        "outcome cannot be 'broken'; it is one of clean-wrong, found, not-found, failed, unreadable, "
        "reconstruction-wrong, not-encoded",
    ),
    ({"evidence": "hearsay"}, "evidence cannot be 'hearsay'; it is one of images, classifier"),
]


@pytest.mark.parametrize(("change", "reason"), DAMAGES, ids=[str(change) for change, _ in DAMAGES])
def test_a_value_that_cannot_be_is_refused_by_name(change: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_trial(json.dumps({**json.loads(FULL.line()), **change}))


@pytest.mark.parametrize("missing", ["image", "perturbation", "classifier", "outcome"])
def test_a_line_without_what_names_a_trial_is_refused(missing: str) -> None:
    data = json.loads(FULL.line())
    del data[missing]
    with pytest.raises(ValueError, match=f"it lacks {missing}"):
        read_trial(json.dumps(data))


@pytest.mark.parametrize("line", ["[]", "3", '"text"', "null"])
def test_a_line_that_is_no_object_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        read_trial(line)


def test_only_images_that_were_classified_correctly_enter_the_rates() -> None:
    counted = {outcome for outcome in OUTCOMES if Trial("a", "p", "c", outcome).counts}
    assert counted == {FOUND, NOT_FOUND, FAILED}
    assert set(OUTCOMES) - counted == {CLEAN_WRONG, UNREADABLE, RECONSTRUCTION_WRONG, NOT_ENCODED}


def test_a_found_change_is_confirmed_where_every_judge_still_sees_the_label() -> None:
    found = replace(FULL, votes={"one": 3, "two": 3})
    assert found.confirmed
    assert not replace(found, votes={"one": 3, "two": 4}).confirmed
    assert not replace(found, votes={"one": 3, "two": -1}).confirmed
    assert not replace(found, outcome=NOT_FOUND).confirmed
    assert replace(found, votes={}, evidence=CLASSIFIER).confirmed, "nobody to ask"


def test_a_line_is_compact_json_with_its_entries_in_the_order_of_the_fields() -> None:
    trial = Trial("a", "p", "c", FOUND, label=0, size=0.25, votes={"j": 1}, forward=2)
    assert trial.line() == (
        '{"image":"a","perturbation":"p","classifier":"c","outcome":"found","evidence":"images","label":0,'
        '"size":0.25,"votes":{"j":1},"forward":2,"backward":0}\n'
    )


def test_a_line_that_would_be_no_json_is_never_written() -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        replace(FULL, extra={"scale": math.nan}).line()


def test_the_reasons_of_a_damaged_line_are_whole_phrases() -> None:
    for line, reason in (("[]", "it is not a JSON object"), ('{"image":"a","outcome":"found"}', TWO_MISSING)):
        with pytest.raises(ValueError) as raised:
            read_trial(line)
        assert str(raised.value) == reason


TWO_MISSING = "it lacks perturbation, classifier"

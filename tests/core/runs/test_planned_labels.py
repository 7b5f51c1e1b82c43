"""`label=` names classifiers and perturbations in reports, and is no part of what identifies a result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from granu import OptionError
from granu.plugins.spec import parse_spec
from granu.runs.plan import EvalPlan
from granu.runs.run import Run, read_run

Plan = Callable[..., EvalPlan]
QUICK = "tiny:layer1,samples=5,steps=5"
LINEAR = "tiny-classifier:linear"


@pytest.fixture(autouse=True)
def world(tiny_place: Path) -> None:
    """Install the tiny world."""


def test_a_label_is_taken_off_the_spec() -> None:
    assert parse_spec("x:y,label=My net,a=1").without("label") == (parse_spec("x:y,a=1"), "My net")
    assert parse_spec("x:y,a=1").without("label") == (parse_spec("x:y,a=1"), None)


def test_the_key_does_not_hold_the_label(planned: Plan) -> None:
    plan = planned(f"{QUICK},label=middle", "pixel:l2,label=noise", classifiers=("tiny-classifier:label=net",))
    assert [(p.key, p.resolved.label) for p in plan.perturbations] == [(QUICK, "middle"), ("pixel:l2", "noise")]
    assert [(str(c.spec), c.label) for c in plan.classifiers] == [("tiny-classifier", "net")]
    assert plan.perturbations[0].source.key == "tiny"


def test_of_several_targets_each_has_its_own_label(planned: Plan) -> None:
    plan = planned("tiny:layer*,label=world", classifiers=("tiny-classifier",))
    assert [p.resolved.label for p in plan.perturbations] == ["world:layer0", "world:layer1"]


def test_one_label_for_two_is_refused(planned: Plan) -> None:
    with pytest.raises(OptionError, match=r"^label=net is given to tiny-classifier and tiny-classifier:linear; give "):
        planned(QUICK, classifiers=("tiny-classifier:label=net", f"{LINEAR},label=net"))
    with pytest.raises(OptionError, match="label=x is given to pixel:l2 and tiny:z"):
        planned("tiny:z,label=x", "pixel:l2,label=x", classifiers=("tiny-classifier",))
    with pytest.raises(OptionError, match="label=net is given to"):
        planned(QUICK, classifiers=("tiny-classifier:label=net",), judges=(f"{LINEAR},label=net",))


def test_labels_are_recorded_and_change_no_result(run_of: Callable[..., Run]) -> None:
    fields = {"count": 3, "out": "run"}
    plain = run_of(QUICK, classifiers=(LINEAR,), **{**fields, "out": "plain"})
    run_of(f"{QUICK},label=middle", classifiers=(f"{LINEAR},label=net",), **fields)
    record = read_run(Path("run")).record
    assert (record.perturbations[QUICK].label, record.classifiers[LINEAR].label) == ("middle", "net")
    assert Path("run/trials.jsonl").read_text() == Path("plain/trials.jsonl").read_text()
    assert plain.record.perturbations[QUICK].label == ""
    # a later command adds, changes or leaves out labels, and measures nothing again
    run_of(QUICK, classifiers=(f"{LINEAR},label=network",), **fields)
    record = read_run(Path("run")).record
    assert (record.perturbations[QUICK].label, record.classifiers[LINEAR].label) == ("middle", "network")
    run_of(f"{QUICK},label=layout", classifiers=(LINEAR,), **fields)
    record = read_run(Path("run")).record
    assert (record.perturbations[QUICK].label, record.classifiers[LINEAR].label) == ("layout", "network")
    assert len(Path("run/trials.jsonl").read_text().splitlines()) == 3


def test_a_classifier_that_is_a_judge_too_keeps_its_label(run_of: Callable[..., Run]) -> None:
    run_of(QUICK, classifiers=(f"{LINEAR},label=net",), judges=(LINEAR,), count=1, out="run")
    assert read_run(Path("run")).record.classifiers[LINEAR].label == "net"

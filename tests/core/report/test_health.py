"""Health checks: each sign shows where it should, and a healthy run shows none."""

from dataclasses import replace
from typing import Any

import pytest
from making_runs import TINY, perturbation, run_of

from granu.report.health import Flag, check
from granu.report.notes import across_classes, clamped, failures, notes, unlabelled
from granu.report.rows import rows
from granu.runs.records import FailureRecord, RunRecord, SiteRecord, SourceRecord
from granu.runs.run import Run
from granu.runs.trials import CLASSIFIER, CLEAN_WRONG, FAILED, FOUND, NOT_FOUND, Trial


def trials(count: int, outcome: str = FOUND, key: str = "tiny:z", start: int = 0, **more: Any) -> list[Trial]:
    size = 1.0 if outcome == FOUND else None
    return [
        Trial(f"p{n}", key, "zoo:a", outcome, label=0, size=size, tried=2.0, **more)
        for n in range(start, start + count)
    ]  # fmt: skip


def flags(measured: list[Trial]) -> list[Flag]:
    return check(rows(run_of(measured, judges=("judge",))))


VOTE = {"votes": {"judge": 0}}


@pytest.mark.parametrize(
    "healthy",
    [
        trials(40, control=False, **VOTE),
        trials(20, **VOTE) + trials(5, CLEAN_WRONG, start=20),
        trials(38, **VOTE) + trials(2, FAILED, start=38),
        trials(40, evidence=CLASSIFIER),
        trials(10, **VOTE) + trials(10, start=10, votes={"judge": 1}),
    ],
)
def test_a_healthy_run_has_no_signs(healthy: list[Trial]) -> None:
    assert flags(healthy) == []


@pytest.mark.parametrize(
    ("ill", "sentence"),
    [
        (trials(19, **VOTE), "few images, so raise --count before concluding: tiny:z (19)"),
        (
            trials(20, NOT_FOUND, **VOTE),
            "nothing found; the search may be weak rather than the classifier robust: tiny:z (0 of 20)",
        ),
        (
            trials(20, **VOTE) + trials(2, FAILED, start=20, note="zero gradient"),
            "searches failed: tiny:z (2 of 22, most often: zero gradient)",
        ),
        (
            trials(20, **VOTE) + trials(6, CLEAN_WRONG, start=20),
            "many clean images are misclassified; check that classifier and images fit together: tiny:z (6 of 26)",
        ),
        (
            trials(20, control=True, **VOTE),
            "random changes of the same size fool the classifier as well, so the search adds little: tiny:z (20 of 20)",
        ),
        (
            trials(9, **VOTE) + trials(11, start=9, votes={"judge": 1}),
            "the judges still see the label in fewer than half of what was found: tiny:z (9 of 20)",
        ),
    ],
)
def test_each_sign_is_reported_with_its_numbers(ill: list[Trial], sentence: str) -> None:
    (flag,) = flags(ill)
    assert str(flag) == f"zoo:a: {sentence}"


def test_a_sign_under_several_perturbations_is_one_flag() -> None:
    (flag,) = flags(trials(5, key="tiny:z", **VOTE) + trials(5, key="tiny:image", **VOTE))
    assert str(flag) == "zoo:a: few images, so raise --count before concluding (5 at 2 changes)"
    assert (
        str(Flag("c", "sign", tuple((f"p{n}", str(n)) for n in range(5))))
        == "c: sign: p0 (0), p1 (1), p2 (2) and 2 more"
    )


def site(name: str, clamped: int, neurons: int = 16384) -> SiteRecord:
    return SiteRecord(name, (64, 16, 16), "sigma", 1000, neurons, clamped)


def test_near_constant_neurons_are_reported_once_per_generator() -> None:
    other = SourceRecord("tiny:weights=b.pt", "generator", "b2")
    records = [
        perturbation("tiny:layer5", sites=(site("layer5", 0),)),
        perturbation("tiny:layer6", sites=(site("layer6", 2),)),
        perturbation("tiny:layer4+layer6", sites=(site("layer4", 1, 4096), site("layer6", 2))),
        perturbation("tiny:layer6,weights=b.pt", sites=(site("layer6", 7),), source=other),
        perturbation("pixel:l2", source=TINY),
    ]
    record = RunRecord(perturbations={record.key: record for record in records})
    assert clamped(record) == [
        "tiny: near-constant neurons clamped to the minimum std: layer6 (2 of 16,384), layer4 (1 of 4,096)",
        "tiny:weights=b.pt: near-constant neurons clamped to the minimum std: layer6 (7 of 16,384)",
    ]


def test_notes_hold_signs_and_clamped_neurons() -> None:
    run = run_of(trials(19, **VOTE), perturbation("tiny:z", judges=("judge",), sites=(site("z", 1, 64),)))
    assert notes(run, rows(run)) == [
        "zoo:a: few images, so raise --count before concluding: tiny:z (19)",
        "tiny: near-constant neurons clamped to the minimum std: z (1 of 64)",
    ]


def test_sites_that_are_constant_within_a_class_are_named_once_per_generator() -> None:
    def record_of(key: str, *sites: SiteRecord) -> RunRecord:
        return perturbation(key, sites=sites)

    z, w = (replace(site(name, 0), across=True) for name in ("z", "w"))
    records = [record_of("tiny:z", z), record_of("tiny:z+w", z, w), record_of("tiny:layer4", site("layer4", 0))]
    assert across_classes(RunRecord(perturbations={record.key: record for record in records})) == [
        "tiny: constant within a class, so one sigma is the deviation across classes: z, w"
    ]


def test_a_generator_without_classes_is_said_to_have_the_classifiers_labels() -> None:
    without = SourceRecord("waves", "generator", "b2", ())
    data = SourceRecord("folder:x", "dataset", None, ())
    records = [perturbation("waves:z", source=without), perturbation("waves:w", source=without)]
    records += [perturbation("pixel:l2", source=data), perturbation("tiny:z", source=TINY)]
    record = RunRecord(perturbations={record.key: record for record in records})
    sentence = "waves: the generator has no classes, so the label of an image is the classifier's own prediction"
    assert unlabelled(record) == [sentence] and sentence in notes(Run(record), [])


def test_failures_count_their_images() -> None:
    broken = [FailureRecord("zoo:a", "tiny:w", "tiny", "ValueError: no", n) for n in (12, 1)]
    assert failures(RunRecord(failures=broken)) == [
        "tiny:w on zoo:a: ValueError: no (12 images)",
        "tiny:w on zoo:a: ValueError: no (1 image)",
    ]

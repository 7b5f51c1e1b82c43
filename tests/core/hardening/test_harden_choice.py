"""The choice of the change to train against, and what counts as a gain or a loss: by intervals, not by values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from granu.hardening.choice import is_above, ratios, weakest, worse
from granu.hardening.parts import MakePart, PartOfDataset
from granu.plugins.catalog import Catalog
from granu.plugins.context import BuildContext
from granu.runs.records import ClassifierRecord, PerturbationRecord, RunRecord, SourceRecord
from granu.runs.run import Run
from granu.runs.trials import FOUND, NOT_FOUND, Trial

SIZES = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7)
SOURCE = SourceRecord("tiny", "generator")


def record(key: str) -> PerturbationRecord:
    return PerturbationRecord(key, "tiny", key, {}, "tiny", "granu 0", {}, SOURCE, "sigma", "smallest")


def run_of(sizes: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Run:
    """A run with the sizes of classifiers under changes; None was not found, though searched up to 9."""
    trials = [
        Trial(f"tiny#{i}", key, name, NOT_FOUND if size is None else FOUND, label=0, unit="sigma", size=size, tried=9.0)
        for key, classifiers in sizes.items()
        for name, own in classifiers.items()
        for i, size in enumerate(own)
    ]
    names = {name for classifiers in sizes.values() for name in classifiers}
    classifiers = {name: ClassifierRecord(name, "zoo", "granu 0", {}, ("a", "b"), None) for name in names}
    return Run(RunRecord(perturbations={key: record(key) for key in sizes}, classifiers=classifiers), trials)


def scaled(factor: float) -> list[float]:
    return [factor * size for size in SIZES]


def test_the_change_of_the_smallest_ratio_is_chosen_with_the_references_median_as_its_size() -> None:
    run = run_of({
        "z": {"own": scaled(0.5), "ref": SIZES}, "layer": {"own": scaled(0.9), "ref": scaled(3)},
        "image": {"own": scaled(2), "ref": SIZES},
    })  # fmt: skip
    chosen = weakest(run, "own", "ref", {}, 1.0)
    assert chosen and chosen.key == "layer" and chosen.ratio.value == pytest.approx(0.3)
    assert chosen.budget == 3.9 and chosen.unit == "sigma"  # the median of eight sizes is the fourth
    halved = weakest(run, "own", "ref", {"layer": 0.5}, 1.5)
    assert halved and halved.budget == pytest.approx(0.75 * 3.9, rel=0.01) and halved.share == 0.75


def test_a_ratio_whose_interval_holds_one_is_no_weakness() -> None:
    run = run_of({"z": {"own": [0.1, 0.9, 0.9, 1.2, 1.3, 2.0, 0.5, 3.0], "ref": [1.0] * 8}})
    (one,) = ratios(run, "ref", "own").values()
    assert one.sizes and one.sizes.value and one.sizes.high and one.sizes.value < 1.06 and one.sizes.high > 1
    below = run_of({"z": {"own": [0.1, 0.9, 0.9, 0.95, 1.3, 2.0, 0.5, 3.0], "ref": [1.0] * 8}})
    (other,) = ratios(below, "ref", "own").values()
    assert other.sizes and other.sizes.value and other.sizes.value < 1
    assert weakest(run, "own", "ref", {}, 1.0) is None and weakest(below, "own", "ref", {}, 1.0) is None


def test_a_gain_needs_an_interval_above_one() -> None:
    unsure = [0.5, 1.1, 1.2, 1.3, 0.7, 2.0, 0.8, 1.4]
    run = run_of({"z": {"before": [1.0] * 8, "after": unsure}, "image": {"before": SIZES, "after": scaled(1.2)}})
    compared = ratios(run, "before", "after")
    value = compared["z"].sizes and compared["z"].sizes.value
    assert value and value > 1 and not is_above(compared["z"].sizes) and is_above(compared["image"].sizes)
    assert not is_above(None)


def test_what_became_worse_is_listed_if_its_interval_lies_below_one() -> None:
    unsure = [0.5, 1.1, 0.9, 1.3, 0.7, 0.6, 0.8, 1.4]
    run = run_of({
        "z": {"before": [1.0] * 8, "after": unsure}, "layer": {"before": SIZES, "after": scaled(0.8)},
        "image": {"before": SIZES, "after": scaled(1.2)},
    })  # fmt: skip
    assert worse(ratios(run, "before", "after")) == ("layer",)


def test_a_reference_that_mostly_holds_is_matched_at_the_largest_size_tried() -> None:
    run = run_of({"z": {"own": SIZES, "ref": [1.0, 8.0, *[None] * 6]}})
    chosen = weakest(run, "own", "ref", {}, 1.0)
    assert chosen and chosen.budget == 9.0


def test_few_pairs_decide_nothing() -> None:
    run = run_of({"z": {"own": [0.5] * 4, "ref": [1.0] * 4}})
    assert weakest(run, "own", "ref", {}, 1.0) is None


class Numbers:
    """A dataset of ten images that are their own positions."""

    classes = ("a", "b")

    def __len__(self) -> int:
        return 10

    def image_id(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> tuple[int, int]:
        return index, index % 2


def test_parts_of_a_dataset_share_no_image_and_leave_none_out() -> None:
    context = BuildContext(Catalog())
    parts = [MakePart(lambda o, c: Numbers(), (2, 2, 2), part, seed=1)(None, context) for part in range(4)]
    held = [[part.image_id(i) for i in range(len(part))] for part in parts]
    assert [len(one) for one in held] == [2, 2, 2, 4] and len({id_ for one in held for id_ in one}) == 10
    assert [part.read(1)[0] for part in parts] == [int(one[1]) for one in held]
    other = MakePart(lambda o, c: Numbers(), (2, 2, 2), 3, seed=2)(None, context)
    assert isinstance(other, PartOfDataset) and [other.image_id(i) for i in range(4)] != held[3]

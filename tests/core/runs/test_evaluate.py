"""Evaluation: what is missing is measured, what fails fails alone, and what changed under an old name is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from granu import GranuError, RunFolderError
from granu.images.ops import encode_png
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.build import Builder
from granu.runs.evaluate import evaluate
from granu.runs.plan import EvalPlan
from granu.runs.run import Run, read_run
from granu.runs.work import Outcome, Workbench, WorkItem
from granu.runs.writer import open_run

RunOf = Callable[..., Run]
CLASSIFIER = ("tiny-classifier",)
QUICK = "tiny:layer1,steps=5,samples=5"

RAISING = """
import granu
from granu.testing import tiny
from granu.types import ImageEvidence

class Raising:
    unit = "nothing"

    def perturb(self, classifier, batch, criterion, noise):
        raise ZeroDivisionError("on purpose\\nand more")

class Unchanged:
    unit = "nothing"

    def perturb(self, classifier, batch, criterion, noise):
        import torch
        zeros = torch.zeros(len(batch.ids))
        return granu.Proposal(
            evidence=ImageEvidence(batch.images[:, :, :4] if self.cut else batch.images), size=zeros, tried=zeros,
            forward=zeros.long(), backward=zeros.long(), notes=(None,) * len(batch.ids),
        )

def unchanged(cut, file=None):
    def make(options, context):
        if file:
            context.weights(file)
        thing = Unchanged()
        thing.cut = cut
        return thing
    return make

class Missing:
    def __init__(self, options, context):
        raise granu.WeightsError("its weights are lost")

@granu.hookimpl
def granu_perturbations():
    return [
        granu.PerturbationOffer(name="raising", summary="-", make=lambda o, c: Raising(), searched=False),
        granu.PerturbationOffer(name="lost", summary="-", make=Missing, searched=False),
        granu.PerturbationOffer(name="cut", summary="-", make=unchanged(True), searched=False),
        granu.PerturbationOffer(name="unchanged", summary="-", make=unchanged(False), searched=False),
        granu.PerturbationOffer(name="weighty", summary="-", make=unchanged(False, "my.bin"), searched=False),
    ]

@granu.hookimpl
def granu_classifiers():
    return [granu.ClassifierOffer(name="lost-classifier", summary="-", make=Missing)]
"""


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world, and perturbations and a classifier that fail."""
    fake_plugin("raising", RAISING)


def lines(folder: str = "run") -> bytes:
    return (Path(folder) / "trials.jsonl").read_bytes()


def measured(run: Run) -> set[tuple[str, str]]:
    return {(trial.perturbation, trial.classifier) for trial in run.trials}


# what one command may follow in a folder


def test_a_search_with_a_budget_is_measured_and_recorded_with_it(run_of: RunOf) -> None:
    key = "pixel:linf,budget=8/255,search=pgd,steps=5"
    run = run_of(key, classifiers=CLASSIFIER, data="tiny", count=4)
    record = read_run(Path("run")).record.perturbations[key]
    assert (record.search, record.unit) == ("pgd", "pixel L-infinity")
    assert record.budget == pytest.approx(8 / 255) == record.search_options["budget"]
    assert len(run.trials) == 4 and all(trial.tried == pytest.approx(8 / 255, rel=1e-5) for trial in run.trials)
    assert all(trial.linf is not None and trial.linf <= 8 / 255 + 1e-6 for trial in run.trials)


PIXEL = "pixel:l2,steps=5"
SEQUENCES = [
    ((QUICK,), (PIXEL,)),
    ((PIXEL,), (QUICK,)),
    ((QUICK, PIXEL), (PIXEL,)),
    ((QUICK, PIXEL), (QUICK,)),
    ((PIXEL,), (PIXEL, QUICK)),
]


@pytest.mark.parametrize(("first", "second"), SEQUENCES)
def test_sites_and_pixels_may_follow_each_other_in_one_folder(
    run_of: RunOf, first: Sequence[str], second: Sequence[str]
) -> None:
    run_of(*first, classifiers=CLASSIFIER, data="tiny" if first == (PIXEL,) else None, count=3)
    before = lines()
    run = run_of(*second, classifiers=CLASSIFIER, data="tiny" if second == (PIXEL,) else None, count=3)
    everything = set(first) | set(second)
    key = {QUICK: "tiny:layer1,samples=5,steps=5", PIXEL: PIXEL}
    assert lines().startswith(before) and len(run.trials) == 3 * len(everything)
    assert set(run.record.perturbations) == {key[text] for text in everything}
    assert {record.source.spec for record in run.record.perturbations.values()} == {"tiny"}


def test_a_repeated_perturbation_takes_its_recorded_images_again(run_of: RunOf) -> None:
    run_of(PIXEL, classifiers=CLASSIFIER, data="tiny", count=3)
    before = lines()
    run = run_of(PIXEL, classifiers=CLASSIFIER, count=3)
    assert lines() == before and run.record.perturbations[PIXEL].source.spec == "tiny"


def test_other_images_for_a_perturbation_that_was_measured_are_refused(run_of: RunOf, colours: Path) -> None:
    run_of(PIXEL, classifiers=CLASSIFIER, data="tiny", count=3)
    before = lines()
    with pytest.raises(RunFolderError, match=r"`pixel:l2,steps=5` was measured differently \(images tiny before"):
        run_of(PIXEL, classifiers=CLASSIFIER, data="folder:val", count=3)
    assert lines() == before


def test_a_classifier_under_test_that_is_a_judge_votes_on_the_others_alone(run_of: RunOf) -> None:
    names = ("tiny-classifier", "tiny-classifier:linear")
    run = run_of(QUICK, classifiers=names, judges=names, count=6)
    votes = {trial.classifier: set(trial.votes) for trial in run.trials if trial.counts}
    assert votes == {names[0]: {names[1]}, names[1]: {names[0]}}
    before = lines()
    assert run_of(QUICK, classifiers=names[:1], judges=names, count=6).record.perturbations == run.record.perturbations
    assert lines() == before, "the same judges, whichever classifiers a command names"


def test_records_of_earlier_commands_are_kept(run_of: RunOf, fake_plugin: Callable[..., Path]) -> None:
    run_of(QUICK, classifiers=CLASSIFIER, judges=("tiny-classifier:linear",), count=3)
    first = read_run(Path("run")).record
    run_of(PIXEL, classifiers=("tiny-classifier:linear",), data="tiny", count=3)
    merged = read_run(Path("run")).record
    assert merged.perturbations.items() > first.perturbations.items() and len(merged.perturbations) == 2
    assert merged.classifiers == first.classifiers and set(merged.classifiers) == {
        *CLASSIFIER,
        "tiny-classifier:linear",
    }
    assert merged.commands[0] == first.commands[0] and len(merged.commands) == 2


def test_a_larger_count_measures_only_what_is_missing_in_the_batches_of_an_unbroken_run(run_of: RunOf) -> None:
    items: list[tuple[int, ...]] = []

    class Noting(SerialReversed):
        def map(self, items_: Sequence[WorkItem]) -> Iterator[Outcome]:
            items.extend(item.positions for item in items_)
            return super().map(items_)

    run_of(QUICK, classifiers=CLASSIFIER, count=5, batch=4)
    with_executor(QUICK, executor=Noting, count=12, batch=4, out="run")
    assert items == [(5, 6, 7), (8, 9, 10, 11)]
    assert len(read_run(Path("run")).trials) == 12


def test_no_more_images_than_there_are(run_of: RunOf, colours: Path) -> None:
    progress: list[tuple[int, int]] = []
    run = run_of(
        PIXEL, classifiers=(NETWORK,), data="folder:val", count=50, batch=4,
        progress=lambda done, total, what: progress.append((done, total)),
    )  # fmt: skip
    assert len(run.trials) == 6
    assert progress == [(0, 6), (4, 6), (6, 6)]


# what fails fails alone


def test_one_perturbations_data_error_does_not_end_the_others(run_of: RunOf) -> None:
    run = run_of("frequency:start=9", PIXEL, "frequency:start=1,steps=5", classifiers=CLASSIFIER, data="tiny", count=3)
    assert {p for p, _ in measured(run)} == {PIXEL, "frequency:start=1,steps=5"}
    (failure,) = read_run(Path("run")).record.failures
    assert (failure.perturbation, failure.classifier, failure.plugin) == ("frequency:start=9", *CLASSIFIER, "frequency")
    assert "does not fit images of 8 pixels" in failure.reason and failure.images == 3 and failure.traceback == ""


def test_a_run_of_nothing_but_mendable_failures_is_one_sentence(run_of: RunOf) -> None:
    with pytest.raises(GranuError, match="does not fit images of 8 pixels") as raised:
        run_of("frequency:start=9", classifiers=CLASSIFIER, data="tiny", count=3, batch=1)
    assert "\n" not in str(raised.value) and "more)" not in str(raised.value)
    with pytest.raises(GranuError, match=r"does not fit images of 8 pixels.*\(and 1 more\)"):
        run_of("frequency:start=9", "lost", classifiers=CLASSIFIER, data="tiny", count=3, out=None)


def test_a_plugins_fault_is_recorded_with_its_traceback_and_ends_nothing_else(run_of: RunOf) -> None:
    run = run_of("raising", "unchanged", classifiers=CLASSIFIER, data="tiny", count=5, batch=2)
    assert measured(run) == {("unchanged", *CLASSIFIER)} and len(run.trials) == 5
    (failure,) = run.record.failures
    assert failure.reason == "ZeroDivisionError: on purpose" and failure.images == 5
    assert failure.traceback.startswith("Traceback") and "and more" in failure.traceback
    alone = run_of("raising", classifiers=CLASSIFIER, data="tiny", count=5, out=None)
    assert alone.trials == [] and alone.record.failures, "a fault of a plugin is nothing that a person can mend"


def test_what_failed_is_tried_again_by_the_next_command(run_of: RunOf) -> None:
    with pytest.raises(GranuError, match="lost"):
        run_of("lost", classifiers=CLASSIFIER, data="tiny", count=3)
    run = run_of("unchanged", classifiers=CLASSIFIER, data="tiny", count=3)
    assert run.record.failures == [] and len(run.trials) == 3


def test_a_classifier_that_cannot_be_built_fails_its_own_results_alone(run_of: RunOf) -> None:
    run = run_of("unchanged", PIXEL, classifiers=("lost-classifier", *CLASSIFIER), data="tiny", count=3)
    assert measured(run) == {("unchanged", *CLASSIFIER), (PIXEL, *CLASSIFIER)}
    failures = {(f.perturbation, f.classifier, f.reason, f.images) for f in run.record.failures}
    assert failures == {(p, "lost-classifier", "its weights are lost", 3) for p in ("unchanged", PIXEL)}
    assert set(run.record.classifiers) == {*CLASSIFIER}


def test_a_judge_that_cannot_be_built_fails_what_it_would_judge(run_of: RunOf) -> None:
    with pytest.raises(GranuError, match="its weights are lost"):
        run_of("unchanged", classifiers=CLASSIFIER, judges=("lost-classifier",), data="tiny", count=3)


def test_a_classifier_of_nan_or_of_other_classes_is_refused_with_the_cure(run_of: RunOf) -> None:
    with pytest.raises(GranuError, match="'tiny-classifier:nan' gives NaN or infinite logits"):
        run_of("unchanged", classifiers=("tiny-classifier:nan",), data="tiny", count=3, out=None)
    with pytest.raises(GranuError, match="take a classifier of the same classes"):
        run_of("unchanged", classifiers=("tiny-classifier:two",), data="tiny", count=3, out=None)


def test_images_of_another_shape_than_was_given_are_a_fault_of_the_plugin(run_of: RunOf) -> None:
    run = run_of("cut", "unchanged", classifiers=CLASSIFIER, data="tiny", count=3)
    (failure,) = run.record.failures
    assert failure.perturbation == "cut" and "it returned images of shape (3, 1, 4, 8)" in failure.reason


# contents, not names, decide what is the same

NETWORK = "python:mymodel.py:build"
SOURCE = """
import torch
from torch import nn

def build():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    with torch.no_grad():
        network[2].weight.copy_(torch.eye(3).flip(0) * SCALE)
        network[2].bias.zero_()
    return network
"""


@pytest.fixture
def colours() -> Path:
    """The folder `val` of two images per colour, and `mymodel.py`, which tells the colours apart."""
    Path("mymodel.py").write_text(SOURCE.replace("SCALE", "1"))
    noise = torch.Generator().manual_seed(0)
    for channel, colour in enumerate(("red", "green", "blue")):
        (Path("val") / colour).mkdir(parents=True)
        for number in range(2):
            image = 0.3 + 0.2 * torch.rand(3, 8, 8, generator=noise)
            image[channel] += 0.2
            (Path("val") / colour / f"{number}.png").write_bytes(encode_png(image))
    return Path("val")


@pytest.mark.parametrize("count", [6, 4])
def test_a_retrained_network_of_the_same_name_is_refused(run_of: RunOf, colours: Path, count: int) -> None:
    run_of(PIXEL, classifiers=(NETWORK,), data="folder:val", count=4)
    before = lines()
    Path("mymodel.py").write_text(SOURCE.replace("SCALE", "2"))
    for perturbation in (PIXEL, "pixel:linf,steps=5"):
        with pytest.raises(RunFolderError, match=f"the classifier '{NETWORK}' is not the one measured there"):
            run_of(perturbation, classifiers=(NETWORK,), data="folder:val", count=count)
    assert lines() == before
    Path("mymodel.py").write_text(SOURCE.replace("SCALE", "1"))
    assert len(run_of(PIXEL, classifiers=(NETWORK,), data="folder:val", count=6).trials) == 6


def test_a_retrained_judge_is_refused(run_of: RunOf, colours: Path) -> None:
    shutil.copy("mymodel.py", "judge.py")
    judge = "python:judge.py:build"
    run_of(PIXEL, classifiers=(NETWORK,), judges=(judge,), data="folder:val", count=4)
    Path("judge.py").write_text(SOURCE.replace("SCALE", "2"))
    with pytest.raises(RunFolderError, match=f"the classifier '{judge}' is not the one measured there"):
        run_of(PIXEL, classifiers=(NETWORK,), judges=(judge,), data="folder:val", count=6)


def test_other_preprocessing_of_the_same_network_is_another_classifier(run_of: RunOf, colours: Path) -> None:
    run = run_of(PIXEL, classifiers=(NETWORK, f"{NETWORK},mean=0.5"), data="folder:val", count=4)
    first, second = run.record.classifiers.values()
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("perturbation", [PIXEL, "pixel:linf,steps=5"])
def test_images_of_a_folder_that_changed_in_place_are_refused(run_of: RunOf, colours: Path, perturbation: str) -> None:
    run_of(PIXEL, classifiers=(NETWORK,), data="folder:val", count=6)
    before = lines()
    original = (colours / "red/1.png").read_bytes()
    (colours / "red/1.png").write_bytes(encode_png(torch.full((3, 8, 8), 0.4)))
    with pytest.raises(
        RunFolderError, match=r"1 of the images in `folder:val` changed since they were measured in run \(red/1.png\)"
    ):
        run_of(perturbation, classifiers=(NETWORK,), data="folder:val", count=6)
    assert lines() == before
    (colours / "red/1.png").write_bytes(original)
    assert len(run_of(PIXEL, classifiers=(NETWORK,), data="folder:val", count=6).trials) == 6


def test_an_image_that_moved_to_another_class_is_refused(run_of: RunOf, colours: Path) -> None:
    names = Path("names.tsv")
    names.write_text("red\tred\ngreen\tgreen\nblue\tblue\n")
    run_of(PIXEL, classifiers=(NETWORK,), data=f"folder:val,names={names}", count=6)
    names.write_text("red\tblue\ngreen\tgreen\nblue\tred\n")
    with pytest.raises(RunFolderError, match="4 of the images in"):
        run_of(PIXEL, classifiers=(NETWORK,), data=f"folder:val,names={names}", count=6)


def test_images_of_a_parquet_file_that_changed_in_place_are_refused(run_of: RunOf, colours: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    def write(replaced: dict[str, bytes]) -> None:
        files = sorted(colours.rglob("*.png"))
        images = [{"bytes": replaced.get(f.as_posix(), f.read_bytes()), "path": None} for f in files]
        parquet.write_table(pyarrow.table({"image": images, "label": [f.parent.name for f in files]}), "val.parquet")

    write({})
    run_of(PIXEL, classifiers=(NETWORK,), data="parquet:val.parquet", count=6)
    write({"val/blue/0.png": encode_png(torch.full((3, 8, 8), 0.4))})
    with pytest.raises(RunFolderError, match=r"1 of the images in `parquet:val.parquet` changed .*\(val.parquet#0\)"):
        run_of(PIXEL, classifiers=(NETWORK,), data="parquet:val.parquet", count=6)


def test_a_perturbations_own_weights_that_changed_mix_no_trials(run_of: RunOf) -> None:
    Path("my.bin").write_bytes(b"one")
    run = run_of("weighty", classifiers=CLASSIFIER, data="tiny", count=2)
    assert set(run.record.perturbations["weighty"].weights) == {"my.bin"}
    before = lines()
    Path("my.bin").write_bytes(b"two")
    with pytest.raises(RunFolderError, match=r"the weights 'my.bin' are not those measured there"):
        run_of("weighty", classifiers=CLASSIFIER, data="tiny", count=4)
    assert lines() == before


def test_fresh_measures_the_changed_network_in_the_same_folder(run_of: RunOf, colours: Path) -> None:
    run_of(PIXEL, "frequency:0,steps=3", classifiers=(NETWORK,), data="folder:val", count=6)
    Path("run/notes.txt").write_text("mine")
    Path("mymodel.py").write_text(SOURCE.replace("SCALE", "2"))
    run = run_of(PIXEL, classifiers=(NETWORK,), data="folder:val", count=4, fresh=True)
    assert set(run.record.perturbations) == {PIXEL} and len(read_run(Path("run")).trials) == 4
    assert len(run.record.commands) == 1 and Path("run/notes.txt").read_text() == "mine"
    kept = {file.parent.name for file in Path("run/images").rglob("clean.png")}
    assert len(kept) == 4


# any executor


class SerialReversed:
    """Computes the items from the last to the first."""

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench

    def map(self, items: Sequence[WorkItem]) -> Iterator[Outcome]:
        yield from (self.workbench.run(item) for item in reversed(items))


def with_executor(*perturbations: str, executor: type[SerialReversed], out: str, **request: object) -> EvalPlan:
    from granu.runs.plan import Request
    from granu.runs.planning import make_plan

    context = BuildContext(load_catalog())
    asked = Request(perturbations, classifiers=CLASSIFIER, **request)  # type: ignore[arg-type]
    plan = make_plan(context.catalog, context, asked)
    builder = Builder(plan, context)
    with open_run(Path(out), 0, "float32") as writer:
        evaluate(plan, builder, executor(Workbench(plan, builder)), writer, lambda done, total, what: None)
    return plan


def test_an_executor_of_any_order_gives_the_same_run(run_of: RunOf) -> None:
    request = {"count": 6, "batch": 2, "keep": 3}
    forward = run_of(QUICK, PIXEL, classifiers=CLASSIFIER, out="forward", **request)
    with_executor(QUICK, PIXEL, executor=SerialReversed, out="backward", **request)
    there, back = lines("forward").splitlines(), lines("backward").splitlines()
    assert there != back and sorted(there) == sorted(back)
    other = read_run(Path("backward")).record
    assert (other.perturbations, other.classifiers) == (forward.record.perturbations, forward.record.classifiers)
    images = [
        {f.relative_to(out).as_posix(): f.read_bytes() for f in Path(out).rglob("*.png")}
        for out in ("forward", "backward")
    ]
    assert images[0] == images[1] and images[0]

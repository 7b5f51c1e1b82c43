"""Evaluation with outcomes made by hand: what is asked for, written, refused and reported."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from granu import BuildContext, ClassifierOffer, DatasetOffer, GranuError, PluginError, RunFolderError, load_catalog
from granu.given import MemoryDataset, resolve_images, resolve_thing
from granu.plugins.catalog import Resolved
from granu.runs.build import Builder
from granu.runs.evaluate import WorkbenchRecipe, evaluate, make_executor, measure
from granu.runs.executors import ProcessExecutor, SerialExecutor
from granu.runs.fingerprints import image_hash
from granu.runs.plan import EvalPlan
from granu.runs.records import FailureRecord
from granu.runs.trials import FOUND, Trial
from granu.runs.work import Failure, Outcome, WorkItem
from granu.runs.writer import RunWriter, open_run
from granu.testing import tiny

Plan = Callable[..., EvalPlan]
L2, LINF = "pixel:l2", "pixel:linf"
NETS = ("one", "two")


@pytest.fixture(autouse=True)
def world(tiny_place: Path) -> None:
    """Install the tiny world."""


def net(name: str, make: Callable[..., Any] = lambda o, c: tiny.tiny_linear_classifier()) -> Resolved:
    return resolve_thing(ClassifierOffer(name=name, summary="-", make=make))


def images(count: int = 5, value: float = 0.5) -> Resolved:
    return resolve_images(MemoryDataset(torch.full((count, 1, 8, 8), value), torch.arange(count) % 3))


def trial(key: str, name: str, number: int, **fields: Any) -> Trial:
    return Trial(f"image#{number}", key, name, FOUND, **fields)


class Made:
    """Gives outcomes by a function, and notes items and whether it was closed."""

    def __init__(self, outcome: Callable[[WorkItem], Outcome]) -> None:
        self.outcome, self.items, self.closed = outcome, list[WorkItem](), False

    def map(self, items: Sequence[WorkItem]) -> Iterator[Outcome]:
        self.items = list(items)
        try:
            yield from map(self.outcome, items)
        finally:
            self.closed = True


def found(item: WorkItem, **fields: Any) -> Outcome:
    return Outcome(item, tuple(trial(item.perturbation, item.classifier, p, **fields) for p in item.positions))


Progress = list[tuple[int, int, str]]


def evaluated(plan: EvalPlan, executor: Any, writer: RunWriter) -> Progress:
    progress: Progress = []
    builder = Builder(plan, BuildContext(load_catalog()))
    evaluate(plan, builder, executor, writer, lambda *state: progress.append(state))
    return progress


def test_items_are_batches_of_missing_positions_of_each_perturbation_and_classifier(planned: Plan) -> None:
    plan = planned(L2, LINF, classifiers=tuple(map(net, NETS)), data=images(), judges=(), count=9, batch=2)
    executor = Made(found)
    with open_run(None, 0, "float32") as writer:
        writer.append([trial(L2, "one", 0), trial(L2, "one", 3), trial(LINF, "two", 1)], {})
        progress = evaluated(plan, executor, writer)
    assert executor.items == [
        WorkItem(L2, "one", (1,)), WorkItem(L2, "one", (2,)), WorkItem(L2, "one", (4,)),
        WorkItem(L2, "two", (0, 1)), WorkItem(L2, "two", (2, 3)), WorkItem(L2, "two", (4,)),
        WorkItem(LINF, "one", (0, 1)), WorkItem(LINF, "one", (2, 3)), WorkItem(LINF, "one", (4,)),
        WorkItem(LINF, "two", (0,)), WorkItem(LINF, "two", (2, 3)), WorkItem(LINF, "two", (4,)),
    ]  # fmt: skip
    assert progress[0] == (3, 20, "") and progress[1] == (4, 20, "pixel:l2 on one")
    assert progress[4] == (8, 20, "pixel:l2 on two") and progress[-1] == (20, 20, "pixel:linf on two")
    assert len(progress) == 13 and len(writer.run.trials) == 20 and writer.record.failures == []


def test_an_outcome_completes_the_record_and_a_failure_is_recorded(planned: Plan) -> None:
    plan = planned(L2, LINF, classifiers=(net("one"),), data=images(), judges=(), count=5, batch=3)

    def outcome(item: WorkItem) -> Outcome:
        if item.perturbation == LINF:
            return Outcome(item, failure=Failure("no luck", "Traceback"))
        trials = (trial(L2, "one", item.positions[0]), trial(L2, "one", item.positions[1], unit="pages"))
        return Outcome(item, trials, {f"{item.positions[0]}.png": b"png"}, {}, {"w": "1"})

    with open_run(None, 0, "float32") as writer:
        progress = evaluated(plan, Made(outcome), writer)
    record = writer.record.perturbations[L2]
    assert (record.unit, record.weights) == ("pages", {"w": "1"})
    assert set(writer.run.images) == {"0.png", "3.png"} and len(writer.run.trials) == 4
    assert writer.record.failures == [FailureRecord("one", LINF, "pixel", "no luck", 5, "Traceback")]
    assert progress == [
        (0, 10, ""), (3, 10, "pixel:l2 on one"), (5, 10, "pixel:l2 on one"), (8, 10, "pixel:linf on one"),
        (10, 10, "pixel:linf on one"),
    ]  # fmt: skip


def lost(options: object, context: object) -> None:
    raise PluginError("its weights are lost")


def test_a_classifier_that_does_not_open_fails_for_the_whole_count_without_an_item(planned: Plan) -> None:
    plan = planned(L2, classifiers=(net("bad", lost), net("one")), data=images(), judges=(), count=9)
    executor = Made(found)
    with open_run(None, 0, "float32") as writer:
        progress = evaluated(plan, executor, writer)
    assert executor.items == [WorkItem(L2, "one", (0, 1, 2, 3, 4))]
    assert progress == [(0, 5, ""), (5, 5, "pixel:l2 on one")]
    assert writer.record.failures == [FailureRecord("bad", L2, "pixel", "its weights are lost", 9)]
    assert list(writer.record.classifiers) == ["one"]


@pytest.mark.parametrize(
    ("reasons", "sentence"), [(["a"], "a"), (["a", "a"], "a"), (["a", "b"], "a (and 1 more)"),
                              (["a", "b", "c", "b"], "a (and 2 more)")],
)  # fmt: skip
def test_nothing_but_mendable_failures_is_one_sentence(planned: Plan, reasons: list[str], sentence: str) -> None:
    plan = planned(L2, classifiers=(net("one"),), data=images(), judges=(), count=len(reasons), batch=1)
    executor = Made(lambda item: Outcome(item, failure=Failure(reasons[item.positions[0]])))
    with open_run(None, 0, "float32") as writer, pytest.raises(GranuError) as raised:
        evaluated(plan, executor, writer)
    assert str(raised.value) == sentence and executor.closed


def test_a_fault_or_a_trial_among_failures_is_no_error(planned: Plan) -> None:
    plan = planned(L2, classifiers=(net("one"),), data=images(), judges=(), count=2, batch=1)
    fault = Made(lambda item: Outcome(item, failure=Failure("a") if item.positions == (0,) else Failure("b", "Trace")))
    partly = Made(lambda item: found(item) if item.positions == (0,) else Outcome(item, failure=Failure("a")))
    for executor in (fault, partly):
        with open_run(None, 0, "float32") as writer:
            evaluated(plan, executor, writer)
            assert writer.record.failures


def test_other_weights_of_a_later_outcome_are_refused_before_its_trials_are_written(planned: Plan) -> None:
    plan = planned(L2, classifiers=(net("one"),), data=images(), judges=(), count=2, batch=1)
    executor = Made(lambda item: Outcome(item, found(item).trials, {}, {}, {"w": str(item.positions)}))
    with open_run(None, 0, "float32") as writer, pytest.raises(RunFolderError, match="the weights 'w' are not those"):
        evaluated(plan, executor, writer)
    assert [t.image for t in writer.run.trials] == ["image#0"] and executor.closed


@pytest.mark.parametrize(
    ("changed", "count", "listed"),
    [((1,), 5, "image#1"), ((0, 2, 4), 5, "image#0, image#2, image#4"),
     ((0, 1, 2, 3), 5, "image#0, image#1, image#2, ..."), ((0, 4), 3, "image#0")],
)  # fmt: skip
def test_changed_images_are_refused_by_name(planned: Plan, changed: tuple[int, ...], count: int, listed: str) -> None:
    pixels = torch.full((5, 1, 8, 8), 0.5)
    before = [image_hash(pixels[n], str(n % 3)) for n in range(5)]
    pixels[list(changed)] = 0.75
    data = resolve_images(MemoryDataset(pixels, torch.arange(5) % 3))
    plan = planned(LINF, classifiers=(net("one"),), data=data, judges=(), count=count)
    executor = Made(found)
    with open_run(None, 0, "float32") as writer:
        other = planned(L2, classifiers=(net("one"),), data=data, judges=(), count=5)
        evaluated(other, Made(lambda item: found(item)), writer)
        writer.run.trials.clear()
        writer.append([trial(L2, "one", n, image_hash=hash_) for n, hash_ in enumerate(before)], {})
        with pytest.raises(RunFolderError) as raised:
            evaluated(plan, executor, writer)
    assert str(raised.value) == (
        f"{sum(n < count for n in changed)} of the images in `images` changed since they were measured in this run "
        f"({listed}); name another folder with --out, or start over with --fresh"
    )
    assert executor.items == []


def test_trials_without_hashes_and_of_other_images_refuse_nothing(planned: Plan) -> None:
    plan = planned(L2, classifiers=(net("one"),), data=images(2), judges=(), count=2)
    with open_run(None, 0, "float32") as writer:
        writer.append([trial(L2, "one", 0), trial("other", "one", 1, image_hash="f00")], {})
        evaluated(plan, Made(found), writer)
        assert len(writer.run.trials) == 3


def test_one_worker_is_this_process_and_more_plan_the_request_again(planned: Plan, tmp_path: Path) -> None:
    plan = planned(L2, "tiny:z", classifiers=("tiny-classifier",), count=3)
    builder = Builder(plan, BuildContext(load_catalog(), "meta", tmp_path / "elsewhere"))
    serial = make_executor(plan, builder, 1, 1)
    assert isinstance(serial, SerialExecutor)
    assert serial.workbench.plan is plan and serial.workbench.builder is builder
    processes = make_executor(plan, builder, 3, 2)
    assert isinstance(processes, ProcessExecutor) and (processes.workers, processes.threads) == (3, 2)
    recipe = processes.build
    assert isinstance(recipe, WorkbenchRecipe)
    assert (recipe.request, recipe.sources) == (plan.request, {L2: "tiny", "tiny:z": "tiny"})
    recipe.sources[L2] = "stylegan"
    bench = recipe()
    assert bench.plan.request is plan.request and bench.builder.plan is bench.plan and bench.plan is not plan
    assert [p.source.key for p in bench.plan.perturbations] == ["stylegan", "tiny"], "the images recorded for each"
    assert (bench.builder.context.device, bench.builder.context.cache) == ("meta", tmp_path / "elsewhere")


def test_a_command_is_noted_before_anything_is_measured(planned: Plan) -> None:
    plan = planned("pixel:l2,steps=2", classifiers=(net("one"),), data=images(2), judges=(), count=2, device="cpu")
    context = BuildContext(load_catalog(), "nowhere")
    progress: Progress = []
    with open_run(None, 0, "float32") as writer:
        measure(plan, context, writer, "granu eval -p ...", lambda *state: progress.append(state))
    (command,) = writer.record.commands
    started = datetime.datetime.fromisoformat(command.started)
    assert command.command == "granu eval -p ..." and context.device == "cpu" == command.made_with["device"]
    assert started.utcoffset() == datetime.timedelta(0) and started.microsecond == 0
    assert abs(datetime.datetime.now(datetime.UTC) - started) < datetime.timedelta(minutes=10)
    assert progress == [(0, 2, ""), (2, 2, "pixel:l2,steps=2 on one")] and len(writer.run.trials) == 2


def test_statistics_of_sites_are_recorded_and_trials_without_a_unit_give_none(planned: Plan) -> None:
    key = "tiny:z,samples=5"
    plan = planned(key, classifiers=(net("one"),), judges=(), count=2)
    summary = {"z": {"samples": 5, "neurons": 4, "clamped": 1}}
    with open_run(None, 0, "float32") as writer:
        evaluated(plan, Made(lambda item: Outcome(item, found(item).trials, {}, summary)), writer)
    record = writer.record.perturbations[key]
    assert record.unit == "" and [(s.samples, s.neurons, s.clamped) for s in record.sites] == [(5, 4, 1)]


def test_images_that_do_not_open_fail_alone_and_a_generator_hides_no_changed_dataset(planned: Plan) -> None:
    nowhere = resolve_thing(DatasetOffer(name="images", summary="-", make=lost))
    with open_run(None, 0, "float32") as writer:
        evaluated(planned(L2, classifiers=(net("one"),), data=images(), judges=(), count=1), Made(found), writer)
        writer.run.trials[:] = [trial(L2, "one", 0, image_hash="f00")]
        unread = planned(LINF, "tiny:z", classifiers=(net("one"),), data=nowhere, judges=(), count=2)
        evaluated(unread, Made(found), writer)
        assert writer.record.failures == [FailureRecord("one", LINF, "pixel", "its weights are lost", 2)]
        changed = planned("tiny:z", LINF, classifiers=(net("one"),), data=images(), judges=(), count=2)
        with pytest.raises(RunFolderError, match=r"^1 of the images in `images` changed .* \(image#0\);"):
            evaluated(changed, Made(found), writer)

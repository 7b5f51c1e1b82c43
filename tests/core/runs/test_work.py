"""Units of work: a pure function from an item to trials and images, whatever else the run does."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from granu import (
    Batch,
    ClassifierError,
    ClassifierOffer,
    Criterion,
    DataError,
    ImageEvidence,
    OptionError,
    Proposal,
    Streams,
)
from granu.given import resolve_thing
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.build import Builder
from granu.runs.gallery import changed_name, clean_name
from granu.runs.judge import as_guide, classify
from granu.runs.measurement import UNCONDITIONAL, Measurement
from granu.runs.plan import EvalPlan
from granu.runs.problems import is_out_of_memory
from granu.runs.trials import FAILED, FOUND
from granu.runs.work import Failure, Outcome, Workbench, WorkItem
from granu.testing.tiny import tiny_linear_classifier

Plan = Callable[..., EvalPlan]

UNCONDITIONAL_WORLD = """
import granu
import torch
from granu.testing import tiny

class Latent:
    def __init__(self, labels):
        self.labels = labels
    def select(self, index):
        return Latent(self.labels[index])

class Tail:
    clean = {}
    def __init__(self, latent):
        self.latent = latent
    def __call__(self, edits):
        return torch.full((len(self.latent.labels), 1, 8, 8), 0.25)

class Generator:
    classes = ()
    labels = ()
    fingerprint = "grey"
    def sites(self):
        return (granu.Site("image", (1, 8, 8), "pixels", scale="pixel"),)
    def draw(self, noise, labels):
        assert labels is None
        return Latent(torch.full((len(noise.ids),), -1))
    def tail(self, latent, sites):
        return Tail(latent)

class Same:
    unit = "nothing"

    def perturb(self, classifier, batch, criterion, noise):
        zeros = torch.zeros(len(batch.ids))
        return granu.Proposal(
            evidence=granu.ImageEvidence(batch.images), size=zeros, tried=zeros, forward=zeros.long(),
            backward=zeros.long(), notes=(None,) * len(batch.ids),
        )

def weighty(options, context):
    context.weights("my.bin")
    return Same()

@granu.hookimpl
def granu_perturbations():
    return [granu.PerturbationOffer(name="weighty", summary="-", make=weighty, searched=False)]

@granu.hookimpl
def granu_generators():
    return [granu.GeneratorOffer(
        name="grey", summary="-", make=lambda o, c: Generator(), sites=lambda o, c: Generator().sites(),
        weights=lambda o: "none",
    )]
"""


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world, and a generator without classes."""
    fake_plugin("grey", UNCONDITIONAL_WORLD)


@pytest.fixture
def bench(planned: Plan) -> Callable[..., Workbench]:
    """The workbench of a plan."""

    def make(*perturbations: str, **request: object) -> Workbench:
        plan = planned(*perturbations, classifiers=("tiny-classifier",), **request)
        return Workbench(plan, Builder(plan, BuildContext(load_catalog())))

    return make


QUICK = "tiny:layer1,samples=5,steps=5"


def test_an_item_gives_the_same_whenever_and_wherever_it_is_computed(bench: Callable[..., Workbench]) -> None:
    item = WorkItem(QUICK, "tiny-classifier", (3, 4))
    first, other = bench(QUICK, "pixel:l2", count=6), bench(QUICK, count=6, batch=2)
    first.run(WorkItem("pixel:l2", "tiny-classifier", (0, 1)))
    one, two, three = first.run(item), first.run(item), other.run(item)
    assert one == two == three and one.failure is None
    assert [trial.image for trial in one.trials] == ["tiny#3", "tiny#4"]
    assert one.sites == {"layer1": {"samples": 5, "neurons": 32, "clamped": 0, "across": 0}}


def test_an_outcome_crosses_processes(bench: Callable[..., Workbench]) -> None:
    outcome = bench(QUICK, count=6).run(WorkItem(QUICK, "tiny-classifier", (0, 1)))
    assert outcome.images and pickle.loads(pickle.dumps(outcome)) == outcome
    assert isinstance(outcome, Outcome)
    assert not [value for trial in outcome.trials for value in vars(trial).values() if isinstance(value, Tensor)]


@pytest.mark.parametrize(("keep", "count", "images"), [(0, 4, 0), (2, 4, 2), (4, 4, 4), (9, 4, 4)])
def test_only_the_first_images_are_kept(bench: Callable[..., Workbench], keep: int, count: int, images: int) -> None:
    outcome = bench(QUICK, count=count, keep=keep).run(WorkItem(QUICK, "tiny-classifier", (0, 1, 2, 3)))
    clean = [name for name in outcome.images if name.endswith("/clean.png")]
    assert len(clean) == images and len(outcome.images) == 2 * images


def test_without_classes_the_label_is_the_classifiers_own_and_says_so(bench: Callable[..., Workbench]) -> None:
    key = "grey:image,steps=20"
    (trial,) = bench(key, judges=("tiny-classifier:linear",)).run(WorkItem(key, "tiny-classifier", (0,))).trials
    assert trial.outcome == FOUND and trial.note == UNCONDITIONAL and trial.label != trial.predicted
    assert trial.clean_margin is not None and trial.clean_margin > 0 and trial.image == "grey#0"


MEMORY = [
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
    (RuntimeError("out of range"), False),
    (ValueError("out of memory"), False),
]


@pytest.mark.parametrize(("problem", "expected"), MEMORY, ids=[str(problem)[:30] for problem, _ in MEMORY])
def test_running_out_of_memory_is_told_from_other_errors(problem: Exception, expected: bool) -> None:
    assert is_out_of_memory(problem) is expected


def test_a_classifier_that_runs_out_of_memory_is_not_said_to_fail_on_the_size() -> None:
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        classify(ImageClassifier(Exhausted(), ("a", "b")), torch.zeros(1, 3, 8, 8), "model")


class Exhausted(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


class Failing:
    """A plan that raises instead of answering."""

    def __init__(self, problem: BaseException) -> None:
        self.problem = problem

    def perturbation(self, key: str) -> None:
        raise self.problem


ITEM = WorkItem("pixel", "net", (0, 1))


def run_failing(problem: BaseException) -> Outcome:
    return Workbench(Failing(problem), None).run(ITEM)  # type: ignore[arg-type]


def test_what_the_person_can_mend_is_a_failure_without_traceback() -> None:
    assert run_failing(DataError("the folder is\nempty")) == Outcome(ITEM, failure=Failure("the folder is\nempty"))


def test_a_fault_of_a_plugin_is_a_failure_with_type_first_line_and_traceback() -> None:
    failure = run_failing(ZeroDivisionError("on purpose\nand more")).failure
    assert failure is not None and failure.reason == "ZeroDivisionError: on purpose"
    assert failure.traceback.startswith("Traceback (most recent call last):\n  File ")
    assert failure.traceback.endswith("ZeroDivisionError: on purpose\nand more\n")
    silent = run_failing(AssertionError())
    assert silent.item is ITEM and silent.failure is not None
    assert silent.failure.reason == "AssertionError: AssertionError"
    assert (silent.trials, silent.images, silent.sites, silent.weights) == ((), {}, {}, {})


def test_running_out_of_memory_is_left_to_the_executor() -> None:
    with pytest.raises(MemoryError, match=r"^all of it$"):
        run_failing(MemoryError("all of it"))
    problem = RuntimeError("CUDA out of memory\nand advice")
    with pytest.raises(MemoryError) as raised:
        run_failing(problem)
    assert str(raised.value) == "CUDA out of memory" and raised.value.__cause__ is problem


def test_ctrl_c_is_no_failure() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_failing(KeyboardInterrupt())


def test_an_outcome_names_the_weights_that_its_perturbation_loaded(bench: Callable[..., Workbench]) -> None:
    Path("my.bin").write_bytes(b"mine")
    outcome = bench("weighty", data="tiny", count=2).run(WorkItem("weighty", "tiny-classifier", (0, 1)))
    assert outcome.weights == {"my.bin": hashlib.sha256(b"mine").hexdigest()} and outcome.failure is None


def test_a_classifier_of_other_classes_fails_its_items_by_name(planned: Plan) -> None:
    Path("my.bin").write_bytes(b"mine")
    plan = planned("weighty", classifiers=("tiny-classifier:two",), data="tiny", count=1)
    bench = Workbench(plan, Builder(plan, BuildContext(load_catalog())))
    assert bench.run(WorkItem("weighty", "tiny-classifier:two", (0,))).failure == Failure(
        "the classes of 'tiny' (3: disc, bar, cross) are not those of 'tiny-classifier:two' (2: cat, dog); take a "
        "classifier of the same classes, or name its outputs with classes="
    )


class Threshold:
    """Bright above one half; NaN where the pixel is white."""

    def __init__(self, *classes: str, named: bool = True) -> None:
        self.classes, self.named = classes, named

    def __call__(self, images: Tensor) -> Tensor:
        bright = images[:, 0, 0, 0] - 0.5
        return torch.stack([-bright, bright], dim=1).masked_fill((bright > 0.49)[:, None], torch.nan)

    def layers(self) -> dict[str, torch.nn.Module]:
        return {}


class Proposing:
    """Proposes grey images of given brightness, and notes the streams that it gets."""

    unit = "steps"

    def __init__(self, proposed: float, control: float) -> None:
        self.proposed, self.control = proposed, control
        self.noise: Streams | None = None

    def perturb(self, classifier: Any, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        self.noise = noise
        ones = torch.ones(len(batch.ids))
        return Proposal(
            evidence=ImageEvidence(torch.full_like(batch.images, self.proposed)),
            size=ones, tried=ones * 2, forward=ones.long(), backward=ones.long(), notes=(None,) * len(batch.ids),
            control=ImageEvidence(torch.full_like(batch.images, self.control)),
        )  # fmt: skip


DARK = Batch(torch.zeros(2, 1, 3, 5), torch.zeros(2, dtype=torch.int64), ("one", "two"), hashes=("h1", "h2"))


def measurement(proposed: float, control: float = 0.0, judges: Any = None, **fields: Any) -> Measurement:
    classifier = fields.pop("classifier", Threshold("dark", "bright"))
    return Measurement(
        SimpleNamespace(key="key", scope="scope"),  # type: ignore[arg-type]
        Proposing(proposed, control), "net", classifier, judges or {}, ("dark", "bright"),
        torch.tensor([0, 1]), frozenset(("two",)), 9, **fields,
    )  # fmt: skip


@pytest.mark.parametrize(("clean", "proposed", "control"), [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_nan_is_refused_by_the_classifiers_name_wherever_it_comes_from(
    clean: float, proposed: float, control: float
) -> None:
    batch = replace(DARK, images=DARK.images + clean)
    with pytest.raises(ClassifierError, match=r"^'net' gives NaN"):
        measurement(proposed, control).trials(batch, {})


def test_a_perturbation_gets_the_streams_of_seed_image_and_scope() -> None:
    one = measurement(0.8)
    one.trials(DARK, {})
    assert isinstance(one.perturbation, Proposing) and one.perturbation.noise is not None
    noise = one.perturbation.noise
    assert (noise.seed, noise.ids, noise.path, noise.device) == (9, ("one", "two"), "perturb/scope", "cpu")


def test_a_change_in_which_a_guide_loses_the_label_is_not_found() -> None:
    tested = Threshold("dark", "bright")
    (free, _), (guided, _) = (
        measurement(0.8, guides=guides).trials(DARK, {})
        for guides in ({}, {"guide": as_guide(tested, tested, ("dark", "bright"), "guide")})
    )
    assert (free.outcome, free.size) == ("found", 1) and (guided.outcome, guided.size) == ("not-found", None)
    assert guided.predicted == free.predicted == 1


def test_votes_of_outputs_without_names_take_those_of_the_images() -> None:
    judges = {"unnamed": Threshold("0", "1", named=False)}
    images: dict[str, bytes] = {}
    trials = measurement(0.8, judges=judges, classifier=Threshold("dark", "bright")).trials(DARK, images)
    assert [trial.votes for trial in trials] == [{"unnamed": 1}] * 2
    assert [(t.height, t.width, t.image_hash, t.outcome) for t in trials] == [(3, 5, "h1", FOUND), (3, 5, "h2", FOUND)]
    assert set(images) == {clean_name("two"), changed_name("two", "net", "key")}


def test_a_judge_without_names_votes_in_the_classes_of_the_source(planned: Plan) -> None:
    unnamed = tiny_linear_classifier()
    unnamed.classes, unnamed.named = ("0", "1", "2"), False
    judge = resolve_thing(ClassifierOffer(name="judge", summary="-", make=lambda options, context: unnamed))
    plan = planned("tiny:z,samples=5,steps=1", classifiers=("tiny-classifier",), judges=(judge,), count=3)
    bench = Workbench(plan, Builder(plan, BuildContext(load_catalog())))
    outcome = bench.run(WorkItem("tiny:z,samples=5,steps=1", "tiny-classifier", (0, 1, 2)))
    assert outcome.failure is None
    assert [trial.votes["judge"] for trial in outcome.trials] == [0, 1, 2], "a step of that size keeps the class"


def test_one_changed_image_that_is_not_finite_is_one_failed_trial() -> None:
    one = measurement(0.8)
    assert isinstance(one.perturbation, Proposing)
    one.perturbation.proposed = torch.tensor([torch.nan, 0.8]).view(2, 1, 1, 1)  # type: ignore[assignment]
    one.perturbation.perturb = proposing_rows(one.perturbation)  # type: ignore[method-assign]
    first, second = one.trials(DARK, {})
    assert (first.outcome, first.size, second.outcome) == (FAILED, None, FOUND)
    assert first.note == "the changed image, or the classifier's answer to it, is not finite"


def test_one_image_that_the_classifier_answers_with_nan_is_one_failed_trial() -> None:
    one = measurement(0.8)
    assert isinstance(one.perturbation, Proposing)
    one.perturbation.proposed = torch.tensor([0.8, 1.0]).view(2, 1, 1, 1)  # type: ignore[assignment]
    one.perturbation.perturb = proposing_rows(one.perturbation)  # type: ignore[method-assign]
    assert [trial.outcome for trial in one.trials(DARK, {})] == [FOUND, FAILED]


def proposing_rows(plain: Proposing) -> Any:
    """`Proposing.perturb` for a brightness per image, (B, 1, 1, 1)."""

    def perturb(classifier: Any, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        rows, plain.proposed = plain.proposed, 0.0
        proposal = Proposing.perturb(plain, classifier, batch, criterion, noise)
        return replace(proposal, evidence=ImageEvidence(rows.expand_as(batch.images)))  # type: ignore[attr-defined]

    return perturb


LEVELS = """
import granu
import torch

class Fading:
    unit = "steps"

    def perturb(self, classifier, batch, criterion, noise):
        zeros = torch.zeros(len(batch.ids))
        grey = granu.ImageEvidence(torch.full_like(batch.images, 0.5))
        broken = batch.images.clone()
        broken[1:2] = torch.nan  # the second image only
        levels = {
            4.0: grey, 1.0: granu.ImageEvidence(batch.images), 2.5: granu.ImageEvidence(broken), 3.0: grey,
        }
        return granu.Proposal(
            evidence=grey, size=zeros + 4, tried=zeros + 4, forward=zeros.long() + 4, backward=zeros.long(),
            notes=(None,) * len(batch.ids), levels=levels,
        )

@granu.hookimpl
def granu_perturbations():
    return [granu.PerturbationOffer(name="fading", summary="-", make=lambda o, c: Fading(), searched=False, note="n")]
"""


def test_of_fixed_sizes_all_are_judged_and_the_smallest_that_fools_counts(
    bench: Callable[..., Workbench], fake_plugin: Callable[..., Path]
) -> None:
    fake_plugin("fading", LEVELS)
    made = bench("fading", data="tiny", count=6, keep=6)
    outcome = made.run(WorkItem("fading", "tiny-classifier", tuple(range(6))))
    trials = [trial for trial in outcome.trials if trial.counts]
    grey = int(made.builder.classifier(made.plan.classifiers[0])(torch.full((1, 1, 8, 8), 0.5)).argmax())
    found = [trial for trial in trials if trial.outcome == FOUND]
    kept = [trial for trial in trials if trial.outcome == "not-found"]
    assert found and kept and [trial.outcome for trial in trials].count("failed") == 1
    for trial in found:
        assert trial.levels == {"1": trial.label, "2.5": trial.label, "3": grey, "4": grey} and trial.size == 3
        assert trial.predicted == grey != trial.label and trial.features > 0
    for trial in kept:
        assert set(trial.levels.values()) == {trial.label} and trial.size is None and trial.tried == 4
    (failed,) = (trial for trial in trials if trial.outcome == "failed")
    assert failed.levels["2.5"] == -1 and failed.note


def test_whether_a_perturbation_is_searched_may_depend_on_its_options(
    planned: Plan, fake_plugin: Callable[..., Path]
) -> None:
    code = LEVELS.replace("searched=False", "options=Options, searched=lambda options: options.at is None")
    code = code.replace(
        "import torch",
        """import torch
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    at: float | None = granu.option(None, "size")
""",
    )
    fake_plugin("fading", code)
    plan = planned("fading:at=1", "fading", "fading:steps=3", classifiers=("tiny-classifier",), data="tiny")
    assert [p.search and p.search.name for p in plan.perturbations] == [None, "smallest", "smallest"]
    with pytest.raises(OptionError, match="`fading:at=1,search=worst` is not searched with these options, so remove s"):
        planned("fading:at=1,search=worst", classifiers=("tiny-classifier",), data="tiny")

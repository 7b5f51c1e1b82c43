"""Building what a plan names: each thing once, on the device, with the weights that it loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from granu import (
    BuildContext,
    ClassifierOffer,
    DatasetOffer,
    GeneratorOffer,
    ImageClassifier,
    PluginError,
    load_catalog,
)
from granu.given import MemoryDataset, resolve_images, resolve_thing
from granu.plugins.catalog import Resolved
from granu.plugins.offers import AnyOffer, Offer
from granu.plugins.spec import Spec
from granu.runs.build import Builder, image_prefix
from granu.runs.plan import EvalPlan, PlannedSource
from granu.runs.prepare import Preparation, _plain
from granu.runs.records import ClassifierRecord
from granu.runs.sources import DatasetSource, GeneratorSource
from granu.runs.work import Failure
from granu.search.perturbation import SearchedPerturbation
from granu.search.smallest import Smallest
from granu.spaces.sites import SitePerturbation
from granu.testing import tiny

Plan = Callable[..., EvalPlan]
KEYS = ("tiny:z,samples=5,steps=3", "tiny:layer0+layer1,samples=5", "tiny:image,samples=5", "tiny:layer1,samples=6")


@pytest.fixture(autouse=True)
def world(tiny_place: Path) -> None:
    """Install the tiny world."""


def builder_of(plan: EvalPlan, device: str = "cpu") -> Builder:
    return Builder(plan, BuildContext(load_catalog(), device))


def classifier(make: Callable[..., Any], name: str = "net") -> Resolved:
    return resolve_thing(ClassifierOffer(name=name, summary="-", make=make))


def images(*labels: int) -> Resolved:
    return resolve_images(MemoryDataset(torch.zeros(len(labels), 1, 8, 8), torch.tensor(labels)))


def test_a_classifier_is_built_once_in_evaluation_mode_on_the_device(planned: Plan) -> None:
    module, bare = classifier(lambda o, c: torch.nn.Linear(2, 2).train(), "a"), classifier(lambda o, c: [], "b")
    builder = builder_of(planned("pixel:l2", classifiers=(module, bare), data=images(0)), "meta")
    built: Any = builder.classifier(module)
    assert not built.training and built.weight.device.type == "meta" and builder.classifier(module) is built
    assert builder.classifier(bare) == [] and builder.classifier(bare) is builder.classifier(bare)


def test_an_evaluated_classifier_is_frozen_and_one_that_a_plugin_makes_is_not(planned: Plan) -> None:
    def make(options: Any, context: BuildContext) -> ImageClassifier:
        return ImageClassifier(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)), "ab", channels=1)

    offered = classifier(make)
    plan = planned("pixel:l2", classifiers=(offered,), data=images(0))
    evaluated: Any = builder_of(plan).classifier(offered)
    assert not any(p.requires_grad for p in evaluated.parameters()) and not evaluated.network.training
    trained: Any = builder_of(plan).context.make(offered)
    assert all(p.requires_grad for p in trained.parameters())


def test_random_weights_are_those_of_the_runs_seed_in_every_process(planned: Plan) -> None:
    offered = classifier(lambda o, c: torch.nn.Linear(3, 2))
    weights = []
    for seed, noise in ((5, 1), (5, 2), (6, 1)):
        torch.manual_seed(noise)
        builder = builder_of(planned("pixel:l2", classifiers=(offered,), data=images(0), seed=seed))
        weights.append(builder.classifier(offered).weight)  # type: ignore[attr-defined]
        left = torch.rand(1)
        torch.manual_seed(noise)
        assert torch.equal(left, torch.rand(1)), "the global generator is left as it was"
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_the_weights_of_each_thing_are_its_own_and_those_of_the_context_are_all(planned: Plan) -> None:
    for name in ("one", "two"):
        Path(f"{name}.bin").write_bytes(name.encode())

    def load(name: str) -> Callable[..., Any]:
        return lambda options, context: context.weights(f"{name}.bin")

    def fail(options: object, context: BuildContext) -> None:
        context.weights("two.bin")
        raise PluginError("no more")

    one, two, bad = classifier(load("one"), "one"), classifier(load("two"), "two"), classifier(fail, "bad")
    builder = builder_of(planned("pixel:l2", classifiers=(one,), data=images(0)))
    assert builder.weights(one) == {}
    builder.classifier(one)
    builder.classifier(two)
    with pytest.raises(PluginError):
        builder.classifier(bad)
    sums = {f"{name}.bin": hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two")}
    assert builder.weights(one) == {"one.bin": sums["one.bin"]}
    assert builder.weights(two) == builder.weights(bad) == {"two.bin": sums["two.bin"]}
    assert builder.context.used_weights == sums


def test_what_is_no_generator_is_refused(planned: Plan) -> None:
    offer: AnyOffer = GeneratorOffer(
        name="hollow", summary="-", make=lambda o, c: object(), sites=lambda o, c: (), weights=lambda o: ""
    )
    builder = builder_of(planned("pixel:l2", classifiers=("tiny-classifier",), data=images(0)))
    with pytest.raises(PluginError) as raised:
        builder.generator(PlannedSource("generator", resolve_thing(offer)))
    assert str(raised.value) == "`hollow` did not build a generator: sites and tail are needed"


@pytest.mark.parametrize(("precision", "low"), [("float32", False), ("bfloat16", True)])
def test_sites_are_searched_with_the_planned_search_and_precision(planned: Plan, precision: str, low: bool) -> None:
    plan = planned(*KEYS, classifiers=("tiny-classifier",), precision=precision)
    builder = builder_of(plan)
    thing = builder.perturbation(plan.perturbations[1])
    assert isinstance(thing, SearchedPerturbation) and builder.perturbation(plan.perturbations[1]) is thing
    planned_search = plan.perturbations[1].search
    assert planned_search is not None
    assert isinstance(thing.search, Smallest) and thing.search.chosen is planned_search.options
    assert thing.low_precision is low
    assert isinstance(thing.space_factory, SitePerturbation)
    assert [site.name for site in thing.space_factory.sites] == ["layer0", "layer1"]
    assert thing.space_factory.generator is builder.generator(plan.perturbations[1].source)


def test_statistics_of_equal_samples_are_measured_together_at_all_sites_of_the_plan(planned: Plan) -> None:
    plan = planned(*KEYS, "pixel:l2", classifiers=("tiny-classifier",))
    builder = builder_of(plan, "meta")
    first, joined, image, other, _ = plan.perturbations
    cache = builder.statistics(first)
    assert builder.statistics(joined) is cache and builder.statistics(image) is cache
    assert [site.name for site in cache.sites] == ["z", "layer0", "layer1"], "pixels need no statistics"
    assert (len(cache.samples), cache.samples.device) == (5, "meta")
    assert cache.folder == builder.context.cache / "statistics"
    assert cache.samples.generator is builder.generator(first.source)
    assert builder.statistics(other) is not cache
    assert [site.name for site in builder.statistics(other).sites] == ["layer1"]
    assert len(builder.statistics(other).samples) == 6


def test_sources_are_opened_once_with_the_seed_and_device_of_the_run(planned: Plan) -> None:
    plan = planned("pixel:l2", "tiny:z", classifiers=("tiny-classifier",), data=images(0, 1, 2, 0, 1), seed=3)
    builder = builder_of(plan, "meta")
    dataset, drawn = (builder.source(p.source) for p in plan.perturbations)
    assert isinstance(dataset, DatasetSource) and dataset.device == "meta"
    assert list(dataset.order) == [0, 1, 2, 3, 4] and dataset.dataset.read(1)[1] == 1
    assert isinstance(drawn, GeneratorSource)
    assert (drawn.name, drawn.seed, drawn.device) == ("tiny", 3, "meta")
    assert drawn.generator is builder.generator(plan.perturbations[1].source)
    assert builder.source(plan.perturbations[0].source) is dataset


def test_a_shuffled_dataset_follows_the_seed_of_the_run(planned: Plan) -> None:
    class Shuffled(MemoryDataset):
        in_order = False

    data = Shuffled(torch.zeros(9, 1, 8, 8), torch.zeros(9, dtype=torch.int64))
    offer = resolve_thing(DatasetOffer(name="some", summary="-", make=lambda o, c: data))
    plan = planned("pixel:l2", classifiers=("tiny-classifier",), data=offer, seed=3)
    source = builder_of(plan).source(plan.perturbations[0].source)
    assert isinstance(source, DatasetSource)
    assert source.order == torch.randperm(9, generator=torch.Generator().manual_seed(3)).tolist()


def test_the_ids_of_images_hold_a_hash_of_the_generator_where_options_were_given() -> None:
    offer = Offer(name="tiny", summary="-", make=lambda o, c: None)
    plain = resolve_thing(offer)  # type: ignore[arg-type]
    given = Resolved(Spec("tiny", None, (("weights", "/here"),)), plain.entry, None)
    generator = tiny.TinyGenerator()
    assert image_prefix(PlannedSource("generator", plain), generator) == "tiny"
    digest = hashlib.sha256(b"tiny-1").hexdigest()[:8]
    assert image_prefix(PlannedSource("generator", given), generator) == f"tiny@{digest}"


# preparation


def broken(options: object, context: object) -> None:
    raise ZeroDivisionError("on purpose\nand more")


def lost(options: object, context: object) -> None:
    raise PluginError("its weights are lost")


def test_what_cannot_be_opened_fails_all_that_needs_it_and_nothing_else(planned: Plan) -> None:
    faulty, missing = classifier(broken, "faulty"), classifier(lost, "missing")
    fine = classifier(lambda o, c: tiny.tiny_linear_classifier(), "fine")
    nowhere = resolve_thing(DatasetOffer(name="nowhere", summary="-", make=lost))
    plan = planned("pixel:l2", classifiers=(faulty, missing, fine), judges=(fine, missing), data=images(0, 1, 2))
    prepared = Preparation(plan, builder_of(plan))
    (pixel,) = plan.perturbations
    failure = prepared.failure(pixel, faulty)
    assert failure is not None and failure.reason == "`faulty`: ZeroDivisionError: on purpose"
    assert failure.traceback.startswith("Traceback (most recent call last):\n  File ") and failure.traceback.endswith(
        "on purpose\nand more\n"
    )
    assert prepared.failure(pixel, missing) == prepared.failure(pixel, fine) == Failure("its weights are lost")
    assert [record.name for record in prepared.classifier_records()] == ["fine"] and prepared.opened(pixel.source)
    plan = planned("pixel:l2", "tiny:z", classifiers=(fine,), judges=(), data=nowhere)
    prepared = Preparation(plan, builder_of(plan))
    unread, drawn = plan.perturbations
    assert not prepared.opened(unread.source) and prepared.opened(drawn.source)
    assert prepared.failure(unread, fine) == Failure("its weights are lost") and prepared.failure(drawn, fine) is None
    assert [record.key for record in prepared.perturbation_records()] == ["tiny:z"]


def test_outputs_without_names_are_recorded_under_the_names_of_the_images(planned: Plan) -> None:
    unnamed = tiny.tiny_linear_classifier()
    unnamed.classes, unnamed.named = ("0", "1", "2"), False
    two = tiny.tiny_linear_classifier()
    two.classes, two.named = ("0", "1"), False
    one, other = classifier(lambda o, c: unnamed, "one"), classifier(lambda o, c: two, "other")
    plan = planned("pixel:l2", "tiny:z", classifiers=(one, other), data=images(0, 1))
    builder = builder_of(plan)
    first, second = Preparation(plan, builder).classifier_records()
    assert first.classes == tiny.CLASSES and second.classes == ("0", "1")
    assert first == ClassifierRecord("one", "given from Python", "", {}, tiny.CLASSES, first.fingerprint, {})


def test_the_record_of_a_perturbation_holds_the_weights_of_the_generator_that_draws_its_images(planned: Plan) -> None:
    Path("w.bin").write_bytes(b"w")

    def make(options: object, context: BuildContext) -> tiny.TinyGenerator:
        context.weights("w.bin")
        return tiny.TinyGenerator()

    offer: AnyOffer = GeneratorOffer(
        name="tiny", summary="-", make=make, sites=lambda o, c: tiny.TinyGenerator().sites(), weights=lambda o: ""
    )
    plan = planned("pixel:l2", classifiers=("tiny-classifier",), data=images(0))
    (pixel,) = plan.perturbations
    builder = builder_of(plan)
    source = PlannedSource("generator", resolve_thing(offer))
    drawn = EvalPlan(plan.request, (type(pixel)(pixel.key, pixel.resolved, pixel.search, source),), plan.classifiers)
    (record,) = Preparation(drawn, builder).perturbation_records()
    assert record.weights == {"w.bin": hashlib.sha256(b"w").hexdigest()}
    assert (record.source.spec, record.source.kind, record.source.fingerprint) == ("tiny", "generator", "tiny-1")
    (plain,) = Preparation(plan, builder).perturbation_records()
    assert plain.weights == {} and plain.source.fingerprint is None and plain.source.classes == ("0",)


def test_records_hold_the_weights_of_classifiers_and_none_of_a_dataset(planned: Plan) -> None:
    Path("w.bin").write_bytes(b"w")

    def make(options: object, context: BuildContext) -> Any:
        context.weights("w.bin")
        return tiny.tiny_linear_classifier()

    def read(options: object, context: BuildContext) -> MemoryDataset:
        context.weights("w.bin")
        return MemoryDataset(torch.zeros(1, 1, 8, 8), torch.tensor([0]))

    data = resolve_thing(DatasetOffer(name="some", summary="-", make=read))
    plan = planned("pixel:l2", classifiers=(classifier(make),), data=data)
    prepared = Preparation(plan, builder_of(plan))
    assert [r.weights for r in prepared.classifier_records()] == [{"w.bin": hashlib.sha256(b"w").hexdigest()}]
    assert [r.weights for r in prepared.perturbation_records()] == [{}]


def test_options_are_recorded_as_json_gives_them_back() -> None:
    assert _plain({"classes": ("a", "b"), "word": "ab"}) == {"classes": ["a", "b"], "word": "ab"}


def test_images_of_a_generator_with_options_are_named_by_its_hash(planned: Plan) -> None:
    plan = planned("tiny:z,weights=/here", classifiers=("tiny-classifier",))
    source = builder_of(plan).source(plan.perturbations[0].source)
    assert source.image_id(4) == f"tiny@{hashlib.sha256(b'tiny-1').hexdigest()[:8]}#4"

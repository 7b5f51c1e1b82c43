"""Sources of images: the same ones for the same seed, whatever is asked for together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from granu import Batch, ClassifierError, DataError, Latent, Site, Streams
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import Entry, Resolved
from granu.plugins.offers import Offer
from granu.plugins.spec import parse_spec
from granu.runs.build import image_prefix
from granu.runs.fingerprints import image_hash
from granu.runs.plan import PlannedSource
from granu.runs.sources import DatasetSource, GeneratorSource, Unreadable, match_classes, names_of
from granu.testing.tiny import TinyGenerator, TinyLatent


@pytest.mark.parametrize(
    ("ours", "theirs", "numbers"),
    [
        (("n02129604", "n01440764"), ("tench", "tiger"), [1, 0]),  # folders of WordNet ids, a network with names
        (("Egyptian_cat", "tripod"), ("n04485082", "n02124075"), [1, 0]),
        (("panthera tigris",), ("goldfish, Carassius auratus", "tiger, Panthera tigris"), [1]),
        (("n02012849",), ("crane (517)", "crane (134)"), [1]),  # two classes share this name
        (("crane",), ("n02012849", "crane"), [1]),  # a name of the classifier's own comes first
    ],
)
def test_classes_of_imagenet_match_by_wordnet_id_and_by_name(
    ours: tuple[str, ...], theirs: tuple[str, ...], numbers: list[int]
) -> None:
    found = match_classes(source(ours), classifier(theirs), "data", "net")
    assert found is not None and found.tolist() == numbers


def test_a_name_that_two_classes_of_imagenet_share_matches_neither() -> None:
    with pytest.raises(ClassifierError, match="are not those of"):
        match_classes(source(("crane",)), classifier(("n02012849", "n03126707")), "data", "net")


def test_a_generators_image_depends_on_its_number_alone() -> None:
    source = GeneratorSource(TinyGenerator(), "tiny", 0, "cpu")
    (many,) = source.batches(range(6))
    (few,) = source.batches([4])
    assert isinstance(many, Batch) and isinstance(few, Batch)
    assert many.ids[4] == few.ids[0] == "tiny#4"
    assert torch.equal(many.images[4:5], few.images) and many.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_the_path_of_weights_is_not_part_of_an_images_id() -> None:
    generator = TinyGenerator()
    here, there, plain = (
        image_prefix(PlannedSource("generator", resolved(spec)), generator)
        for spec in ("tiny:weights=/here/w.pkl", "tiny:weights=/there/w.pkl", "tiny")
    )
    assert here == there != plain == "tiny"


def resolved(text: str) -> Resolved:
    spec = parse_spec(text)
    return Resolved(spec, Entry(spec.name, Offer(name=spec.name, summary="", make=lambda o, c: None), "", "", ""), None)


class Numbers:
    """Images of two sizes, the number 3 broken."""

    classes = ("even", "odd")

    def __len__(self) -> int:
        return 10

    def image_id(self, index: int) -> str:
        return f"row-{index}"

    def read(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 3:
            raise DataError("row-3 is broken")
        return torch.full((1, 4 + index % 2, 4), index / 10), index % 2


def test_a_larger_sample_keeps_the_smaller_one() -> None:
    small, large = (DatasetSource(Numbers(), 7, "cpu") for _ in range(2))
    assert [small.image_id(p) for p in range(4)] == [large.image_id(p) for p in range(10)][:4]
    assert [DatasetSource(Numbers(), 8, "cpu").image_id(p) for p in range(10)] != [large.image_id(p) for p in range(10)]


def test_batches_are_of_one_shape_and_broken_images_are_named() -> None:
    parts = list(DatasetSource(Numbers(), 0, "cpu").batches(range(10)))
    broken = [part for part in parts if isinstance(part, Unreadable)]
    assert [(b.image, b.reason) for b in broken] == [("row-3", "row-3 is broken")]
    batches = [part for part in parts if isinstance(part, Batch)]
    assert {tuple(b.images.shape[2:]) for b in batches} == {(4, 4), (5, 4)}
    assert sorted(id_ for b in batches for id_ in b.ids) == sorted(f"row-{i}" for i in range(10) if i != 3)


def source(classes: tuple[str, ...], named: bool = True) -> DatasetSource:
    data = Numbers()
    data.classes, data.named = classes, named  # type: ignore[attr-defined, assignment]
    return DatasetSource(data, 0, "cpu")


def classifier(classes: tuple[str, ...], named: bool = True) -> ImageClassifier:
    return ImageClassifier(nn.Linear(1, len(classes)), classes, named=named)


def test_classes_are_matched_by_name_and_not_by_number() -> None:
    numbers = match_classes(source(("Cat", "dog")), classifier(("dog", "bird", "cat")), "data", "net")
    assert numbers is not None and numbers.tolist() == [2, 0]
    with pytest.raises(ClassifierError, match="take a classifier of the same classes") as refused:
        match_classes(source(("cat", "cow")), classifier(("cat", "dog")), "data", "net")
    assert "'data' (2: cat, cow) are not those of 'net' (2: cat, dog)" in str(refused.value)


def test_images_without_class_names_are_matched_by_number() -> None:
    numbers = match_classes(source(("0", "1"), named=False), classifier(("dog", "bird", "cat")), "data", "net")
    assert numbers is not None and numbers.tolist() == [0, 1]
    with pytest.raises(ClassifierError, match="3: 0, 1, 2"):
        match_classes(source(("0", "1", "2"), named=False), classifier(("dog", "bird")), "data", "net")


def test_an_unconditional_generator_has_no_classes_to_match() -> None:
    assert match_classes(source(()), classifier(("dog", "cat")), "data", "net") is None


def test_an_image_is_hashed_with_its_class_where_it_can_be_read() -> None:
    images = source(("even", "odd"))
    position = {images.image_id(p): p for p in range(10)}
    again = source(("even", "uneven"))
    assert images.image_hash(position["row-3"]) is None
    assert images.image_hash(position["row-2"]) == again.image_hash(position["row-2"])
    assert images.image_hash(position["row-1"]) != again.image_hash(position["row-1"])
    assert images.image_hash(position["row-2"]) != images.image_hash(position["row-4"])
    (first,) = images.batches([position["row-2"]])
    assert isinstance(first, Batch) and first.hashes == (images.image_hash(position["row-2"]),)


@pytest.mark.parametrize(
    ("named", "count", "ours", "names"),
    [
        (False, 2, ["cat", "dog"], ["cat", "dog"]),
        (False, 3, ["cat", "dog"], ["0", "1", "2"]),
        (False, 3, ["0", "2", "1"], ["0", "1", "2"]),
        (False, 2, [], ["0", "1"]),
        (True, 2, ["cat", "dog"], ["0", "1"]),
    ],
)
def test_the_classes_of_images_name_outputs_without_names(
    named: bool, count: int, ours: list[str], names: list[str]
) -> None:
    assert list(names_of(classifier(tuple(map(str, range(count))), named), ours)) == names


class Drawn:
    """Notes what a generator is asked for; draws grey images brighter by the number in their ids."""

    labels: Sequence[int] = (2, 5)
    classes = ("a", "b", "c", "d", "e", "f")
    fingerprint = "noting"

    def __init__(self) -> None:
        self.asked: list[tuple[Streams, torch.Tensor | None]] = []

    def sites(self) -> Sequence[Site]:
        return ()

    def draw(self, noise: Streams, labels: torch.Tensor | None) -> TinyLatent:
        assert not torch.is_grad_enabled()
        self.asked.append((noise, labels))
        return TinyLatent(torch.zeros(len(noise.ids), 4), torch.arange(len(noise.ids)))

    def tail(self, latent: Latent, sites: Sequence[str]) -> Any:
        assert sites == ["image"]
        return lambda edits: torch.tensor([-0.5, 0.3, 1.5])[: len(latent.labels), None, None, None]


def test_a_generator_draws_its_own_classes_in_turn_from_the_streams_of_seed_and_id() -> None:
    generator = Drawn()
    source = GeneratorSource(generator, "name", 7, "meta")
    assert source.classes == generator.classes and source.named and len(source) == 2**31
    (batch,) = source.batches([3, 0, 1])
    assert isinstance(batch, Batch) and batch.latent is not None
    ((noise, labels),) = generator.asked
    assert noise.ids == batch.ids == ("name#3", "name#0", "name#1")
    assert (noise.seed, noise.path, noise.device) == (7, "draw", "meta")
    assert labels is not None and labels.device.type == "meta" and labels.shape == (3,)
    assert batch.images.flatten().tolist() == torch.tensor([0.0, 76 / 255, 1.0]).tolist()
    assert batch.labels.tolist() == [0, 1, 2] and batch.labels is batch.latent.labels and batch.hashes is None


def test_labels_follow_the_position_and_an_unconditional_generator_gets_none() -> None:
    generator = Drawn()
    list(GeneratorSource(generator, "name", 0, "cpu").batches([3, 0, 1]))
    generator.labels = ()
    list(GeneratorSource(generator, "name", 0, "cpu").batches([3, 0, 1]))
    (_, some), (_, none) = generator.asked
    assert some is not None and some.tolist() == [5, 2, 5] and none is None


def test_a_sample_is_shuffled_by_the_seed_and_an_ordered_dataset_is_not() -> None:
    shuffled = DatasetSource(Numbers(), 7, "cpu")
    expected = torch.randperm(10, generator=torch.Generator().manual_seed(7)).tolist()
    assert [shuffled.image_id(p) for p in range(10)] == [f"row-{i}" for i in expected] and len(shuffled) == 10
    assert shuffled.named and shuffled.classes == ("even", "odd")
    ordered = Numbers()
    ordered.in_order = True  # type: ignore[attr-defined]
    assert [DatasetSource(ordered, 7, "cpu").image_id(p) for p in range(10)] == [f"row-{i}" for i in range(10)]


def test_a_batch_of_a_dataset_holds_quantized_images_labels_and_hashes_on_the_device() -> None:
    ordered = Numbers()
    ordered.in_order = True  # type: ignore[attr-defined]
    even, odd = DatasetSource(ordered, 0, "cpu").batches([0, 1, 2, 5])
    assert isinstance(even, Batch) and isinstance(odd, Batch)
    assert (even.ids, odd.ids) == (("row-0", "row-2"), ("row-1", "row-5"))
    assert even.labels.tolist() == [0, 0] and odd.labels.tolist() == [1, 1] and even.latent is None
    assert odd.images[:, 0, 0, 0].tolist() == torch.tensor([26 / 255, 128 / 255]).tolist()
    assert odd.hashes == tuple(image_hash(torch.full((1, 5, 4), n / 10), "odd") for n in (1, 5))
    (elsewhere,) = DatasetSource(ordered, 0, "meta").batches([0, 2])
    assert isinstance(elsewhere, Batch) and elsewhere.images.device.type == elsewhere.labels.device.type == "meta"


def test_outputs_without_names_are_matched_in_order_and_as_many_numbers_fit() -> None:
    unnamed = match_classes(source(("dog", "cat")), classifier(("0", "1"), named=False), "data", "net")
    assert unnamed is not None and unnamed.tolist() == [0, 1]
    equal = match_classes(source(("0", "1"), named=False), classifier(("dog", "cat")), "data", "net")
    assert equal is not None and equal.tolist() == [0, 1]


def test_the_sentence_about_other_classes_shows_three_of_each() -> None:
    with pytest.raises(ClassifierError) as raised:
        match_classes(source(("a", "b", "c")), classifier(("a", "b", "x", "d")), "data", "net")
    assert str(raised.value) == (
        "the classes of 'data' (3: a, b, c) are not those of 'net' (4: a, b, x, ...); take a classifier of the same "
        "classes, or name its outputs with classes="
    )

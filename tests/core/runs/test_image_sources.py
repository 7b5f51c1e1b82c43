"""Sources of images: the same ones for the same seed, whatever is asked for together."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from granu import Batch, ClassifierError, DataError
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import Entry, Resolved
from granu.plugins.offers import Offer
from granu.plugins.spec import parse_spec
from granu.runs.build import image_prefix
from granu.runs.plan import PlannedSource
from granu.runs.sources import DatasetSource, GeneratorSource, Unreadable, match_classes, names_of
from granu.testing.tiny import TinyGenerator


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

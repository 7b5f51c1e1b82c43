"""Training images in memory and on the disk, and their augmentation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from trainings import Notes, same, weights

from granu.errors import DataError
from granu.streams import Streams
from granu.training.augment import jitter, resized_crop_flip, shift_flip
from granu.training.data import ImageSet, ImagesInMemory, ImagesOnDisk, Selection, open_selection, permutation

IDS = tuple(f"i{number}" for number in range(6))


class Numbers:
    """Images whose pixels are their number, some of them broken."""

    classes = ("even", "odd")

    def __init__(self, count: int = 10, broken: Sequence[int] = ()) -> None:
        self.count, self.broken = count, broken
        self.reading = threading.Lock()
        self.read_by: set[int] = set()

    def __len__(self) -> int:
        return self.count

    def image_id(self, index: int) -> str:
        return f"n{index}"

    def read(self, index: int) -> tuple[Tensor, int]:
        self.read_by.add(threading.get_ident())
        time.sleep(0.001)
        if index in self.broken:
            raise DataError(f"n{index} is broken")
        return torch.full((1, 4, 4), index / 255), index % 2


def selection(dataset: Numbers, positions: Sequence[int] | None = None) -> Selection:
    positions = range(len(dataset)) if positions is None else positions
    return Selection(dataset, positions, (7, 5), lambda image: image, "numbers")


def opened(dataset: Numbers, positions: Sequence[int] | None = None, gigabytes: float = 1.0) -> ImageSet:
    return open_selection(selection(dataset, positions), gigabytes, 4, lambda *_: None)


@pytest.mark.parametrize("gigabytes", [1.0, 0.0])
def test_batches_hold_the_asked_images_with_the_classifiers_classes(gigabytes: float) -> None:
    images = opened(Numbers(), [9, 8, 3, 2], gigabytes)
    assert isinstance(images, ImagesInMemory if gigabytes else ImagesOnDisk) and len(images) == 4
    first, second = images.batches([[0, 2], [3]])
    assert first.images[:, 0, 0, 0].tolist() == [9, 3] and first.images.dtype == torch.uint8
    assert first.labels.tolist() == [5, 5] and first.ids == ("n9", "n3")
    assert second.labels.tolist() == [7] and second.ids == ("n2",)


def test_a_set_that_does_not_fit_is_read_by_several_threads() -> None:
    dataset = Numbers(64)
    images = opened(dataset, gigabytes=64 * 16 / 1e9 - 1e-9)
    assert isinstance(images, ImagesOnDisk)
    list(images.batches([range(32), range(32, 64)]))
    assert len(dataset.read_by) > 2
    assert isinstance(opened(Numbers(64), gigabytes=64 * 16 / 1e9), ImagesInMemory)


def test_broken_images_are_left_out_of_memory_and_replaced_on_the_disk() -> None:
    memory = opened(Numbers(broken=[0, 4]))
    assert len(memory) == 8 and memory.skipped == {"n0": "n0 is broken", "n4": "n4 is broken"}
    disk = opened(Numbers(broken=[0, 4, 5, 9]), gigabytes=0)
    (batch,) = disk.batches([[3, 4, 9]])
    assert len(disk) == 10 and batch.ids == ("n3", "n6", "n1")
    assert set(disk.skipped) == {"n0", "n4", "n5", "n9"}


@pytest.mark.parametrize("gigabytes", [1.0, 0.0])
def test_only_broken_images_are_an_error(gigabytes: float) -> None:
    with pytest.raises(DataError, match=r"none of the .* images of `numbers` can be read: n0 is broken"):
        list(opened(Numbers(2, broken=[0, 1]), gigabytes=gigabytes).batches([[0]]))


def test_the_fingerprint_changes_with_pixels_labels_and_ids() -> None:
    plain = opened(Numbers()).fingerprint
    assert opened(Numbers()).fingerprint == plain
    assert opened(Numbers(9)).fingerprint != plain
    darker = Selection(Numbers(), range(10), (7, 5), lambda image: image / 2, "numbers")
    swapped = Selection(Numbers(), range(10), (5, 7), lambda image: image, "numbers")
    for other in (darker, swapped):
        assert open_selection(other, 1.0, 1, lambda *_: None).fingerprint != plain


def test_training_does_not_depend_on_where_images_are(trained: Callable[..., Any]) -> None:
    trained(out="memory.safetensors")
    notes = Notes()
    trained(out="disk.safetensors", memory="0", notes=notes)
    assert same(weights("memory.safetensors"), weights("disk.safetensors"))


def test_broken_images_on_the_disk_are_named_once(trained: Callable[..., Any]) -> None:
    notes = Notes()
    result = trained(data="shapes:64,broken=1", memory="0", notes=notes, hold_out="0")
    assert [line for line in notes.lines if line.startswith("skipped")] == ["skipped shape#0: shape 0 is broken"]
    assert result.about["images"]["skipped"] == 1


def test_outputs_without_names_are_named_after_the_images(trained: Callable[..., Any]) -> None:
    from granu.weights.trained import read_trained

    trained(classifier="net:plain,names=no")
    assert read_trained(Path("out.safetensors")).classes == ("left", "right", "top", "bottom")


def test_permutations_are_complete_and_differ_by_seed() -> None:
    assert sorted(permutation(20, 3)) == list(range(20))
    assert permutation(20, 3) == permutation(20, 3) != permutation(20, 4)


def crops(images: Tensor, streams: Streams) -> Tensor:
    return resized_crop_flip(list(images), streams, (12, 12))


@pytest.mark.parametrize("augment", [jitter, shift_flip, crops])
def test_augmentation_is_per_image_and_stays_in_range(augment: Callable[[Tensor, Streams], Tensor]) -> None:
    images = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    whole = augment(images, Streams(0, IDS))
    assert whole.shape == images.shape and whole.min() >= 0 and whole.max() <= 1
    assert all(not torch.equal(a, b) for a, b in zip(whole, images, strict=True))
    assert torch.equal(augment(images, Streams(0, IDS)), whole)
    assert not torch.equal(augment(images, Streams(1, IDS)), whole)
    parts = [augment(images[chosen], Streams(0, [IDS[i] for i in chosen])) for chosen in ([5, 1], [0])]
    assert torch.allclose(torch.cat(parts), whole[[5, 1, 0]], atol=1e-6)


def test_shift_flip_moves_whole_pixels_at_most_four_and_mirrors_half() -> None:
    ids = tuple(map(str, range(400)))
    image = torch.zeros(400, 1, 16, 16)
    image[:, 0, 8, 6], image[:, 0, 8, 7] = 1.0, 0.5
    moved = shift_flip(image, Streams(0, ids))
    assert set(moved.unique().tolist()) == {0.0, 0.5, 1.0}
    places = [(one[0] == 1).nonzero()[0].tolist() for one in moved]
    mirrored = [bool(one[0, row, column - 1] == 0.5) for one, (row, column) in zip(moved, places, strict=True)]
    assert {row for row, _ in places} == set(range(4, 13))
    kept = {column for (_, column), mirror in zip(places, mirrored, strict=True) if not mirror}
    assert kept == set(range(2, 11))
    assert 0.4 < sum(mirrored) / 400 < 0.6


def test_crops_cover_eight_to_all_of_the_image_at_moderate_ratios() -> None:
    from granu.training.augment import _part

    draws = torch.rand(2000, 4, generator=torch.Generator().manual_seed(0)).tolist()
    parts = [_part(200, 100, draw) for draw in draws]
    assert all(top >= 0 and left >= 0 and top + h <= 200 and left + w <= 100 for top, left, h, w in parts)
    areas = [h * w / 20000 for _, _, h, w in parts]
    ratios = [w / h for _, _, h, w in parts if w < 100]
    assert 0.07 < min(areas) < 0.1 and max(areas) > 0.6
    assert min(ratios) > 0.74 and max(ratios) < 1.36

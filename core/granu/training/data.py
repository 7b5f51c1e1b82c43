"""Training and validation images: read, fitted to the network, kept in memory as 8 bits or read for each batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from granu.errors import DataError
from granu.types import Dataset

READ_AT_ONCE = 1024  # images between two reports of progress while a set is read into memory

Fit = Callable[[Tensor], Tensor]
"""An image (C, h, w) in [0, 1] to what the training keeps of it, (C, H, W)."""

Report = Callable[[int, int, str], None]
"""Progress: done, total, what."""


@dataclass(frozen=True)
class LabelledBatch:
    """A batch: 8-bit images of one size as a tensor (B, C, H, W), otherwise as a list; classifier's class numbers."""

    images: Tensor | list[Tensor]
    labels: Tensor  # (B,) int64
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """Some images of a dataset, and how they are kept: `classes` are the classifier's numbers of its classes."""

    dataset: Dataset
    positions: Sequence[int]
    classes: Sequence[int]
    fit: Fit
    name: str  # of the dataset, for messages

    def read(self, position: int) -> tuple[Tensor, int, str]:
        """Image (C, H, W) uint8, the classifier's class number, and id. DataError where the image is broken."""
        image, label = self.dataset.read(position)
        pixels = (self.fit(image).clamp(0, 1) * 255).round().to(torch.uint8)
        return pixels.contiguous(), self.classes[label], self.dataset.image_id(position)

    def readable(self) -> Iterator[Tensor]:
        """The images that can be read, one by one."""
        for position in self.positions:
            try:
                yield self.read(position)[0]
            except DataError:
                continue


class ImageSet(Protocol):
    """Labelled images by index: 0, 1, 2, ..."""

    skipped: dict[str, str]  # broken images: id -> what is wrong with them
    fingerprint: str  # changes with the images, as far as that is known without reading them all

    def __len__(self) -> int: ...
    def batches(self, batches: Iterable[Sequence[int]]) -> Iterator[LabelledBatch]: ...


def open_selection(selection: Selection, gigabytes: float, readers: int, report: Report) -> ImageSet:
    """The selected images, in memory if they take at most `gigabytes`, judged by the first that can be read."""
    if not selection.positions:
        raise DataError(f"`{selection.name}` has no images")
    size = next((image.numel() for image in selection.readable()), 0)
    if size * len(selection.positions) > gigabytes * 1e9:
        return ImagesOnDisk(selection, readers)
    return ImagesInMemory(selection, readers, report)


class ImagesInMemory:
    """All images as 8 bits in memory; broken ones are left out."""

    def __init__(self, selection: Selection, readers: int, report: Report) -> None:
        self.skipped: dict[str, str] = {}
        images, labels, ids, total = [], [], [], len(selection.positions)
        with ThreadPoolExecutor(readers) as threads:
            for start in range(0, total, READ_AT_ONCE):
                some = selection.positions[start : start + READ_AT_ONCE]
                for position, read in zip(some, threads.map(_attempt(selection), some), strict=True):
                    if isinstance(read, DataError):
                        self.skipped[selection.dataset.image_id(position)] = str(read)
                        continue
                    image, label, id_ = read
                    images.append(image)
                    labels.append(label)
                    ids.append(id_)
                report(len(images) + len(self.skipped), total, f"reading {selection.name}")
        if not images:
            raise DataError(f"none of the {total} images of `{selection.name}` can be read: {_first(self.skipped)}")
        self.ids, self.labels = tuple(ids), torch.tensor(labels)
        self.fingerprint = _hash(images, labels, ids)
        same = len({image.shape for image in images}) == 1
        self.images: Tensor | list[Tensor] = torch.stack(images) if same else images

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, batches: Iterable[Sequence[int]]) -> Iterator[LabelledBatch]:
        """The batches of these indices."""
        for indices in batches:
            chosen = list(indices)
            images = self.images[chosen] if isinstance(self.images, Tensor) else [self.images[i] for i in chosen]
            yield LabelledBatch(images, self.labels[chosen], tuple(self.ids[i] for i in chosen))


class ImagesOnDisk:
    """Images that are read for each batch, by threads and one batch ahead; in place of a broken one, the next."""

    def __init__(self, selection: Selection, readers: int) -> None:
        self.selection, self.readers = selection, readers
        self.skipped: dict[str, str] = {}
        ids = [selection.dataset.image_id(position) for position in selection.positions]
        self.fingerprint = _hash((), (), ids)

    def __len__(self) -> int:
        return len(self.selection.positions)

    def batches(self, batches: Iterable[Sequence[int]]) -> Iterator[LabelledBatch]:
        """The batches of these indices."""
        threads = ThreadPoolExecutor(self.readers)
        try:
            ahead: list[Future[tuple[Tensor, int, str]]] = []
            for indices in batches:
                following = [threads.submit(self._read, index) for index in indices]
                if ahead:
                    yield _gathered(ahead)
                ahead = following
            if ahead:
                yield _gathered(ahead)
        finally:
            threads.shutdown(cancel_futures=True)

    def _read(self, index: int) -> tuple[Tensor, int, str]:
        positions = self.selection.positions
        for offset in range(len(positions)):
            position = positions[(index + offset) % len(positions)]
            try:
                return self.selection.read(position)
            except DataError as problem:
                self.skipped[self.selection.dataset.image_id(position)] = str(problem)
        raise DataError(f"none of the images of `{self.selection.name}` can be read: {_first(self.skipped)}")


def permutation(count: int, seed: int) -> list[int]:
    """The numbers 0 to count - 1 in an order that the seed alone says."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()


def _attempt(selection: Selection) -> Callable[[int], tuple[Tensor, int, str] | DataError]:
    def attempt(position: int) -> tuple[Tensor, int, str] | DataError:
        try:
            return selection.read(position)
        except DataError as problem:
            return problem

    return attempt


def _gathered(futures: Sequence[Future[tuple[Tensor, int, str]]]) -> LabelledBatch:
    images, labels, ids = zip(*(future.result() for future in futures), strict=True)
    same = len({image.shape for image in images}) == 1
    return LabelledBatch(torch.stack(images) if same else list(images), torch.tensor(labels), ids)


def _hash(images: Iterable[Tensor], labels: Iterable[int], ids: Iterable[str]) -> str:
    digest = hashlib.sha256("\0".join(ids).encode())
    digest.update(",".join(map(str, labels)).encode())
    for image in images:
        digest.update(image.numpy().tobytes())
    return digest.hexdigest()


def _first(skipped: dict[str, str]) -> str:
    return next(iter(skipped.values()), "")


def one_size(images: Tensor | list[Tensor]) -> Tensor:
    """A batch as one tensor (B, C, H, W). DataError where the images differ in size."""
    if isinstance(images, Tensor):
        return images
    sizes = sorted({"x".join(map(str, image.shape[-2:])) for image in images})
    raise DataError(
        f"the training images differ in size ({', '.join(sizes[:3])}), and the network takes any; add size=N to the "
        "spec of the data"
    )

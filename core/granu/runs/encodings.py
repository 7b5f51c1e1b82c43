"""Encodings of images by a generator: made once for each image, stored as files that their contents name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from granu.errors import DataError
from granu.files import write_whole
from granu.images.ops import crop_to_aspect, fit_channels, is_within, pad_to, quantize, resize
from granu.runs.fingerprints import image_digest
from granu.streams import Streams
from granu.types import Batch, EncodedLatent, EncodingGenerator, Latent

VERSION = 1  # of what a file holds
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Encoded:
    """Images as the generator takes them, and the latents of those that could be encoded."""

    prepared: Tensor  # (B, C, H, W) of the shape of the site `image`, quantized to 8 bits
    index: Tensor  # (b,) int64: the images that were encoded
    latent: EncodedLatent | None  # of these; None where there are none
    reasons: tuple[str | None, ...]  # why an image was not

    def select(self, index: Tensor) -> Latent:
        """The latents of some of the images, (b,), all of them encoded."""
        assert self.latent is not None
        rows = {i: row for row, i in enumerate(self.index.tolist())}
        return self.latent.select(torch.tensor([rows[i] for i in index.tolist()], device=index.device))


class Encoder:
    """Encodes the images of a source with a generator, each image once.

    An encoding is named by a hash of all that it depends on: the prepared image, its class, the generator and the
    parameters of its encoding. Its random stream is of the same name, so it depends on neither run nor batch. Where
    files cannot be written, encodings stay in memory.
    """

    def __init__(self, generator: EncodingGenerator, numbers: Tensor | None, cache: Path, device: str) -> None:
        self.generator, self.device = generator, device
        self.numbers = numbers  # (K,) class number of the source -> of the generator; None where it has no classes
        self.shape: Sequence[int] = generator.sites()[-1].shape
        self.store = TensorStore(cache / "encodings")
        self._reasons: dict[str, str] = {}  # of images that cannot be encoded, by name

    @property
    def pads(self) -> bool:
        """True if smaller images are padded: where they are grey, as digits are for training and for classifiers."""
        return self.shape[0] == 1

    @property
    def parameters(self) -> str:
        """All that an encoding depends on beside image, class and fingerprint: also how images are prepared."""
        return f"{self.generator.encoding}; smaller images padded" if self.pads else self.generator.encoding

    def prepare(self, images: Tensor) -> Tensor:
        """Images (B, c, h, w) in the shape of the site `image`, quantized to 8 bits.

        They are cropped in their middle and resized; grey ones that are smaller are padded with zeros.
        """
        channels, height, width = self.shape
        images = fit_channels(images, channels)
        if self.pads and is_within(images, height, width):
            return quantize(pad_to(images, height, width))
        images = crop_to_aspect(images, height, width)
        return quantize(images if images.shape[-2:] == (height, width) else resize(images, height, width))

    def labels(self, labels: Tensor) -> Tensor:
        """The generator's class numbers (B,) for those of the source; -1 where it is unconditional."""
        if self.numbers is None:
            return torch.full_like(labels, -1)
        return self.numbers.to(labels.device)[labels]

    def names_of(self, batch: Batch) -> list[str]:
        """The name of each image's encoding."""
        return self._names(self.prepare(batch.images), self.labels(batch.labels))

    def _names(self, prepared: Tensor, labels: Tensor) -> list[str]:
        settings = f"{VERSION}|{self.generator.fingerprint}|{self.generator.encoding}"
        about = hashlib.sha256(settings.encode()).hexdigest()
        return [image_digest(x, f"{about} {y}") for x, y in zip(prepared, labels.tolist(), strict=True)]

    def encode(self, images: Tensor, labels: Tensor) -> Encoded:
        """Encode images (B, c, h, w) in [0, 1] of the source's classes `labels` (B,)."""
        prepared, labels = self.prepare(images), self.labels(labels)
        names = self._names(prepared, labels)
        known = {name: tensors for name in dict.fromkeys(names) if (tensors := self.store.read(name)) is not None}
        missing = {name: i for i, name in enumerate(names) if name not in known and name not in self._reasons}
        if missing:
            chosen = torch.tensor(list(missing.values()), device=prepared.device)
            known |= self._made(list(missing), prepared[chosen], labels[chosen])
        reasons = tuple(self._reasons.get(name) for name in names)
        done = [i for i, reason in enumerate(reasons) if reason is None]
        index = torch.tensor(done, dtype=torch.int64, device=prepared.device)
        latent = self._restored([known[names[i]] for i in done], labels[index]) if done else None
        return Encoded(prepared, index, latent, reasons)

    def _made(self, names: Sequence[str], prepared: Tensor, labels: Tensor) -> dict[str, Tensors]:
        """New encodings by name. If the generator refuses a batch, its images are encoded one by one."""
        try:
            with torch.enable_grad():  # an encoding may be found by optimisation
                latent = self.generator.encode(prepared, labels, Streams(0, names, "encode", self.device))
        except DataError as problem:
            if len(names) == 1:
                self._reasons[names[0]] = str(problem)
                return {}
            alone = [self._made([name], prepared[i : i + 1], labels[i : i + 1]) for i, name in enumerate(names)]
            return {name: tensors for one in alone for name, tensors in one.items()}
        stored = {key: value.detach().cpu() for key, value in latent.tensors().items()}
        made: dict[str, Tensors] = {}
        for i, name in enumerate(names):
            one = {key: value[i].contiguous() for key, value in stored.items()}
            if all(value.isfinite().all() for value in one.values()):
                made[name] = one
                self.store.write(name, one)
            else:
                self._reasons[name] = "the encoding is not finite"
        return made

    def _restored(self, tensors: Sequence[Tensors], labels: Tensor) -> EncodedLatent:
        keys = tensors[0].keys()
        return self.generator.restore(
            labels, {key: torch.stack([one[key] for one in tensors]).to(self.device) for key in keys}
        )


class TensorStore:
    """Tensors by name: a safetensors file each, in memory where the folder cannot be written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unwritten: dict[str, Tensors] = {}

    def read(self, name: str) -> Tensors | None:
        """The tensors of a name; None where there are none, or a crash left a part of them."""
        import safetensors
        import safetensors.torch

        if name in self._unwritten:
            return self._unwritten[name]
        try:
            return safetensors.torch.load_file(self._file(name))
        except (OSError, safetensors.SafetensorError):
            return None

    def write(self, name: str, tensors: Tensors) -> None:
        """Keep the tensors of a name."""
        import safetensors.torch

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._file(name), safetensors.torch.save(dict(tensors)))
        except OSError:
            self._unwritten[name] = tensors

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

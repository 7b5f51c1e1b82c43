"""Training images as a generator encodes them, so that its sites can be edited in real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from granu.errors import DataError
from granu.images.classifier import ImageClassifier
from granu.runs.encoded import reconstruct
from granu.runs.encodings import Encoder
from granu.runs.sources import match_generator
from granu.runs.trials import PSNR
from granu.types import Batch, EncodingGenerator


@dataclass(frozen=True)
class EncodedBatch:
    """A batch of training images, and the encodings of those of them that could be encoded."""

    prepared: Tensor  # (B, C, H, W), as the generator takes them
    index: Tensor  # (b,) int64: those that were encoded
    batch: Batch  # of these: what a zero edit gives, labels, ids and latents
    reconstructions: Tensor  # (b, C, H, W)
    psnr: Tensor  # (b,) of the reconstructions, dB


class EncodedImages:
    """Encodings of training images, kept on disk as those of `granu eval` are: each image is encoded once.

    Images whose reconstruction has a PSNR below `psnr` dB count as not encoded. With `residual` a zero edit gives the
    image itself, otherwise its reconstruction.
    """

    def __init__(
        self, generator: EncodingGenerator, name: str, cache: Path, device: str, *, psnr: float, residual: bool
    ) -> None:
        self.generator, self.name, self.cache, self.device = generator, name, cache, device
        self.psnr, self.residual = psnr, residual
        self._encoder: tuple[Sequence[str], Encoder] | None = None

    def encode(self, classifier: ImageClassifier, images: Tensor, labels: Tensor, ids: Sequence[str]) -> EncodedBatch:
        """Encode images (B, C, H, W) of the classifier's classes `labels` (B,).

        DataError if the generator lacks one of the classes, or can encode none of the images.
        """
        encoder = self._encoder_of(classifier)
        with torch.autocast(images.device.type, enabled=False):
            encoded = encoder.encode(images, labels)
            made = reconstruct(self.generator, encoded)
        psnr = [quality.get(PSNR, 0.0) for quality in made.quality]
        good = [i for i, reason in enumerate(made.reasons) if reason is None and psnr[i] >= self.psnr]
        if not good:
            reason = next((one for one in made.reasons if one), f"every PSNR is below psnr={self.psnr:g}")
            raise DataError(f"`{self.name}` can encode none of the {len(images)} images of a step ({reason})")
        index = torch.tensor(good, device=images.device)
        reconstructions = made.images[index]
        start = encoded.prepared[index] if self.residual else reconstructions
        batch = Batch(start, labels[index], tuple(ids[i] for i in good), encoded.select(index))
        of_good = torch.tensor([psnr[i] for i in good], device=images.device)
        return EncodedBatch(encoded.prepared, index, batch, reconstructions, of_good)

    def _encoder_of(self, classifier: ImageClassifier) -> Encoder:
        """The encoder for images of the classifier's classes."""
        if self._encoder is None or self._encoder[0] != classifier.classes:
            numbers = match_generator(classifier, self.generator, classifier.name, self.name)
            self._encoder = classifier.classes, Encoder(self.generator, numbers, self.cache, self.device)
        return self._encoder[1]

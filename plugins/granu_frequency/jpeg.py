"""The perturbation `jpeg`: changes of the coefficients that a JPEG file stores (Kang et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from granu import Batch, Classifier, LInfSpace, Streams, clamp_for_descent
from granu_frequency.dct import dct_matrix

UNIT = "quantization steps (largest)"
BLOCK = 8  # pixels along each side

# steps of luma and chroma at quality 50 (ITU-T T.81, tables K.1 and K.2)
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))  # from Y, Cb and Cr (JFIF)


def steps_at(quality: int, table: Sequence[Sequence[int]]) -> Tensor:
    """The quantization steps (8, 8) of a quality from 1 to 100, in 1/255 of the range, as libjpeg scales them."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return (torch.tensor(table) * percent + 50).div(100, rounding_mode="floor").clamp(1, 255).float()


class Jpeg:
    """Changes of JPEG's coefficients, of images of any size."""

    unit = UNIT

    def __init__(self, quality: int) -> None:
        self.quality = quality

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> LInfSpace:
        """The space of the coefficients of all blocks."""
        return JpegSpace(classifier, batch.images, self.quality)


class JpegSpace(LInfSpace):
    """Changes (64, N) of the coefficients of the N blocks of all components, in steps of the quantization.

    Colour images have a luma and two chroma components, the latter at half the resolution (4:2:0); other images have
    a luma for each channel. The size is the largest change of a coefficient. The rest of decoding a JPEG is linear, so
    what the change decodes to is added to the image, which itself is not compressed, as in Kang et al.; a bound of
    theirs is twice the size, since their coefficients move by half of it either way.
    """

    unit = UNIT
    largest = 8.0

    def __init__(self, classifier: Classifier, clean: Tensor, quality: int) -> None:
        channels, height, width = clean.shape[1:]
        self.coloured = channels == len(TO_RGB)
        halves = (-(-height // 2), -(-width // 2))
        sizes = [(height, width), halves, halves] if self.coloured else [(height, width)] * channels
        self.blocks = [(-(-high // BLOCK), -(-wide // BLOCK)) for high, wide in sizes]
        steps = []
        for number, (down, across) in enumerate(self.blocks):
            table = steps_at(quality, CHROMA if self.coloured and number else LUMA)
            steps.append(table.flatten()[:, None].expand(-1, down * across))
        self.steps = torch.cat(steps, dim=1).to(clean) / 255  # (64, N)
        super().__init__(classifier, clean, self.steps.shape)

    def images(self, change: Tensor) -> Tensor:
        height, width = self.clean.shape[-2:]
        parts = (self.shaped(change) * self.steps).split([down * across for down, across in self.blocks], dim=2)
        decoded = [_decoded(part, *size) for part, size in zip(parts, self.blocks, strict=True)]
        if self.coloured:
            decoded[1:] = [part.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2) for part in decoded[1:]]
        added = torch.stack([part[:, :height, :width] for part in decoded], dim=1)
        if self.coloured:
            matrix = torch.tensor(TO_RGB).to(added)
            added = (matrix[:, :, None, None] * added[:, None]).sum(dim=2)
        return clamp_for_descent(self.clean + added)


def _decoded(coefficients: Tensor, down: int, across: int) -> Tensor:
    """Coefficients (B, 64, N) of down times across blocks to the component (B, 8 down, 8 across)."""
    D = dct_matrix(BLOCK).to(coefficients)
    blocks = D.T @ coefficients.transpose(1, 2).reshape(-1, BLOCK, BLOCK) @ D
    return blocks.view(-1, down, across, BLOCK, BLOCK).transpose(2, 3).reshape(-1, BLOCK * down, BLOCK * across)

"""Mixing: random chains of any primitives, averaged with the image by random weights (Hendrycks et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from granu import Streams
from granu_prime.precision import in_float32

Primitive = Callable[[Tensor, Streams], Tensor]
"""Images (B, C, H, W) in [0, 1] and one stream per image to images of the same shape and range.

What it does to an image must depend on that image and its stream alone; it may draw as many numbers for each image as
it likes. Images may repeat, with the same stream.
"""


@dataclass(frozen=True)
class Mixture:
    """The mixture (1 - m) x + m * sum of w_j x_j, where each x_j is the image x after a chain of primitives.

    For each image, `width` chains of U{1..`depth`} primitives, each drawn uniformly and with replacement; weights w
    from Dirichlet(1, ..., 1) and m from Beta(1, 1), which is uniform. The published code mixes normalised images,
    which is the same, because the weights sum to 1.
    """

    primitives: Sequence[Primitive]
    width: int = 3
    depth: int = 3

    @torch.no_grad()
    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to mixtures of the same shape and range."""
        weights = mixing_weights(streams, self.width).to(images.device)  # (B, 1 + width)
        chains = self.chains(images, streams)  # (width, B, C, H, W)
        every = torch.cat((images[None], chains))
        return torch.einsum("bj,jbchw->bchw", weights, every).clamp_(0, 1)

    def chains(self, images: Tensor, streams: Streams) -> Tensor:
        """The images after their chains, (width, B, C, H, W); each image is computed by its own primitives only."""
        B = len(images)
        x = images.repeat(self.width, 1, 1, 1)  # (width B, C, H, W)
        for primitive, rows in routes(streams, len(self.primitives), self.width, self.depth):
            chosen = rows.to(images.device)
            x[chosen] = self.primitives[primitive](x[chosen], streams.select((rows % B).tolist()))
        return x.view(self.width, *images.shape)


def mixing_weights(streams: Streams, width: int) -> Tensor:
    """Weights (B, 1 + width) of the image and of its chains: (1 - m, m w_1, ..., m w_width), which sum to 1."""
    uniform = streams.uniform(1 + width)
    m = uniform[:, :1]
    w = -torch.log1p(-uniform[:, 1:])  # exponential numbers; their shares are Dirichlet(1, ..., 1)
    return torch.cat((1 - m, m * w / w.sum(dim=1, keepdim=True).clamp_min(1e-30)), dim=1)


def routes(streams: Streams, primitives: int, width: int, depth: int) -> list[tuple[int, Tensor]]:
    """The primitives in order, each with the rows it is applied to: (primitive, rows), on the CPU.

    Row j B + i is chain j of image i. Rows without a primitive are not listed, nor are primitives without rows.
    """
    depths = 1 + streams.integers(depth, width).cpu()  # (B, width)
    choices = streams.integers(primitives, depth, width).cpu()  # (B, depth, width)
    found = []
    for d in range(depth):
        for primitive in range(primitives):
            taken = (choices[:, d] == primitive) & (d < depths)  # (B, width)
            rows = taken.T.flatten().nonzero().squeeze(1)
            if len(rows):
                found.append((primitive, rows))
    return found

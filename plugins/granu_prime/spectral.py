"""Random filters: the primitive that changes an image's spectrum (Modas et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Streams
from granu_prime.precision import in_float32


@dataclass(frozen=True)
class Spectral:
    """Convolve each image with an identity kernel plus noise of a random deviation, the same for all channels.

    The deviation of the kernel's entries is drawn from U(0, `sigma`) for each image. `kernel` is the kernel's side, an
    odd number. `strength` scales the noise. With `legacy_offset` the identity stands where the published code puts it:
    one row below and one column right of the centre, which shifts the image by one pixel.
    """

    kernel: int = 3
    sigma: float = 4.0
    strength: float = 1.0
    legacy_offset: bool = False

    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to filtered images, clamped to [0, 1]."""
        sigma = self.strength * self.sigma * streams.uniform(1, 1)
        noise = sigma * streams.normal(self.kernel, self.kernel)
        return filtered(images, identity_kernel(self.kernel, self.legacy_offset).to(noise) + noise).clamp_(0, 1)


def identity_kernel(side: int, legacy_offset: bool = False) -> Tensor:
    """The kernel (side, side) that leaves an image as it is, or with `legacy_offset` shifts it by one pixel."""
    kernel = torch.zeros(side, side)
    place = side // 2 + int(legacy_offset)
    kernel[place, place] = 1
    return kernel


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Cross-correlate images (B, C, H, W) with one kernel each (B, k, k), zeros around; not clamped.

    Differentiable. A sum of shifted images: for small kernels several times faster on a CPU than a grouped convolution.
    """
    side, (height, width) = kernels.shape[-1], images.shape[-2:]
    padded = F.pad(images, (side // 2,) * 4)
    result = torch.zeros_like(images)
    for i in range(side):
        for j in range(side):
            shifted = padded[..., i : i + height, j : j + width]
            result = result.addcmul_(shifted, kernels[:, i, j, None, None, None])
    return result

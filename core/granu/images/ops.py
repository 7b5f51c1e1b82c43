"""Operations on images (B, C, H, W) in [0, 1]: quantization, fitting, distances, reading and writing."""

from __future__ import annotations

import io
import math

import torch
from torch import Tensor
from torch.nn import functional as F


def quantize(images: Tensor) -> Tensor:
    """Quantize to 8 bits: clamp to [0, 1] and round to multiples of 1/255, as a PNG stores images."""
    return (images.clamp(0, 1) * 255).round() / 255


class _ClampForDescent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images: Tensor) -> Tensor:  # type: ignore[no-untyped-def, override]
        ctx.save_for_backward(images)
        return images.clamp(0, 1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def, override]
        (images,) = ctx.saved_tensors
        leaves = ((images < 0) & (gradient > 0)) | ((images > 1) & (gradient < 0))
        return gradient.masked_fill(leaves, 0)


def clamp_for_descent(images: Tensor) -> Tensor:
    """Clamp to [0, 1] with a gradient for searches that descend.

    At a pixel outside the range the gradient is kept if a descent step would bring the pixel back into it. The
    gradient of `clamp` is zero there, so a search could never brighten a background that it made negative.
    """
    return _ClampForDescent.apply(images)


def fit_channels(images: Tensor, channels: int) -> Tensor:
    """Repeat grey to colour, average colour to grey; (B, C, H, W) to (B, channels, H, W)."""
    if images.shape[1] == channels:
        return images
    if images.shape[1] == 1:
        return images.expand(-1, channels, -1, -1)
    return images.mean(dim=1, keepdim=True)


def crop_to_aspect(images: Tensor, height: int, width: int) -> Tensor:
    """The largest part of images (B, C, H, W) in their middle with the proportions of height and width."""
    high, wide = images.shape[-2:]
    if high * width > wide * height:
        high = max(1, round(wide * height / width))
    else:
        wide = max(1, round(high * width / height))
    top, left = (images.shape[-2] - high) // 2, (images.shape[-1] - wide) // 2
    return images[..., top : top + high, left : left + wide]


def is_within(images: Tensor, height: int, width: int) -> bool:
    """True if images (B, C, H, W) are neither higher nor wider than this."""
    return images.shape[-2] <= height and images.shape[-1] <= width


def pad_to(images: Tensor, height: int, width: int) -> Tensor:
    """Pad with zeros on all sides to (B, C, height, width), as 28 x 28 digits become 32 x 32."""
    top, left = (height - images.shape[-2]) // 2, (width - images.shape[-1]) // 2
    bottom, right = height - images.shape[-2] - top, width - images.shape[-1] - left
    return F.pad(images, (left, right, top, bottom))


def resize(images: Tensor, height: int, width: int, mode: str = "bicubic") -> Tensor:
    """Resize with antialiasing, differentiably; bicubic results may exceed [0, 1] slightly."""
    return F.interpolate(images, (height, width), mode=mode, align_corners=False, antialias=True)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images (B, C, H, W) with a standard deviation of `sigma` (B,) pixels each, reflected at the edges.

    Computed in the cosine transform, where a Gaussian is a factor per frequency: exact for any sigma, zero included,
    at a cost that does not depend on it, and differentiable in both arguments.
    """
    down, across = (_blur_matrix(length, sigma) for length in images.shape[-2:])
    return down @ images @ across


def _blur_matrix(length: int, sigma: Tensor) -> Tensor:
    """(B, 1, n, n) symmetric: one axis of a blur."""
    frequency = torch.arange(length, dtype=torch.float64, device=sigma.device) * (math.pi / length)
    place = torch.arange(length, dtype=torch.float64, device=sigma.device) + 0.5
    cosines = torch.cos(frequency[:, None] * place) * math.sqrt(2 / length)  # (n, n) orthonormal
    cosines[0] /= math.sqrt(2)
    damped = torch.exp(-0.5 * (sigma.double()[:, None] * frequency).square())
    return torch.einsum("ki,bk,kj->bij", cosines, damped, cosines)[:, None].to(sigma.dtype)


def distances(clean: Tensor, changed: Tensor) -> dict[str, Tensor]:
    """Distances between images, (B,) each: `l2` and `linf` in [0, 1] image units, `ssim` at most 1.

    `pixels` counts the positions where any channel differs, `features` the values that differ: L0 has both meanings.
    """
    difference, differs = (changed - clean).flatten(1), changed != clean
    return {
        "l2": difference.norm(dim=1),
        "linf": difference.abs().amax(dim=1),
        "ssim": ssim(clean, changed),
        "pixels": differs.any(dim=1).flatten(1).sum(dim=1),
        "features": differs.flatten(1).sum(dim=1),
    }


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of images in [0, 1], (B,) in dB; at most 100, which stands for equal images too."""
    return -10 * (a - b).square().flatten(1).mean(dim=1).clamp_min(1e-10).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity, (B,); Gaussian window of 11 pixels, sigma 1.5 (Wang et al. 2004, section III.C)."""
    channels = a.shape[1]
    window = min(11, a.shape[-1], a.shape[-2])
    position = torch.arange(window, dtype=a.dtype, device=a.device) - (window - 1) / 2
    weights = torch.exp(-(position**2) / (2 * 1.5**2))
    weights = weights / weights.sum()

    def blur(x: Tensor) -> Tensor:
        across = weights.expand(channels, 1, 1, window)
        x = F.conv2d(x, across, groups=channels)
        return F.conv2d(x, across.transpose(2, 3), groups=channels)

    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (likeness / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))).mean(dim=(1, 2, 3))


def encode_png(image: Tensor) -> bytes:
    """The PNG file of an image (C, H, W) in [0, 1]."""
    from PIL import Image

    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    array = pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def decode_png(data: bytes) -> Tensor:
    """Decode what `encode_png` returned, (C, H, W) in [0, 1]."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        array = torch.from_numpy(np.array(image))
    return (array[None] if array.ndim == 2 else array.permute(2, 0, 1)).float() / 255

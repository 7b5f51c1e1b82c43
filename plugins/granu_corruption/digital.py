"""Digital corruptions: brightness, contrast, saturation, elastic maps, pixelation and JPEG."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from granu import Streams, gaussian_blur
from granu_corruption.filters import base_grid, each, sample


def brightness(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Add to the value of HSV; hue and saturation stay."""
    value = images.amax(dim=1, keepdim=True)
    brighter = (value + each(c[:, 0])).clamp(0, 1)
    return torch.where(value > 0, images * brighter / value.clamp_min(1e-6), brighter)


def contrast(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Towards the mean of each channel."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return mean + each(c[:, 0]) * (images - mean)


def saturate(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Scale the saturation of HSV and add to it; hue and value stay, and a grey pixel's hue is red."""
    value, least = images.amax(dim=1, keepdim=True), images.amin(dim=1, keepdim=True)
    saturation = (value - least) / value.clamp_min(1e-6)
    wanted = (each(c[:, 0]) * saturation + each(c[:, 1])).clamp(0, 1)
    red = torch.tensor([0.0, 1.0, 1.0], device=images.device).view(1, 3, 1, 1) * value
    below = torch.where(saturation > 0, (value - images) / saturation.clamp_min(1e-6), red)
    return value - wanted * below


def elastic_transform(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """A random affine map, then smooth random displacements."""
    strength, smoothing, corners = scale * c[:, 0], scale * c[:, 1], scale * c[:, 2]
    places = _affine(images, corners, 2 * noise.uniform(3, 2) - 1)
    field = gaussian_blur(2 * noise.uniform(2, *images.shape[-2:]) - 1, smoothing)
    displaced = places + (each(strength) * field).permute(0, 2, 3, 1) @ _linear(places)
    return sample(images, displaced)


def _linear(places: Tensor) -> Tensor:
    """(B, 1, 2, 2) how far an affine map moves for one pixel along x and along y."""
    along_x, along_y = places[:, :1, 1:2] - places[:, :1, :1], places[:, 1:2, :1] - places[:, :1, :1]
    return torch.cat([along_x, along_y], dim=2)


def _affine(images: Tensor, corners: Tensor, draws: Tensor) -> Tensor:
    """Places (B, H, W, 2) of the affine map that moves three corners of a square by up to `corners` (B,) pixels.

    The square is two thirds of the shorter side; `draws` (B, 3, 2) are uniform from -1 to 1.
    """
    grid = base_grid(images)
    third = min(images.shape[-2:]) // 3
    square = third * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], device=images.device)
    moved = square + corners.view(-1, 1, 1) * draws
    one = torch.ones(len(images), 3, 1, device=images.device)
    matrix = torch.linalg.solve(torch.cat([moved, one], dim=2), square.expand(len(images), -1, -1))
    return grid @ matrix[:, None, :2] + matrix[:, None, None, 2]


def pixelate(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Means over blocks, c of them per pixel along each axis, or fewer where the image is larger than the table's."""
    down = _blocks(images.shape[-2], c[:, 0] / max(scale, 1.0))
    across = _blocks(images.shape[-1], c[:, 0] / max(scale, 1.0))
    return down @ images @ across.transpose(2, 3)


def _blocks(length: int, share: Tensor) -> Tensor:
    """Matrices (B, 1, n, n) that shrink an axis of n pixels to round(share * n) means and enlarge it by repeating."""
    count = (share * length + 1e-4).floor().clamp(1, length).view(-1, 1, 1)  # as a program rounds sizes
    edge = torch.arange(length, device=share.device)
    mean = torch.arange(length, device=share.device).view(1, -1, 1)  # blocks beyond the count stay unused
    start, end = mean * length / count, (mean + 1) * length / count
    covered = (torch.minimum(end, edge + 1.0) - torch.maximum(start, edge.float())).clamp_min(0) * count / length
    chosen = ((edge + 0.5) * count / length).floor().long()[:, 0]  # (B, n) the block of each pixel
    return covered.gather(1, chosen[:, :, None].expand(-1, -1, length))[:, None]


def jpeg_compression(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Through the JPEG codec at quality c, rounded."""
    coded = [_jpeg(image, round(float(quality))) for image, quality in zip(images, c[:, 0], strict=True)]
    return torch.stack(coded).to(images)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """An image (C, H, W) after JPEG."""
    pixels = (image.cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as coded:
        array = torch.from_numpy(np.array(coded)).float() / 255
    return array[None] if array.ndim == 2 else array.permute(2, 0, 1)

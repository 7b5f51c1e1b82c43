"""Changes of sharpness and viewpoint; images (B, C, H, W), changes (B, D), zero changes nothing.

Places are in pixels from the image's centre, x to the right and y down.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import gaussian_blur

PADDINGS = {"reflect": "reflection", "edge": "border", "black": "zeros"}
CAMERA = 3.0  # its distance in half diagonals of the image


def blur(images: Tensor, change: Tensor, fill: str) -> Tensor:
    """A Gaussian whose standard deviation is a percentage of the shorter side."""
    return gaussian_blur(images, change[:, 0] * min(images.shape[-2:]) / 100)


def rotation(images: Tensor, change: Tensor, fill: str) -> Tensor:
    """Turn around the centre, by degrees; above zero clockwise."""
    angle = torch.deg2rad(change).view(-1, 1, 1)
    x, y = _places(images)
    cosine, sine = angle.cos(), angle.sin()
    return _sample(images, x * cosine + y * sine, y * cosine - x * sine, fill)


def translation(images: Tensor, change: Tensor, fill: str) -> Tensor:
    """Move by percentages of the width and of the height, to the right and down."""
    x, y = _places(images)
    right, down = (change[:, axis].view(-1, 1, 1) * images.shape[3 - axis] / 100 for axis in (0, 1))
    return _sample(images, x - right, y - down, fill)


def scale(images: Tensor, change: Tensor, fill: str) -> Tensor:
    """Enlarge by two to the power of the change, or shrink, about the centre."""
    factor = 2 ** -change.view(-1, 1, 1)
    # what is shrunk is blurred first, since sampling would keep detail that is finer than a pixel
    sigma = 0.5 * (factor.detach().flatten().square() - 1).clamp_min(0).sqrt()
    x, y = _places(images)
    return _sample(gaussian_blur(images, sigma), x * factor, y * factor, fill)


def perspective(images: Tensor, change: Tensor, fill: str) -> Tensor:
    """Tilt the image's plane, by degrees, away from the camera on the right and below.

    The camera stands CAMERA half diagonals in front of the centre, which keeps its place and size.
    """
    height, width = images.shape[-2:]
    distance = CAMERA * ((height - 1) ** 2 + (width - 1) ** 2) ** 0.5 / 2
    w = torch.deg2rad(change)
    angle = (w.square().sum(dim=1) + 1e-12).sqrt().view(-1, 1, 1)  # never zero, where its gradient is infinite
    # Rodrigues' formula for the first two axes: what they keep in the plane, and how far they lead behind it
    kept = torch.eye(2, device=w.device) + (angle.cos() - 1) / angle.square() * w[:, :, None] * w[:, None]
    behind = (angle.sin() / angle * w[:, None]) / distance
    centre = torch.tensor([0.0, 0.0, 1.0], device=w.device).view(1, 3, 1).expand(len(w), -1, -1)
    seen_from = torch.linalg.inv(torch.cat([torch.cat([kept, behind], dim=1), centre], dim=2))  # (B, 3, 3)
    x, y = _places(images)
    across, down, depth = (row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in seen_from[..., None, None].unbind(1))
    return _sample(images, across / depth, down / depth, fill)


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the pixels: x (1, W) and y (H, 1)."""
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    return x[None], y[:, None]


def _sample(images: Tensor, x: Tensor, y: Tensor, fill: str) -> Tensor:
    """Images at places x and y (B, H, W), bilinear."""
    height, width = images.shape[-2:]
    size = (len(images), height, width)
    grid = torch.stack([x.expand(size) / (max(width - 1, 1) / 2), y.expand(size) / (max(height - 1, 1) / 2)], dim=-1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=PADDINGS[fill], align_corners=True)

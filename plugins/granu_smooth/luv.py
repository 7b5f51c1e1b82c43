"""CIELUV, scaled to [0, 1] as ReColorAdv scales it: L/100, (u + 100)/200, (v + 100)/200 (CIE 1976, white D65)."""

from __future__ import annotations

import torch
from torch import Tensor

TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.1978398, 0.4683363)  # u' and v' of D65
FROM_U, TO_U, FROM_V, TO_V = 0.11, 0.46, 0.15, 0.57  # a rectangle of chromaticities around those of sRGB
KAPPA, LINEAR_UP_TO = (29 / 3) ** 3, 8.0  # L is linear in the luminance up to 8


def from_rgb(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in sRGB, [0, 1], to scaled CIELUV (B, 3, H, W)."""
    light = torch.where(images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055) ** 2.4)
    x, y, z = _mixed(torch.tensor(TO_XYZ).to(images), light).unbind(1)
    lightness = torch.where(y <= LINEAR_UP_TO / KAPPA, KAPPA * y, 116 * y.clamp_min(1e-6) ** (1 / 3) - 16)
    total = (x + 15 * y + 3 * z).clamp_min(1e-12)
    u, v = (13 * lightness * (part / total - white) for part, white in zip((4 * x, 9 * y), WHITE, strict=True))
    # black has no chromaticity
    return torch.stack((lightness / 100, *((torch.where(y > 0, part, 0) + 100) / 200 for part in (u, v))), dim=1)


def to_rgb(luv: Tensor) -> Tensor:
    """The other way round, differentiable; colours that sRGB lacks come out below 0 or above 1, not clamped."""
    lightness, u, v = luv[:, 0] * 100, luv[:, 1] * 200 - 100, luv[:, 2] * 200 - 100
    y = torch.where(lightness <= LINEAR_UP_TO, lightness / KAPPA, ((lightness + 16) / 116) ** 3)
    scale = 13 * lightness.clamp_min(1e-3)
    # a shift of u or v by little turns nearly black into colours that nothing has, and below black nothing has a colour
    u, v = (
        torch.where(lightness > 0, (part / scale + white).clamp(low, high), white)
        for part, white, low, high in ((u, WHITE[0], FROM_U, TO_U), (v, WHITE[1], FROM_V, TO_V))
    )
    xyz = torch.stack((9 * u / (4 * v) * y, y, (12 - 3 * u - 20 * v) / (4 * v) * y), dim=1)
    light = _mixed(torch.linalg.inv(torch.tensor(TO_XYZ)).to(luv), xyz)
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def _mixed(matrix: Tensor, images: Tensor) -> Tensor:
    """A matrix (3, 3) times the channels of images (B, 3, H, W); no matrix product, which autocast would round."""
    return (matrix[:, :, None, None] * images[:, None]).sum(dim=2)

"""Small autoencoders with random weights, in the files in which real ones are published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from granu import BuildContext, load_catalog, without_broken_torchvision

TINY = {
    "encoder_block_out_channels": (8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8),
    "num_encoder_blocks": (1, 1, 2),
    "num_decoder_blocks": (2, 1, 1),
}
BLOCKS = {
    "block_out_channels": (4, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 2,
}


@pytest.fixture(scope="session")
def diffusers() -> Any:
    with without_broken_torchvision():
        module = pytest.importorskip("diffusers")
        for kind in ("AutoencoderKL", "AutoencoderTiny", "VQModel"):
            getattr(module, kind)  # diffusers imports lazily
    return module


@pytest.fixture
def saved(diffusers: Any, tmp_path: Path) -> Callable[..., tuple[nn.Module, Path]]:
    """Save a small model of diffusers with random weights; returns it and its folder."""

    def save(kind: str, **config: Any) -> tuple[nn.Module, Path]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = getattr(diffusers, kind)(**{**(TINY if kind == "AutoencoderTiny" else BLOCKS), **config}).eval()
        folder = tmp_path / f"{kind}-folder"
        model.save_pretrained(folder)
        return model, folder

    return save


@pytest.fixture
def taesd(tmp_path: Path) -> Callable[..., tuple[nn.Sequential, nn.Sequential, Path]]:
    """Save the two files of a small TAESD; returns its encoder, its decoder and the folder."""

    def save(pool: bool = False, ending: str = ".safetensors", latent: int = 5) -> tuple[Any, Any, Path]:
        folder = tmp_path / "taesd-folder"
        folder.mkdir()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            pair = list(_sequences(pool, latent))
        for name, network in zip(("encoder", "decoder"), pair, strict=True):
            file = folder / f"small_{name}{ending}"
            state = {key: value.contiguous() for key, value in network.state_dict().items()}
            if ending == ".safetensors":
                save_file(state, file)
            else:
                torch.save(state, file)
        return pair[0], pair[1], folder

    return save


@pytest.fixture
def built() -> Callable[..., Any]:
    """Build the generator of a folder or file."""

    def build(weights: Path, **options: Any) -> Any:
        context = BuildContext(load_catalog())
        rest = "".join(f",{key}={value}" for key, value in {"size": 16, **options}.items())
        return context.build("generator", f"autoencoder:weights={weights}{rest}")

    return build


class Block(nn.Module):
    """A block as the published program writes it."""

    def __init__(self, n: int, pool: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(n, n), nn.ReLU(), _conv(n, n), nn.ReLU(), _conv(n, n))
        self.pool = None
        if pool:
            norm = nn.GroupNorm(4, 4 * n)
            nn.init.normal_(norm.weight)
            wide, narrow = nn.Conv2d(n, 4 * n, 1, bias=False), nn.Conv2d(4 * n, n, 1, bias=False)
            self.pool = nn.Sequential(wide, norm, nn.ReLU(), narrow)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / 3) * 3


def _sequences(pool: bool, latent: int, n: int = 8) -> Iterator[nn.Sequential]:
    yield nn.Sequential(
        _conv(3, n), Block(n), _conv(n, n, 2), Block(n), _conv(n, n, 2), Block(n, pool), Block(n, pool), _conv(n, latent)
    )  # fmt: skip
    yield nn.Sequential(
        Clamp(), _conv(latent, n), nn.ReLU(), Block(n, pool), Block(n, pool),
        nn.Upsample(scale_factor=2), nn.Conv2d(n, n, 3, padding=1, bias=False), Block(n),
        nn.Upsample(scale_factor=2), nn.Conv2d(n, n, 3, padding=1, bias=False), Block(n), _conv(n, 3),
    )  # fmt: skip


def _conv(n: int, m: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n, m, 3, padding=1, stride=stride, bias=stride == 1)

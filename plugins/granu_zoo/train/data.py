"""MNIST out of parquet files, padded to 32 x 32."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

__all__ = ["read_mnist"]


def read_mnist(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """`part` ("train" or "test") of MNIST: pictures (N, 1, 32, 32), uint8, and labels (N,).

    Reads `folder`/mnist-{part}.parquet with the columns `image` {bytes, path}, a PNG each, and `label`.
    """
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]  # an extra, without stubs

    table = parquet.read_table(folder / f"mnist-{part}.parquet")
    pngs = table["image"].combine_chunks().field("bytes").to_pylist()
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(png)).convert("L")) for png in pngs])  # (N, 28, 28)
    labels = torch.tensor(table["label"].to_pylist())
    return F.pad(torch.from_numpy(pictures)[:, None], (2, 2, 2, 2)), labels

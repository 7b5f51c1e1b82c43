"""MNIST, padded to 32 x 32, and CIFAR-10 from parquet files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from granu_zoo.trained_on import MNIST, TrainedOn

__all__ = ["read_images"]


def read_images(folder: Path, data: TrainedOn, part: str) -> tuple[Tensor, Tensor]:
    """Read `part` ("train" or "test") of a dataset: images (N, C, 32, 32), uint8, and labels (N,).

    The file is `folder`/NAME-{part}.parquet with the columns `image` {bytes, path}, PNG or JPEG, and `label`.
    """
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]  # an extra, without stubs

    table = parquet.read_table(folder / f"{data.name}-{part}.parquet")
    files = table["image"].combine_chunks().field("bytes").to_pylist()
    mode = "L" if data.channels == 1 else "RGB"
    stacked = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert(mode)) for file in files])
    images = torch.from_numpy(stacked).view(*stacked.shape[:3], data.channels).permute(0, 3, 1, 2).contiguous()
    labels = torch.tensor(table["label"].to_pylist())
    return F.pad(images, (2, 2, 2, 2)) if data is MNIST else images, labels

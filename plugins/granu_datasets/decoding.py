"""Decoding of image files of any kind to tensors."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from granu import DataError

LARGEST = 100_000_000  # pixels; a file that declares more may be a decompression bomb


def decode(data: bytes | Path, name: str) -> Tensor:
    """Decode an image to (C, H, W) in [0, 1]: C is 1 for grey and 3 for colour, oriented by its EXIF tag, on white.

    DataError if the file is broken or too large; `name` is the image's name in the message.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(data if isinstance(data, Path) else io.BytesIO(data)) as image:
                if image.width * image.height > LARGEST:
                    raise DataError(f"{name} declares {image.width} x {image.height} pixels; the limit is {LARGEST}")
                return _tensor(ImageOps.exif_transpose(image), name)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(f"{name} declares too many pixels; the limit is {LARGEST}") from None
    except DataError:
        raise
    except Exception as problem:  # decoders of broken files raise nearly anything
        raise DataError(f"{name} cannot be read as an image ({type(problem).__name__}: {problem})") from None


def _tensor(image: Image.Image, name: str) -> Tensor:
    if image.mode.startswith("I"):
        return _sixteen_bits(image, name)
    if image.mode == "F":
        raise DataError(f"{name} holds floating-point numbers of unknown range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        grey = image.mode in ("LA", "La", "L")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if grey else "RGB")
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    array = torch.from_numpy(np.array(image)).float() / 255
    return array[None] if array.ndim == 2 else array.permute(2, 0, 1).contiguous()


def _sixteen_bits(image: Image.Image, name: str) -> Tensor:
    array = np.array(image).astype(np.float32)
    if array.max() > 65535 or array.min() < 0:
        raise DataError(f"{name} holds integers beyond 16 bits; save it with 8 or 16 bits")
    return torch.from_numpy(array)[None] / 65535

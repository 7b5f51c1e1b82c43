"""Images of every kind are decoded; broken ones raise a DataError."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from granu import DataError
from granu_datasets.decoding import decode

COLOUR = np.zeros((4, 6, 3), np.uint8)
COLOUR[:2] = (250, 130, 10)
COLOUR[2:] = (20, 40, 220)


def saved(image: Image.Image, form: str = "PNG", **how: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **how)
    return stream.getvalue()


def as_array(data: bytes) -> np.ndarray:
    return (decode(data, "it").permute(1, 2, 0) * 255).round().numpy()


def test_colour_is_unchanged() -> None:
    assert np.array_equal(as_array(saved(Image.fromarray(COLOUR))), COLOUR)


def test_palette_images_are_converted() -> None:
    paletted = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(as_array(saved(paletted)), COLOUR)


def test_grey_and_black_and_white_have_one_channel() -> None:
    ramp = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    assert np.array_equal(as_array(saved(Image.fromarray(ramp)))[..., 0], ramp)
    bits = Image.fromarray(ramp > 100)
    assert decode(saved(bits), "it").unique().tolist() == [0, 1]


def test_sixteen_bits_keep_their_range() -> None:
    deep = np.array([[0, 257 * 128], [257 * 200, 65535]], np.uint16)
    assert np.array_equal(as_array(saved(Image.fromarray(deep)))[..., 0], [[0, 128], [200, 255]])


def test_transparency_is_white() -> None:
    clear = np.dstack([COLOUR, np.full((4, 6), 0, np.uint8)])
    clear[0, 0, 3] = 255
    shown = as_array(saved(Image.fromarray(clear)))
    assert shown[0, 0].tolist() == [250, 130, 10] and (shown[1:] == 255).all()
    grey = Image.fromarray(np.dstack([COLOUR[..., 0], np.full((4, 6), 255, np.uint8)]), "LA")
    assert decode(saved(grey), "it").shape == (1, 4, 6)


def test_cmyk_is_converted() -> None:
    inks = Image.fromarray(COLOUR).convert("CMYK")
    assert np.abs(as_array(saved(inks, "TIFF")) - COLOUR).max() <= 2


def test_exif_orientation_is_applied() -> None:
    turned = Image.fromarray(COLOUR)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be shown a quarter to the right
    assert np.array_equal(as_array(saved(turned, exif=exif)), np.rot90(COLOUR, -1))


@pytest.mark.parametrize(
    "data", [b"", b"no image", saved(Image.fromarray(COLOUR))[:60], saved(Image.fromarray(COLOUR), "JPEG")[:300]]
)
def test_broken_images_are_reported_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"val/cat/7\.png cannot be read"):
        decode(data, "val/cat/7.png")


def test_a_decompression_bomb_is_not_decoded() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (11_000, 60_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        with pytest.raises(DataError, match="pixels"):
            decode(bomb, "it")


def test_a_file_is_read_by_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(Image.fromarray(COLOUR)))
    torch.testing.assert_close(
        decode(tmp_path / "a.png", "it"), torch.from_numpy(COLOUR).permute(2, 0, 1).float() / 255
    )

"""A seeded mutation fuzzer: whole files of each format, changed at random places in ways that formats notice."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import safetensors.torch
import torch

from granu import WeightsHeader, save_weights

sys.path.append(str(Path(__file__).parents[1] / "nvidia_pickle"))
sys.path.append(str(Path(__file__).parents[1] / "biggan"))
from biggan_golden import Golden as BigGANGolden
from nvidia_files import Golden, network_pickle

LARGE = [b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x00" * 8, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff", b"\x00"]
DIGITS = [b"-1", b"9" * 20, b"1e999", b"null", b"[]", b'"x"', b"{}"]
INTERESTING = 4000  # bytes at either end, where structure is


def _pickle(protocol: int, name: str = "stylegan2") -> bytes:
    return network_pickle(Golden(name), protocol)


def _saved(content: object, zipped: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def _state() -> dict[str, torch.Tensor]:
    return Golden("stylegan2").state


def _own() -> bytes:
    golden = Golden("stylegan2")
    config = {**golden.arguments, **golden.arguments["synthesis_kwargs"]}
    config["mapping_layers"] = golden.arguments["mapping_kwargs"]["num_layers"]
    known = (
        "z_dim",
        "c_dim",
        "w_dim",
        "img_resolution",
        "img_channels",
        "channel_base",
        "channel_max",
        "mapping_layers",
    )
    chosen = {name: config[name] for name in known if name in config}
    file = Path("own.safetensors")
    save_weights(file, golden.state, WeightsHeader("stylegan2", chosen, tuple("abcdefg")[: chosen["c_dim"]]))
    return file.read_bytes()


FORMATS: dict[str, Callable[[], bytes]] = {
    "pickle of protocol 4": lambda: _pickle(4),
    "pickle of protocol 2": lambda: _pickle(2),
    "pickle of a stylegan3": lambda: _pickle(4, "stylegan3-t"),
    "zip": lambda: _saved(_state(), True),
    "old": lambda: _saved(_state(), False),
    "safetensors": lambda: safetensors.torch.save({n: t.contiguous() for n, t in _state().items()}),
    "granu": _own,
    "biggan, zip": lambda: _saved(BigGANGolden("bigganpytorch-wide").state, True),
    "biggan, old": lambda: _saved(BigGANGolden("bigganpytorch-deep").state, False),
}


@cache
def _whole(kind: str) -> bytes:
    return FORMATS[kind]()


def mutated(kind: str, count: int, start: int = 0) -> dict[str, bytes]:
    """`count` files of a format, each with one to eight changes; the same for the same numbers."""
    whole = _whole(kind)
    return {f"{kind} {seed}": _mutate(whole, random.Random(f"{kind} {seed}")) for seed in range(start, start + count)}


def _mutate(whole: bytes, chance: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(chance.randint(1, 8)):
        at = _place(len(data), chance)
        match chance.randrange(7):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.randrange(256)
            case 2:
                large = chance.choice(LARGE)
                data[at : at + len(large)] = large
            case 3:
                del data[at : at + chance.randint(1, 50)]
            case 4:
                data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 8)))
            case 5:
                other = _place(len(data), chance)
                data[at : at + 20] = data[other : other + 20]
            case 6:
                data[at:at] = chance.choice(DIGITS)
        if chance.random() < 0.03:
            del data[at:]
        if not data:
            break
    return bytes(data)


def _place(length: int, chance: random.Random) -> int:
    """A position, mostly near the ends."""
    if length < 2 * INTERESTING or chance.random() < 0.2:
        return chance.randrange(max(length, 1))
    near = chance.randrange(INTERESTING)
    return near if chance.random() < 0.5 else length - 1 - near

"""Files that claim, hide or repeat more than they hold, by format: what `granu info` must refuse in one sentence."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parents[1] / "nvidia_pickle"))
from nvidia_files import Call, Golden, Named, dump, network_pickle, persistent

REBUILD = Named("torch._utils", "_rebuild_tensor_v2")
BLOB = Named("torch.storage", "_load_from_bytes")
PERSISTENT = Named("torch_utils.persistence", "_reconstruct_persistent_obj")
EASY = Named("dnnlib.util", "EasyDict")
CONFIG = {"z_dim": 4, "c_dim": 0, "w_dim": 4, "img_resolution": 8, "img_channels": 3, "mapping_layers": 1}
CONFIG |= {"channel_base": 32, "channel_max": 8, "conv_clamp": None}
SIZES3 = {"z_dim": 4, "w_dim": 4, "c_dim": 0, "img_resolution": 64, "img_channels": 3}


def claiming(arguments: Mapping[str, Any], sign: str = "b4.const", tensor: Any = None) -> bytes:
    """A pickle of a network with nearly no tensors whose constructor was called with these arguments."""
    module, _, name = sign.rpartition(".")
    inner = persistent("Layer", {"_parameters": {name: torch.zeros(1) if tensor is None else tensor}})
    synthesis = persistent("Synthesis", {"_modules": {module: inner}})
    state = {"_modules": {"synthesis": synthesis}, "_init_kwargs": dict(arguments), "_init_args": ()}
    return dump({"G_ema": persistent("Generator", state)})


def storage(count: int, numbers: bytes, kind: str = "FloatStorage", keys: Any = ("0",)) -> Call:
    """A storage that says how many numbers it has."""
    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {}):
        stream.write(dump(part, 2))
    stream.write(b"\x80\x02(U\x07storagectorch\n" + kind.encode() + b"\nU\x010U\x03cpu\x8a\x09")
    stream.write(count.to_bytes(9, "little", signed=True) + b"NtQ.")
    stream.write(dump(list(keys), 2) + struct.pack("<q", count % 2**62) + numbers)
    return Call(BLOB, stream.getvalue())


def tensor(stored: Any, offset: Any, shape: Any, strides: Any) -> Call:
    return Call(REBUILD, stored, offset, shape, strides, False, None)


def shared(depth: int, start: bytes, twice: bytes) -> bytes:
    """A value in which each level holds the one below twice."""
    return start + b"".join(b"q" + bytes([i]) + b"0h" + bytes([i]) + b"h" + bytes([i]) + twice for i in range(depth))


def pickles() -> dict[str, bytes]:
    proto, loop = b"\x80\x04", {}
    loop["again"] = persistent("Layer", {"_modules": loop})
    one = persistent("Layer", {"_parameters": {"w": torch.zeros(1)}})
    wide = one
    for _ in range(6):
        wide = persistent("Layer", {"_modules": {str(i): wide for i in range(50)}})
    text = b"X" + struct.pack("<I", 1_000_000) + b"n" * 1_000_000
    claims = {
        "wide latents": {**CONFIG, "z_dim": 10**12},
        "wide layers": {**CONFIG, "channel_base": 2**40, "channel_max": 2**40},
        "many layers": {**CONFIG, "mapping_kwargs": {"num_layers": 10**9}},
        "many classes": {**CONFIG, "c_dim": 10**9},
        "a large image": {**CONFIG, "img_resolution": 2**62},
        "a text for a size": {**CONFIG, "z_dim": "8" * 100_000},
        "a list for a size": {**CONFIG, "z_dim": [[8]] * 1000},
        "nothing for a size": {**CONFIG, "img_resolution": None},
        "an infinite size": {**CONFIG, "w_dim": float("inf")},
        "arguments that are none": {**CONFIG, "synthesis_kwargs": [1, 2], "mapping_kwargs": "x"},
        "control characters": {**CONFIG, "\x1b[2J\nblur": 1},
        "no sizes": {},
    }
    claims3 = {
        "many layers of a stylegan3": {**SIZES3, "num_layers": 10**9},
        "long filters": {**SIZES3, "filter_size": 10**9},
        "a far stopband": {**SIZES3, "first_stopband": 1e300},
        "a wide margin": {**SIZES3, "margin_size": 10**12},
        "nan frequencies": {**SIZES3, "first_cutoff": float("nan")},
        "no critical layers": {**SIZES3, "num_critical": 14},
    }
    tensors = {
        "a tensor that repeats one number": tensor(torch.zeros(1).__reduce_ex__(2)[1][0], 0, (10**12,), (0,)),
        "a tensor of an unbelievable shape": tensor(storage(1, b"0000"), 0, (2**62, 2**62, 2**62), (1, 1, 1)),
        "a storage of 4 TB": tensor(storage(10**12, b"0000"), 0, (10**12,), (1,)),
        "a storage of a negative size": tensor(storage(-5, b"0000"), 0, (1,), (1,)),
        "a storage with other keys": tensor(storage(1, b"0000", keys=("1", "2")), 0, (1,), (1,)),
        "a storage of an unknown type": tensor(storage(1, b"0000", kind="QUInt8Storage"), 0, (1,), (1,)),
        "a blob of nothing": tensor(Call(BLOB, b""), 0, (1,), (1,)),
        "a blob that is a text": tensor(Call(BLOB, "x" * 5000), 0, (1,), (1,)),
        "a tensor of texts": tensor(storage(1, b"0000"), "0", ("1",), ("1",)),
        "a tensor without numbers": tensor(None, 0, (1,), (1,)),
        "a tensor that is a list": [1, 2, 3],
    }
    return {
        **{f"claims {name}": claiming(arguments) for name, arguments in claims.items()},
        **{f"claims {name}": claiming(arguments, "input.freqs") for name, arguments in claims3.items()},
        **{name: claiming(CONFIG, tensor=value) for name, value in tensors.items()},
        "a memo index": proto + b"}r\xff\xff\xff\xff.",
        "a memo index in text": b"(dp99999999999999999999\n.",
        "a memo index in text, of protocol 2": b"\x80\x02}p99999999999999999999\n.",
        "bytes of 4 EB": proto + b"\x8e" + b"\xff" * 7 + b"\x3f.",
        "bytes of 3 GB": proto + b"B\xff\xff\xff\xbf.",
        "a text of 4 EB": proto + b"\x8d" + b"\xff" * 7 + b"\x3f.",
        "a frame of 4 EB": proto + b"\x95" + b"\xff" * 7 + b"\x3f.",
        "an integer of 2 GB": proto + b"\x8b\xff\xff\xff\x7f.",
        "an integer of many digits": b"\x80\x02L" + b"9" * 100_000 + b"L\n.",
        "an integer of 200 bytes": proto + b"\x8a\xc8" + b"\x7f" * 200 + b".",
        "a line without an end": b"\x80\x02I" + b"1" * 100_000,
        "a deep list": proto + b"]" * 200_000 + b"a" * 199_999 + b".",
        "deep marks": proto + b"(" * 200_000 + b".",
        "a million instructions": proto + b"N0" * 1_100_000 + b"N.",
        "a key that takes forever to hash": proto + b"}" + shared(60, b")", b"\x86") + b"Ns.",
        "a set that takes forever to hash": proto + b"(" + shared(60, b")", b"\x86") + b"\x91.",
        "a list that is large in writing": proto + b"}\x8c\x05G_ema" + shared(60, b"]", b"\x86") + b"s.",
        "a dictionary copied over and over": proto
        + b"ccollections\nOrderedDict\nq\x00]("
        + b"NN\x86" * 20_000
        + b"eq\x01\x85q\x02"
        + b"h\x00h\x02R0" * 20_000
        + b"N.",
        "a module in itself": dump({"loop": loop, "G_ema": loop["again"]}),
        "modules that share each other": dump({"G_ema": wide}),
        "modules that are texts": dump({"G_ema": persistent("Generator", {"_modules": "x", "_parameters": 3})}),
        "a state that is a list": dump(
            {"G_ema": Call(Named("torch_utils.persistence", "_reconstruct_persistent_obj"), [])}
        ),
        "a long name of a function": proto + text + text + b"\x93.",
        "a long name of a network": dump({"n" * 1_000_000: 1}),
        "a long name of a tensor": network_pickle(renamed("mapping.w_avg", "n" * 1_000_000)),
        "a name of a tensor with control characters": network_pickle(renamed("mapping.w_avg", "\x1b[2J\r\n\x07")),
        "an empty stack": proto + b"0000.",
        "a pickle of nothing": proto + b".",
        "an unknown instruction": proto + b"\xff.",
        "a protocol of the future": b"\x80\xff}.",
        "a name of a third kind": b"\x80\x02cos\nsystem\n.",
        "a lone mark": proto + b"(t(t(.",
        "an attribute of a container": dump(Call(EASY, [("__class__", 1)])),
    }


def renamed(name: str, other: str) -> Golden:
    golden = Golden("stylegan2")
    golden.state = {other if key == name else key: value for key, value in golden.state.items()}
    return golden


def saved(content: Any, **how: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **how)
    return stream.getvalue()


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def pickled_view(count: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str = "FloatStorage") -> bytes:
    """The data.pkl of one tensor, named as in a StyleGAN2."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, thing: Any) -> Any:
            return thing.parts if isinstance(thing, Reference) else None

        def save_global(self, thing: Any, name: str | None = None) -> None:
            super().save_global(thing, name)

    class Reference:
        parts = ("storage", getattr(torch, dtype), "0", "cpu", count)

    class View:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, (Reference(), 0, shape, strides, False, {})

    stream = io.BytesIO()
    Pickler(stream, 2).dump({"synthesis.b4.const": View()})
    return stream.getvalue()


def torch_files() -> dict[str, bytes]:
    number = torch.zeros(1)
    const = {"synthesis.b4.const": torch.zeros(4, 4, 4)}
    small = pickled_view(1, (1,), (1,))
    huge = pickled_view(1, (2**62,) * 3, (0,) * 3)
    flipped = bytearray(saved(const))
    flipped[flipped.rindex(b"PK\x01\x02") + 20 : flipped.rindex(b"PK\x01\x02") + 28] = b"\xff" * 8
    shapes: dict[str, dict[str, Any]] = {
        "a constant alone": const,
        "sizes of a word": {"synthesis.b4.const": torch.zeros(1), "synthesis.b99999999.torgb.weight": torch.zeros(1)},
        "a size without end": {
            "synthesis.b4.const": torch.zeros(1),
            f"synthesis.b{'9' * 5000}.torgb.weight": torch.zeros(1),
        },
        "scalars for matrices": dict.fromkeys(
            ("synthesis.b4.const", "mapping.fc0.weight", "synthesis.b4.torgb.weight", "synthesis.b4.conv1.weight"),
            torch.zeros([]),
        ),
        "empty tensors": dict.fromkeys(
            ("synthesis.b4.const", "mapping.fc0.weight", "synthesis.b4.torgb.weight", "synthesis.b4.conv1.weight"),
            torch.zeros(0, 0, 0, 0),
        ),
        "many names": {"synthesis.b4.const": torch.zeros(1)} | {f"x{i}": torch.zeros(1) for i in range(1000)},
        "a rosinality network of nothing": {"g_ema": {"input.input": torch.zeros(1)}},
        "rosinality's sizes without end": {"g_ema": {"input.input": number, f"convs.{'9' * 4000}.conv.weight": number}},
        "names with control characters": {"\x1b]0;pwned\x07": torch.zeros(1), "synthesis.b4.const": torch.zeros(1)},
        "no tensors": {"g_ema": {"input.input": 3}},
        "numbers for names": {1: torch.zeros(1), 2: torch.zeros(2)},
    }
    return {
        **{f"a state dict with {name}": saved(content) for name, content in shapes.items()},
        "a zip bomb": zipped({"a/data.pkl": b"\x80\x02}." + b"0" * 50_000_000}, zipfile.ZIP_DEFLATED),
        "a bomb of a storage": zipped({"a/data.pkl": small, "a/data/0": b"0" * 50_000_000}, zipfile.ZIP_DEFLATED),
        "a zip of lzma": zipped({"a/data.pkl": small, "a/data/0": b"0000"}, zipfile.ZIP_LZMA),
        "a zip without a pickle": zipped({"a/data/0": b"0000"}),
        "a zip of two pickles": zipped({"a/data.pkl": small, "b/data.pkl": small}),
        "a zip without its storage": zipped({"a/data.pkl": small}),
        "a zip with half a storage": zipped({"a/data.pkl": pickled_view(8, (8,), (1,)), "a/data/0": b"0000"}),
        "a storage of 4 TB": zipped({"a/data.pkl": pickled_view(10**12, (10**12,), (1,)), "a/data/0": b"0000"}),
        "a view of 4 TB": zipped({"a/data.pkl": pickled_view(1, (10**12,), (0,)), "a/data/0": b"0000"}),
        "a view of 2 ** 186 numbers": zipped({"a/data.pkl": huge, "a/data/0": b"0000"}),
        "a big-endian file": zipped({"a/data.pkl": small, "a/data/0": b"0000", "a/byteorder": b"big"}),
        "a memo index in a zip": zipped({"a/data.pkl": b"\x80\x02}r\xff\xff\xff\xff."}),
        "a key without end in a zip": zipped({"a/data.pkl": b"\x80\x02}" + shared(60, b")", b"\x86") + b"Ns."}),
        "a program of TorchScript": zipped({"a/data.pkl": small, "a/constants.pkl": small}),
        "a forged directory": bytes(flipped),
        "a zip of one byte": b"PK",
        "an empty zip": b"PK\x05\x06" + b"\0" * 18,
        "a zip of 64 bits": b"PK\x06\x06" + b"\xff" * 52 + b"PK\x06\x07" + b"\xff" * 16 + b"PK\x05\x06" + b"\xff" * 18,
        "a whole network": saved(torch.nn.Linear(2, 2)),
        "a sparse tensor": saved({"synthesis.b4.const": torch.eye(3).to_sparse()}),
        "a meta tensor": saved({"synthesis.b4.const": torch.empty(10**10, device="meta")}),
        "a complex tensor": saved({"synthesis.b4.const": torch.zeros(2, dtype=torch.complex64)}),
        "a tensor of eight bits": saved({"synthesis.b4.const": torch.zeros(2).to(torch.float8_e4m3fn)}),
        "an old file that is cut": saved(const, _use_new_zipfile_serialization=False)[:-20],
        "an old file with a larger storage": saved(const, _use_new_zipfile_serialization=False).replace(
            struct.pack("<q", 64), struct.pack("<q", 2**60)
        ),
        "an old file of nothing": saved({}, _use_new_zipfile_serialization=False)[:40],
    }


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: Any = (1,), offsets: Any = (0, 4), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def safetensors_files() -> dict[str, bytes]:
    data, name = b"0000", "synthesis.b4.const"
    headers: dict[str, Any] = {
        "a list": [1, 2],
        "an entry that is a number": {name: 3},
        "an entry that is a list": {name: [1]},
        "an entry without a type": {name: {"shape": [1], "data_offsets": [0, 4]}},
        "an entry without offsets": {name: {"shape": [1], "dtype": "F32"}},
        "one offset": {name: entry(offsets=[0])},
        "three offsets": {name: entry(offsets=[0, 4, 8])},
        "offsets that are texts": {name: entry(offsets=["0", "4"])},
        "offsets that are floats": {name: entry(offsets=[0.0, 4.0])},
        "negative offsets": {name: entry(offsets=[-4, 0])},
        "offsets that go back": {name: entry(offsets=[4, 0])},
        "offsets beyond the end": {name: entry(offsets=[0, 2**70])},
        "a shape that is a number": {name: entry(shape=1)},
        "a negative shape": {name: entry(shape=[-1])},
        "a large shape": {name: entry(shape=[2**62, 2**62])},
        "a shape of truths": {name: entry(shape=[True])},
        "a shape of 100 axes": {name: entry(shape=[1] * 100)},
        "an unknown type": {name: entry(dtype="F4")},
        "a type that is a list": {name: entry(dtype=["F32"])},
        "a half of a number": {name: entry(offsets=[0, 3])},
        "metadata that are a list": {"__metadata__": [1], name: entry()},
        "metadata that are numbers": {"__metadata__": {"granu": 1}, name: entry()},
        "control characters": {"\x1b[2J\n": entry(shape=[3])},
        "a long name": {"n" * 1_000_000: entry(shape=[3])},
        "no tensors": {},
        "one tensor": {name: entry()},
        "many names": {f"x{i}": entry() for i in range(10_000)},
    }
    texts = {
        "a header of nothing": b"{",
        "a deep header": b'{"a":' * 100_000,
        "deep lists": b'{"a":' + b"[" * 100_000,
        "an integer of many digits": b'{"a":' + b"9" * 10_000 + b"}",
        "no text": b"{\xff\xfe\x00}",
    }
    return {
        **{f"a header with {what}": safetensors(header, data) for what, header in headers.items()},
        **{what: safetensors(text, data) for what, text in texts.items()},
        "a header of 100 MB": safetensors(b"{}", length=100_000_000),
        "a header of 5 MB": safetensors(b'{"a":' + b"[]," * 2_000_000),
        **{f"granu's header with {what}": granu(header) for what, header in GRANU_HEADERS.items()},
    }


def granu(header: Any) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    return safetensors({"__metadata__": {"granu": text}, "synthesis.b4.const": entry()}, b"0000")


def own(**changes: Any) -> dict[str, Any]:
    return {"format": 1, "architecture": "stylegan2", "config": CONFIG, "classes": [], **changes}


GRANU_HEADERS: dict[str, Any] = {
    "nothing": "",
    "a list": [],
    "deep lists": "[" * 100_000,
    "a number for the architecture": own(architecture=3),
    "another architecture": own(architecture="\x1b[2J" * 1000),
    "a list for the config": own(config=[1]),
    "a text for the classes": own(classes="abc"),
    "numbers for classes": own(classes=[1, 2]),
    "more classes than the network": own(classes=["\x1b[2J", "b"]),
    "a format of the future": own(format=10**300),
    "few tensors": own(),
    "a wide latent": own(config={**CONFIG, "z_dim": 10**15}),
    "a layer for each star": own(config={**CONFIG, "mapping_layers": 10**11}),
    "classes without names": own(config={**CONFIG, "c_dim": 10**11}),
    "a missing size": own(config={"z_dim": 4}),
    "an unknown argument": own(config={**CONFIG, "\x1b[2J": 4}),
    "an infinite clamp": own(config={**CONFIG, "conv_clamp": float("inf")}),
    "a stylegan3": own(architecture="stylegan3", config=SIZES3),
    "a stylegan3 of many layers": own(architecture="stylegan3", config={**SIZES3, "num_layers": 10**9}),
    "a stylegan3 of texts": own(architecture="stylegan3", config={**SIZES3, "margin_size": "x"}),
}


def others() -> dict[str, bytes]:
    return {
        "an empty file": b"",
        "a text": b"hello",
        "an image": b"\x89PNG\r\n\x1a\n" + b"0" * 100,
        "zeros": b"\0" * 9999,
    }


FORMATS: dict[str, Callable[[], dict[str, bytes]]] = {
    "pickle": pickles,
    "torch": torch_files,
    "safetensors": safetensors_files,
    "other": others,
}


def make_special(folder: Path) -> dict[str, str]:
    """Things that are no files of a moderate size and name."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    with (folder / "sparse").open("wb") as stream:
        stream.write(b"\x80\x04\x8e" + struct.pack("<Q", 2**40))
        stream.truncate(2**41)
    return {
        "a pipe": str(folder / "pipe"),
        "a folder": str(folder / "folder"),
        "a device": "/dev/zero",
        "a link to itself": str(folder / "loop"),
        "a name that is too long": "n" * 5000,
        "a path that is too long": str(folder / "n") * 500,
        "a name with control characters": "\x1b[2J\x07",
        "a file of 2 TB": str(folder / "sparse"),
    }

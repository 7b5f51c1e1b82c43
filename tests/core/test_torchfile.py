"""Files of torch.save: tensors and plain data are read, anything else is refused and not run."""

from __future__ import annotations

import argparse
import math
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from granu import WeightsError
from granu.weights.checkpoints import read_tensors
from granu.weights.pickles import Opaque
from granu.weights.stored import read_all
from granu.weights.torchfile import as_state_dict, is_torch_file, read_torch_file


class Forged:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.pt"


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_and_a_scripts_arguments_are_read(file: Path, zipped: bool) -> None:
    content = {"w": torch.rand(3), "step": 7, "args": argparse.Namespace(lr=0.1)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    assert is_torch_file(file)
    read = read_torch_file(file)
    assert torch.equal(read["w"].read(), content["w"]) and read["step"] == 7 and isinstance(read["args"], Opaque)


@pytest.mark.parametrize(
    "content", [b"", b"P", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50", b"safetensors"]
)
def test_a_file_that_begins_otherwise_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert not is_torch_file(file)
    with pytest.raises(WeightsError) as raised:
        read_torch_file(file)
    assert str(raised.value) == f"{file} is neither a file of torch.save nor of another known format"


RUNS = "asks to run posix.system; granu does not run code from weights files"


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_holds_code_is_refused_and_not_run(file: Path, zipped: bool) -> None:
    torch.save({"w": Forged()}, file, _use_new_zipfile_serialization=zipped)
    assert refused(file) == f"{file} {RUNS}"
    assert not Path("ran").exists()


def refused(file: Path) -> str:
    with pytest.raises(WeightsError) as raised:
        read_torch_file(file)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused_in_one_line(file: Path, zipped: bool) -> None:
    torch.save({"w": torch.rand(1000)}, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    for length in (*range(14, 300), len(whole) - 500, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert refused(file).startswith(f"{file} is truncated or damaged: ")


def test_flipped_bits_of_a_tensor_are_noticed(file: Path) -> None:
    tensor = torch.arange(1000.0)
    torch.save({"w": tensor}, file)
    data = bytearray(file.read_bytes())
    data[data.index(tensor.numpy().tobytes()[:80]) + 40] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match="the checksum of a tensor is wrong"):
        read_torch_file(file)["w"].read()


TENSORS = {
    "a matrix": torch.rand(3, 4),
    "a transposed matrix": torch.rand(3, 4).T,
    "every second number": torch.rand(10)[1::2],
    "a single number": torch.tensor(2.5),
    "nothing": torch.rand(0, 3),
    "halves": torch.rand(5).half(),
    "doubles": torch.rand(5).double(),
    "brain floats": torch.rand(5).bfloat16(),
    "integers": torch.tensor([1, -2]),
    "bytes": torch.tensor([1, 255], dtype=torch.uint8),
    "truths": torch.tensor([True, False]),
    "a parameter": torch.nn.Parameter(torch.rand(2, 2)),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_kind_of_tensor_is_read(file: Path, zipped: bool, protocol: int) -> None:
    torch.save(TENSORS, file, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    read = as_state_dict(read_torch_file(file), file)
    assert {name: t.shape for name, t in read.items()} == {name: tuple(t.shape) for name, t in TENSORS.items()}
    for name, tensor in TENSORS.items():
        expected = tensor.detach().float() if tensor.is_floating_point() else tensor
        assert torch.equal(read[name].read(), expected) and read[name].read().dtype == expected.dtype, name


def test_tensors_that_share_a_storage_have_memory_of_their_own(file: Path) -> None:
    storage = torch.rand(10_000)
    torch.save({"a": storage[:3], "b": storage[2:5]}, file)
    read = read_torch_file(file)
    a, b = read["a"].read(), read["b"].read()
    assert torch.equal(a, storage[:3]) and torch.equal(b, storage[2:5])
    assert a.untyped_storage().nbytes() == 12


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (lambda: torch.rand(3, 3).to_sparse(), "sparse"),
        (lambda: torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.quint8), "quantised"),
        (lambda: torch.empty(10**9, device="meta"), "meta"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_plain_numbers_are_refused(file: Path, tensor: Callable[[], torch.Tensor], kind: str) -> None:
    torch.save({"w": tensor()}, file)
    assert refused(file) == f"{file} holds a {kind} tensor; save plain tensors of numbers"


def test_a_tensor_that_repeats_its_storage_is_refused(file: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(10**12)}, file)
    assert refused(file) == f"{file} is damaged: a tensor of shape (1000000000000,) exceeds its storage of 1 numbers"


def test_a_view_of_a_storage_is_refused(file: Path) -> None:
    torch.save({"w": torch.zeros(3)}, file, _use_new_zipfile_serialization=False)
    forged, count = re.subn(rb"Nt(q.)Q", lambda m: b"K\x01t" + m[1] + b"Q", file.read_bytes())
    file.write_bytes(forged)
    assert count == 1 and refused(file) == f"{file} holds a view of a storage, as torch wrote before 0.4"


def test_a_compressed_zip_is_refused(file: Path) -> None:
    torch.save({"w": torch.zeros(10_000_000)}, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert file.stat().st_size < 100_000
    assert refused(file) == f"{file} is a compressed zip, which torch.save does not write"


def test_a_zip_of_something_else_is_refused(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hello", "world")
    assert refused(file) == f"{file} is a zip that torch.save did not write"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02}.")
        archive.writestr("net/constants.pkl", b"\x80\x02).")
    assert "is a TorchScript program" in refused(file)


def test_a_variable_that_lets_torch_run_pickles_does_not_let_granu(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"w": Forged()}, file)
    assert RUNS in refused(file)
    assert not Path("ran").exists()


def test_reading_needs_no_torch(file: Path, run_python) -> None:  # type: ignore[no-untyped-def]
    torch.save({"w": torch.ones(2)}, file)
    code = (
        "import sys; from pathlib import Path; from granu import as_state_dict, read_torch_file;"
        f"file = Path({str(file)!r}); print(as_state_dict(read_torch_file(file), file)['w'].shape);"
        "assert 'torch' not in sys.modules"
    )
    assert run_python(code).returncode == 0


def test_a_state_dict_holds_names_and_tensors_and_loses_the_prefix_of_parallel_training(file: Path) -> None:
    torch.save({"module.w": torch.ones(2).half(), "module.n": torch.tensor([1, 2])}, file)
    state = as_state_dict(read_torch_file(file), file)
    assert list(state) == ["w", "n"] and state["w"].dtype == "float16"
    torch.save({"module.w": torch.ones(2), 3: torch.ones(1)}, file)
    assert list(as_state_dict(read_torch_file(file), file)) == ["module.w", "3"]


@pytest.mark.parametrize("content", [torch.ones(2), [torch.ones(2)], {"w": torch.ones(2), "step": 7}], ids=str)
def test_what_is_not_a_state_dict_is_refused(content: object, file: Path) -> None:
    torch.save(content, file)
    with pytest.raises(WeightsError) as raised:
        as_state_dict(read_torch_file(file), file)
    assert str(raised.value) == f"{file} holds no state dict (names and tensors); save the state dict alone"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(file: Path, value: float) -> None:
    torch.save({"w": torch.tensor([1.0, value])}, file)
    with pytest.raises(WeightsError, match="holds NaN or infinite numbers in w; use a checkpoint without them"):
        read_all(read_torch_file(file), file)
    save_file({"w": torch.tensor([1.0, value])}, file)
    with pytest.raises(WeightsError, match="holds NaN or infinite numbers in w"):
        read_tensors(file)

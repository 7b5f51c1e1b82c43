"""Weights files: what is message of those that are not what they should be, and that none runs code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from granu import Weights, WeightsError
from granu.weights.checkpoints import (
    WeightsHeader,
    load_strictly,
    locate,
    read_tensors,
    read_weights_header,
    save_weights,
    verify,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_weights(
        tmp_path / "w.safetensors", {"weight": torch.ones(2, 3).half()}, WeightsHeader("net", {"width": 3}, ("a", "b"))
    )
    return tmp_path / "w.safetensors"


def test_a_header_is_read_back(file: Path) -> None:
    header = read_weights_header(file, ("net",))
    assert (header.architecture, header.config, header.classes) == ("net", {"width": 3}, ("a", "b"))


def test_tensors_come_back_in_float32(file: Path) -> None:
    assert read_tensors(file)["weight"].dtype == torch.float32


class Forged:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def spoil(file: Path, kind: str) -> None:
    data = file.read_bytes()
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Forged()))
    elif kind == "torch.save":
        torch.save({"weight": torch.ones(1)}, file)
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "cut in the header":
        file.write_bytes(data[:30])
    elif kind == "cut in the tensors":
        file.write_bytes(data[:-4])
    elif kind == "image":
        file.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pickle", "begins like a pickle"),
        ("torch.save", "begins like a zip, as torch.save writes"),
        ("empty", "it is empty"),
        ("cut in the header", "truncated or damaged"),
        ("cut in the tensors", "4 bytes are missing"),
        ("image", "its format is unknown"),
    ],
)
def test_other_files_are_refused_without_running_them(file: Path, kind: str, message: str) -> None:
    spoil(file, kind)
    with pytest.raises(WeightsError, match=message):
        read_weights_header(file, ("net",))
    assert not Path("ran").exists()


def test_another_architecture_is_refused(file: Path) -> None:
    with pytest.raises(WeightsError, match="holds the architecture 'net', not stylegan2"):
        read_weights_header(file, ("stylegan2",))


def test_a_file_without_a_granu_header_is_refused(tmp_path: Path) -> None:
    import safetensors.torch

    safetensors.torch.save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="no granu header"):
        read_weights_header(tmp_path / "x.safetensors", ("net",))


def test_every_tensor_must_fit(file: Path) -> None:
    state = {"weight": torch.ones(2, 2), "extra": torch.ones(1)}
    with pytest.raises(WeightsError) as message:
        load_strictly(nn.Linear(3, 2), state, file)
    assert "missing: bias" in str(message.value) and "unexpected: extra" in str(message.value)
    assert "weight (2, 2) instead of (2, 3)" in str(message.value)


def test_shipped_weights_are_checked_before_use(file: Path) -> None:
    shipped = {"net": Weights(name="net", summary="s", file=file, sha256="0", licence="l", source="s")}
    assert locate("net", shipped) == file
    with pytest.raises(WeightsError, match="are damaged"):
        verify("net", file, shipped)


def test_a_name_that_is_neither_shipped_nor_a_file_is_refused(file: Path) -> None:
    shipped = {"mnist": Weights(name="mnist", summary="s", file=file, sha256="0", licence="l", source="s")}
    with pytest.raises(WeightsError, match="did you mean 'mnist'"):
        locate("mnst", shipped)

"""Files of torch.save: tensors and plain data are read, anything else is refused and not run."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
import torch

from granu import WeightsError
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
    assert torch.equal(read["w"], content["w"]) and read["step"] == 7 and read["args"].lr == 0.1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "content", [b"", b"P", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50", b"safetensors"]
)
def test_a_file_that_begins_otherwise_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert not is_torch_file(file)
    with pytest.raises(WeightsError) as raised:
        read_torch_file(file)
    assert str(raised.value) == f"{file} is neither a file of torch.save nor of another known format"


def test_a_file_that_holds_code_is_refused_and_not_run(file: Path) -> None:
    torch.save({"w": Forged()}, file)
    with pytest.raises(WeightsError) as raised:
        read_torch_file(file)
    assert str(raised.value) == (
        f"{file} is refused: it is damaged or holds more than tensors, which granu does not run; "
        "save the state dict alone"
    )
    assert not Path("ran").exists()


def test_a_truncated_file_is_refused_in_one_line(file: Path) -> None:
    torch.save({"w": torch.rand(1000)}, file)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(WeightsError) as raised:
        read_torch_file(file)
    start = f"{file} is truncated or damaged: "
    assert str(raised.value).startswith(start) and "\n" not in str(raised.value) and str(raised.value) != start


def test_a_variable_that_lets_torch_run_pickles_does_not_let_granu(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"w": Forged()}, file)
    with pytest.raises(WeightsError, match="is refused"):
        read_torch_file(file)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("error", "reason"), [(EOFError(), "EOFError"), (ValueError("bad bytes\nin the middle"), "bad bytes")]
)
def test_another_error_is_given_by_its_first_line_or_its_type(
    error: Exception, reason: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    torch.save({}, file)
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(WeightsError) as raised:
        read_torch_file(file)
    assert str(raised.value) == f"{file} is truncated or damaged: {reason}"


def test_a_state_dict_holds_names_and_float32_tensors(file: Path) -> None:
    state = as_state_dict({"w": torch.ones(2).half(), 3: torch.tensor([1, 2])}, file)
    assert list(state) == ["w", "3"]
    assert state["w"].dtype == torch.float32 and state["3"].dtype == torch.int64


@pytest.mark.parametrize("content", [torch.ones(2), [torch.ones(2)], {"w": torch.ones(2), "step": 7}], ids=str)
def test_what_is_not_a_state_dict_is_refused(content: object, file: Path) -> None:
    with pytest.raises(WeightsError) as raised:
        as_state_dict(content, file)
    assert str(raised.value) == f"{file} holds no state dict (names and tensors); save the state dict alone"

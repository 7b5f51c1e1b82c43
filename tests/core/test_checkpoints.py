"""Weights files: reading, writing and verifying them, and the errors for those that are not right. None runs code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from granu import Weights, WeightsError
from granu.weights.checkpoints import (
    WeightsHeader,
    is_granu_weights,
    is_safetensors,
    load_strictly,
    locate,
    read_metadata,
    read_tensors,
    read_weights_header,
    save_weights,
    sha256,
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


HEADER = {"format": 1, "architecture": "net", "config": {"width": 3}}


def write(file: Path, header: object, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    """Write a safetensors file with this `granu` header, text or what JSON makes of it."""
    import safetensors.torch

    text = header if isinstance(header, str) else json.dumps(header)
    safetensors.torch.save_file(tensors or {}, file, metadata={"granu": text})
    return file


def shipped(file: Path, sha256: str = "0") -> dict[str, Weights]:
    return {"net": Weights(name="net", summary="s", file=file, sha256=sha256, licence="l", source="s")}


def refused(act: Callable[..., object], *arguments: object) -> str:
    """The message with which it is refused."""
    with pytest.raises(WeightsError) as raised:
        act(*arguments)
    return str(raised.value)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    tensors = {"a": torch.rand(2, 3).t(), "n": torch.tensor([1, 2]), "half": torch.ones(2).half().requires_grad_()}
    header = WeightsHeader("net", {"width": 3}, ("x", "y"), {"note": "made here"})
    save_weights(tmp_path / "w", tensors, header)
    assert read_weights_header(tmp_path / "w", ("other", "net")) == header
    read = read_tensors(tmp_path / "w")
    assert set(read) == set(tensors)
    assert torch.equal(read["a"], tensors["a"]) and read["n"].dtype == torch.int64 and read["n"].tolist() == [1, 2]
    assert read["half"].dtype == torch.float32
    metadata = json.loads(read_metadata(tmp_path / "w")["granu"])
    assert metadata == {**HEADER, "classes": ["x", "y"], "note": "made here"}


def test_classes_and_further_entries_may_be_missing_and_so_may_tensors(tmp_path: Path) -> None:
    header = read_weights_header(write(tmp_path / "w", HEADER), ("net",))
    assert header == WeightsHeader("net", {"width": 3}) and header.classes == () and header.about == {}
    assert read_tensors(tmp_path / "w") == {}


def test_a_header_is_for_one_format_and_architecture(tmp_path: Path) -> None:
    file = write(tmp_path / "w", {**HEADER, "format": 2})
    message = f"{file} has format 2, this granu reads 1; install the granu that wrote it"
    assert refused(read_weights_header, file, ("net",)) == message
    write(file, HEADER)
    message = f"{file} holds the architecture 'net', not a or b"
    assert refused(read_weights_header, file, ("a", "b")) == message


@pytest.mark.parametrize(
    "header",
    ["{", "3", "[]", *({k: v for k, v in HEADER.items() if k != gone} for gone in HEADER), {**HEADER, "classes": 3}],
    ids=str,
)
def test_a_header_that_does_not_parse_is_refused(header: object, tmp_path: Path) -> None:
    file = write(tmp_path / "w", header)
    message = f"the granu header of {file} does not parse; write the file again"
    assert refused(read_weights_header, file, ("net",)) == message


def test_a_file_of_safetensors_begins_with_a_length_and_a_brace(tmp_path: Path) -> None:
    file = tmp_path / "w"
    for start, verdict in [
        ((10).to_bytes(8, "little") + b"{}", True),
        ((100_000_000).to_bytes(8, "little") + b"{", True),
        ((100_000_001).to_bytes(8, "little") + b"{", False),
        ((10).to_bytes(8, "big") + b"{}", False),
        ((10).to_bytes(8, "little") + b"[]", False),
        ((10).to_bytes(8, "little"), False),
    ]:
        file.write_bytes(start)
        assert is_safetensors(file) is verdict


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04 and more", "it begins like a zip, as torch.save writes"),
        (b"\x80\x02 and more", "it begins like a pickle"),
        (b"anything else", "its format is unknown"),
        (b"", "it is empty"),
    ],
)
def test_another_format_is_named(content: bytes, what: str, tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(content)
    message = f"{file} is not a safetensors file ({what}); convert it to safetensors first"
    assert refused(read_metadata, file) == message


def test_weights_of_granu_are_recognised_by_their_header(file: Path, tmp_path: Path) -> None:
    import safetensors.torch

    safetensors.torch.save_file({"x": torch.ones(1)}, tmp_path / "other", metadata={"by": "others"})
    (tmp_path / "text").write_text("weights")
    assert is_granu_weights(file)
    assert not is_granu_weights(tmp_path / "other") and not is_granu_weights(tmp_path / "text")


def test_folders_absent_files_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    assert refused(read_metadata, tmp_path) == f"{tmp_path} is a folder; name the weights file inside it"
    absent = tmp_path / "absent"
    assert refused(read_metadata, absent) == f"cannot read {absent}: No such file or directory"
    file = write(tmp_path / "w", HEADER, {"a": torch.ones(5), "b": torch.ones(2)})
    content = file.read_bytes()
    file.write_bytes(content[:-3])
    assert refused(read_metadata, file) == f"{file} is truncated: 3 bytes are missing"
    assert refused(read_tensors, file) == f"{file} is truncated: 3 bytes are missing"
    file.write_bytes(content[:20])
    assert refused(read_metadata, file) == f"{file} is truncated or damaged: its header does not parse"


def test_weights_are_located_by_name_or_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate("net", shipped(file)) == file
    assert locate(str(file), {}) == file and locate(str(file.parent), {}) == file.parent
    monkeypatch.setenv("HOME", str(file.parent))
    assert locate("~/w.safetensors", {}) == file


def test_weights_that_are_not_there_are_refused(file: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    message = f"the shipped weights 'net' are missing from {gone}; install granu again"
    assert refused(locate, "net", shipped(gone)) == message
    assert refused(locate, "net", shipped(tmp_path)) == message.replace(str(gone), str(tmp_path))
    message = "there are no weights 'nett': neither a file nor shipped; did you mean 'net'?"
    assert refused(locate, "nett", shipped(file)) == message


def test_shipped_weights_must_have_their_checksum_and_others_any(file: Path) -> None:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert verify("net", file, shipped(file, digest)) == verify("other", file, shipped(file)) == digest
    message = f"the shipped weights 'net' are damaged ({file}); install granu again"
    assert refused(verify, "net", file, shipped(file)) == message


def test_a_folder_has_the_checksum_of_its_files_in_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "sub/a", "a"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_bytes(name.encode() * 700_000)
    assert sha256(tmp_path / "f") == hashlib.sha256(b"a" * 700_000 + b"b" * 700_000 + b"sub/a" * 700_000).hexdigest()


def test_tensors_that_fit_are_loaded(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    state = {"weight": torch.rand(2, 3), "bias": torch.rand(2)}
    load_strictly(network, state, tmp_path)
    assert torch.equal(network.weight, state["weight"]) and torch.equal(network.bias, state["bias"])


def test_tensors_that_do_not_fit_are_listed_up_to_five_of_a_kind(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2, 2), **{f"x{i}": torch.ones(1) for i in range(7)}}
    assert refused(load_strictly, nn.Linear(3, 2), state, tmp_path) == (
        f"the tensors in {tmp_path} do not fit its architecture (missing: bias; "
        "unexpected: x0, x1, x2, x3, x4 and 2 more; of another shape: weight (2, 2) instead of (2, 3))"
    )
    state = {**nn.Linear(3, 2).state_dict(), **{f"x{i}": torch.ones(1) for i in range(5)}}
    message = f"the tensors in {tmp_path} do not fit its architecture (unexpected: x0, x1, x2, x3, x4)"
    assert refused(load_strictly, nn.Linear(3, 2), state, tmp_path) == message

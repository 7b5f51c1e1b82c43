"""Atomic writing: a reader sees the old file or the new one, and a failure leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from granu.files import write_whole


def test_the_new_data_are_complete_beside_the_old_file_before_they_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b"old")
    replace = os.replace
    seen: list[tuple[str, bytes, bytes]] = []

    def note(source: Path, target: Path) -> None:
        seen.append((Path(source).name, Path(source).read_bytes(), Path(target).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", note)
    write_whole(file, b"new")
    assert seen == [(f".run.json.{os.getpid()}", b"new", b"old")], "hidden, and one of each process"
    assert file.read_bytes() == b"new" and list(tmp_path.iterdir()) == [file]


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(taken, b"new")
    assert list(tmp_path.iterdir()) == [taken] and not list(taken.iterdir())
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "file", b"new")

"""Provenance of a run: versions as they are, and the git state of the present folder."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import granu
from granu.plugins.catalog import Catalog, Entry
from granu.plugins.offers import Offer
from granu.runs.provenance import describe_machine


def catalog() -> Catalog:
    offer = Offer(name="one", summary="-", make=lambda options, context: None)
    entries = {"one": Entry("one", offer, "mine", "my-plugins", "3.1"), "two": Entry("two", offer, "a", "other", "2")}
    return Catalog(entries={"classifier": entries})


def git(*words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_versions_and_machine_are_the_present_ones() -> None:
    assert describe_machine(catalog(), "cpu") == {
        "granu": granu.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "torch": torch.__version__,
        "plugins": {"my-plugins": "3.1", "other": "2"},
        "platform": platform.platform(),
        "device": "cpu",
        "git": None,
    }


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_is_named_by_its_model(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: f"model of {name}")
    assert describe_machine(catalog(), device)["device"] == f"model of {device}"


def test_the_git_state_is_the_commit_and_whether_tracked_files_differ() -> None:
    git("init", "--quiet")
    assert describe_machine(catalog(), "cpu")["git"] is None, "there is no commit yet"
    Path("file").write_text("one")
    git("add", "file")
    git("commit", "--quiet", "-m", "one")
    state = {"commit": git("rev-parse", "HEAD"), "dirty": False}
    Path("untracked").write_text("other")
    assert describe_machine(catalog(), "cpu")["git"] == state
    Path("file").write_text("two")
    assert describe_machine(catalog(), "cpu")["git"] == {**state, "dirty": True}


def test_without_git_there_is_no_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_machine(catalog(), "cpu")["git"] is None


def test_a_git_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert describe_machine(catalog(), "cpu")["git"] is None

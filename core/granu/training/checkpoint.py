"""Checkpoints: the whole state of a training in one file, written as a whole or not at all."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from granu.errors import RunFolderError, TrainingError
from granu.files import write_whole
from granu.training.plan import differences

FORMAT = 1


def save_checkpoint(file: Path, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a state of tensors, numbers, texts, lists and dicts. RunFolderError if the disk is full or not writable.

    `identity` says which training it belongs to, as plain data.
    """
    stream = io.BytesIO()
    torch.save({"format": FORMAT, "identity": json.dumps(identity), **state}, stream)
    try:
        write_whole(file, stream.getbuffer())
    except OSError as problem:
        kept = f"; {file} holds the state after step {_step(file)}" if file.exists() else ""
        raise RunFolderError(
            f"cannot write {file}: {problem.strerror}{kept}; free some space and repeat the command"
        ) from None


def load_checkpoint(file: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state in a checkpoint, None where there is no file. No code in the file is run.

    TrainingError if the file is damaged, or belongs to a training of another identity.
    """
    if not file.exists():
        return None
    state = _read(file)
    if difference := differences(json.loads(state["identity"]), identity):
        raise TrainingError(
            f"{file} is the checkpoint of another training ({difference}); repeat that command to continue it, name "
            "another --out, or start over with --fresh"
        )
    return state


def _read(file: Path) -> dict[str, Any]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, OSError, EOFError, pickle.UnpicklingError):
        state = None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(
            f"{file} is not a checkpoint that this granu can read; delete it or start over with --fresh"
        )
    return state


def _step(file: Path) -> int | str:
    try:
        return int(_read(file)["step"])
    except TrainingError:
        return "?"

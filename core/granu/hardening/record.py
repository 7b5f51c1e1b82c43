"""The record of a hardening in its folder: the plan, and the decisions made so far."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from granu.errors import RunFolderError
from granu.files import write_whole
from granu.hardening.plan import HardenPlan, identity_of
from granu.hardening.planning import ROUND
from granu.training.plan import differences

RECORD, LOCK, HARDENED = "harden.json", ".lock", "hardened.safetensors"
TRAINED = f"{ROUND.format('*')}.safetensors*"  # with their checkpoints


class HardenRecord:
    """Writes `harden.json`. What is in it is derived from the runs and trained files beside it, which are resumed."""

    def __init__(self, plan: HardenPlan, command: str) -> None:
        self.file = plan.out / RECORD
        self.head = {"command": command, "plan": plan.as_json()}

    def save(self, decided: Mapping[str, Any]) -> None:
        """Write the plan and what was decided."""
        write_whole(self.file, (json.dumps({**self.head, **decided}, indent=2) + "\n").encode())


@contextlib.contextmanager
def opened(plan: HardenPlan, fresh: bool) -> Iterator[None]:
    """Hold the folder of a plan. RunFolderError if another process does, or it holds something else.

    `fresh` deletes what earlier rounds trained.
    """
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
        held = {entry.name for entry in plan.out.iterdir()} - {LOCK}
        lock = (plan.out / LOCK).open("a")
    except OSError as problem:
        raise RunFolderError(
            f"cannot write to {plan.out}: {problem.strerror}; name another folder with --out"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunFolderError(
                f"another granu is hardening in {plan.out}; wait for it, or name another folder with --out"
            ) from None
        if held and RECORD not in held:
            raise RunFolderError(
                f"{plan.out} holds other files and no hardening; name an empty or new folder with --out"
            )
        if held and not fresh:
            _check_same(plan, plan.out / RECORD)
        for file in (*plan.out.glob(TRAINED), plan.out / HARDENED) if fresh else ():
            file.unlink(missing_ok=True)
        yield


def _check_same(plan: HardenPlan, file: Path) -> None:
    try:
        before = identity_of(json.loads(file.read_text())["plan"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RunFolderError(
            f"{file} does not parse; name another folder with --out, or start over with --fresh"
        ) from None
    now = identity_of(json.loads(json.dumps(plan.as_json())))
    if difference := differences(before, now):
        raise RunFolderError(
            f"{plan.out} holds another hardening ({difference}); name another folder with --out, or start over with "
            "--fresh"
        )

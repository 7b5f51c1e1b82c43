"""Provenance of results: versions, machine, git state; kept in `run.json`."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import Any

from granu import __version__
from granu.plugins.catalog import Catalog


def describe_machine(catalog: Catalog, device: str) -> dict[str, Any]:
    """Versions of granu, Python, torch and each plugin's distribution, the device, and the folder's git state."""
    import torch

    return {
        "granu": __version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "plugins": {entry.distribution: entry.version for _, entry in catalog.all_entries()},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "git": _git_state(),
    }


def _git_state() -> dict[str, Any] | None:
    """The commit of the present folder and whether files differ from it; None outside a repository."""
    commit = _git("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "dirty": bool(_git("status", "--porcelain", "-uno"))}


def _git(*words: str) -> str | None:
    try:
        answer = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None

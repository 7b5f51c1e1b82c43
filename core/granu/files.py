"""Atomic writing of files."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(file: Path, data: bytes | memoryview) -> None:
    """Write `data` so that a crash leaves either the old file or the new one, never part of it."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)

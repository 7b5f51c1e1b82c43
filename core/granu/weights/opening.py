"""Opening files that somebody else may have made: regular files only, since reading a pipe or a device may not end."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

from granu.errors import WeightsError
from granu.wording import reason, shown


def check_regular(file: Path) -> int:
    """Return a file's size in bytes. WeightsError unless it is a regular file that can be looked up."""
    try:
        found = file.stat()
    except (OSError, ValueError) as problem:  # a name that is too long or holds a null character
        raise WeightsError(f"cannot read {shown(str(file), 200)}: {_why(problem)}") from None
    if stat.S_ISDIR(found.st_mode):
        raise WeightsError(f"{file} is a folder; name the weights file inside it")
    if not stat.S_ISREG(found.st_mode):
        raise WeightsError(f"{file} is no regular file but a pipe, socket or device; copy its content to a file first")
    return found.st_size


def open_file(file: Path) -> BinaryIO:
    """Open a regular file to read its bytes. WeightsError if it cannot be read."""
    check_regular(file)
    try:
        return file.open("rb")
    except OSError as problem:
        raise WeightsError(f"cannot read {file}: {_why(problem)}") from None


def read_text(file: Path, longest: int) -> str:
    """Read a text file in UTF-8. WeightsError if it is no such file or has more than `longest` bytes."""
    if check_regular(file) > longest:
        raise WeightsError(f"{file} has more than {longest:,} bytes, too many for what it should hold")
    with open_file(file) as stream:
        try:
            return stream.read(longest).decode("utf-8")
        except UnicodeDecodeError:
            raise WeightsError(f"{file} is no text in UTF-8") from None


def _why(problem: Exception) -> str:
    return problem.strerror or reason(problem) if isinstance(problem, OSError) else reason(problem)

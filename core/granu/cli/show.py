"""Output for people and machines; the only module that imports rich."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from granu.wording import printable


def say(text: str) -> None:
    """Print lines to standard output. Names in them may come from files: a terminal acts on control characters."""
    print(_visible(text))


def note(text: str) -> None:
    """Print lines to standard error, apart from results."""
    print(_visible(text), file=sys.stderr)


def _visible(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def as_json(data: Any) -> None:
    """Print data as JSON."""
    print(json.dumps(data, indent=2))


@contextmanager
def stdout_to_stderr(wanted: bool) -> Iterator[None]:
    """Send what networks and plugins print, also in worker processes, to standard error: JSON stays alone."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def columns(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print aligned columns; in a terminal the words of the last column are wrapped at its width."""
    rows = [[printable(cell) for cell in row] for row in (heads, *lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    width = terminal_width()
    room = None if width is None else max(20, width - indent)
    for row in rows:
        first, *more = textwrap.wrap(row[-1], room, break_long_words=False) or [""] if room else [row[-1]]
        cells = [*row[:-1], first]
        say("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        for part in more:
            say(" " * indent + part)


def table(columns: Sequence[str], lines: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table, in a terminal fitted to its width."""
    from granu.report.text import text_table

    say(text_table(columns, lines, title, terminal_width()))


def terminal_width() -> int | None:
    """The columns of the terminal that shows standard output; None where it goes to a file or another program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextmanager
def progress(quiet: bool) -> Iterator[Any]:
    """Show a progress bar on standard error; yields a function (done, total, what)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),  # leaves room for the description in a terminal of 80 columns
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("loading", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)

"""Output for people and machines; the only module that imports rich."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any


def say(text: str) -> None:
    """Print a line to standard output."""
    print(text)


def note(text: str) -> None:
    """Print a line to standard error, apart from results."""
    print(text, file=sys.stderr)


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
    """Print aligned columns without rich, for commands that must start fast."""
    rows = [heads, *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def table(columns: Sequence[str], lines: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table: in a terminal fitted to its width, otherwise as plain text (`granu.report.text`)."""
    if not sys.stdout.isatty():
        from granu.report.text import text_table

        say(text_table(columns, lines, title))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    drawn = Table(
        *columns, title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for line in lines:
        drawn.add_row(*(Text(cell) for cell in line))
    console.print(drawn)


@contextmanager
def progress(quiet: bool) -> Iterator[Any]:
    """Show a progress bar on standard error; yields a function (done, total, what)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("loading", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)

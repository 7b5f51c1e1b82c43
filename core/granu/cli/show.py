"""All that is printed for people: the only room that knows rich."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def say(text: str) -> None:
    """A line on standard output."""
    print(text)


def note(text: str) -> None:
    """A line for the person, beside the results."""
    print(text, file=sys.stderr)


def as_json(data: Any) -> None:
    """Data for machines."""
    print(json.dumps(data, indent=2))


def columns(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Aligned columns without rich, for commands that must answer at once."""
    rows = [heads, *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def table(columns: Sequence[str], lines: Sequence[Sequence[str]], title: str = "") -> None:
    """A table as wide as it needs to be when piped, and as the terminal when not."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    drawn = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for line in lines:
        drawn.add_row(*(Text(cell) for cell in line))
    console.print(drawn)


@contextmanager
def progress(quiet: bool) -> Iterator[Any]:
    """A bar with the time left, on standard error; gives a function (done, total, what)."""
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

"""Tables as plain text, as wide as their cells or fitted to a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

GAP = "   "
INTERVAL = re.compile(r" (?=\[)")  # before the interval of a number


def text_table(
    columns: Sequence[str], lines: Sequence[Sequence[str]], title: str = "", width: int | None = None
) -> str:
    """A table as text between empty lines and below its title; cells are in `lines`.

    With a `width` that the table exceeds, intervals and the words of a heading go below each other; columns that still
    have no room are left out from the right and named below the table. Numbers are never cut.
    """
    rows = [[[cell] for cell in line] for line in (columns, *lines)]
    if width is not None and _width(rows) > width:
        rows = [[cell.split(" ") for cell in columns], *([INTERVAL.split(cell) for cell in line] for line in lines)]
    kept = len(columns)
    while width is not None and kept > 2 and _width([row[:kept] for row in rows]) > width:
        kept -= 1
    left_out = ", ".join(columns[kept:])
    drawn = _drawn([row[:kept] for row in rows])
    more = [f"no room for: {left_out} (widen the terminal, or see --json)", ""] if left_out else []
    return "\n".join([*([title] if title else []), "", *drawn, "", *more])


def _widths(rows: Sequence[Sequence[Sequence[str]]]) -> list[int]:
    return [max(len(part) for row in rows for part in row[i]) for i in range(len(rows[0]))]


def _width(rows: Sequence[Sequence[Sequence[str]]]) -> int:
    widths = _widths(rows)
    return 1 + sum(widths) + len(GAP) * (len(widths) - 1)


def _drawn(rows: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    """The lines of a table whose cells consist of parts that stand below each other."""
    widths = _widths(rows)
    drawn = []
    for number, row in enumerate(rows):
        for level in range(max(map(len, row))):
            cells = [cell[level] if level < len(cell) else "" for cell in row]
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            drawn.append((" " + GAP.join(padded)).rstrip())
        if number == 0:
            drawn.append(" " + "─" * (_width(rows) - 1))
    return drawn

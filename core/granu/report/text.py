"""Tables as plain text."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(columns: Sequence[str], lines: Sequence[Sequence[str]], title: str = "") -> str:
    """A table as text, as wide as its cells, between empty lines and below its title; cells are in `lines`."""
    widths = [max(len(line[i]) for line in (columns, *lines)) for i in range(len(columns))]
    rule = " " + "─" * (sum(widths) + 3 * (len(widths) - 1))
    drawn = [_line(columns, widths), rule, *(_line(line, widths) for line in lines)]
    return "\n".join([*([title] if title else []), "", *drawn, ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (" " + "   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))).rstrip()

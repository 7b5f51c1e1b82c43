"""Tables as HTML fragments for notebooks: self-contained, with everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

CELL = "text-align: right; padding: .2em .6em; white-space: nowrap"
FIRST = "text-align: left; padding: .2em .6em; white-space: nowrap"


def html_table(
    columns: Sequence[str], lines: Sequence[Sequence[str]], title: str = "", meanings: Sequence[str] = ()
) -> str:
    """A `<table>`; a column's meaning is shown when the pointer rests on its head."""
    caption = f'<caption style="text-align: left; font-weight: bold">{escape(title)}</caption>' if title else ""
    heads = "".join(
        f'<th style="{_style(i)}" title="{escape(meaning)}">{escape(name)}</th>'
        for i, (name, meaning) in enumerate(zip(columns, meanings or [""] * len(columns), strict=True))
    )
    body = "".join(
        "<tr>" + "".join(f'<td style="{_style(i)}">{escape(cell)}</td>' for i, cell in enumerate(line)) + "</tr>"
        for line in lines
    )
    return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def html_lines(lines: Sequence[str]) -> str:
    """Sentences below a table, a paragraph each."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _style(column: int) -> str:
    return FIRST if column == 0 else CELL

"""Tables as GitHub-flavoured Markdown, for the summaries of continuous integration: everything typed is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")  # characters that mean something in Markdown, HTML or mathematics


def markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]], title: str = "") -> str:
    """A table under a title, its first column to the left and the others, numbers, to the right."""
    ruler = [":--", *("--:" for _ in columns[1:])]
    drawn = [f"| {' | '.join(cells)} |" for cells in (_escaped(columns), ruler, *map(_escaped, lines))]
    return "\n".join([*([f"### {markdown_text(title)}", ""] if title else []), *drawn, ""])


def markdown_list(lines: Sequence[str]) -> str:
    """Sentences as a list."""
    return "".join(f"- {markdown_text(line.strip())}\n" for line in lines)


def markdown_text(text: str) -> str:
    """The text as Markdown that shows it: on one line, with special characters escaped."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _escaped(cells: Sequence[str]) -> list[str]:
    return [markdown_text(cell) for cell in cells]

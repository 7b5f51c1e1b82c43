"""Text from files reaches a terminal with its control characters escaped."""

from __future__ import annotations

import pytest

from granu.cli import show


def test_lines_and_cells_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    show.say("a\x1b[2J\nb")
    show.note("c\x07")
    show.columns(("name", "what"), [("d\x1b[1m", "e")])
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["a\\x1b[2J", "b", "name      what", "d\\x1b[1m  e"]
    assert printed.err == "c\\x07\n"

"""The report of a hardening: a page and a figure that show the classifier before, after, and the reference."""

from __future__ import annotations

from pathlib import Path

from granu.hardening.rounds import HardenResult
from granu.report import style
from granu.report.labels import labelled

PAGE, FIGURE = "report.html", "profile.svg"


def write_report(result: HardenResult) -> tuple[Path, Path]:
    """Write the page and the figure into the folder; returns their files."""
    from granu.report.page import write_page

    page, figure = result.folder / PAGE, result.folder / FIGURE
    write_page(labelled(result.run), page, None)
    style.save(result.profile.figure(), figure)
    return page, figure

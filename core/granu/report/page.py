"""The report as one HTML file that opens without a network: figures as SVG, images as PNG, all inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from granu.errors import GranuError, RunFolderError
from granu.report import style
from granu.report.formatting import image_sizes
from granu.report.health import check
from granu.report.profile import profile
from granu.report.rows import Row, rows
from granu.report.sheet import sheet
from granu.report.survival import survival_curves
from granu.report.table import Table, table
from granu.runs.folder import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET_DPI = 120


@dataclass(frozen=True)
class Block:
    """The lines of one classifier in the page's table."""

    classifier: str
    colour: str
    lines: list[list[Cell]]


@dataclass(frozen=True)
class Cell:
    """A value and its interval, message apart so that the page can print the interval more quietly."""

    value: str
    interval: str = ""
    title: str = ""


def write_page(run: Run, file: Path) -> None:
    """Write the page of a run."""
    text = page(run)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise RunFolderError(f"cannot write {file}: {problem.strerror}; name another file") from None


def page(run: Run) -> str:
    """The page's text."""
    from jinja2 import Environment, StrictUndefined

    found = rows(run)
    made = table(found)
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    sized = any(row.size for row in found)
    return template.from_string(files("granu.report").joinpath("template.html").read_text(encoding="utf-8")).render(
        name=run.folder.resolve().name,
        command=run.record.get("command", ""),
        facts=_facts(run, found),
        flags=check(found),
        failures=run.record.get("failures", ()),
        columns=[(c, m) for c, m in zip(made.columns, made.meanings, strict=True) if c != "classifier"],
        blocks=_blocks(found, made),
        profile=_svg(profile(run)) if sized else None,
        survival=_svg(survival_curves(run)) if sized else None,
        sheets=_sheets(run, found),
        record=json.dumps(run.record, indent=2),
    )


def _facts(run: Run, found: Sequence[Row]) -> list[tuple[str, str]]:
    identity, made = run.record.get("identity", {}), run.record.get("made", {})
    facts = [
        ("images", max(row.counted + row.clean_wrong + row.unreadable for row in found)),
        ("height x width", image_sizes(sorted({size for row in found for size in row.image_sizes})) or None),
        ("seed", identity.get("seed")),
        ("data", identity.get("data")),
        ("judges", ", ".join(identity.get("judges") or ()) or "none"),
        ("device", made.get("device")),
        ("granu", made.get("granu")),
        ("torch", made.get("torch")),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def _blocks(found: Sequence[Row], made: Table) -> list[Block]:
    shown = style.series_styles([row.classifier for row in found])
    short = style.short_names([row.perturbation for row in found])
    blocks = []
    for name, own in shown.items():
        lines = []
        for row, line in zip(found, made.lines, strict=True):
            if row.classifier == name:
                cells = [c for column, c in zip(made.columns, line, strict=True) if column != "classifier"]
                first = Cell(short[row.perturbation], title=row.perturbation)
                lines.append([first, *map(_cell, cells[1:])])
        blocks.append(Block(name, own.colour, lines))
    return blocks


def _cell(text: str) -> Cell:
    value, bracket, interval = text.partition(" [")
    return Cell(value, bracket.strip() + interval)


def _svg(figure: Figure) -> str:
    """The figure's <svg> element, without what only a file of its own needs before it."""
    text = style.rendered(figure, "svg").decode()
    return text[text.index("<svg") :]


def _sheets(run: Run, found: Sequence[Row]) -> list[tuple[str, str]]:
    """(classifier, base64 of its sheet as PNG) of those that kept images."""
    sheets = []
    for name in dict.fromkeys(row.classifier for row in found):
        try:
            figure = sheet(run, name)
        except GranuError:  # none were kept
            continue
        sheets.append((name, base64.b64encode(style.rendered(figure, "png", SHEET_DPI)).decode()))
    return sheets

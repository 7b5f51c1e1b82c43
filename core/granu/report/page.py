"""The report as one HTML file that works offline: figures as SVG and images as PNG are embedded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from granu.report import style
from granu.report.by_class import ENOUGH, by_class
from granu.report.by_image import by_image
from granu.report.export import write_file
from granu.report.formatting import image_sizes
from granu.report.headline import headline
from granu.report.notes import failures, notes
from granu.report.present import means
from granu.report.profile import profile
from granu.report.rows import Row, rows
from granu.report.survival import survival_curves
from granu.report.table import LEGEND, Table, table
from granu.runs.gallery import DEFAULT_KEEP
from granu.runs.records import RunRecord, names_in
from granu.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CSS_PIXELS = 96  # of an inch
LEGIBLE = 0.75  # of its size, to which a figure may shrink on a narrow screen
PROFILE_ALT = "Granularity profile: median sizes of each change and classifier; the numbers are in the table of results"
SURVIVAL_ALT = "Robust accuracy against size, a panel for each change; the medians are in the table of results"


@dataclass(frozen=True)
class Block:
    """The lines of one classifier in the page's table."""

    classifier: str
    colour: str
    lines: list[list[Cell]]


@dataclass(frozen=True)
class Cell:
    """A value and its interval, apart, so that the page can print the interval smaller."""

    value: str
    interval: str = ""
    title: str = ""


def write_page(run: Run, file: Path, reference: str | None = None) -> None:
    """Write the page of a run. RunFolderError if that fails."""
    write_file(file, page(run, reference).encode())


def page(run: Run, reference: str | None = None) -> str:
    """The HTML text of a run's page; `reference` is the classifier to whose errors those of the others are related."""
    from jinja2 import Environment, StrictUndefined

    found = rows(run)
    made = table(found)
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    sized = any(row.size for row in found)
    return template.from_string(files("granu.report").joinpath("template.html").read_text(encoding="utf-8")).render(
        name=run.folder.resolve().name if run.folder else "granu run",
        commands=list(dict.fromkeys(command.command for command in run.record.commands)),
        facts=_facts(run, found),
        headline=headline(run, found),
        legend=LEGEND,
        means=means(run, found, reference),
        notes=notes(run, found),
        failures=failures(run.record),
        columns=[(c, m) for c, m in zip(made.columns, made.meanings, strict=True) if c != "classifier"],
        blocks=_blocks(run.record, found, made),
        profile=_svg(profile(run), PROFILE_ALT) if sized else None,
        survival=_svg(survival_curves(run), SURVIVAL_ALT) if sized else None,
        classes=[(of, [[_cell(cell) for cell in line] for line in of.lines]) for of in by_class(run, found)],
        enough=ENOUGH,
        sections=by_image(run),
        shown=DEFAULT_KEEP,
        record=json.dumps(run.record.as_json(), indent=2, default=str),
    )


def _facts(run: Run, found: Sequence[Row]) -> list[tuple[str, str]]:
    measured = {row.perturbation for row in found}
    records = [record for key, record in run.record.perturbations.items() if key in measured]
    made_with = run.record.commands[-1].made_with if run.record.commands else {}
    facts = [
        ("images", max(row.counted + row.left_out for row in found)),
        ("from", ", ".join(dict.fromkeys(record.source.spec for record in records))),
        ("height x width", image_sizes(sorted({size for row in found for size in row.image_sizes})) or None),
        ("seed", run.record.seed),
        ("precision", run.record.precision),
        ("judges", ", ".join(sorted(names_in(records))) or "none"),
        ("device", made_with.get("device")),
        ("granu", made_with.get("granu")),
        ("torch", made_with.get("torch")),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def _blocks(record: RunRecord, found: Sequence[Row], made: Table) -> list[Block]:
    shown = style.series_styles([row.classifier for row in found])
    short = style.short_names([record.perturbations[key] for key in dict.fromkeys(row.perturbation for row in found)])
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


def _svg(figure: Figure, alt: str) -> str:
    """The figure's <svg> element, without the XML declaration before it; it shrinks only while it can be read."""
    text = style.rendered(figure, "svg").decode()
    least = round(LEGIBLE * CSS_PIXELS * figure.get_figwidth())
    return text[text.index("<svg") :].replace(
        "<svg", f'<svg role="img" aria-label="{escape(alt)}" style="min-width: {least}px"', 1
    )

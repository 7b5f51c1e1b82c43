"""`granu compare`: is one classifier easier to break than another, on the same images?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from granu.cli import show


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN [RUN]", help="Two runs, or one with two classifiers.")],
    classifier: Annotated[
        str | None, typer.Option("--classifier", "-c", help="The first classifier, where the run holds several.")
    ] = None,
    versus: Annotated[str | None, typer.Option("--versus", help="The second classifier.")] = None,
    fail_if_worse: Annotated[
        float | None,
        typer.Option(
            "--fail-if-worse",
            metavar="PERCENT",
            min=0,
            help="Exit with 1 if, under any perturbation, the second is fooled on more than PERCENT more images of a "
            "hundred, or by sizes more than PERCENT % smaller, and that is significant (p < 0.05 after Holm).",
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw sizes and their ratio, coarse to fine: .svg, .png or .pdf.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two classifiers, image by image, on the images that both classify correctly."""
    from granu.report import style
    from granu.report.comparison import regressions
    from granu.report.present import COLUMNS, compare_runs
    from granu.runs.run import read_run

    result = compare_runs([read_run(folder) for folder in runs], classifier, versus)
    if figure is not None:
        style.save(result.figure(), figure)
    worse, uncertain = regressions(result.comparisons, fail_if_worse) if fail_if_worse is not None else ([], [])
    if as_json:
        show.as_json({
            "first": {"run": str(result.first.run), "classifier": result.first.name},
            "second": {"run": str(result.second.run), "classifier": result.second.name},
            "comparisons": [_finite(record) for record in result.to_dicts()],
            "worse": worse,
            "possibly_worse": uncertain,
        })  # fmt: skip
    else:
        show.say(f"first:  {result.first}")
        show.say(f"second: {result.second}")
        show.table(COLUMNS, result.lines())
        for line in result.lines_below():
            show.say(line)
        for sentence in uncertain:
            show.say(f"possibly worse, not significant: {sentence}")
        for sentence in worse:
            show.say(f"worse: {sentence}")
    if worse:
        raise typer.Exit(1)


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """The record with "inf" for an infinite ratio, which JSON cannot hold."""
    return {key: "inf" if value == math.inf else value for key, value in record.items()}

"""`granu compare`: two classifiers on the same images, or all of a run relative to one of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from granu.cli import show
from granu.errors import OptionError

GATE_FAILED = 4  # not 1, with which a crash ends


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN [RUN]", help="Two runs, or one with two classifiers.")],
    classifier: Annotated[
        str | None, typer.Option("--classifier", "-c", help="The first classifier, where the run holds several.")
    ] = None,
    versus: Annotated[str | None, typer.Option("--versus", help="The second classifier.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="CLASSIFIER",
            help="Relate all other classifiers of one run to this one: which is better at which grain.",
        ),
    ] = None,
    fail_if_worse: Annotated[
        float | None,
        typer.Option(
            "--fail-if-worse",
            metavar="PERCENT",
            min=0,
            max=99,
            help="Exit with 4 if the second is worse by more than PERCENT under any perturbation: fooled on more "
            "images of a hundred, by smaller sizes, or wrong on more clean images (p < 0.05 after Holm); or if that "
            "cannot be judged, because searches failed or images are too few.",
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw sizes and their ratio, coarse to fine: .svg, .png or .pdf.")
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", help="Write the verdict of --fail-if-worse as JUnit XML: a test case per change."),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", help="Write the table and the verdict as Markdown, for a summary in CI."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare classifiers, image by image, on the images that both classify correctly."""
    if reference is not None:
        others = {"--classifier": classifier, "--versus": versus, "--fail-if-worse": fail_if_worse, "--junit": junit}
        _relate(
            runs, reference, [name for name, value in others.items() if value is not None], figure, markdown, as_json
        )
        return
    from granu.report import style
    from granu.report.export import write_file
    from granu.report.gate import gate
    from granu.report.junit import junit_xml
    from granu.report.markdown import markdown_list
    from granu.report.present import COLUMNS, compare_runs
    from granu.runs.run import read_run

    if junit is not None and fail_if_worse is None:
        raise OptionError("--junit writes the verdict of the gate; say with --fail-if-worse what fails, like 5 percent")
    result = compare_runs([read_run(folder) for folder in runs], classifier, versus)
    if figure is not None:
        style.save(result.figure(), figure)
    verdict = None if fail_if_worse is None else gate(result.first, result.second, fail_if_worse)
    if verdict is not None and junit is not None:
        write_file(junit, junit_xml(verdict, result.first, result.second))
    if markdown is not None:
        write_file(markdown, (result.markdown() + markdown_list(verdict.lines() if verdict else ())).encode())
    if as_json:
        show.as_json({
            "first": {"run": str(result.first.run), "classifier": result.first.name},
            "second": {"run": str(result.second.run), "classifier": result.second.name},
            "comparisons": [_finite(record) for record in result.to_dicts()],
            "gate": None if verdict is None else verdict.as_dict(),
        })  # fmt: skip
    else:
        show.say(f"first:  {result.first}")
        show.say(f"second: {result.second}")
        show.table(COLUMNS, result.lines())
        for line in result.lines_below():
            show.say(line)
        for line in verdict.lines() if verdict else ():
            show.say(line)
    if verdict and not verdict.passed:
        raise typer.Exit(GATE_FAILED)


def _relate(
    runs: list[Path], reference: str, others: list[str], figure: Path | None, markdown: Path | None, as_json: bool
) -> None:
    """Relate all classifiers of a run to one of them. `others` are given options that compare two."""
    from granu.report import style
    from granu.report.export import write_file
    from granu.report.relative import relative_profile
    from granu.runs.run import read_run

    if others:
        raise OptionError(f"--reference relates all classifiers of a run to one; leave out {' and '.join(others)}")
    if len(runs) > 1:
        raise OptionError("--reference takes one run; measure all classifiers with the same --out")
    profile = relative_profile(read_run(runs[0]), reference)
    if figure is not None:
        style.save(profile.figure(), figure)
    if markdown is not None:
        write_file(markdown, profile.markdown().encode())
    if as_json:
        cells = [_finite(record) for record in profile.to_dicts()]
        show.as_json({"run": str(runs[0]), "reference": profile.reference, "cells": cells})
        return
    for made in profile.tables():
        show.table(*made)
    for line in profile.lines_below():
        show.say(line)


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """The record with "inf" for an infinite ratio, which JSON cannot hold."""
    return {key: "inf" if value == math.inf else value for key, value in record.items()}

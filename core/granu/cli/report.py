"""`granu report`: the results of a run as a table, a page, figures and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from granu.cli import show


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder; the run may still be going on.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as one offline HTML page.")] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw the granularity profile: .svg, .png or .pdf.")
    ] = None,
    survival: Annotated[
        Path | None, typer.Option("--survival", help="Draw robust accuracy against size: .svg, .png or .pdf.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Draw the saved images, coarse to fine: .png, .svg or .pdf.")
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option("--classifier", "-c", help="Classifier whose images --sheet shows; default: the first."),
    ] = None,
    reference_classifier: Annotated[
        str | None,
        typer.Option(
            "--reference-classifier",
            help="Classifier of the run to whose errors under fixed sizes those of the others are related (mCE).",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the rows as CSV, numbers at full precision.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the tables as Markdown, for a summary in CI.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the results of a run, coarse to fine, with 95 % intervals."""
    from granu.cli.result import print_result, result_as_json
    from granu.report.export import write_csv, write_file
    from granu.report.labels import labelled, title_of
    from granu.report.present import table_markdown
    from granu.report.robustness import robustness
    from granu.report.rows import rows
    from granu.runs.run import read_run

    unlabelled = read_run(run)
    read, classifier = labelled(unlabelled), title_of(unlabelled, classifier)
    reference_classifier = title_of(unlabelled, reference_classifier)
    found, written = rows(read), [file for file in (html, figure, survival, sheet, csv, markdown) if file is not None]
    if csv is not None:
        write_csv(found, csv, robustness(read, found))
    if markdown is not None:
        write_file(markdown, table_markdown(read, reference_classifier).encode())
    if figure is not None or survival is not None or sheet is not None:
        from granu.report import style
        from granu.report.profile import profile
        from granu.report.sheet import sheet as draw_sheet
        from granu.report.survival import survival_curves

        if figure is not None:
            style.save(profile(read), figure)
        if survival is not None:
            style.save(survival_curves(read), survival)
        if sheet is not None:
            style.save(draw_sheet(read, classifier), sheet)
    if html is not None:
        from granu.report.page import write_page

        write_page(read, html, reference_classifier)
    if as_json:
        show.as_json(result_as_json(read, reference_classifier))
        return
    print_result(read, reference_classifier)
    for file in written:
        show.say(f"written: {file}")

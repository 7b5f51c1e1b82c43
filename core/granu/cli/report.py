"""`granu report`: what a run found, as a table, a page, figures and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from granu.cli import show
from granu.runs import read_run


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the rows, unrounded, as CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a run found, coarse to fine; it may still be going on."""
    from granu.report.export import records, write_csv
    from granu.report.health import check
    from granu.report.rows import rows
    from granu.report.table import table

    found = rows(read_run(run))
    flags = check(found)
    if csv is not None:
        write_csv(found, csv)
    if as_json:
        show.as_json({"run": str(run), "rows": records(found), "health": [vars(flag) for flag in flags]})
        return
    made = table(found)
    show.table(made.columns, made.lines)
    for flag in flags:
        show.say(f"note: {flag}")

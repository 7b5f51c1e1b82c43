"""The command line: a file per command, and the one place where errors become sentences and exit codes.

Exit codes: 0 done, 1 a regression threshold was crossed, 2 the person can mend it, 3 partly failed with results
kept, 130 interrupted and resumable.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from granu import __version__
from granu.cli.compare import compare
from granu.cli.convert import convert
from granu.cli.evaluate import evaluate
from granu.cli.info import info
from granu.cli.list_plugins import list_plugins
from granu.cli.report import report
from granu.errors import GranuError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command("eval")(evaluate)
app.command("report")(report)
app.command("compare")(compare)
app.command("info")(info)
app.command("convert")(convert)
app.command("list-plugins")(list_plugins)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"granu {__version__}")
        raise typer.Exit


@app.callback()
def granu(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Find out which changes break an image classifier, from coarse to fine, and how small they can be."""


def main() -> None:
    """The entry point of `granu`."""
    try:
        app()
    except GranuError as problem:
        print(f"granu: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)

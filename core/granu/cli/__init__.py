"""The command line: one file per command, and the place where errors become messages and exit codes.

Exit codes: 0 success, 1 a crash, 2 an error that the user can fix, 3 some perturbations failed and the results of the
others are kept, 4 `granu compare --fail-if-worse` failed, 130 interrupted and resumable.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

from granu import __version__
from granu.cli import show
from granu.cli.compare import compare
from granu.cli.convert import convert
from granu.cli.evaluate import evaluate
from granu.cli.harden import harden
from granu.cli.info import info
from granu.cli.list_plugins import list_plugins
from granu.cli.report import report
from granu.cli.train import train
from granu.errors import GranuError, WeightsWarning

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("eval")(evaluate)
app.command("train")(train)
app.command("harden")(harden)
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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find out which changes break an image classifier, from coarse to fine, and how small they can be."""


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Print a warning about a weights file as a sentence, and any other as Python does."""
    if issubclass(category, WeightsWarning):
        show.note(f"granu: note: {message}")
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)


def main() -> None:
    """Run the command line and exit; the console script `granu` calls this."""
    warnings.showwarning = _show_warning
    try:
        app()
    except GranuError as error:
        show.note(f"granu: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)

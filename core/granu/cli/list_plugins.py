"""`granu list-plugins`: installed offers and broken plugins. Imports no torch."""

from __future__ import annotations

from typing import Annotated

import typer

from granu.cli import show
from granu.plugins.catalog import Catalog, load_catalog


def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verbose: Annotated[bool, typer.Option(help="Print the tracebacks of broken plugins.")] = False,
) -> None:
    """List the offers of all installed plugins, and the plugins that cannot be loaded."""
    catalog = load_catalog()
    if as_json:
        show.as_json(_data(catalog))
        return
    lines = [
        (kind, entry.name, entry.plugin, entry.where, entry.offer.summary) for kind, entry in catalog.all_entries()
    ]
    show.columns(("kind", "name", "plugin", "package", "description"), lines)
    for name in catalog.blocked:
        show.say(f"blocked by GRANU_DISABLE: {name}")
    for load_error in catalog.load_errors:
        show.say(f"broken: {load_error}")
        if verbose and load_error.details:
            show.say(load_error.details)


def _data(catalog: Catalog) -> dict[str, object]:
    return {
        "offers": [
            {
                "kind": kind,
                "name": entry.name,
                "summary": entry.offer.summary,
                "plugin": entry.plugin,
                "distribution": entry.distribution,
                "version": entry.version,
            }
            for kind, entry in catalog.all_entries()
        ],
        "blocked": catalog.blocked,
        "load_errors": [
            {"plugin": error.plugin, "distribution": error.distribution, "stage": error.stage, "reason": error.reason}
            for error in catalog.load_errors
        ],
    }

"""`granu list-plugins`: what is installed, and what is wrong with what is broken. Imports no torch."""

from __future__ import annotations

from typing import Annotated

import typer

from granu.cli import show
from granu.plugins.catalog import Catalog, load_catalog


def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verbose: Annotated[bool, typer.Option(help="Print the tracebacks of broken plugins.")] = False,
) -> None:
    """List what every installed plugin offers, and every plugin that is broken."""
    catalog = load_catalog()
    if as_json:
        show.as_json(_data(catalog))
        return
    lines = [
        (kind, entry.name, entry.offer.summary, entry.plugin, f"{entry.distribution} {entry.version}".strip())
        for kind, entry in catalog.all_entries()
    ]
    show.columns(("kind", "name", "what it is", "plugin", "from"), lines)
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
            {"plugin": t.plugin, "distribution": t.distribution, "stage": t.stage, "reason": t.reason}
            for t in catalog.load_errors
        ],
    }

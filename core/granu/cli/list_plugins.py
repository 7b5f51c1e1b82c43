"""`granu list-plugins`: what is installed, and what is wrong with what is broken. Imports no torch."""

from __future__ import annotations

from typing import Annotated

import typer

from granu.catalog import Catalog, load_catalog
from granu.cli import show


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
        for kind, entry in catalog.walk()
    ]
    show.columns(("kind", "name", "what it is", "plugin", "from"), lines)
    for name in catalog.blocked:
        show.say(f"blocked by GRANU_DISABLE: {name}")
    for trouble in catalog.troubles:
        show.say(f"broken: {trouble}")
        if verbose and trouble.details:
            show.say(trouble.details)


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
            for kind, entry in catalog.walk()
        ],
        "blocked": catalog.blocked,
        "troubles": [
            {"plugin": t.plugin, "distribution": t.distribution, "stage": t.stage, "reason": t.reason}
            for t in catalog.troubles
        ],
    }

"""A run's result as people read it after `granu eval` and `granu report`: tables, failures, signs of ill health."""

from __future__ import annotations

from typing import Any

from granu.cli import show
from granu.runs.folder import Run


def result_as_json(run: Run) -> dict[str, Any]:
    """The same for machines: rows, signs of ill health, failures."""
    from granu.report.export import records
    from granu.report.health import check
    from granu.report.rows import rows

    found = rows(run)
    return {
        "run": str(run.folder),
        "rows": records(found),
        "health": [{"classifier": f.classifier, "sign": f.sign, "where": dict(f.where)} for f in check(found)],
        "failures": run.record.get("failures", []),
    }


def print_result(run: Run) -> None:
    """A table per classifier, coarse to fine, then what failed and what looks unhealthy."""
    from granu.report.health import check
    from granu.report.rows import rows
    from granu.report.table import by_classifier

    found = rows(run)
    for title, made in by_classifier(found):
        show.table(made.columns, made.lines, title)
    for failure in run.record.get("failures", ()):
        show.say(f"failed: {failure['perturbation']} on {failure['classifier']}: {failure['reason']}")
    for flag in check(found):
        show.say(f"note: {flag}")
    for generator, sites in run.record.get("statistics", {}).items():
        floored = [f"{site} {s['floored']} of {s['neurons']}" for site, s in sites.items() if s["floored"]]
        if floored:
            show.say(f"note: neurons of {generator} that hardly vary, counted at the floor: {', '.join(floored)}")

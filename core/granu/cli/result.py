"""A run's result as `granu eval` and `granu report` print it: tables, failures, notes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from granu.cli import show
from granu.runs.run import Run


def result_as_json(run: Run, reference: str | None = None) -> dict[str, Any]:
    """Rows, means over perturbations, unions of attacks, health signs and failures of a run, for machines."""
    from granu.report.benchmark import benchmarks
    from granu.report.export import records
    from granu.report.health import check
    from granu.report.labels import labelled
    from granu.report.notes import facts
    from granu.report.robustness import robustness
    from granu.report.rows import rows

    run = labelled(run)
    found = rows(run)
    return {
        "run": str(run),
        "rows": records(found),
        "benchmarks": [asdict(benchmark) for benchmark in benchmarks(run, found, reference)],
        "robustness": [asdict(one) for one in robustness(run, found)],
        "health": [{"classifier": f.classifier, "sign": f.sign, "where": dict(f.where)} for f in check(found)],
        "notes": facts(run),
        "failures": [asdict(failure) for failure in run.record.failures],
    }


def print_result(run: Run, reference: str | None = None) -> None:
    """Print a table per classifier, coarse to fine, then means over perturbations, failures and notes."""
    from granu.report.labels import labelled
    from granu.report.present import lines_below
    from granu.report.rows import rows
    from granu.report.table import by_classifier

    run = labelled(run)
    found = rows(run)
    for title, made in by_classifier(found):
        show.table(made.columns, made.lines, title)
    for line in lines_below(run, found, reference):
        show.say(line)

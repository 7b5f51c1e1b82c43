"""Runs measured through Python objects, with made-up plugins on the path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.evaluate import measure
from granu.runs.plan import EvalPlan, Request
from granu.runs.planning import make_plan
from granu.runs.run import Run, recorded_sources
from granu.runs.writer import open_run


def forget_plugins() -> None:
    """Drop made-up plugins that this process has imported."""
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


@pytest.fixture
def plugins_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process, and workers that it starts, find the plugins that the test makes up."""
    (tmp_path / "made-up-plugins").mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(str(tmp_path / "made-up-plugins"))
    forget_plugins()
    yield
    forget_plugins()


@pytest.fixture
def planned(plugins_on_path: None) -> Callable[..., EvalPlan]:
    """Plan a request as `granu eval` does; keywords are those of `Request`."""

    def plan(*perturbations: str, recorded: dict[str, str] | None = None, **request: Any) -> EvalPlan:
        catalog = load_catalog()
        return make_plan(catalog, BuildContext(catalog), Request(perturbations, **request), recorded)

    return plan


@pytest.fixture
def run_of(plugins_on_path: None) -> Callable[..., Run]:
    """Measure as `granu eval` does; `out` names a folder, or None for a run in memory."""

    def run(
        *perturbations: str,
        out: str | None = "run",
        fresh: bool = False,
        workers: int = 1,
        progress: Callable[[int, int, str], None] = lambda done, total, what: None,
        **request: Any,
    ) -> Run:
        asked = Request(perturbations, **request)
        folder = None if out is None else Path(out)
        catalog = load_catalog()
        context = BuildContext(catalog)
        plan = make_plan(catalog, context, asked, {} if fresh or folder is None else recorded_sources(folder))
        with open_run(folder, asked.seed, asked.precision, fresh) as writer:
            measure(plan, context, writer, "granu eval ...", progress, workers)
            return writer.run

    return run

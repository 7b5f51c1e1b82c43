"""Mutation testing with mutmut: the chore `make mutants`, and the pytest plugin that mutmut's runs load.

mutmut takes a module's name from its path below `src`, so it runs in a folder of links, `.mutants`, where `src` is
`core`. It mutates what stands inside functions and methods; it leaves out bodies of classes and modules, and decorated
functions such as properties.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGE = ROOT / ".mutants"
MUTMUT = str(Path(sys.executable).with_name("mutmut"))
LINKS = {"src": "core", "plugins": "plugins", "tests": "tests", "docs": "docs", "examples": "examples"}
LIVE = {0: "survived", 5: "no test", 33: "no test", None: "not run", 2: "not run"}  # any other exit code is a kill
MEMORY = 16 << 30  # bytes of address space: a mutant that allocates without end must not take the machine down


def main() -> int:
    """Mutate the chosen modules, run the tests, print each module's rate and survivors; 1 where a rate is too low."""
    given = _arguments()
    if not given.report:
        _stage(given.tests)
        names = _survivors(given.only) if given.survivors else [_pattern(path) for path in given.only]
        command = [MUTMUT, "run", "--max-children", str(given.processes), *names]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
        subprocess.run(command, cwd=STAGE, env=environment, check=True)
    modules = [module for module in _results() if _wanted(module.path, given.only)]
    for module in modules:
        print(f"{module.died:5} of {module.total:5} died  {module.rate:6.1%}  {module.path}")
    died, total = sum(m.died for m in modules), sum(m.total for m in modules)
    print(f"{died:5} of {total:5} died  {died / max(total, 1):6.1%}  in all")
    for module in modules:
        for name, outcome in module.live.items():
            print(f"\n{outcome}: {_difference(name) if given.diffs else name}")
    return int(any(module.rate < given.least for module in modules))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("only", nargs="*", default=["core/granu"], help="files or folders below core/granu")
    parser.add_argument("--tests", nargs="+", help="the tests to run instead of those in pyproject.toml")
    parser.add_argument("--least", type=float, default=0.85, help="the share of mutants that must die in each module")
    parser.add_argument("--processes", type=int, default=1, help="mutants tested at once")
    parser.add_argument("--survivors", action="store_true", help="test the mutants again that lived in the last run")
    parser.add_argument("--report", action="store_true", help="print the last results and run nothing")
    parser.add_argument("--diffs", action="store_true", help="print what each survivor changes")
    return parser.parse_args()


def _stage(tests: list[str] | None) -> None:
    """Lay out the links, the settings and nothing of an earlier run but mutants and their results."""
    (STAGE / "mutants").mkdir(parents=True, exist_ok=True)
    for name, target in LINKS.items():
        _link(STAGE / name, ROOT / target)
    _link(STAGE / "mutants" / "core", Path("src"))  # where the tests' conftest looks for the checkout's code
    for stale in ("tests", "plugins", "docs", "examples"):
        shutil.rmtree(STAGE / "mutants" / stale, ignore_errors=True)
    (STAGE / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)  # which tests call what may have changed
    settings = (ROOT / "pyproject.toml").read_text()
    if tests:
        chosen = f"pytest_add_cli_args_test_selection = {json.dumps(tests)}"
        settings = re.sub(r"pytest_add_cli_args_test_selection = \[[^]]*\]", chosen, settings)
    (STAGE / "pyproject.toml").write_text(settings)


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink():
        link.symlink_to(target)


def _pattern(path: str) -> str:
    """Return mutmut's pattern for the mutants of a file or folder, as in `granu.plugins.*`."""
    inside = Path(path).resolve().relative_to(ROOT / "core")
    name = ".".join(inside.with_suffix("").parts)
    return f"{name}.x*" if inside.suffix == ".py" else f"{name}.*"


@dataclass(frozen=True)
class Module:
    """The results of one file: `live` maps each mutant that no test killed to its outcome."""

    path: Path
    total: int
    live: dict[str, str]

    @property
    def died(self) -> int:
        """Number of mutants that a test killed."""
        return self.total - len(self.live)

    @property
    def rate(self) -> float:
        """Share of mutants that a test killed."""
        return self.died / self.total


def _results() -> Iterator[Module]:
    source = STAGE / "mutants" / "src"
    for file in sorted(source.rglob("*.py.meta")):
        codes = json.loads(file.read_text())["exit_code_by_key"]
        path = ROOT / "core" / file.relative_to(source).with_suffix("")
        if codes and path.exists():
            yield Module(path, len(codes), {name: LIVE[code] for name, code in codes.items() if code in LIVE})


def _wanted(path: Path, only: list[str]) -> bool:
    return any(path.is_relative_to(Path(chosen).resolve()) for chosen in only)


def _survivors(only: list[str]) -> list[str]:
    return [name for module in _results() if _wanted(module.path, only) for name in module.live]


def _difference(name: str) -> str:
    command = [MUTMUT, "show", name]
    return subprocess.run(command, cwd=STAGE, capture_output=True, text=True, check=True).stdout


def pytest_configure(config: pytest.Config) -> None:
    """Prepare a process of mutmut's: limit a mutant's memory, and let subprocesses of the first run be plain ones."""
    mutant = os.environ.get("MUTANT_UNDER_TEST", "")
    if "__mutmut_" in mutant:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    elif mutant == "stats":
        del os.environ["MUTANT_UNDER_TEST"]  # this process has its own copy; another would look for mutmut's settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run short tests first: most mutants die early, and mutmut stops at the first failure."""
    try:
        seconds = json.loads(Path("mutmut-stats.json").read_text())["duration_by_test"]
    except FileNotFoundError:
        return
    items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))


if __name__ == "__main__":
    sys.exit(main())

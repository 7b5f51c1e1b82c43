"""The example package, really installed by pip into a fresh environment, is found and works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "examples" / "granu-checkers"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment that sees the libraries of this one, so that torch is not installed again."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
    libraries = sysconfig.get_path("purelib")
    (site / "libraries.pth").write_text(f"import site; site.addsitedir({libraries!r})\n")
    # the setuptools that some Pythons bundle is older than what the package is built with
    subprocess.run(
        [python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"], check=True, capture_output=True
    )
    source = shutil.copytree(PACKAGE, folder / "granu-checkers")
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", str(source)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PIP_NO_INDEX": "1"})
    return folder


def granu(environment: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = "from granu.cli import main; main()"
    command = [str(environment / "venv/bin/python"), "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=environment, timeout=300)


def test_it_is_listed(environment: Path) -> None:
    listed = granu(environment, "list-plugins")
    assert "granu-checkers 0.1.0" in listed.stdout and "broken" not in listed.stdout, listed.stdout + listed.stderr


def test_it_is_searched_judged_and_reported_like_our_own(environment: Path) -> None:
    result = granu(environment, "eval", "--perturb", "checkers:4,steps=30", "--count", "6", "--out", "run")
    assert result.returncode == 0, result.stderr
    assert "brightness of a square (RMS)" in result.stdout


def test_its_own_tests_pass(environment: Path) -> None:
    command = [str(environment / "venv/bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=environment / "granu-checkers", timeout=300)
    assert result.returncode == 0, result.stdout
    assert "3 passed" in result.stdout


def test_without_it_nothing_is_called_checkers(run_python) -> None:  # type: ignore[no-untyped-def]
    assert run_python("from granu.cli import main; main()", "info", "checkers").returncode == 2

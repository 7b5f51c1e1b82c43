"""The shipped BigGAN on the command line, with default options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from granu.runs.run import read_run

Granu = Callable[..., Any]


def test_it_works_without_options(granu: Granu, tmp_path: Path) -> None:
    result = granu("eval", "-p", "biggan:layer2,samples=5,steps=20", "-n", "4", "-o", "run")
    assert result.returncode == 0, result.stderr
    trials = read_run(tmp_path / "run").trials
    assert len(trials) == 4 and {trial.label for trial in trials} == {0, 1, 2, 3}


def test_classes_are_chosen_by_name(granu: Granu, tmp_path: Path) -> None:
    spec = "biggan:layer2,samples=5,steps=20,classes=7,4"
    assert granu("eval", "-p", spec, "-n", "4", "--judge", "none", "-o", "run").returncode == 0
    assert [trial.label for trial in read_run(tmp_path / "run").trials] == [7, 4, 7, 4]


def test_an_unknown_class_is_refused_before_anything_runs(granu: Granu, tmp_path: Path) -> None:
    result = granu("eval", "-p", "biggan:layer2,classes=tiger", "-n", "4", "-o", "run")
    assert result.returncode == 2 and "there is no class 'tiger'" in result.stderr
    assert not (tmp_path / "run").exists()

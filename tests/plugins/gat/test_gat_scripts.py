"""The recipe on digits trains, evaluates, resumes and compares; the cost of a step is printed beside its passes."""

from __future__ import annotations

import importlib.util
import math
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from granu.images.ops import encode_png

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("gat_mnist", EXAMPLES / "gat_mnist.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digits(file: Path, count: int) -> Path:
    """A parquet file of noise with the labels of digits."""
    import pyarrow as arrow
    import pyarrow.parquet

    noise = torch.Generator().manual_seed(count)
    images = [{"bytes": encode_png(torch.rand(1, 28, 28, generator=noise)), "path": ""} for _ in range(count)]
    arrow.parquet.write_table(arrow.table({"image": images, "label": [i % 10 for i in range(count)]}), file)
    return file


def test_it_trains_evaluates_and_repeats_nothing(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, test, out = digits(tmp_path / "train.parquet", 40), digits(tmp_path / "test.parquet", 12), tmp_path / "out"
    words = ["gat_mnist.py", "--data", str(data), "--test", str(test), "--out", str(out), "--labels", "20", "--rows"]
    words += ["real", "real + all labels", "--steps", "2", "--batch", "10", "--count", "4", "--clean", "12"]
    words += [
        "--classifier",
        "zoo:mnist-lenet,init=random",
        "--seeds",
        "1",
        "--perturb",
        "style:gamma,search=pgd,steps=2,budget=0.1",
    ]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(recipe, "ATTACKS", {"noise": "corruption:gaussian-noise,severity=1"})
    recipe.main()
    table, compared = capsys.readouterr().out.split("Differences")
    numbers = re.findall(r"^\| (real.*?) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| – \|$", table, re.MULTILINE)
    assert [row for row, *_ in numbers] == ["real", "real + all labels"]
    assert "| real + all labels against real |" in compared and "1 labels" not in table
    assert (out / "labelled-20-1.parquet").exists() and len(list(out.glob("*.safetensors"))) == 2
    real, started = subprocess.run, []

    def watched(words: list[str], **more: Any) -> Any:
        started.append(words)
        return real(words, **more)

    monkeypatch.setattr(recipe.subprocess, "run", watched)
    recipe.main()
    assert started and not [words for words in started if "train" in words]  # but git is asked for the commit
    assert capsys.readouterr().out.split("Differences")[0] == table


def test_accuracy_counts_images_that_are_right_clean_and_changed(recipe: ModuleType) -> None:
    from types import SimpleNamespace

    def trial(outcome: str, perturbation: str = "pixel:linf,budget=0.1,search=pgd") -> SimpleNamespace:
        counts = outcome in ("found", "not-found")
        return SimpleNamespace(classifier="c", perturbation=perturbation, outcome=outcome, counts=counts)

    outcomes = ("found", "not-found", "not-found", "clean-wrong")
    run = SimpleNamespace(trials=[*map(trial, outcomes), trial("found", "other")])
    assert recipe.robust_accuracy(run, "c", "pixel:linf,search=pgd,budget=0.1", 4) == 50


def test_intervals_are_of_paired_seeds(recipe: ModuleType) -> None:
    assert recipe.difference({0: 5.0, 1: 7.0, 2: 9.0}, {0: 4.0, 1: 4.0, 2: 4.0, 3: 99.0}) == "+3.0 [-2.0, +8.0]"
    assert recipe.difference({0: 5.0}, {0: 4.0}) == "+1.0" and recipe.difference({0: 5.0}, {}) == "–"
    assert recipe.summary({0: 80.0, 1: 90.0}) == "85.0 (80.0 to 90.0)"
    assert recipe.summary({0: math.nan}) == recipe.summary({}) == "–"


def test_every_row_names_defenses_that_exist(recipe: ModuleType) -> None:
    from granu import BuildContext, load_catalog

    context = BuildContext(load_catalog())
    for specs in recipe.ROWS.values():
        for spec in specs:
            if "DATA" not in spec:
                context.check("defense", spec)
    assert {row for pair in recipe.COMPARED for row in pair} == set(recipe.ROWS)


def test_the_cost_of_a_step_is_printed_beside_its_passes() -> None:
    command = [sys.executable, str(EXAMPLES / "attack_cost.py"), "--batch", "2", "--rounds", "1", "--steps", "1"]
    command += ["--classifier", "zoo:mnist-lenet", "--generator", "stylegan:style0+noise0,samples=2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^zoo:mnist-lenet +gat stylegan.* ms +([\d.]+)$", done.stdout, re.MULTILINE)

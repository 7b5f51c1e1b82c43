"""The measuring scripts run as their docstrings say, on digits from the shipped generator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from granu.images.ops import encode_png
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.sources import GeneratorSource
from granu.types import Batch

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    source = GeneratorSource(BuildContext(load_catalog()).build("generator", "stylegan"), "stylegan", 0, "cpu")
    (batch,) = source.batches(range(10))
    assert isinstance(batch, Batch)
    for position, (image, label) in enumerate(zip(batch.images, batch.labels.tolist(), strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        (folder / str(label) / f"{position}.png").write_bytes(encode_png(image))
    return folder


def run(script: str, *words: str) -> str:
    done = subprocess.run([sys.executable, EXAMPLES / script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sparse_pixels_are_benchmarked(digits: Path) -> None:
    printed = run(
        "sparse_pixel_benchmark.py",
        *("--data", f"folder:{digits}", "--count", "4"),
        *("--method", "sparse-pixel", "--method", "sparse-pixel:solver=l1,lambda=3,classes=9,prune=0,refine=0"),
    )
    assert printed.startswith("4 images of 1x") and printed.count("100.0%") == 2


def test_margins_are_printed_low_to_high(digits: Path) -> None:
    printed = run(
        "frequency_margins.py",
        *("--classifier", "zoo:mnist-cnn", "--data", f"folder:{digits}", "--count", "3", "--candidates", "2"),
    )
    assert "Spearman" in printed and "0 to " in printed.splitlines()[2]

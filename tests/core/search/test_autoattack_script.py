"""The script that compares `search=worst` with AutoAttack, without AutoAttack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from granu import Batch, BuildContext, load_catalog
from granu.images.ops import encode_png
from granu.runs.sources import GeneratorSource

SCRIPT = Path(__file__).parents[3] / "examples" / "autoattack.py"


def test_a_row_for_each_method_says_what_held_and_what_it_cost(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    source = GeneratorSource(BuildContext(load_catalog()).build("generator", "stylegan"), "stylegan", 0, "cpu")
    (batch,) = source.batches(range(6))
    assert isinstance(batch, Batch)
    rows = {"image": [{"bytes": encode_png(image)} for image in batch.images], "label": batch.labels.tolist()}
    parquet.write_table(pyarrow.table(rows), tmp_path / "mnist-test.parquet")
    words = ("--data", str(tmp_path), "--count", "6", "--case", "4", "--method", "pgd", "--method", "quick")
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, heads, pgd, quick = done.stdout.splitlines()
    assert first.startswith("6 images, one thread") and heads.startswith("classifier")
    assert pgd.split()[:4] == ["mnist-cnn", "l2", "1", "pgd"] and quick.split()[3] == "quick"
    for row in (pgd, quick):
        robust, saved, forward, backward = map(float, row.split()[4:8])
        assert robust <= saved + 20 and forward > backward > 0
    assert float(quick.split()[5]) <= float(pgd.split()[5])

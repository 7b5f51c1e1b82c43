"""`examples/which_training_helps.py` measures named classifiers and draws them relative to the first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "which_training_helps.py"


def test_named_classifiers_are_related_to_the_first_at_every_change(tmp_path: Path) -> None:
    named = ("--classifier", "plain=zoo:mnist-lenet", "--classifier", "L2=zoo:mnist-cnn-l2")
    changes = ("--perturb", "frequency:3,steps=4", "--perturb", "pixel:l2,steps=4")
    words: tuple[str, ...] = (*named, *changes, "--guide", "zoo:mnist-judge-mixer", "--judge", "zoo:mnist-judge-l2")
    words += ("--count", "6", "--out", "which", "--figure", "w.svg")
    done = subprocess.run([sys.executable, str(SCRIPT), *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("size of all that was found, relative to plain") :].splitlines()
    assert table[2].split() == ["change", "L2"]
    keys = [line.split()[0] for line in table[4:6]]
    assert keys == ["frequency:3,preserve=yes,steps=4", "pixel:l2,preserve=yes,steps=4"]
    assert "median label-preserving size" not in done.stdout, "all that guides let a search find is label-preserving"
    assert any(line.endswith("is kept by the guides zoo:mnist-judge-mixer; sizes are upper bounds") for line in table)
    assert "<svg" in (tmp_path / "w.svg").read_text()

"""The script that compares a step's cost with that of its passes runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "examples" / "advbn_cost.py"


def test_the_script_compares_both_kinds_of_steps_with_their_passes() -> None:
    command = [sys.executable, str(SCRIPT), "--batch", "4", "--rounds", "1", "--steps", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"ms +([\d.]+)$", done.stdout, re.MULTILINE)) == 2

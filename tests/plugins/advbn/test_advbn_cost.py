"""The script that compares a step's cost with that of its passes runs, and finds them alike."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "examples" / "advbn_cost.py"


def test_a_step_costs_little_more_than_its_passes() -> None:
    command = [sys.executable, str(SCRIPT), "--batch", "16", "--rounds", "3", "--steps", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ratios = [float(number) for number in re.findall(r"ms +([\d.]+)$", done.stdout, re.MULTILINE)]
    assert len(ratios) == 2 and max(ratios) < 1.4  # 1.05 and 1.13 at the script's defaults

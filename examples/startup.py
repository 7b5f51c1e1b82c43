"""CPU seconds of `granu list-plugins` (minimum and median of eleven runs), and whether it imports torch.

python examples/startup.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median


def main() -> None:
    command = [sys.executable, "-m", "granu", "list-plugins"]
    times = sorted(cpu_seconds(command) for _ in range(11))
    print(f"granu list-plugins: {times[0]:.2f} CPU seconds at least, {median(times):.2f} at the median")
    code = "import sys, granu.cli as c; c.app(['list-plugins'], standalone_mode=False); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(f"torch was imported: {answer.stdout.split()[-1]}")


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()

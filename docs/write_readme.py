"""Write the demonstration's table and images into README.md, from the run that `make demo` made.

python docs/write_readme.py runs/demo
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
START, END = "<!-- from here to the end mark: docs/write_readme.py -->", "<!-- end -->"


def main() -> None:
    run = Path(sys.argv[1])
    draw_strip(run)
    granu("report", str(run), "--figure", str(IMAGES / "profile.svg"))
    table = "\n".join(line.rstrip() for line in granu("report", str(run)).splitlines()).strip()
    readme = ROOT / "README.md"
    block = f"{START}\n```\n{table}\n```\n{END}"
    readme.write_text(re.sub(f"{re.escape(START)}.*{re.escape(END)}", lambda _: block, readme.read_text(), flags=re.S))


def draw_strip(run: Path) -> None:
    """Draw the first images of the run, clean, then changed from coarse to fine."""
    from granu.report import style
    from granu.report.sheet import sheet
    from granu.runs.run import read_run

    IMAGES.mkdir(exist_ok=True)
    style.save(sheet(read_run(run), most=3), IMAGES / "strip.png")


def granu(*words: str) -> str:
    command = [str(Path(sys.executable).with_name("granu")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()

"""Write docs/reference.md from what the program prints: every command's help, and every offer.

python docs/write_reference.py          write it
python docs/write_reference.py --check  exit with 1 if it differs
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).with_name("reference.md")
COMMANDS = ("eval", "report", "compare", "train", "harden", "info", "list-plugins", "convert")


def main() -> None:
    text = reference()
    if "--check" in sys.argv:
        sys.exit(0 if FILE.read_text() == text else f"{FILE} is out of date; run `make docs`")
    FILE.write_text(text)


def reference() -> str:
    parts = ["# Reference\n\nWritten by `make docs` from what the program prints.\n\n## Commands\n"]
    parts += [f"### granu {command}\n\n{block(granu(command, '--help'))}" for command in COMMANDS]
    parts.append("## Offers\n")
    parts += [f"### {name}\n\n{block(granu('info', name))}" for name in plugins()]
    return "\n".join(parts)


def plugins() -> list[str]:
    """The entry points of granu itself, without other plugins that are installed."""
    from importlib.metadata import distribution

    return sorted(entry.name for entry in distribution("granu").entry_points if entry.group == "granu")


def granu(*words: str) -> str:
    command = [str(Path(sys.executable).with_name("granu")), *words]
    env = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


def block(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return f"```\n{lines}\n```\n"


if __name__ == "__main__":
    main()

"""What the documents tell people to type is understood, and the reference is what the program says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "plugins").glob("*/README.md"))]
# a file, folder, package or download that only the reader has
SOMEBODY_ELSES = ("checkers", "mymodel", "folder:", "parquet:", "datasets:", "timm:", "hf:", "weights=")


def commands() -> list[str]:
    """Every `granu eval` line in a code block, without its comment, unless it names what only its reader has."""
    blocks = [b for file in DOCUMENTS for b in re.findall(r"```(?:\w*)\n(.*?)```", file.read_text(), flags=re.S)]
    text = "\n".join(blocks).replace("\\\n", " ")
    lines = [re.split(r"\s{2,}#", line)[0].strip().removeprefix("$ ") for line in text.splitlines()]
    chosen = {line for line in lines if line.startswith("granu eval ")}
    return sorted(line for line in chosen if not any(word in line for word in SOMEBODY_ELSES))


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_makes_a_plan(granu: Callable[..., Any], command: str) -> None:
    result = granu(*shlex.split(command)[1:], "--dry-run")
    assert result.returncode == 0, result.stderr


def test_there_are_documented_commands() -> None:
    assert len(commands()) >= 4


def test_the_reference_is_what_the_program_says() -> None:
    check = [sys.executable, str(ROOT / "docs" / "write_reference.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(file: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text()):
        if not link.startswith("http"):
            assert (file.parent / link).exists(), f"{file.name} links to {link}"

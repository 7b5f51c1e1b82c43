"""The scripts run as their docstrings say, in small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from granu.images.ops import encode_png

EXAMPLES = Path(__file__).parents[3] / "examples"


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_augmentation_is_faster_than_the_published_mathematics() -> None:
    output = run("prime_speed.py", "--batch", "24", "--repeats", "2", "--steps", "1")
    faster = re.search(r"([\d.]+) times faster", output)
    assert faster is not None and float(faster[1]) >= 4.5  # about 20 for a batch of 128
    changes = [float(number) for number in re.findall(r"RMS change, \w+ +([\d.]+)", output)]
    assert len(changes) == 2 and abs(changes[0] / changes[1] - 1) < 0.25
    assert re.search(r"ResNet-18 step +[\d.]+ ms   augmentation is [\d.]+ % of it", output)


def test_the_sheet_has_a_row_for_each_image_and_a_column_for_each_name(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "photographs" / label).mkdir(parents=True)
        (tmp_path / "photographs" / label / "0.png").write_bytes(encode_png(torch.rand(3, 20, 30)))
    file = tmp_path / "sheet.png"
    names = run("prime_sheet.py", f"folder:{tmp_path / 'photographs'}", str(file), "--side", "16").strip().split(", ")
    assert names.count("spectral") == 2 and names.count("prime") == 3
    with Image.open(file) as sheet:
        assert sheet.size == (16 * len(names), 16 * 2)

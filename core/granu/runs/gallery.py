"""Where a run keeps its images: a folder per image, the clean one and one per classifier and perturbation."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

LONGEST = 80  # characters of a slug: a file name of two of them stays below the 255 bytes that file systems take


def slug(text: str) -> str:
    """`text` as a safe file name; a short hash stands at the end of one that had to be changed, so that no two meet."""
    # two hyphens separate the slugs of a file name, so there are none inside one
    safe = re.sub(r"--+", "-", re.sub(r"[^A-Za-z0-9._-]+", "_", text)).strip("._-")
    if safe == text and 0 < len(safe) <= LONGEST:
        return safe
    ending = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{safe[: LONGEST - 9]}-{ending}" if safe else ending


def clean_file(folder: Path, image: str) -> Path:
    """The image as it was before any change; `folder` is the run's `images`."""
    return folder / slug(image) / "clean.png"


def image_file(folder: Path, image: str, classifier: str, perturbation: str) -> Path:
    """The changed image that was judged; `folder` is the run's `images`."""
    return folder / slug(image) / f"{slug(classifier)}--{slug(perturbation)}.png"

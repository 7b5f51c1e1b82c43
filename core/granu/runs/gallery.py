"""File names of a run's images: a folder per image, holding the clean one and one per classifier and perturbation.

Where a generator encoded the image, the folder also holds, per generator, what was encoded and its reconstruction.
"""

from __future__ import annotations

import re

DEFAULT_KEEP = 8  # images whose PNGs are written, and rows of a sheet
LONGEST = 80  # characters of a slug: a file name of two of them stays below the 255 bytes that file systems take


def slug(text: str) -> str:
    """`text` as a safe file name. One that had to be changed ends with a short hash, so that names never collide."""
    # two hyphens separate the slugs of a file name, so there are none inside one
    safe = re.sub(r"--+", "-", re.sub(r"[^A-Za-z0-9._-]+", "_", text)).strip("._-")
    if safe == text and 0 < len(safe) <= LONGEST:
        return safe
    import hashlib

    ending = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{safe[: LONGEST - 9]}-{ending}" if safe else ending


def clean_name(image: str) -> str:
    """File name, within the run's images, of an image before any change."""
    return f"{slug(image)}/clean.png"


def prepared_name(image: str, generator: str) -> str:
    """File name of an image as a generator took it: cropped and resized, or padded."""
    return f"{slug(image)}/prepared-{slug(generator)}.png"


def reconstruction_name(image: str, generator: str) -> str:
    """File name of what a generator makes of its encoding of an image, without an edit."""
    return f"{slug(image)}/reconstruction-{slug(generator)}.png"


def changed_name(image: str, classifier: str, perturbation: str) -> str:
    """File name, within the run's images, of the changed image that was judged."""
    return f"{slug(image)}/{slug(classifier)}--{slug(perturbation)}.png"

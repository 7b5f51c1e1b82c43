"""Edited images by content: a PNG for each, and a JSON file that says how it was made. Each image is made once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from granu import decode_png, encode_png, write_whole
from granu_diffusion_edit.prompts import Prompt

VERSION = 1  # of what decides on an image beside its name's parts


@dataclass(frozen=True)
class Wanted:
    """All that an edited image depends on beside the pipeline and its settings."""

    source: str  # digest of the image before preparation
    prompt: Prompt
    severity: float | None  # None where it has no influence
    seed: int


@dataclass(frozen=True)
class KeptEdit:
    """An edited image (C, H, W) in [0, 1], quantized to 8 bits; numbers on how it was made; why it is no image."""

    image: Tensor
    facts: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


class KeptEdits:
    """Edited images in a folder, in memory where it cannot be written to.

    `settings` names weights and all settings of the engine; `about` is the part of it that people read.
    """

    def __init__(self, folder: Path, settings: str, about: str) -> None:
        self.folder, self.settings, self.about = folder, settings, about
        self._unwritten: dict[str, KeptEdit] = {}

    def name(self, wanted: Wanted) -> str:
        """The name of an image: SHA-256 of all that it depends on."""
        prompt = wanted.prompt
        parts = [
            VERSION, self.settings, wanted.source, prompt.source, prompt.target, prompt.instruction, wanted.severity,
            wanted.seed,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def read(self, wanted: Wanted) -> KeptEdit | None:
        """The image; None if it was not made, or a crash left a part of it."""
        name = self.name(wanted)
        if name in self._unwritten:
            return self._unwritten[name]
        png, about = self._files(name)
        try:
            known = json.loads(about.read_text(encoding="utf-8"))
            return KeptEdit(decode_png(png.read_bytes()), known["facts"], known["failure"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, wanted: Wanted, edit: KeptEdit) -> None:
        """Keep an image."""
        name, prompt = self.name(wanted), wanted.prompt
        about = {
            "settings": self.settings, "engine": self.about, "source_sha256": wanted.source, "edit": prompt.edit,
            "source": prompt.source, "prompt": prompt.target, "instruction": prompt.instruction,
            "severity": wanted.severity, "seed": wanted.seed, "facts": dict(edit.facts), "failure": edit.failure,
        }  # fmt: skip
        png, text = self._files(name)
        try:
            png.parent.mkdir(parents=True, exist_ok=True)
            write_whole(text, json.dumps(about, indent=1).encode())
            write_whole(png, encode_png(edit.image))
        except OSError:
            self._unwritten[name] = edit

    def _files(self, name: str) -> tuple[Path, Path]:
        folder = self.folder / name[:2]
        return folder / f"{name}.png", folder / f"{name}.json"

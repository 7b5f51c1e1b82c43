"""Folders of tiny editors, saved once, and images of named classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edited_images import images_of
from tiny_editors import kontext, pix2pix, pix2pix_xl, save_clip, stable_diffusion, unconditional

from granu import Batch, BuildContext
from granu.plugins.catalog import Catalog
from granu_diffusion_edit import EditOptions, make
from granu_diffusion_edit.perturbation import DiffusionEdit

MAKERS = {"sd": stable_diffusion, "pix2pix": pix2pix, "xl": pix2pix_xl, "kontext": kontext, "none": unconditional}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each editor, made when it is first asked for."""
    return tmp_path_factory.mktemp("editors")


@pytest.fixture
def folder(folders: Path) -> Callable[[str], Path]:
    """The folder of an editor by name; `clip` is a CLIP."""

    def find(name: str) -> Path:
        if not (folders / name).exists():
            if name == "clip":
                save_clip(folders / name)
            else:
                MAKERS[name]().save_pretrained(folders / name)
        return folders / name

    return find


@pytest.fixture
def opened(folder: Callable[[str], Path]) -> Callable[..., DiffusionEdit]:
    """Open an editor by the plugin's own code, with four steps at 16 pixels, and the severities 0.5 and 1."""

    def open_editor(name: str, **options: Any) -> DiffusionEdit:
        settings: dict[str, Any] = {"edit": "weather/snow", "steps": 4, "severity": (0.5, 1.0), "size": 16} | options
        return make(EditOptions(weights=str(folder(name)), **settings), BuildContext(Catalog()))  # type: ignore[no-any-return]

    return open_editor


@pytest.fixture
def batch() -> Batch:
    """Three colour images of odd sizes."""
    return images_of(3, 3, 13, 17)

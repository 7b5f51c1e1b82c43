"""Images in one folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence

from torch import Tensor

from granu import DataError
from granu_datasets import FolderOptions
from granu_datasets.decoding import decode
from granu_datasets.prepared import prepare, renamed

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
UNSUPPORTED = {".heic", ".heif", ".jxl", ".svg"}  # listed, so that a run reports them as unreadable


class Folder:
    """All images below FOLDER/CLASS/; an image's id is its path within FOLDER."""

    def __init__(self, options: FolderOptions) -> None:
        self.options = options
        assert options.path is not None  # checked by check_folder
        self.root = options.path.expanduser()
        names = sorted(p.name for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))
        self.files = [
            (file, label)
            for label, name in enumerate(names)
            for file in sorted((self.root / name).rglob("*"))
            if file.suffix.lower() in SUFFIXES | UNSUPPORTED and not file.name.startswith(".") and file.is_file()
        ]
        if not self.files:
            raise DataError(f"{self.root} holds no images in subfolders; use one subfolder per class, as in cat/1.png")
        self.classes: Sequence[str] = renamed(names, options)

    def __len__(self) -> int:
        return len(self.files)

    def image_id(self, index: int) -> str:
        """The path inside the folder; bytes of it that are no UTF-8 are written as escapes."""
        path = self.files[index][0].relative_to(self.root).as_posix()
        return os.fsencode(path).decode(errors="backslashreplace")

    def read(self, index: int) -> tuple[Tensor, int]:
        file, label = self.files[index]
        if file.suffix.lower() in UNSUPPORTED:
            raise DataError(f"{self.image_id(index)} is in a format that granu does not read; save it as PNG or JPEG")
        return prepare(decode(file, self.image_id(index)), self.options), label

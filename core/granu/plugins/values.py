"""Values of options that several plugins take, as a person types them: class names and input sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from granu.errors import OptionError
from granu.plugins.imagenet import imagenet_classes

MOST_CLASSES = 100_000
IMAGENET = "imagenet"


@dataclass(frozen=True)
class ClassNames:
    """Names of a classifier's outputs, in order; numbers with `named` False if only their count was given."""

    names: tuple[str, ...]
    named: bool = True

    def __len__(self) -> int:
        return len(self.names)


def numbered_classes(count: int) -> ClassNames:
    """Numbers from 0, for a classifier whose classes have no names."""
    return ClassNames(tuple(map(str, range(count))), named=False)


def read_class_names(text: str) -> ClassNames:
    """Read names joined by plus, a file with one name per line, the number of classes, or `imagenet`.

    Lets an option `classes` mean the same for all plugins: `classes=cat+dog`, `classes=names.txt`, `classes=10`,
    `classes=imagenet` (the WordNet ids of ILSVRC 2012 in the usual order). OptionError for less than 2 names.
    """
    if text == IMAGENET:
        return ClassNames(tuple(imagenet_classes()))
    if _is_file(text):
        lines = Path(text).expanduser().read_text().splitlines()
        names = ClassNames(tuple(line.strip() for line in lines if line.strip()))
    elif text.isdecimal() and int(text) <= MOST_CLASSES:
        names = numbered_classes(int(text))
    else:
        names = ClassNames(tuple(text.replace("+", ",").split(",")))
    if len(names) < 2 or not all(names.names):
        raise OptionError(
            f"classes={text} does not name two classes or more; join names by plus, like cat+dog, name a file with one "
            "per line, give their number, or write imagenet"
        )
    return names


def read_size(text: str | None, where: str) -> tuple[int, int] | None:
    """Parse `224` or `28x32` to (height, width). OptionError for anything else."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise OptionError(f"`{where}`: size={text} is not a size; write it like 224 or 28x32")
    return int(parts[0]), int(parts[-1])


def _is_file(text: str) -> bool:
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError):  # many names joined by plus are too long for a file's name
        return False

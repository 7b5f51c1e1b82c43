"""Class names as a person types them in a spec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from granu.errors import OptionError

MOST = 100_000


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
    """Read names joined by plus, a file with one name per line, or the number of classes. OptionError for less than 2.

    Lets an option `classes` mean the same for all plugins: `classes=cat+dog`, `classes=names.txt`, `classes=10`.
    """
    file = Path(text).expanduser()
    if file.is_file():
        names = ClassNames(tuple(line.strip() for line in file.read_text().splitlines() if line.strip()))
    elif text.isdecimal() and int(text) <= MOST:
        names = numbered_classes(int(text))
    else:
        names = ClassNames(tuple(text.replace("+", ",").split(",")))
    if len(names) < 2 or not all(names.names):
        raise OptionError(
            f"classes={text} does not name two classes or more; join names by plus, like cat+dog, name a file with one "
            "per line, or give their number"
        )
    return names

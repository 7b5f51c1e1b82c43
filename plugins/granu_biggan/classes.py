"""Class names of a BigGAN, and the classes that an option names."""

from __future__ import annotations

from collections.abc import Sequence

from granu import OptionError, imagenet_classes, imagenet_names, suggest

IMAGENET = 1000


def class_names(count: int, given: Sequence[str] = ()) -> tuple[str, ...]:
    """The `given` names; without them ImageNet's for a thousand classes, otherwise numbers."""
    if given:
        return tuple(given)
    if count == IMAGENET:
        return imagenet_names()
    return tuple(str(number) for number in range(count))


def choose_classes(asked: Sequence[str], names: Sequence[str], where: str) -> tuple[int, ...]:
    """The class numbers of `classes=tiger,963`, in order; all of them if `asked` is empty.

    A class is given by number, name, or (ImageNet) any synonym that no other class shares.
    """
    if not asked:
        return tuple(range(len(names)))
    meanings = _meanings(names)
    chosen = []
    for word in asked:
        meant = meanings.get(word.strip().casefold().replace("_", " "), ())
        if not meant:
            raise OptionError(f"`{where}`: there is no class '{word}'; {suggest(word.casefold(), meanings)}")
        if len(meant) > 1:
            several = ", ".join(f"{number} ({names[number]})" for number in meant)
            raise OptionError(f"`{where}`: '{word}' is ambiguous: {several}; use the number")
        chosen.append(meant[0])
    return tuple(dict.fromkeys(chosen))


def _meanings(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Map lower-case words to the class numbers they may mean; a name takes precedence over a synonym."""
    meanings: dict[str, tuple[int, ...]] = {}
    if tuple(names) == imagenet_names():
        for number, synonyms in enumerate(imagenet_classes().values()):
            for word in {synonym.casefold() for synonym in synonyms}:
                meanings[word] = (*meanings.get(word, ()), number)
    own = {name.casefold(): (number,) for number, name in enumerate(names)}
    return meanings | {str(number): (number,) for number in range(len(names))} | own

"""Class names of a diffusion model, and the classes that an option names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from granu import OptionError, shown, suggest


def class_names(given: Sequence[str]) -> tuple[str, ...]:
    """The first synonym of each class, with the class number if it is not unique."""
    firsts = [shown(name.split(",")[0].strip(), 200) for name in given]
    count = Counter(name.casefold() for name in firsts)
    return tuple(n if count[n.casefold()] == 1 else f"{n} ({number})" for number, n in enumerate(firsts))


def choose_classes(asked: Sequence[str], given: Sequence[str], where: str) -> tuple[int, ...]:
    """The numbers of the classes in an option `classes=`, in order; all of them if `asked` is empty.

    A class is given by number, name, or any synonym that no other class shares.
    """
    if not asked:
        return tuple(range(len(given)))
    if not given:
        raise OptionError(f"`{where}`: these weights are unconditional, so there are no classes to choose from")
    meanings = _meanings(given)
    chosen = []
    for word in asked:
        meant = meanings.get(word.strip().casefold().replace("_", " "), ())
        if not meant:
            raise OptionError(f"`{where}`: there is no class '{shown(word)}'; {suggest(word.casefold(), meanings)}")
        if len(meant) > 1:
            raise OptionError(f"`{where}`: '{shown(word)}' is ambiguous: {', '.join(map(str, meant))}; use the number")
        chosen.append(meant[0])
    return tuple(dict.fromkeys(chosen))


def _meanings(given: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Map lower-case words to the class numbers they may mean; a name takes precedence over a synonym."""
    meanings: dict[str, tuple[int, ...]] = {}
    for number, synonyms in enumerate(given):
        for word in {synonym.strip().casefold() for synonym in synonyms.split(",")}:
            meanings[word] = (*meanings.get(word, ()), number)
    own = {name.casefold(): (number,) for number, name in enumerate(class_names(given))}
    return meanings | {str(number): (number,) for number in range(len(given))} | own

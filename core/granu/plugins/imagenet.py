"""The thousand classes of ILSVRC 2012: WordNet ids and WordNet's words for them, in the order of the class numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path


@cache
def imagenet_classes() -> Mapping[str, tuple[str, ...]]:
    """WordNet id -> synonyms, the usual name first."""
    text = Path(__file__).with_name("imagenet.json").read_text(encoding="utf-8")
    return {wordnet_id: tuple(words.split(", ")) for wordnet_id, words in json.loads(text).items()}


@cache
def imagenet_names() -> tuple[str, ...]:
    """The first synonym of each class, with the class number if it is not unique."""
    firsts = [synonyms[0] for synonyms in imagenet_classes().values()]
    count = Counter(name.casefold() for name in firsts)
    return tuple(n if count[n.casefold()] == 1 else f"{n} ({number})" for number, n in enumerate(firsts))


def wordnet_id(name: str) -> str:
    """The WordNet id, in lower case, of a class of ImageNet that is given by id or name; other names unchanged.

    A name is a synonym that no other class shares, all synonyms joined by commas, or a name of `imagenet_names`.
    """
    key = name.replace("_", " ").casefold()
    return _ids_by_name().get(key, name.casefold())


def class_title(name: str) -> str:
    """A class's name as reports print it: a WordNet id of ImageNet as its usual name, others unchanged."""
    synonyms = imagenet_classes().get(name) if name.startswith("n") and name[1:].isdecimal() else None
    return synonyms[0] if synonyms else name


@cache
def _ids_by_name() -> Mapping[str, str]:
    classes = imagenet_classes()
    shared = Counter(word for synonyms in classes.values() for word in {s.casefold() for s in synonyms})
    ids: dict[str, str] = {}
    for (id_, synonyms), name in zip(classes.items(), imagenet_names(), strict=True):
        words = [synonym.casefold() for synonym in synonyms]
        joined = [", ".join(words)] if len(words) > 1 else []
        ids.update({word: id_ for word in [*words, *joined, name.casefold()] if shared[word] <= 1})
    return ids

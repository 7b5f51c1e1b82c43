"""The tree of prompts: domains, their edits and templates, and the super-class of each class; read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from granu import OptionError, imagenet_classes, shown, suggest, wordnet_id

OWN = Path(__file__).with_name("prompts.toml")
SUPERCLASSES = Path(__file__).with_name("superclasses.toml")
TABLES = {"source", "keep", "domains", "edits", "classes", "names", "fixed"}


@dataclass(frozen=True)
class Template:
    """A caption of the edited image and the instruction that asks for it; `{class}` and `{a class}` are filled in."""

    describe: str
    instruct: str


@dataclass(frozen=True)
class Edit:
    """An edit such as weather/snow. It applies to some super-classes, or to all where `applies` is None."""

    domain: str
    name: str
    templates: tuple[Template, ...]
    applies: frozenset[str] | None = None
    alters: str = ""  # the property that it changes: classes that are fixed in it are left out

    def __str__(self) -> str:
        return f"{self.domain}/{self.name}"


@dataclass(frozen=True)
class Fixed:
    """Classes that another colour, or another material, would turn into something else."""

    words: frozenset[str]  # in a class's own name, lower case
    classes: frozenset[str]  # by key


@dataclass(frozen=True)
class Tree:
    """Edits by `domain/name`, and what is known of classes. Keys of classes are WordNet ids, or names in lower case."""

    source: str  # the caption of an image before any edit
    edits: Mapping[str, Edit]
    superclasses: Mapping[str, str]
    names: Mapping[str, str]
    fixed: Mapping[str, Fixed]
    keep: str | None = None  # the instruction that asks an editor to change nothing

    @property
    def instructions(self) -> frozenset[str]:
        """Texts that the tree may ask for, with the places of class names."""
        return frozenset(template.instruct for edit in self.edits.values() for template in edit.templates)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that have edits, in the order of the file."""
        return tuple(dict.fromkeys(edit.domain for edit in self.edits.values()))

    def find(self, target: str) -> tuple[Edit, ...]:
        """The edits of `weather` or `weather/snow`. OptionError if there are none."""
        if target in self.edits:
            return (self.edits[target],)
        if found := tuple(edit for edit in self.edits.values() if edit.domain == target):
            return found
        raise OptionError(f"there is no edit named '{target}'; {suggest(target, [*self.domains, *self.edits])}")

    def superclass(self, class_name: str) -> str | None:
        """The super-class of a class; None where it has none."""
        return next((self.superclasses[key] for key in keys_of(class_name) if key in self.superclasses), None)

    def title(self, class_name: str) -> str:
        """The name of a class in prompts, without ambiguity."""
        keys = keys_of(class_name)
        if named := next((self.names[key] for key in keys if key in self.names), None):
            return named
        synonyms = imagenet_classes().get(keys[-1])
        return synonyms[0] if synonyms else class_name.replace("_", " ")


def keys_of(class_name: str) -> tuple[str, str]:
    """The keys under which a class may be found: its name in lower case, and the WordNet id where it is of ImageNet."""
    return class_name.replace("_", " ").casefold(), wordnet_id(class_name)


@cache
def own_tree() -> Tree:
    """The tree that comes with the plugin."""
    classes = _load(SUPERCLASSES)
    ids = tuple(imagenet_classes())
    superclasses = {ids[number]: name for name, text in classes["imagenet"].items() for number in _numbers(text)}
    names = {ids[int(number)]: name for number, name in classes["imagenet-names"].items()}
    fixed = {
        what: Fixed(frozenset(table["words"]), frozenset(ids[number] for number in _numbers(table["imagenet"])))
        for what, table in classes["fixed"].items()
    }
    of_classes = Tree("", {}, superclasses | _by_class(classes["classes"]), names | classes["names"], fixed)
    return _with_edits(of_classes, _load(OWN), OWN)


@cache
def read_tree(prompts: str | None) -> Tree:
    """The tree of a person's file; without one the plugin's own.

    Edits of a file replace the plugin's, what it says of classes is added. OptionError if the file does not fit.
    """
    if prompts is None:
        return own_tree()
    file = Path(prompts).expanduser()
    content = _load(file)
    if stray := sorted(content.keys() - TABLES):
        raise OptionError(f"prompts={prompts} has an unknown entry '{shown(stray[0])}'; {suggest(stray[0], TABLES)}")
    return _with_edits(_with_classes(own_tree(), content, file), content, file)


def _load(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise OptionError(f"prompts={file} cannot be read ({problem.strerror}); name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise OptionError(f"prompts={file} is not valid TOML ({problem})") from None


def _with_classes(tree: Tree, content: Mapping[str, Any], file: Path) -> Tree:
    classes, names = _table(content, "classes", file), _table(content, "names", file)
    fixed = dict(tree.fixed)
    for what, given in _table(content, "fixed", file).items():
        table = given if isinstance(given, dict) else {}
        old = fixed.get(what, Fixed(frozenset(), frozenset()))
        words = {word.casefold() for word in _texts(table.get("words", []), f"fixed.{what}", file)}
        named = {key for one in _texts(table.get("classes", []), f"fixed.{what}", file) for key in keys_of(one)}
        fixed[what] = Fixed(old.words | words, old.classes | named)
    added = _by_class({name: _texts(members, f"classes.{name}", file) for name, members in classes.items()})
    titles = {keys_of(key)[-1]: str(name) for key, name in names.items()}
    return replace(tree, superclasses={**tree.superclasses, **added}, names={**tree.names, **titles}, fixed=fixed)


def _with_edits(tree: Tree, content: Mapping[str, Any], file: Path) -> Tree:
    domains, edits = _table(content, "domains", file), {}
    for domain, table in _table(content, "edits", file).items():
        about = _table(domains, domain, file)
        for name in _table({domain: table}, domain, file):
            edit = _edit(domain, name, {**about, **_table(table, name, file)}, tree, file)
            edits[str(edit)] = edit
    if not edits:
        raise OptionError(f"prompts={file} has no edits; write them like [edits.weather.snow]")
    source = _with_class(content.get("source", "a photo of {a class}"), "source", file)
    keep = content.get("keep")
    return replace(tree, source=source, edits=edits, keep=None if keep is None else str(keep))


def _edit(domain: str, name: str, table: Mapping[str, Any], tree: Tree, file: Path) -> Edit:
    where = f"edits.{domain}.{name}"
    describe = _texts(table.get("describe", []), where, file)
    instruct = _texts(table.get("instruct", []), where, file)
    if not describe or len(describe) != len(instruct):
        raise OptionError(f"prompts={file}: {where} needs as many entries in `instruct` as in `describe`, at least one")
    applies = frozenset(_texts(table["applies"], where, file)) if "applies" in table else None
    if applies is not None and (stray := sorted(applies - set(tree.superclasses.values()))):
        known = sorted(set(tree.superclasses.values()))
        raise OptionError(f"prompts={file}: {where} applies to '{shown(stray[0])}'; {suggest(stray[0], known)}")
    alters = str(table.get("alters", ""))
    if alters and alters not in tree.fixed:
        raise OptionError(f"prompts={file}: {where} alters '{shown(alters)}'; {suggest(alters, tree.fixed)}")
    pairs = zip(describe, instruct, strict=True)
    templates = tuple(Template(_with_class(caption, where, file), ask) for caption, ask in pairs)
    return Edit(domain, name, templates, applies, alters)


def _table(content: Mapping[str, Any], key: str, file: Path) -> Mapping[str, Any]:
    table = content.get(key, {})
    if not isinstance(table, dict):
        raise OptionError(f"prompts={file}: '{shown(key)}' must be a table")
    return table


def _texts(values: Any, where: str, file: Path) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise OptionError(f"prompts={file}: {where} must hold lists of texts")
    return values


def _with_class(text: Any, where: str, file: Path) -> str:
    if not isinstance(text, str) or not ("{class}" in text or "{a class}" in text):
        raise OptionError(f"prompts={file}: '{shown(text)}' in {where} mentions neither {{class}} nor {{a class}}")
    return text


def _by_class(members: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {keys_of(one)[-1]: name for name, ones in members.items() for one in ones}


def _numbers(text: str) -> Iterator[int]:
    """The numbers of `7 10-12`."""
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)

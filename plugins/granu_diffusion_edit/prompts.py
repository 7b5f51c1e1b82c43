"""Prompts for the class of an image, and the lint that leaves an edit out where it would change the class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from granu_diffusion_edit.tree import Edit, Template, Tree, keys_of

PLACE = re.compile(r"\{(a )?class\}")
CONSONANT = r"uni|us[ei]|eu|ewe|one\b|ukul"  # vowels in writing, consonants in speech
VOWEL = re.compile(rf"(?!{CONSONANT})[aeiou]|hour|honest|heir|x-ray", re.IGNORECASE)
LONGEST_NAME = 4  # words of another class's name that are looked for in a template


@dataclass(frozen=True)
class Prompt:
    """The texts of one edit of one image."""

    edit: str  # weather/snow; empty where nothing shall change
    source: str  # a caption of the image as it is
    target: str  # a caption of the edited image
    instruction: str  # what asks for the edit

    def unchanged(self) -> Prompt:
        """The prompt that asks for no change."""
        return Prompt("", self.source, self.source, "")


@dataclass(frozen=True)
class Choice:
    """The edits that a class may get, each with its prompts; where there are none, the reason."""

    edits: tuple[tuple[Prompt, ...], ...]
    reason: str | None = None


class Linter:
    """Chooses the edits that leave a class what it is, for a classifier of `classes`."""

    def __init__(self, tree: Tree, edits: Sequence[Edit], classes: Sequence[str]) -> None:
        self.tree, self.edits = tree, edits
        titles = [(tree.title(name).casefold(), keys_of(name)) for name in classes]
        self._mentioned = {
            (edit, template): {keys for title, keys in titles if title in phrases}
            for edit in edits
            for template in edit.templates
            for phrases in [_phrases(template)]
        }
        self._choices: dict[str, Choice] = {}

    def choose(self, class_name: str) -> Choice:
        """The edits for a class, and the reason of the first where all are left out."""
        if class_name not in self._choices:
            self._choices[class_name] = self._choose(class_name)
        return self._choices[class_name]

    def _choose(self, class_name: str) -> Choice:
        superclass = self.tree.superclass(class_name)
        if superclass is None:
            return Choice((), f"no super-class holds '{class_name}'; add it to [classes] in prompts=FILE.toml")
        left, reasons = [], []
        for edit in self.edits:
            fitting = [one for one in edit.templates if not self._mentioned[edit, one] - {keys_of(class_name)}]
            reason = self._unfit(edit, class_name, superclass)
            if reason is None and fitting:
                left.append(tuple(fill(self.tree, edit, one, self.tree.title(class_name)) for one in fitting))
            else:
                reasons.append(reason or f"{edit} mentions another class of the classifier")
        return Choice(tuple(left), None if left else reasons[0])

    def _unfit(self, edit: Edit, class_name: str, superclass: str) -> str | None:
        """The reason why an edit does not suit a class; None where it does."""
        if edit.applies is not None and superclass not in edit.applies:
            return f"{edit} does not apply to the super-class '{superclass}'"
        if edit.alters and _is_fixed(self.tree, edit.alters, class_name):
            return f"{edit} would change the class: '{self.tree.title(class_name)}' is recognised by its {edit.alters}"
        return None


def fill(tree: Tree, edit: Edit, template: Template, title: str) -> Prompt:
    """The prompt of a template for a class."""
    source, target, ask = (with_class(text, title) for text in (tree.source, template.describe, template.instruct))
    return Prompt(str(edit), source, target, ask)


def with_class(text: str, title: str) -> str:
    """A text with the name of a class; `{a class}` becomes `an egg` or `a unicycle`."""
    article = "an" if VOWEL.match(title) else "a"
    return PLACE.sub(lambda place: f"{article} {title}" if place[1] else title, text)


def _is_fixed(tree: Tree, what: str, class_name: str) -> bool:
    fixed = tree.fixed[what]
    words = re.findall(r"\w+", f"{class_name} {tree.title(class_name)}".replace("_", " ").casefold())
    return not fixed.words.isdisjoint(words) or not fixed.classes.isdisjoint(keys_of(class_name))


def _phrases(template: Template) -> set[str]:
    """The words of a template around the class, and up to LONGEST_NAME of them in a row."""
    words = re.findall(r"[\w-]+", PLACE.sub(" | ", f"{template.describe} | {template.instruct}").casefold())
    return {" ".join(words[i : i + n]) for n in range(1, LONGEST_NAME + 1) for i in range(len(words))}

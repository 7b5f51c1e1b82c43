"""A classifier with another number of outputs than the images have classes: the message says what to type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from granu import BuildContext, ClassifierError, ClassifierOffer, ImageClassifier, OptionError, option
from granu.plugins.catalog import Catalog, Entry
from granu.training.heads import check_outputs


@dataclass(frozen=True)
class Options:
    kind: str = option("", "which")
    classes: str | None = option(None, "how many")
    init: str = option("trained", "weights", choices=("trained", "random"))


@dataclass(frozen=True)
class Fixed:
    kind: str = option("", "which")


def strict(options: Options, context: BuildContext) -> None:
    if options.classes is not None and options.init == "trained":
        raise OptionError("classes= needs init=random")


def build(*_: Any) -> nn.Module:
    raise AssertionError("nothing is built")


OFFERS = (
    ClassifierOffer(name="free", summary="-", options=Options, target="kind", make=build, network=build),
    ClassifierOffer(
        name="strict", summary="-", options=Options, target="kind", make=build, network=build, check=strict
    ),
    ClassifierOffer(name="fixed", summary="-", options=Fixed, target="kind", make=build, network=build),
    ClassifierOffer(name="own", summary="-", options=Options, target="kind", make=build),
)


class Images:
    """A dataset of these classes."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes

    def __len__(self) -> int:
        return 1

    def image_id(self, index: int) -> str:
        return "image"

    def read(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(1, 2, 2), 0


def check(spec: str, theirs: Sequence[str], ours: Sequence[str], named: bool = True) -> None:
    context = BuildContext(Catalog({"classifier": {o.name: Entry(o.name, o, "made", "", "") for o in OFFERS}}))
    classifier = ImageClassifier(nn.Flatten(), theirs, named=named)
    check_outputs(classifier, context.resolve("classifier", spec), Images(ours), "folder:it", context)


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ("free", "write --classifier free:classes=3"),
        ("free:big,init=random", "write --classifier free:big,classes=3,init=random"),
        ("free:big,classes=a+b", "write --classifier free:big,classes=3"),
        ("strict:big", "write --classifier strict:big,classes=3,init=random"),
        ("fixed:big", "start from a network with 3 outputs"),
        ("own:big", "start from a network with 3 outputs"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_another_number_of_outputs_is_refused_with_what_to_type(spec: str, remedy: str, named: bool) -> None:
    with pytest.raises(ClassifierError) as refused:
        check(spec, ("0", "1"), ("cat", "dog", "eel"), named)
    assert str(refused.value) == f"`{spec}` has 2 outputs and `folder:it` 3 classes; {remedy}"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (("cat", "dog"), ("cat", "dog")),
        (("cat", "dog"), ("eel", "fox")),  # as many: whether the names fit is checked with the images
        (("cat", "dog", "eel"), ("dog", "cat")),
        (("cat", "dog"), ("eel",)),
    ],
)
def test_as_many_outputs_and_some_of_more_classes_are_left_alone(theirs: Sequence[str], ours: Sequence[str]) -> None:
    check("free", theirs, ours)

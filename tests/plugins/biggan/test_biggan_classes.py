"""Classes by number, name and synonym."""

import pytest

from granu import OptionError, imagenet_names
from granu_biggan.classes import choose_classes, class_names


def test_a_thousand_classes_have_the_names_of_imagenet() -> None:
    names = class_names(1000)
    assert len(set(names)) == 1000
    assert names[292] == "tiger" and names[963] == "pizza" and names[0] == "tench"


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        (("tiger", "pizza"), (292, 963)),
        (("Tiger",), (292,)),
        (("292", "tiger"), (292,)),  # named twice, drawn once
        (("panthera tigris",), (292,)),  # any of its synonyms
        (("great_white_shark",), (2,)),
        (("crane (517)",), (517,)),  # two classes are called crane
        ((), tuple(range(1000))),
    ],
)
def test_names_and_numbers(asked: tuple[str, ...], numbers: tuple[int, ...]) -> None:
    assert choose_classes(asked, imagenet_names(), "biggan") == numbers


@pytest.mark.parametrize(
    ("asked", "message"),
    [("crane", r"is ambiguous: 134 \(crane \(134\)\), 517"), ("tigr", "tiger")],
)
def test_unknown_and_ambiguous_classes_are_refused(asked: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        choose_classes((asked,), imagenet_names(), "biggan")


def test_other_networks_have_their_own_names_or_numbers() -> None:
    assert class_names(3) == ("0", "1", "2")
    assert choose_classes(("cat",), class_names(2, ("cat", "dog")), "biggan") == (0,)

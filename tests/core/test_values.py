"""Values of options that several plugins take."""

from __future__ import annotations

from pathlib import Path

import pytest

from granu import ClassNames, OptionError, numbered_classes, read_class_names, read_size
from granu.plugins.imagenet import class_title


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat+dog", ClassNames(("cat", "dog"))),
        ("cat,dog", ClassNames(("cat", "dog"))),
        ("0+1", ClassNames(("0", "1"))),
        ("3", ClassNames(("0", "1", "2"), named=False)),
        ("names.txt", ClassNames(("hot dog", "cat"))),
        ("+".join(f"class{i}" for i in range(100)), ClassNames(tuple(f"class{i}" for i in range(100)))),
    ],
)
def test_class_names_are_joined_by_plus_or_in_a_file_or_counted(text: str, names: ClassNames) -> None:
    Path("names.txt").write_text("hot dog\n\n cat\n")
    assert read_class_names(text) == names


@pytest.mark.parametrize("text", ["cat", "1", "0", "cat+", "+", "99999999", "one.txt"])
def test_less_than_two_classes_are_refused(text: str) -> None:
    Path("one.txt").write_text("cat\n")
    with pytest.raises(OptionError, match="does not name two classes or more; join names by plus"):
        read_class_names(text)


def test_imagenet_stands_for_the_wordnet_ids_of_its_thousand_classes() -> None:
    names = read_class_names("imagenet")
    assert names.named and len(set(names.names)) == 1000
    assert (names.names[0], names.names[292], names.names[999]) == ("n01440764", "n02129604", "n15075141")


def test_numbered_classes_have_no_names() -> None:
    assert numbered_classes(2) == ClassNames(("0", "1"), named=False) and len(numbered_classes(7)) == 7


@pytest.mark.parametrize(("text", "size"), [("224", (224, 224)), ("28x32", (28, 32)), ("28X32", (28, 32))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert read_size(text, "it") == size


@pytest.mark.parametrize("text", ["", "big", "0", "28x", "28x0", "1x2x3", "-3", "2.5"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"`it`: size=.* is not a size; write it like 224 or 28x32"):
        read_size(text, "it")


@pytest.mark.parametrize(
    ("name", "title"), [("n02129604", "tiger"), ("n00000001", "n00000001"), ("tiger", "tiger"), ("n", "n"), ("7", "7")]
)
def test_reports_print_a_wordnet_id_as_the_name_of_its_class(name: str, title: str) -> None:
    assert class_title(name) == title

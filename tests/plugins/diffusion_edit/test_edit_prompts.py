"""The tree of prompts: super-classes, articles, names, the lint, and files of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from granu import OptionError, imagenet_classes
from granu_diffusion_edit.prompts import Linter, with_class
from granu_diffusion_edit.tree import own_tree, read_tree

IDS = tuple(imagenet_classes())
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TREE = """
source = "an image of {a class}"

[classes]
animal = ["narwhal", "pool"]

[names]
narwhal = "narwhal whale"

[fixed.mood]
words = ["happy"]
classes = ["narwhal"]

[domains.mood]
alters = "mood"

[edits.mood.sad]
describe = ["a sad {class}"]
instruct = ["make the {class} sad"]

[edits.place.pond]
applies = ["animal"]
describe = ["{a class} in a pond", "{a class} in a pool"]
instruct = ["put it in a pond", "put it in a pool"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "own.toml").write_text(TREE)
    return tmp_path / "own.toml"


def prompts(target: str, class_name: str, others: tuple[str, ...] = ()) -> list[str]:
    """The captions of the edits that a class may get."""
    linter = Linter(own_tree(), own_tree().find(target), (class_name, *others))
    return [prompt.target for edit in linter.choose(class_name).edits for prompt in edit]


def reason(target: str, class_name: str, others: tuple[str, ...] = ()) -> str | None:
    return Linter(own_tree(), own_tree().find(target), (class_name, *others)).choose(class_name).reason


def test_every_class_of_imagenet_has_one_super_class() -> None:
    assert [name for name in IDS if own_tree().superclass(name) is None] == []


@pytest.mark.parametrize(
    ("name", "superclass"),
    [
        ("tench", "animal"), ("red_fox", "animal"), ("daisy", "plant"), ("pizza", "food"), ("volcano", "landscape"),
        ("scuba diver", "person"), ("minivan", "vehicle"), ("hammer", "tool"), ("church", "structure"),
        ("rocking chair", "furniture"), ("violin", "instrument"), ("crane (134)", "animal"), ("crane (517)", "device"),
        ("toilet tissue", "object"), ("frog", "animal"), ("truck", "vehicle"), ("7", "digit"),
    ],
)  # fmt: skip
def test_classes_by_name_reach_their_super_class(name: str, superclass: str) -> None:
    assert own_tree().superclass(name) == superclass


def test_weather_reaches_every_class_of_imagenet_and_cifar() -> None:
    for classes in (IDS, CIFAR):
        linter = Linter(own_tree(), own_tree().find("weather"), classes)
        assert [name for name in classes if not linter.choose(name).edits] == []


@pytest.mark.parametrize(
    ("title", "written"),
    [
        ("egg", "an egg"), ("unicycle", "a unicycle"), ("umbrella", "an umbrella"), ("hourglass", "an hourglass"),
        ("European gallinule", "a European gallinule"), ("one-piece swimsuit", "a one-piece swimsuit"),
        ("horse", "a horse"), ("iPod", "an iPod"), ("ewer", "a ewer"),
    ],
)  # fmt: skip
def test_the_article_follows_the_sound(title: str, written: str) -> None:
    assert with_class("{a class}", title) == written


def test_the_class_alone_has_no_article() -> None:
    assert with_class("a blue {class} or {a class}", "owl") == "a blue owl or an owl"


def test_ambiguous_names_are_said_in_full() -> None:
    assert "a photo of a crane bird in the snow" in prompts("weather/snow", IDS[134])
    assert "a photo of a construction crane in the snow" in prompts("weather/snow", IDS[517])
    assert "a photo of a kite bird of prey in the snow" in prompts("weather/snow", "kite")


def test_a_digit_is_named() -> None:
    assert prompts("drawing/pixel-art", "3") == ["pixel art of a handwritten digit three"]


def test_a_colour_is_not_changed_where_it_tells_the_class() -> None:
    said = reason("colour/blue", "red_fox")
    assert said == "colour/blue would change the class: 'red fox' is recognised by its colour"
    assert reason("colour", "lemon") is not None and reason("colour/blue", "minivan") is None


def test_a_material_is_not_changed_where_it_tells_the_class() -> None:
    assert reason("texture/metal", "wooden_spoon") is not None and reason("texture/metal", "ladle") is None


def test_an_edit_is_left_out_where_its_domain_does_not_apply() -> None:
    assert reason("texture/glass", "tench") == "texture/glass does not apply to the super-class 'animal'"
    assert prompts("texture/brick", "church") and not prompts("texture/brick", "minivan")


def test_an_edit_that_names_another_class_of_the_classifier_is_left_out() -> None:
    assert reason("context/desert", "cat", ("desert",)) == "context/desert mentions another class of the classifier"
    assert reason("context/desert", "cat", ("des",)) is None
    assert reason("context/forest", "dog", ("dense forest",)) is not None


def test_one_template_of_two_may_be_left_out() -> None:
    assert prompts("weather/fog", "cat", ("mist",)) == ["a photo of a cat in thick fog"]


def test_an_unknown_class_has_a_reason() -> None:
    assert reason("weather", "narwhal") == ("no super-class holds 'narwhal'; add it to [classes] in prompts=FILE.toml")


def test_a_prompt_has_caption_and_instruction_and_one_that_changes_nothing() -> None:
    (edit,) = Linter(own_tree(), own_tree().find("time/sunset"), CIFAR).choose("ship").edits
    prompt = edit[0]
    assert (prompt.edit, prompt.source) == ("time/sunset", "a photo of a ship")
    assert (prompt.target, prompt.instruction) == ("a photo of a ship at sunset", "make it sunset")
    unchanged = prompt.unchanged()
    assert (unchanged.source, unchanged.target, unchanged.instruction) == (prompt.source, prompt.source, "")


def test_a_domain_is_all_its_edits() -> None:
    tree = own_tree()
    assert [str(edit) for edit in tree.find("weather")][:2] == ["weather/snow", "weather/fog"]
    assert tree.domains == ("drawing", "weather", "time", "colour", "texture", "context")


def test_an_unknown_edit_gets_a_suggestion() -> None:
    with pytest.raises(OptionError, match="there is no edit named 'weather/snwo'; did you mean 'weather/snow'"):
        own_tree().find("weather/snwo")


def test_a_file_of_ones_own_replaces_the_edits_and_adds_to_the_classes(file: Path) -> None:
    tree = read_tree(str(file))
    assert list(tree.edits) == ["mood/sad", "place/pond"] and tree.superclass("narwhal") == "animal"
    linter = Linter(tree, tree.find("place"), ("narwhal", "tench"))
    assert [p.target for p in linter.choose("narwhal").edits[0]] == [
        "a narwhal whale in a pond", "a narwhal whale in a pool"
    ]  # fmt: skip
    assert linter.choose("tench").edits[0][0].source == "an image of a tench"


def test_a_template_may_mention_the_images_own_class(file: Path) -> None:
    tree = read_tree(str(file))
    linter = Linter(tree, tree.find("place"), ("pool", "tench"))
    assert [len(linter.choose(name).edits[0]) for name in ("pool", "tench")] == [2, 1]


def test_a_file_of_ones_own_says_what_an_edit_would_change(file: Path) -> None:
    tree = read_tree(str(file))
    linter = Linter(tree, tree.find("mood"), ("narwhal", "tench"))
    assert "recognised by its mood" in str(linter.choose("narwhal").reason) and linter.choose("tench").reason is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('["a sad {class}"]', '["a sad one"]', "mentions neither {class} nor {a class}"),
        ('["a sad {class}"]', "[]", "needs as many entries"),
        ('["a sad {class}"]', "3", "must hold lists of texts"),
        ('alters = "mood"', 'alters = "size"', "alters 'size'; there are: colour, material, mood"),
        ('applies = ["animal"]', 'applies = ["animol"]', "applies to 'animol'; did you mean 'animal'"),
        ("[classes]", "[clases]", "unknown entry 'clases'; did you mean 'classes'"),
        ("[classes]", "[classes", "is not valid TOML"),
    ],
)
def test_a_broken_file_is_one_sentence(file: Path, old: str, new: str, said: str) -> None:
    assert old in TREE
    file.write_text(TREE.replace(old, new))
    read_tree.cache_clear()
    with pytest.raises(OptionError) as problem:
        read_tree(str(file))
    assert said in str(problem.value) and "\n" not in str(problem.value).strip()


def test_a_value_in_place_of_a_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "value.toml"
    file.write_text('domains = 3\n[edits.a.b]\ndescribe = ["{class}"]\ninstruct = ["be"]\n')
    with pytest.raises(OptionError, match="'domains' must be a table"):
        read_tree(str(file))


def test_a_file_without_edits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(OptionError, match="has no edits"):
        read_tree(str(tmp_path / "empty.toml"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        read_tree(str(tmp_path / "none.toml"))

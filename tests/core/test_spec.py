"""What a person types for a thing."""

from __future__ import annotations

import pytest

from granu import SpecError
from granu.plugins.spec import Spec, parse_spec

READ = [
    ("stylegan", Spec("stylegan")),
    (" stylegan ", Spec("stylegan")),
    ("stylegan:layer6", Spec("stylegan", "layer6")),
    ("stylegan:layer4+layer6", Spec("stylegan", "layer4+layer6")),
    ("stylegan:layer6,steps=200", Spec("stylegan", "layer6", (("steps", "200"),))),
    ("stylegan:steps=200", Spec("stylegan", None, (("steps", "200"),))),
    # a colon, an equals sign or a slash after the first colon is the target's own business
    ("python:mymodel.py:build", Spec("python", "mymodel.py:build")),
    ("timm:resnet50.a1_in1k", Spec("timm", "resnet50.a1_in1k")),
    ("folder:/data/val", Spec("folder", "/data/val")),
    ("fake_plugin/checkers:3", Spec("fake_plugin/checkers", "3")),
    ("pixel:linf,budget=8/255", Spec("pixel", "linf", (("budget", "8/255"),))),
    # a bare part after a value continues it, so that lists need no quotes
    ("biggan:layer2,classes=tiger,pizza", Spec("biggan", "layer2", (("classes", "tiger,pizza"),))),
    ("a:max_size=3", Spec("a", None, (("max-size", "3"),))),
]


@pytest.mark.parametrize(("text", "spec"), READ)
def test_a_spec_is_read(text: str, spec: Spec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize("text", [text for text, _ in READ])
def test_the_canonical_text_reads_as_the_same_spec(text: str) -> None:
    spec = parse_spec(text)
    assert parse_spec(str(spec)) == spec


def test_options_are_sorted_so_that_two_orders_name_one_result() -> None:
    assert str(parse_spec("a:t,y=1,x=2")) == str(parse_spec("a:t,x=2,y=1")) == "a:t,x=2,y=1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin with a name"),
        (":layer6", "does not begin with a name"),
        ("stylegan,steps=2", "write `stylegan:steps=2`"),
        ("stylegan:", "empty part"),
        ("stylegan:,steps=2", "empty part"),
        ("stylegan:layer4,layer6", "stylegan:layer4+layer6"),
        ("stylegan:steps=2,steps=3", "twice"),
        ("stylegan:layer6,=3", "write it as key=value"),
        ("stylegan:layer6,steps=", "write it as key=value"),
    ],
)
def test_what_does_not_parse_is_told_with_the_cure(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("+", r"\+")):
        parse_spec(text)

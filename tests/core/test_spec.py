"""Specs: what each text parses to, and the error for each that does not parse."""

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
    # a colon or a slash after the first colon belongs to the target
    ("python:mymodel.py:build", Spec("python", "mymodel.py:build")),
    ("timm:resnet50.a1_in1k", Spec("timm", "resnet50.a1_in1k")),
    ("folder:/data/val", Spec("folder", "/data/val")),
    ("plugin/checkers:3", Spec("plugin/checkers", "3")),
    ("pixel:linf,budget=8/255", Spec("pixel", "linf", (("budget", "8/255"),))),
    # a bare part after a value continues it, so that lists need no quotes
    ("biggan:layer2,classes=tiger,pizza", Spec("biggan", "layer2", (("classes", "tiger,pizza"),))),
    ("a:_,x=1", Spec("a", "_", (("x", "1"),))),
    ("a:x=1,y,z=2", Spec("a", None, (("x", "1,y"), ("z", "2")))),
    ("a:x=b=c", Spec("a", None, (("x", "b=c"),))),
    ("a:MAX_size=3", Spec("a", None, (("MAX-size", "3"),))),
    ("A:max_size=3,b-c_d=4", Spec("A", None, (("b-c-d", "4"), ("max-size", "3")))),
    ("9.a_b-c/0", Spec("9.a_b-c/0")),
    ("a:max_size=3", Spec("a", None, (("max-size", "3"),))),
    # text in quotes is taken as it is
    ('a:weights="x,y=1|z.pkl",b=2', Spec("a", None, (("b", "2"), ("weights", "x,y=1|z.pkl")))),
    ('export:"a,b=c.pt2",size=3', Spec("export", "a,b=c.pt2", (("size", "3"),))),
    ('a:"b""c"', Spec("a", 'b"c')),
    ('a:x="",y=1'.replace('""', '","'), Spec("a", None, (("x", ","), ("y", "1")))),
    ('a:x=p,"q=r"', Spec("a", None, (("x", "p,q=r"),))),
    ('a:b:weights="x,y=1.pkl",n=2|c', Spec("a", 'b:weights="x,y=1.pkl"', (("n", "2"),), (Spec("c"),))),
    # a spec as the target, and others behind it
    ("adversarial:pixel:linf,budget=8/255", Spec("adversarial", "pixel:linf", (("budget", "8/255"),))),
    ("adversarial:advbn:epsilon=1,b=2", Spec("adversarial", "advbn:epsilon=1", (("b", "2"),))),
    (
        "a:b:t,x=1|c|d:u,x=2",
        Spec("a", "b:t", (("x", "1"),), (Spec("c"), Spec("d", "u", (("x", "2"),)))),
    ),
]


@pytest.mark.parametrize(("text", "spec"), READ)
def test_a_spec_is_read(text: str, spec: Spec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize("text", [text for text, _ in READ])
def test_the_canonical_text_reads_as_the_same_spec(text: str) -> None:
    spec = parse_spec(text)
    assert parse_spec(str(spec)) == spec


def test_only_what_would_be_read_otherwise_is_quoted() -> None:
    assert str(Spec("a", "b,c", (("x", "tiger,pizza"), ("y", "p,q=r")))) == 'a:"b,c",x=tiger,pizza,y="p,q=r"'
    assert str(Spec("a", "b:c=1")) == "a:b:c=1" and str(Spec("a", "c=1")) == 'a:"c=1"'
    assert str(Spec("a", None, (("x", 'say "a"|b'),))) == 'a:x="say ""a""|b"'


@pytest.mark.parametrize("text", ['a:x="b', 'a:"b', 'a:b",c="d"', 'a|b:"'])
def test_an_open_quote_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="has a quote that is not closed"):
        parse_spec(text)


def test_options_are_sorted_so_that_two_orders_name_one_result() -> None:
    assert str(parse_spec("a:t,y=1,x=2")) == str(parse_spec("a:t,x=2,y=1")) == "a:t,x=2,y=1"


def test_another_target_keeps_name_and_options() -> None:
    assert parse_spec("a:t,x=1").with_target("u") == Spec("a", "u", (("x", "1"),))
    assert str(parse_spec("a").with_target("u")) == "a:u"
    assert str(parse_spec("a:b:t|c").with_target("b:u")) == "a:b:u|c"


def test_other_options_keep_the_rest_and_are_sorted() -> None:
    assert parse_spec("a:b:t,x=1|c").with_options({"z": "1", "y": "2"}) == parse_spec("a:b:t,y=2,z=1|c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "`` does not begin with a name; write it like `stylegan:layer6,steps=200`"),
        (":layer6", "`:layer6` does not begin with a name; write it like `stylegan:layer6,steps=200`"),
        ("a b", "`a b` does not begin with a name; write it like `stylegan:layer6,steps=200`"),
        ("a/b/c", "`a/b/c` does not begin with a name; write it like `stylegan:layer6,steps=200`"),
        ("stylegan,steps=2", "`stylegan,steps=2` needs a colon after the name; write `stylegan:steps=2`"),
        ("stylegan,layer6,steps=2", "`stylegan,layer6,steps=2` needs a colon after the name; "
            "write `stylegan:layer6,steps=2`"),
        (",steps=2", "`,steps=2` does not begin with a name; write it like `stylegan:layer6,steps=200`"),
        ("stylegan:", "`stylegan:` has an empty part; write it like `stylegan:target,key=value`"),
        ("stylegan:,steps=2", "`stylegan:,steps=2` has an empty part; write it like `stylegan:target,key=value`"),
        ("a:t, ,x=2", "`a:t, ,x=2` has an empty part; write it like `a:target,key=value`"),
        ("stylegan:layer4,layer6", "`stylegan:layer4,layer6` has two targets; join several with a plus: "
            "`stylegan:layer4+layer6`"),
        ("stylegan:steps=2,steps=3", "`stylegan:steps=2,steps=3` gives the option 'steps' twice"),
        ("a:b_c=2,b-c=3", "`a:b_c=2,b-c=3` gives the option 'b-c' twice"),
        ("stylegan:layer6,=3", "`=3` in `stylegan:layer6,=3` is not an option; write it as key=value"),
        ("stylegan:layer6,steps=", "`steps=` in `stylegan:layer6,steps=` is not an option; write it as key=value"),
        ("a:t|b:", "`b:` has an empty part; write it like `b:target,key=value`"),
        ("a:t|", "`` does not begin with a name; write it like `stylegan:layer6,steps=200`"),
        ("a:2x=3", "`2x=3` in `a:2x=3` is not an option; write it as key=value"),
    ],
)  # fmt: skip
def test_a_text_that_does_not_parse_gives_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_spec(text)
    assert str(raised.value) == message

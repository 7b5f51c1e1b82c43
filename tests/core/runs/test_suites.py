"""Suites: their perturbations are measured with those of --perturb, and a mistake in a file is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import granu as package
from granu import GranuError, OptionError, SpecError, UnknownName, load_catalog
from granu.runs.suites import read_suite, suite_perturbations
from granu.testing import check_offer

PLUGIN = """
import granu
from pathlib import Path

@granu.hookimpl
def granu_suites():
    return [granu.Suite(name="coarse", summary="two sites", file=Path(__file__).with_name("coarse.toml"))]
"""
COARSE = 'title = "Coarse sites"\nabout = "the first two"\nperturbations = ["tiny:z,steps=3", "tiny:layer0,steps=3"]\n'


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world and a suite."""
    fake_plugin("suites", PLUGIN)
    (tiny_place / "coarse.toml").write_text(COARSE)


def dry_run(granu: Callable[..., object], *words: str) -> list[str]:
    answer = granu("eval", *words, "--classifier", "tiny-classifier", "--dry-run", "--json")
    assert answer.returncode == 0, answer.stderr  # type: ignore[attr-defined]
    return [p["spec"] for p in json.loads(answer.stdout)["perturbations"]]  # type: ignore[attr-defined]


def test_a_suite_by_name_or_file_comes_before_perturb(granu: Callable[..., object]) -> None:
    Path("own.toml").write_text('perturbations = ["tiny:layer1"]')
    assert dry_run(granu, "--perturb", "tiny:image", "--suite", "coarse", "--suite", "own.toml") == [
        "tiny:z,steps=3", "tiny:layer0,steps=3", "tiny:layer1", "tiny:image",
    ]  # fmt: skip
    assert dry_run(granu, "--suite", "coarse", "--perturb", "tiny:z,steps=3") == [
        "tiny:z,steps=3",
        "tiny:layer0,steps=3",
    ]


def test_suites_are_listed_and_described(granu: Callable[..., object]) -> None:
    assert "two sites" in granu("list-plugins").stdout  # type: ignore[attr-defined]
    printed = granu("info", "coarse").stdout  # type: ignore[attr-defined]
    assert "Coarse sites" in printed and "perturbations: tiny:z,steps=3, tiny:layer0,steps=3" in printed


def test_an_unknown_suite_is_a_sentence_with_a_suggestion(granu: Callable[..., object]) -> None:
    answer = granu("eval", "--suite", "coarze")
    assert answer.returncode == 2  # type: ignore[attr-defined]
    assert "there is no suite named 'coarze'; did you mean 'coarse'?" in answer.stderr  # type: ignore[attr-defined]


@pytest.mark.parametrize(("text", "kind", "sentence"), [
    ("perturbation = ['a']", OptionError, "has an unknown entry 'perturbation'; did you mean 'perturbations'?"),
    ("perturbations = []", OptionError, "lists no perturbations"),
    ("perturbations = [1]", OptionError, "lists no perturbations"),
    ("title = 'x'", OptionError, "lists no perturbations"),
    ("perturbations = ['a', ':b']", SpecError, "my.toml: `:b` does not begin with a name"),
    ("title = 3\nperturbations = ['a']", OptionError, "title must be text, not 3"),
    ("perturbations = ", OptionError, "is not TOML: "),
])  # fmt: skip
def test_mistakes_in_a_file_are_one_sentence(text: str, kind: type[GranuError], sentence: str) -> None:
    Path("my.toml").write_text(text)
    with pytest.raises(kind) as raised:
        read_suite(Path("my.toml"))
    assert sentence in str(raised.value) and "my.toml" in str(raised.value)


def test_a_missing_file_is_one_sentence() -> None:
    with pytest.raises(OptionError, match=r"cannot read the suite no\.toml: No such file"):
        suite_perturbations(load_catalog(), ["no.toml"])
    with pytest.raises(UnknownName):
        suite_perturbations(load_catalog(), ["nothing-of-that-name"])


def test_the_title_is_the_files_name_unless_given() -> None:
    Path("mine.toml").write_text('perturbations = ["a"]')
    assert read_suite(Path("mine.toml")).title == "mine"


def test_an_empty_suite_breaks_the_contract() -> None:
    Path("empty.toml").write_text("perturbations = []")
    with pytest.raises(OptionError):
        check_offer(package.Suite(name="empty", summary="nothing", file=Path("empty.toml")))


def test_evaluate_takes_suites(plugins_on_path: None) -> None:
    run = package.evaluate("tiny:layer1,samples=5,steps=1", "tiny-classifier", suite="coarse", count=2, judges=[])
    assert list(run.record.perturbations) == ["tiny:z,steps=3", "tiny:layer0,steps=3", "tiny:layer1,samples=5,steps=1"]


@pytest.mark.parametrize(("name", "count"), [("corruptions", 15), ("style", 12)])
def test_our_own_suites(granu: Callable[..., object], name: str, count: int) -> None:
    planned = dry_run(granu, "--suite", name, "--data", "tiny")
    assert len(planned) == count

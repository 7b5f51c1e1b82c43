"""Encoded images as planned: who encodes what, what is refused, and what the command line shows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encoders import (
    CLASSIFIER,
    ENCODERS,
    MODEL,
    SHAPES,
    Planned,
)

import granu as package
from granu import OptionError
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world and the encoders."""
    fake_plugin("encoders", ENCODERS)


@pytest.mark.parametrize(
    ("specs", "data", "images"),
    [
        (("both:z",), None, ["both"]),
        (("both:z",), "shapes", ["shapes"]),
        (("both:z,kept=50,samples=3,steps=4",), "both:kept=50", ["both:kept=50"]),
        (("both:z",), "both:kept=60", ["both"]),
        (("both:z",), "tiny", ["tiny"]),
        (("auto:z",), "both", ["both"]),
        (("auto:z", "pixel:l2", "tiny:z"), "shapes", ["shapes", "shapes", "tiny"]),
        (("both:z", "pixel:l2"), None, ["both", "both"]),
    ],
)
def test_a_generator_encodes_the_images_of_data_unless_it_draws_them(
    specs: tuple[str, ...], data: str | None, images: list[str], planned: Planned
) -> None:
    plan = planned(*specs, classifiers=MODEL["classifiers"], data=data)
    assert [p.source.key for p in plan.perturbations] == images
    for p in plan.perturbations:
        assert p.is_encoded == (p.generator is not None and p.source.key != p.generator.key)


@pytest.mark.parametrize(
    ("specs", "request_", "sentence"),
    [
        (("auto:z",), {}, "`auto:z` draws no images and encodes given ones; name them with --data, for example "
                          "--data folder:val"),
        (("both:z,draws=no",), {}, "`both:z,draws=no` draws no images and encodes given ones; name them with --data, "
                                   "for example --data folder:val"),
        (("pixel:l2",), {"data": "auto"}, "`auto` encodes images and draws none; name a dataset, for example "
                                          "folder:val"),
        (("tiny:z",), {"data": "shapes"}, "--data is for changes to images and for generators that encode them; the "
                                          "sites of `tiny` draw their own"),
        (("both:z,residual=yes",), {}, "`both:z,residual=yes` draws its images, and residual= is for encoded ones; "
                                       "name images with --data"),
        (("tiny:z,psnr=3", "pixel:l2"), {"data": "shapes"}, "`tiny:z,psnr=3` draws its images, and psnr= is for "
                                                            "encoded ones; remove psnr="),
        (("auto:z,psnr=-1",), {"data": "shapes"}, "`auto:z,psnr=-1`: psnr=-1.0 is out of range; it must be "
                                                   "from 0 to 99"),
    ],
)  # fmt: skip
def test_images_that_cannot_be_are_refused_in_a_sentence(
    specs: tuple[str, ...], request_: dict[str, Any], sentence: str, planned: Planned
) -> None:
    with pytest.raises(OptionError) as raised:
        planned(*specs, classifiers=MODEL["classifiers"], **request_)
    assert str(raised.value) == sentence


def test_a_repeated_command_encodes_the_images_that_it_encoded_before(planned: Planned) -> None:
    recorded = {"both:z": "shapes", "auto:z": "both", "tiny:z": "shapes"}
    plan = planned("both:z", "auto:z", "tiny:z", classifiers=MODEL["classifiers"], recorded=recorded)
    assert [p.source.key for p in plan.perturbations] == ["shapes", "both", "tiny"]


def test_the_number_of_samples_is_by_default_the_generators(planned: Planned) -> None:
    plan = planned("both:z", "auto:z", "auto:pixels,samples=9", "tiny:z", **SHAPES)
    assert [p.site_options.samples for p in plan.perturbations] == [15, 12, 9, 1000]


def test_training_refuses_a_generator_that_draws_nothing() -> None:
    sys.path.insert(0, str(Path("made-up-plugins").resolve()))
    try:
        with pytest.raises(OptionError, match="`auto:z,budget=1` draws no images, and training at a generator's sites"):
            package.plan_spaces("auto:z,budget=1", BuildContext(load_catalog()))
    finally:
        del sys.path[0]


def test_info_says_whether_a_generator_draws_or_encodes_with_its_options(granu: Callable[..., Any]) -> None:
    shown = {}
    for name in ("auto", "both", "both:draws=no", "tiny"):
        answer = granu("info", name)
        assert answer.returncode == 0, answer.stderr
        shown[name] = next(line for line in answer.stdout.splitlines() if line.startswith("  images: "))
        options = [option for option in ("samples", "residual", "psnr") if f"\n  {option} " in answer.stdout]
        assert options == (["samples"] if name == "tiny" else ["samples", "residual", "psnr"])
    assert shown == {
        "auto": "  images: encodes those of --data",
        "both": "  images: draws its own and encodes those of --data",
        "both:draws=no": "  images: encodes those of --data",
        "tiny": "  images: draws its own",
    }
    (about,) = json.loads(granu("info", "auto", "--json").stdout)
    assert (about["draws"], about["encodes"]) == (False, True)
    assert {o["name"]: o["default"] for o in about["options"]}["samples"] == "12", "the default of the offer"


def test_a_dry_run_shows_which_images_are_encoded_by_what(granu: Callable[..., Any]) -> None:
    asked = ("eval", "-p", "auto:z,psnr=20", "-p", "pixel:l2", "-c", CLASSIFIER, "--data", "shapes", "--dry-run")
    assert "encoded: shapes by auto" in granu(*asked).stdout.splitlines()
    site, pixel = json.loads(granu(*asked, "--json").stdout)["perturbations"]
    assert (site["images"]["spec"], site["generator"]["spec"], site["encoded"]) == ("shapes", "auto", True)
    assert site["site_options"] == {"samples": 12, "norm": "rms", "bands": "", "residual": False, "psnr": 20.0}
    assert (pixel["images"]["spec"], pixel["generator"], pixel["encoded"]) == ("shapes", None, False)


def test_a_run_is_resumed_without_naming_the_data_again(granu: Callable[..., Any]) -> None:
    asked = ("eval", "-p", "both:z,steps=3", "-c", CLASSIFIER, "--out", "run", "--quiet", "--json", "--count")
    assert granu(*asked, "2", "--data", "shapes").returncode == 0
    again = granu(*asked, "4")
    assert again.returncode == 0, again.stderr
    assert len((Path("run") / "trials.jsonl").read_text().splitlines()) == 4
    assert "shapes encoded by both: 4 images" in json.loads(again.stdout)["notes"][0]

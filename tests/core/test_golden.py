"""One run whose every number is known by hand: all trials, records and images, and the tables printed of them.

The world is `golden_plugin.py`. Where a number takes more than an addition, a few lines below work it out anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_plugin import IMAGES, LABELS, Pixels
from PIL import Image

import granu
from granu.runs.run import Run, read_run

KNOB = "dots:knob,budget=2.5,samples=3,search=pgd,steps=1"
A, B = "brightness", "brightness:600"

# what the proposals are in whole 255ths
QUANTIZED: dict[str, Pixels] = {
    "a": [[[160, 160], [160, 160]]],
    "b": [[[201, 103], [103, 103]]],
    "c": [[[199, 199], [199, 199]]],
    "d": [[[90, 0], [0, 0]], [[0, 31], [0, 0]], [[0, 4], [0, 0]]],
    "e": [[[130, 130, 130], [130, 130, 130]]],
}


@pytest.fixture
def world(fake_plugin: Callable[..., Path]) -> None:
    """Install the golden world as a plugin."""
    fake_plugin("golden", Path(__file__).with_name("golden_plugin.py").read_text())


@pytest.fixture
def golden(world: None, run_of: Callable[..., Run]) -> Run:
    """Measure three perturbations of two classifiers, one of which is a judge too, into the folder `run`."""
    return run_of(
        "table", "inside", "dots:knob,samples=3,search=pgd,steps=1,budget=2.5",
        classifiers=(A, B), judges=(B, "corner"), data="grid", count=6, batch=3, keep=4, seed=5,
    )  # fmt: skip


def values(pixels: Pixels) -> list[float]:
    return [value / 255 for channel in pixels for row in channel for value in row]


def l2(clean: Pixels, changed: Pixels) -> float:
    return math.dist(values(clean), values(changed))


def ssim(clean: Pixels, changed: Pixels) -> float:
    """Wang et al. 2004, equation 13, with a window of 2 x 2 pixels, over whose four a Gaussian is constant."""
    likeness = []
    for a, b in zip(clean, changed, strict=True):
        for column in range(len(a[0]) - 1):
            x, y = ([rows[r][c] / 255 for r in (0, 1) for c in (column, column + 1)] for rows in (a, b))
            mx, my = sum(x) / 4, sum(y) / 4
            vx, vy = (sum((v - m) ** 2 for v in vs) / 4 for vs, m in ((x, mx), (y, my)))
            cov = sum((v - mx) * (w - my) for v, w in zip(x, y, strict=True)) / 4
            likeness.append((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return sum(likeness) / len(likeness)


def digest(name: str) -> str:
    channels = IMAGES[name]
    shape = (len(channels), len(channels[0]), len(channels[0][0]))
    pixels = bytes(int(value) for channel in channels for row in channel for value in row)
    return hashlib.sha256(f"{shape} {LABELS[name]}".encode() + pixels).hexdigest()[:16]


def table(name: str, classifier: str, **fields: Any) -> dict[str, Any]:
    """Entries of every trial of `table` for an image that was classified correctly."""
    clean, changed = IMAGES[name], QUANTIZED[name]
    rows = changed[0]
    return {
        "image": name, "perturbation": "table", "classifier": classifier, "image_hash": digest(name),
        "evidence": "images", "unit": "pages", "l2": l2(clean, changed), "ssim": ssim(clean, changed),
        "height": len(rows), "width": len(rows[0]), **fields,
    }  # fmt: skip


def inside(name: str, classifier: str, outcome: str, **fields: Any) -> dict[str, Any]:
    """A trial of `inside`, which changes no image: it has no distances, and no judge sees it."""
    size = {"size": 0.5} if outcome == "found" else {}
    return {
        "image": name, "perturbation": "inside", "classifier": classifier, "image_hash": digest(name),
        "outcome": outcome, "evidence": "classifier", "unit": "weights", "tried": 0.75, "forward": 2, "backward": 1,
        **size, **fields,
    }  # fmt: skip


def wrong(name: str, perturbation: str, classifier: str, **fields: Any) -> dict[str, Any]:
    """A trial of an image that is misclassified before any change."""
    return {
        "image": name, "perturbation": perturbation, "classifier": classifier, "outcome": "clean-wrong",
        "evidence": "images", "forward": 0, "backward": 0, **fields,
    }  # fmt: skip


def unreadable(perturbation: str, classifier: str) -> dict[str, Any]:
    return {
        "image": "broken", "perturbation": perturbation, "classifier": classifier, "outcome": "unreadable",
        "evidence": "images", "forward": 0, "backward": 0, "note": "broken is cut off",
    }  # fmt: skip


def knob(number: int, classifier: str, outcome: str, **fields: Any) -> dict[str, Any]:
    """A trial at the site: 2.5 standard deviations, spent as (3, 4, 0, 0) in proportion to them.

    The neurons of `dark` deviate by 3 and 4 255ths, so its rows change by 9 and 16; `light` has the two swapped.
    """
    dark = number % 2 == 0
    top, bottom = (125, 120) if dark else (130, 130)
    up, down = (9, 16) if dark else (-16, -9)
    clean: Pixels = [[[top + number, top], [bottom, bottom]]]
    changed: Pixels = [[[top + number + up, top + up], [bottom + down, bottom + down]]]
    found = {"size": 2.5, "forward": 3} if outcome == "found" else {"forward": 2}
    return {
        "image": f"dots#{number}", "perturbation": KNOB, "classifier": classifier, "outcome": outcome,
        "evidence": "images", "unit": "sigma (RMS)", "tried": 2.5, "backward": 2, "pixels": 4, "features": 4,
        "height": 2, "width": 2, "l2": l2(clean, changed), "linf": 16 / 255, "ssim": ssim(clean, changed),
        "label": 2 if dark else 0, **found, **fields,
    }  # fmt: skip


TRIALS = [
    # the sums in 255ths: a 100 -> 640, b 610 -> 510, c 520 -> 796, d 30 -> 41 2/3, e 90 -> 780
    table("a", A, outcome="found", label=2, clean_margin=8.18, predicted=0, margin=-2.62, size=1.5, tried=2.5,
          linf=150 / 255, pixels=4, features=4, votes={B: 0, "corner": 2}, control=True, forward=7, backward=3,
          extra={"stream": 416, "only_a": 0.125}, note="found all the same"),
    # proposed 508.8, which is dark; in whole 255ths 510, which is light. `corner` sees an elephant
    table("b", A, outcome="not-found", label=0, clean_margin=2.02, predicted=0, margin=0.02, tried=4.0,
          linf=57 / 255, pixels=4, features=4, votes={B: 2, "corner": -1}, forward=17, backward=13,
          extra={"stream": 588}),
    wrong("c", "table", A, image_hash=digest("c"), label=2, clean_margin=-0.22, predicted=0),
    table("d", A, outcome="failed", label=2, clean_margin=9.58, predicted=2, margin=2 * (509 - 125 / 3) / 100,
          tried=6.0, linf=30 / 255, pixels=2, features=3, votes={B: 2, "corner": 2}, forward=37, backward=33,
          extra={"stream": 324}, note="gave up"),
    table("e", A, outcome="found", label=2, clean_margin=8.38, predicted=0, margin=-5.42, size=7.0, tried=8.0,
          linf=120 / 255, pixels=6, features=6, votes={B: 0, "corner": 2}, control=False, forward=47, backward=43,
          extra={"stream": 3}),
    unreadable("table", A),
    # the second classifier is no judge of itself
    table("a", B, outcome="found", label=2, clean_margin=10, predicted=0, margin=-0.8, size=1.5, tried=2.5,
          linf=150 / 255, pixels=4, features=4, votes={"corner": 2}, control=True, forward=7, backward=3,
          extra={"stream": 416, "only_a": 0.125}, note="found all the same"),
    table("b", B, outcome="found", label=0, clean_margin=0.2, predicted=2, margin=-1.8, size=3.0, tried=4.0,
          linf=57 / 255, pixels=4, features=4, votes={"corner": -1}, control=True, forward=17, backward=13,
          extra={"stream": 588}),
    # its control adds up to 600.2, which is light; in whole 255ths to 599, which is dark
    table("c", B, outcome="found", label=2, clean_margin=1.6, predicted=0, margin=-3.92, size=0.25, tried=0.75,
          linf=69 / 255, pixels=4, features=4, votes={"corner": 2}, control=False, forward=27, backward=23,
          extra={"stream": 353}),
    table("d", B, outcome="failed", label=2, clean_margin=11.4, predicted=2, margin=2 * (600 - 125 / 3) / 100,
          tried=6.0, linf=30 / 255, pixels=2, features=3, votes={"corner": 2}, forward=37, backward=33,
          extra={"stream": 324}, note="gave up"),
    table("e", B, outcome="found", label=2, clean_margin=10.2, predicted=0, margin=-3.6, size=7.0, tried=8.0,
          linf=120 / 255, pixels=6, features=6, votes={"corner": 2}, control=False, forward=47, backward=43,
          extra={"stream": 3}),
    unreadable("table", B),
    inside("a", A, "found", label=2, clean_margin=8.18, predicted=0, margin=-2),
    inside("b", A, "not-found", label=0, clean_margin=2.02, predicted=0, margin=2.02),
    wrong("c", "inside", A, image_hash=digest("c"), label=2, clean_margin=-0.22, predicted=0),
    inside("d", A, "not-found", label=2, clean_margin=9.58, predicted=2, margin=9.58),
    inside("e", A, "not-found", label=2, clean_margin=8.38, predicted=2, margin=8.38),
    unreadable("inside", A),
    inside("a", B, "found", label=2, clean_margin=10, predicted=0, margin=-2),
    inside("b", B, "not-found", label=0, clean_margin=0.2, predicted=0, margin=0.2),
    inside("c", B, "not-found", label=2, clean_margin=1.6, predicted=2, margin=1.6),
    inside("d", B, "not-found", label=2, clean_margin=11.4, predicted=2, margin=11.4),
    inside("e", B, "not-found", label=2, clean_margin=10.2, predicted=2, margin=10.2),
    unreadable("inside", B),
    # the sums: dark 490 + n -> 540 + n, light 520 + n -> 470 + n
    *(knob(n, A, "found", clean_margin=2 * (19 - n) / 100, predicted=0, margin=-2 * (31 + n) / 100,
           votes={B: 2, "corner": 2}) for n in (0, 2, 4)),
    *(knob(n, A, "found", clean_margin=2 * (11 + n) / 100, predicted=2, margin=-2 * (39 - n) / 100,
           votes={B: 2, "corner": 2}) for n in (1, 3, 5)),
    *(knob(n, B, "not-found", clean_margin=2 * (110 - n) / 100, predicted=2, margin=2 * (60 - n) / 100,
           votes={"corner": 2}) for n in (0, 2, 4)),
    *(wrong(f"dots#{n}", KNOB, B, label=0, clean_margin=-2 * (80 - n) / 100, predicted=2) for n in (1, 3, 5)),
]  # fmt: skip


def key(trial: dict[str, Any]) -> tuple[str, str, str]:
    return (trial["perturbation"], trial["classifier"], trial["image"])


def test_every_field_of_every_trial_is_the_one_worked_out_by_hand(golden: Run) -> None:
    lines = Path("run/trials.jsonl").read_text().splitlines()
    written = {key(trial): trial for trial in map(json.loads, lines)}
    assert len(lines) == len(written) == len(TRIALS)
    for trial in TRIALS:
        found = written[key(trial)]
        assert found.keys() == trial.keys(), key(trial)
        for name, value in trial.items():
            exact = not isinstance(value, float)
            tolerance = 1e-4 if name == "ssim" else 1e-5  # a variance of float32 is a difference of near squares
            assert found[name] == (value if exact else pytest.approx(value, abs=tolerance)), (key(trial), name)


def test_reading_the_run_gives_the_trials_that_were_measured(golden: Run) -> None:
    read = read_run(Path("run"))
    assert read.record == golden.record
    assert [trial.line() for trial in read.trials] == [trial.line() for trial in golden.trials]


def test_only_changes_whose_label_every_judge_still_sees_are_confirmed(golden: Run) -> None:
    confirmed = {trial.key for trial in golden.trials if trial.confirmed}
    assert confirmed == {
        (B, "table", "a"), (B, "table", "c"), (B, "table", "e"),
        (A, KNOB, "dots#0"), (A, KNOB, "dots#2"), (A, KNOB, "dots#4"), (A, "inside", "a"), (B, "inside", "a"),
    }  # fmt: skip


def site_record() -> dict[str, Any]:
    return {"name": "knob", "shape": [4], "scale": "sigma", "samples": 3, "neurons": 4, "clamped": 2, "across": False}


def perturbation_record(key: str, **fields: Any) -> dict[str, Any]:
    return {
        "key": key, "name": key, "target": None, "given": {}, "plugin": "golden", "distribution": "fake_golden 1.0",
        "options": {}, "source": {"spec": "grid", "kind": "dataset", "fingerprint": None, "classes": ["dark", "light"]},
        "search": None, "search_options": {}, "budget": None, "sites": [], "judges": [B, "corner"], "guides": [],
        "weights": {},
        "note": "", "site_options": {}, "generator": None, "label": "",
        **fields,
    }  # fmt: skip


def classifier_record(name: str, options: dict[str, float], classes: list[str], fingerprint: str) -> dict[str, Any]:
    return {
        "name": name, "plugin": "golden", "distribution": "fake_golden 1.0", "options": options, "classes": classes,
        "fingerprint": fingerprint, "weights": {}, "label": "",
    }  # fmt: skip


def test_every_record_of_the_run_is_the_one_that_was_planned(golden: Run) -> None:
    record = json.loads(Path("run/run.json").read_text())
    (command,) = record.pop("commands")
    order = ["light", "other", "dark"]
    assert list(record["perturbations"]) == ["table", "inside", KNOB]
    assert record == {
        "format": 2, "seed": 5, "precision": "float32", "failures": [],
        "perturbations": {
            "table": perturbation_record("table", unit="pages"),
            "inside": perturbation_record("inside", unit="weights"),
            KNOB: perturbation_record(
                KNOB, name="dots", target="knob", unit="sigma (RMS)", search="pgd", budget=2.5, sites=[site_record()],
                given={"budget": "2.5", "samples": "3", "search": "pgd", "steps": "1"},
                source={"spec": "dots", "kind": "generator", "fingerprint": "dots 1", "classes": ["dark", "light"]},
                search_options={"steps": 1, "budget": 2.5, "margin": 0.001, "preserve": False},
                site_options={"samples": 3},
            ),
        },
        "classifiers": {
            A: classifier_record(A, {"threshold": 509}, order, "brightness 509"),
            B: classifier_record(B, {"threshold": 600}, order, "brightness 600"),
            "corner": classifier_record("corner", {}, ["elephant", "Dark"], "corner"),
        },
    }  # fmt: skip
    assert command["command"] == "granu eval ..."
    assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(command["started"]) < timedelta(minutes=10)
    made_with = command["made_with"]
    assert made_with.pop("plugins") == {"granu": granu.__version__, "fake_golden": "1.0"}
    assert made_with.pop("platform") == platform.platform()
    assert made_with == {
        "granu": granu.__version__, "python": platform.python_version(), "torch": torch.__version__, "device": "cpu",
        "git": None,
    }  # fmt: skip


def slug(text: str, plain: str) -> str:
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def pngs() -> dict[str, Pixels]:
    """The images that are kept: of each source the first four that the classifier gets right."""
    b, site = slug(B, "brightness_600"), slug(KNOB, "dots_knob_budget_2.5_samples_3_search_pgd_steps_1")
    files = {
        "a/clean.png": IMAGES["a"], f"a/{A}--table.png": QUANTIZED["a"], f"a/{b}--table.png": QUANTIZED["a"],
        "b/clean.png": IMAGES["b"], f"b/{A}--table.png": QUANTIZED["b"], f"b/{b}--table.png": QUANTIZED["b"],
        "c/clean.png": IMAGES["c"], f"c/{b}--table.png": QUANTIZED["c"],
        "d/clean.png": IMAGES["d"], f"d/{A}--table.png": QUANTIZED["d"], f"d/{b}--table.png": QUANTIZED["d"],
        "e/clean.png": IMAGES["e"], f"e/{A}--table.png": QUANTIZED["e"],
    }  # fmt: skip
    for n, classifiers in ((0, (A, b)), (2, (A, b)), (4, (b,))):
        folder = slug(f"dots#{n}", f"dots_{n}")
        files[f"{folder}/clean.png"] = [[[125 + n, 125], [120, 120]]]
        for classifier in classifiers:
            files[f"{folder}/{classifier}--{site}.png"] = [[[134 + n, 134], [136, 136]]]
    for n in (1, 3):
        folder = slug(f"dots#{n}", f"dots_{n}")
        files[f"{folder}/clean.png"] = [[[130 + n, 130], [130, 130]]]
        files[f"{folder}/{A}--{site}.png"] = [[[114 + n, 114], [121, 121]]]
    return files


def test_exactly_the_first_images_are_kept_and_every_pixel_is_the_one_that_was_judged(golden: Run) -> None:
    root = Path("run/images")
    expected = pngs()
    assert {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()} == expected.keys()
    for name, pixels in expected.items():
        with Image.open(root / name) as image:
            assert image.format == "PNG" and image.mode == ("L" if len(pixels) == 1 else "RGB")
            width, height = image.size
            channels = [
                [[channel.getpixel((x, y)) for x in range(width)] for y in range(height)] for channel in image.split()
            ]
        assert channels == pixels, name


def test_a_colour_image_is_kept_in_colour(world: None, run_of: Callable[..., Run]) -> None:
    run_of("table", classifiers=(A,), judges=(), data="grid", count=5, keep=5)
    for name, pixels in (("clean", IMAGES["d"]), (f"{A}--table", QUANTIZED["d"])):
        with Image.open(Path("run/images/d") / f"{name}.png") as image:
            assert image.mode == "RGB"
            written = [[[image.getpixel((x, y))[c] for x in (0, 1)] for y in (0, 1)] for c in range(3)]  # type: ignore[index]
        assert written == pixels


def test_a_run_in_memory_holds_the_same_trials_and_images(golden: Run, run_of: Callable[..., Run]) -> None:
    memory = run_of(
        "table", "inside", KNOB, out=None,
        classifiers=(A, B), judges=(B, "corner"), data="grid", count=6, batch=3, keep=4, seed=5,
    )  # fmt: skip
    assert [trial.line() for trial in memory.trials] == [trial.line() for trial in golden.trials]
    assert memory.record.perturbations == golden.record.perturbations
    assert memory.images == {name: golden.read_image(name) for name in pngs()}


COLUMNS = [
    "change", "images", "left out", "found %", "confirmed %", "accuracy %", "median size", "median, confirmed", "unit",
    "L2", "SSIM", "random %", "failed",
]  # fmt: skip
# The shares have Wilson's intervals, the medians those of Kaplan and Meier's curve: `table` finds sizes 1.5 and 7 of 4
# images and tries 4 and 6 in vain, so that half of them survive up to 7; none is confirmed up to the largest, 7.
TABLES = {
    A: [
        ["table", "4", "2", "50 [15–85]", "0 [0–49]", "–", "7.00 [1.50–7.00+]", "> 7.00 [1.50–7.00+]", "pages",
         "1.08", "0.129", "50", "1"],
        ["inside", "4", "2", "25 [5–70]", "no image", "–", "> 0.750 [0.500–0.750+]", "–", "weights", "–", "–", "–",
         "0"],
        [KNOB, "6", "0", "100 [61–100]", "50 [19–81]", "0.0 [0.0–39.0]", "spends 2.50", "–", "sigma (RMS)", "0.102",
         "0.819", "–", "0"],
    ],
    B: [
        ["table", "5", "1", "80 [38–96]", "60 [23–88]", "–", "1.50 [0.250–7.00+]", "1.50 [0.250–7.00+]",
         "pages", "0.802", "0.455", "50", "1"],
        ["inside", "5", "1", "20 [4–62]", "no image", "–", "> 0.750 [0.500–0.750+]", "–", "weights", "–", "–", "–",
         "0"],
        [KNOB, "3", "3", "0 [0–56]", "0 [0–56]", "50.0 [18.8–81.2]", "spends 2.50", "–", "sigma (RMS)", "–", "–",
         "–", "0"],
    ],
}  # fmt: skip
CONTROL = "random changes of the same size fool the classifier as well, so the search adds little"
NOTES = [
    "found = attack success; confirmed = label-preserving attack success (every judge still sees the label)",
    f"note: {A}: few images, so raise --count before concluding: table (4), inside (4), {KNOB} (6)",
    f"note: {A}: searches failed: table (1 of 4, most often: gave up)",
    f"note: {A}: {CONTROL}: table (1 of 2)",
    f"note: {A}: the judges still see the label in fewer than half of what was found: table (0 of 2)",
    f"note: {B}: many clean images are misclassified; check that classifier and images fit together: {KNOB} (3 of 6)",
    f"note: {B}: few images, so raise --count before concluding: table (5), inside (5), {KNOB} (3)",
    f"note: {B}: searches failed: table (1 of 5, most often: gave up)",
    f"note: {B}: nothing found; the search may be weak rather than the classifier robust: {KNOB} (0 of 3)",
    f"note: {B}: {CONTROL}: table (2 of 4)",
    "note: dots: near-constant neurons clamped to the minimum std: knob (2 of 4)",
]


def expected_lines() -> list[list[str]]:
    tables = []
    for classifier, rows in TABLES.items():
        tables += [[f"{classifier}: images classified correctly (2 x 2 to 2 x 3)"], COLUMNS, *rows]
    return [*tables, *([note] for note in NOTES)]


def cells(text: str) -> list[list[str]]:
    """The cells of each printed line, without empty lines and rules."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.strip(" ─")]


def test_every_cell_of_the_table_is_the_one_worked_out_by_hand(golden: Run) -> None:
    assert cells(golden.table()) == expected_lines()
    assert cells(read_run(Path("run")).table()) == expected_lines()


def test_the_command_line_measures_and_prints_the_same(world: None, granu: Callable[..., Any], golden: Run) -> None:
    command = (
        "eval", "-p", "table", "-p", "inside", "-p", "dots:knob,samples=3,search=pgd,steps=1,budget=2.5", "-c", A,
        "-c", B, "--judge", B, "--judge", "corner", "--data", "grid", "--count", "6", "--batch", "3", "--keep", "4",
        "--seed", "5", "--out", "typed", "--device", "cpu",
    )  # fmt: skip
    answer = granu(*command, COLUMNS="400")
    assert answer.returncode == 0, answer.stderr
    assert cells(answer.stdout)[: len(expected_lines())] == expected_lines()
    assert cells(granu("report", "typed", COLUMNS="400").stdout)[: len(expected_lines())] == expected_lines()
    assert Path("typed/trials.jsonl").read_bytes() == Path("run/trials.jsonl").read_bytes()
    typed, run = (json.loads((Path(out) / "run.json").read_text()) for out in ("typed", "run"))
    assert typed.pop("commands")[0]["command"].startswith("granu eval -p table") and run.pop("commands")
    assert typed == run

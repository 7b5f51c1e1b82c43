"""Figures: drawn from the right numbers, the same bytes each time, refused in one sentence if there is nothing."""

import dataclasses
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from making_runs import perturbation, png, run_of, spending

from granu.errors import GranuError, OptionError, RunFolderError, UnknownName
from granu.report import style
from granu.report.formatting import number
from granu.report.profile import profile
from granu.report.rows import rows
from granu.report.sheet import sheet
from granu.report.strips import diverging
from granu.report.survival import survival_curves
from granu.runs.gallery import changed_name, clean_name
from granu.runs.records import PerturbationRecord
from granu.runs.run import Run
from granu.runs.trials import CLASSIFIER, CLEAN_WRONG, FOUND, NOT_FOUND, Trial


def texts(figure: Any) -> set[str]:
    from matplotlib.text import Text

    return {text.get_text() for text in figure.findobj(Text)}


def found(size: float, key: str = "tiny:z", name: str = "a", number: int = 0, **more: Any) -> Trial:
    return Trial(f"p{number}", key, name, FOUND, label=0, size=size, tried=9.0, **more)


def marks(axes: Any, colour: str) -> list[tuple[float, float]]:
    """Positions and values of the marks of a colour, left to right."""
    lines = [line for line in axes.get_lines() if line.get_color() == colour and line.get_marker() in style.MARKERS]
    return sorted((float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines)


def test_the_profile_has_a_panel_per_unit_and_the_ratio_below(matrix: Run) -> None:
    figure = profile(matrix)
    above, image, below, _ = figure.axes
    assert above.get_ylabel() == "median size, sigma (RMS)" and image.get_ylabel() == "median size, pixel L2"
    assert below.get_ylabel() == "ratio of sizes\nto zoo:plain"
    assert [label.get_text() for label in below.get_xticklabels()] == ["layer1"]
    assert figure.get_supxlabel() == "coarse → fine"
    assert {"zoo:plain", "zoo:hard", "confirmed by all judges"} <= {t.get_text() for t in figure.legends[0].get_texts()}


def test_the_profile_draws_the_medians_of_the_table() -> None:
    keys = ("tiny:b", "tiny:a")  # the records' order, which is neither the trials' nor the alphabet's
    trials = [found(2.0, "tiny:a"), found(0.5, "tiny:b"), found(4.0, "tiny:a", "b"), found(0.25, "tiny:b", "b")]
    axes, ratios = profile(run_of(trials, *map(perturbation, keys))).axes
    first, second = style.COLOURS[:2]
    assert [value for _, value in marks(axes, first)] == [0.5, 2.0]
    assert [value for _, value in marks(axes, second)] == [0.25, 4.0]
    assert [value for _, value in marks(ratios, second)] == pytest.approx([0.5, 2.0])


def test_panels_separate_families_and_units() -> None:
    units = {"tiny:z": "sigma", "tiny:image": "pixel L2", "pixel:l2": "pixel L2", "pixel:linf": "pixel Linf"}
    trials = [found(1.0, key) for key in units]
    figure = profile(run_of(trials, *(perturbation(key, unit=unit) for key, unit in units.items())))
    assert [axes.get_ylabel() for axes in figure.axes] == [f"median size, {unit}" for unit in units.values()]
    assert figure.get_supxlabel() == ""


def test_one_classifier_has_no_ratio(matrix: Run) -> None:
    matrix.trials = [trial for trial in matrix.trials if trial.classifier == "zoo:plain"]
    assert len(profile(matrix).axes) == 2


def test_a_profile_of_nothing_found_can_be_drawn() -> None:
    trials = [Trial(f"p{n}", "tiny:z", c, NOT_FOUND, label=0, tried=3.0) for n in range(9) for c in ("a", "b")]
    assert style.rendered(profile(run_of(trials)), "png")


def test_survival_has_a_panel_per_perturbation(matrix: Run) -> None:
    axes = survival_curves(matrix).axes
    assert [one.get_title(loc="left") for one in axes[:2]] == ["layer1", "image"]
    assert [one.get_xlabel() for one in axes[:2]] == ["sigma (RMS)", "pixel L2"]


def test_survival_draws_the_share_that_is_not_fooled() -> None:
    trials = [found(float(n), number=n) for n in (1, 2, 3)] + [Trial("p9", "tiny:z", "a", NOT_FOUND, tried=2.5)]
    trials.append(Trial("p10", "tiny:z", "a", CLEAN_WRONG))
    (curve,) = survival_curves(run_of(trials)).axes[0].get_lines()
    assert list(curve.get_xdata()) == [0, 1, 2, 2.5, 3]
    assert list(curve.get_ydata()) == pytest.approx([100, 75, 50, 50, 0])


def test_budgets_have_no_sizes_to_draw() -> None:
    run = run_of([found(2.0)], spending("tiny:z", 2.0))
    for draw in (profile, survival_curves):
        with pytest.raises(GranuError, match="this run holds no smallest sizes to draw; measure some with search="):
            draw(run)


def test_the_sheet_names_perturbations_sizes_and_classes(matrix: Run) -> None:
    shown = texts(sheet(matrix, "zoo:hard"))
    assert {"zoo:hard", "layer1", "image", "clean: cat", "framed: every judge still sees the label"} <= shown
    saved = [t for t in matrix.trials if t.classifier == "zoo:hard" and t.image in ("tiny#2", "tiny#10")]
    captions = [f"{number(t.size)} → <b>fox</b>" if t.outcome == FOUND else "not found" for t in saved]
    assert len(captions) == 4 and "not found" in captions and set(captions) <= shown


def test_the_sheet_shows_images_in_natural_order_up_to_the_most(matrix: Run) -> None:
    matrix.folder = None  # images from memory
    matrix.images[clean_name("tiny#2")] = png(0.25)
    images = sheet(matrix, most=1).axes[0].get_images()
    assert len(images) == 1 + 2 * 2
    assert float(np.asarray(images[0].get_array()).max()) == pytest.approx(64 / 255)


def test_a_confirmed_image_is_framed(matrix: Run) -> None:
    """Number 10 is not confirmed by the judge, number 2 is."""
    edges = [patch.get_edgecolor() for patch in sheet(matrix).axes[0].patches]
    green = matplotlib.colors.to_rgba(style.COLOURS[2])
    confirmed = [t for t in matrix.trials if t.image in ("tiny#2", "tiny#10") and t.classifier == "zoo:plain"]
    assert edges.count(green) == sum(t.confirmed for t in confirmed if t.outcome == FOUND) > 0


def test_the_sheet_leaves_out_changes_inside_the_classifier(matrix: Run) -> None:
    inside = dataclasses.replace(matrix.trials[0], perturbation="features:advbn", evidence=CLASSIFIER, votes={})
    matrix.record.perturbations["features:advbn"] = perturbation("features:advbn")
    matrix.trials.append(inside)
    assert "layer1" in texts(sheet(matrix, inside.classifier))  # one family, so the name is short
    matrix.trials = [inside]
    with pytest.raises(GranuError, match="under changes inside the classifier only, which have no images"):
        sheet(matrix)


def test_changes_inside_the_classifier_are_in_the_profile() -> None:
    run = run_of([found(1.0), found(2.0, "features:advbn", evidence=CLASSIFIER, unit="batch L2")])
    assert [axes.get_ylabel() for axes in profile(run).axes] == ["median size", "median size, batch L2"]
    assert [row.evidence for row in rows(run)] == ["images", "classifier"]


def test_a_difference_of_nothing_is_drawn_white() -> None:
    nothing, brighter = diverging(np.zeros((2, 2))), diverging(np.array([[1.0, -1.0]]))
    assert nothing.min() > 0.95
    assert brighter[0, 0, 0] > brighter[0, 0, 2] and brighter[0, 1, 2] > brighter[0, 1, 0]  # red, blue


def test_a_sheet_without_images_or_of_an_unknown_classifier_is_refused(matrix: Run) -> None:
    with pytest.raises(UnknownName, match="did you mean 'zoo:hard'"):
        sheet(matrix, "zoo:hrad")
    with pytest.raises(GranuError, match="this run holds no images of a; `granu eval --keep 8` saves some"):
        sheet(run_of([found(1.0)]))


def test_a_damaged_image_is_reported(matrix: Run) -> None:
    assert matrix.folder is not None
    (matrix.folder / "images" / changed_name("tiny#2", "zoo:plain", "tiny:image")).write_bytes(b"no image")
    with pytest.raises(RunFolderError, match=r"zoo_plain.*png of .* cannot be read; delete it"):
        sheet(matrix, "zoo:plain")


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_a_figure_is_the_same_file_every_time(matrix: Run, tmp_path: Path, ending: str) -> None:
    one, other = tmp_path / f"one{ending}", tmp_path / f"other{ending}"
    style.save(survival_curves(matrix), one)
    style.save(survival_curves(matrix), other)
    assert one.read_bytes() == other.read_bytes()


def test_figures_do_not_depend_on_the_order_of_trials(matrix: Run) -> None:
    drawn = style.rendered(profile(matrix), "svg")
    matrix.trials.reverse()
    assert style.rendered(profile(matrix), "svg") == drawn


def test_a_figure_that_cannot_be_written_is_refused(matrix: Run, tmp_path: Path) -> None:
    figure = sheet(matrix)
    with pytest.raises(OptionError, match=r"is not a figure format; end the name with \.svg, \.png, \.pdf"):
        style.save(figure, tmp_path / "sheet.jpeg2000")
    with pytest.raises(RunFolderError, match="cannot write"):
        style.save(figure, tmp_path / "nowhere" / "sheet.png")


def given(key: str, **options: str) -> PerturbationRecord:
    return perturbation(key, given=options)


@pytest.mark.parametrize(
    ("records", "names"),
    [
        ([given("stylegan:z"), given("stylegan:layer6")], ["z", "layer6"]),
        ([given("stylegan:z", steps="9"), given("stylegan:w", steps="9")], ["z", "w"]),
        ([given("stylegan:z"), given("biggan:z")], ["stylegan:z", "biggan:z"]),
        ([given("sparse-pixel")], ["sparse-pixel"]),
        ([given("sparse-pixel"), given("pixel:l2")], ["sparse-pixel", "pixel:l2"]),
        ([given("sparse-pixel", steps="9"), given("pixel:l2")], ["sparse-pixel:steps=9", "pixel:l2"]),
        ([given("pixel:l2", steps="9")], ["l2"]),
        (
            [given("fog:a", level="1+2"), given("fog:b", level="1+2"), given("style:blur")],
            ["fog:a", "fog:b", "style:blur"],
        ),
        (
            [given("jpeg", search="worst", budget="1"), given("pixel:l2", search="worst", budget="2")],
            ["jpeg:budget=1", "pixel:l2,budget=2"],
        ),
        ([], []),
    ],
)
def test_short_names_are_distinct(records: list[PerturbationRecord], names: list[str]) -> None:
    assert list(style.short_names(records).values()) == names


def test_short_names_hold_the_options_that_differ() -> None:
    def one(key: str, target: str, **options: str) -> PerturbationRecord:
        return perturbation(key, name="tiny", target=target, given=options)

    steps = [one("k1", "z", steps="9", limit="1"), one("k2", "z", steps="99", limit="1")]
    assert style.short_names(steps) == {"k1": "z,steps=9", "k2": "z,steps=99"}
    paths = [one("k1", "z", weights="/long/way/to/a.safetensors"), one("k2", "z", budget="8/255")]
    assert style.short_names(paths) == {"k1": "z,weights=a.safetensors", "k2": "z,budget=8/255"}
    alike = [one("k1", "z", weights="one/a.pt"), one("k2", "z", weights="two/a.pt")]
    assert style.short_names(alike) == {"k1": "k1", "k2": "k2"}


def test_classifiers_have_styles_of_their_own() -> None:
    shown = style.series_styles(["a", "b", "a", "c"])
    assert list(shown) == ["a", "b", "c"] and len(set(shown.values())) == 3


def test_of_many_units_those_with_a_single_perturbation_are_left_to_the_table() -> None:
    keys = {f"style:{i}": f"unit {i}" for i in range(7)} | {"tiny:z": "sigma", "tiny:w": "sigma"}
    trials = [
        Trial(f"p{n}", key, "zoo:a", FOUND, label=0, unit=unit, size=1.0 + n, tried=9.0)
        for key, unit in keys.items()
        for n in range(3)
    ]
    few = [trial for trial in trials if not trial.perturbation.startswith("style") or trial.perturbation < "style:3"]
    assert len(profile(run_of(trials)).axes) == 1 and len(profile(run_of(few)).axes) == 4
    alone = [trial for trial in trials if trial.perturbation.startswith("style")]
    assert len(profile(run_of(alone)).axes) == 7, "there is nothing else to draw"

"""Figures: drawn for every kind of run, the same bytes each time, refused with a sentence if there is nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from granu.errors import GranuError, OptionError, RunFolderError, UnknownName
from granu.report import style
from granu.report.profile import profile
from granu.report.sheet import diverging, sheet
from granu.report.survival import survival_curves
from granu.runs.folder import Run, read_run
from granu.runs.trials import FOUND, NOT_FOUND, Trial


def texts(figure: object) -> set[str]:
    from matplotlib.text import Text

    return {text.get_text() for text in figure.findobj(Text)}  # type: ignore[attr-defined]


def test_the_profile_has_a_panel_per_unit_and_the_ratio_below(matrix: Run) -> None:
    figure = profile(matrix)
    above, image, below, _ = figure.axes
    assert above.get_ylabel() == "median size, sigma (RMS)" and image.get_ylabel() == "median size, pixel L2"
    assert below.get_ylabel() == "ratio of sizes\nto zoo:plain"
    assert [label.get_text() for label in below.get_xticklabels()] == ["layer1"]


def test_one_classifier_has_no_ratio(matrix: Run) -> None:
    matrix.trials = [trial for trial in matrix.trials if trial.classifier == "zoo:plain"]
    assert len(profile(matrix).axes) == 2


def test_a_profile_of_nothing_found_can_be_drawn(run_folder: Callable[..., Path]) -> None:
    trials = [Trial(f"p{n}", "tiny:z", c, NOT_FOUND, label=0, tried=3.0) for n in range(9) for c in ("a", "b")]
    figure = profile(read_run(run_folder(*trials)))
    assert style.rendered(figure, "png")


def test_survival_has_a_panel_per_perturbation(matrix: Run) -> None:
    titles = [axes.get_title(loc="left") for axes in survival_curves(matrix).axes]
    assert titles[:2] == ["layer1", "image"]


def test_spent_budgets_have_no_sizes_to_draw(run_folder: Callable[..., Path]) -> None:
    run = read_run(run_folder(Trial("p", "tiny:z,budget=2,search=worst", "a", FOUND, label=0, size=2.0)))
    for draw in (profile, survival_curves):
        with pytest.raises(GranuError, match="no smallest sizes to draw"):
            draw(run)


def test_the_sheet_names_sites_sizes_and_classes(matrix: Run) -> None:
    message = texts(sheet(matrix, "zoo:hard"))
    assert {"zoo:hard", "layer1", "image", "clean: cat"} <= message
    assert any(text.endswith("→ <b>fox</b>") for text in message)


def test_a_difference_of_nothing_is_drawn_white() -> None:
    nothing, brighter = diverging(np.zeros((2, 2))), diverging(np.array([[1.0, -1.0]]))
    assert nothing.min() > 0.95
    assert brighter[0, 0, 0] > brighter[0, 0, 2] and brighter[0, 1, 2] > brighter[0, 1, 0]  # red, blue


def test_a_sheet_without_images_or_of_an_unknown_classifier_is_refused(
    matrix: Run, run_folder: Callable[..., Path]
) -> None:
    with pytest.raises(UnknownName, match="did you mean 'zoo:hard'"):
        sheet(matrix, "zoo:hrad")
    bare = read_run(run_folder(Trial("p", "tiny:z", "a", FOUND, label=0, size=1.0), name="bare"))
    with pytest.raises(GranuError, match="--keep"):
        sheet(bare)


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_a_figure_is_the_same_file_every_time(matrix: Run, tmp_path: Path, ending: str) -> None:
    one, other = tmp_path / f"one{ending}", tmp_path / f"other{ending}"
    style.save(survival_curves(matrix), one)
    style.save(survival_curves(matrix), other)
    assert one.read_bytes() == other.read_bytes()


def test_a_figure_that_cannot_be_written_is_told(matrix: Run, tmp_path: Path) -> None:
    figure = sheet(matrix)
    with pytest.raises(OptionError, match=r"end it with \.svg, \.png, \.pdf"):
        style.save(figure, tmp_path / "sheet.jpeg2000")
    with pytest.raises(RunFolderError, match="cannot write"):
        style.save(figure, tmp_path / "nowhere" / "sheet.png")


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["stylegan:z", "stylegan:layer6"], ["z", "layer6"]),
        (["stylegan:z,steps=9", "stylegan:w,steps=9"], ["z", "w"]),
        (["stylegan:z,steps=9", "stylegan:z,steps=99"], ["z,steps=9", "z,steps=99"]),
        (["stylegan:z", "biggan:z"], ["stylegan:z", "biggan:z"]),
        (["stylegan:z,weights=/long/way/to/a.safetensors", "stylegan:z"], ["z,weights=a.safetensors", "z"]),
        (["sparse-pixel"], ["sparse-pixel"]),
        (["sparse-pixel", "pixel:l2"], ["sparse-pixel", "pixel:l2"]),
    ],
)
def test_short_names_tell_apart(keys: list[str], names: list[str]) -> None:
    assert list(style.short_names(keys).values()) == names


def test_classifiers_look_different() -> None:
    shown = style.series_styles(["a", "b", "a", "c"])
    assert list(shown) == ["a", "b", "c"] and len(set(shown.values())) == 3

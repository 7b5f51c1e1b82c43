"""The tables: their cells, their titles, and what is written below them."""

import math

import pytest
from making_runs import run_of, spending

from granu.report import formatting
from granu.report.rows import Row, rows
from granu.report.statistics import Median, Rate, Ratio, rate
from granu.report.table import Table, by_classifier, table
from granu.report.text import text_table
from granu.runs.run import Run
from granu.runs.trials import CLASSIFIER, CLEAN_WRONG, FAILED, FOUND, UNREADABLE, Trial


def found(number: int = 0, key: str = "tiny:z", outcome: str = FOUND, **more: object) -> Trial:
    fields = {"label": 0, "size": 1.0, "tried": 2.0} | more
    return Trial(f"p{number}", key, "zoo:a", outcome, **fields)  # type: ignore[arg-type]


def cells(made: Table, line: int = 0) -> dict[str, str]:
    return dict(zip(made.columns, made.lines[line], strict=True))


def row_of(*trials: Trial, judges: tuple[str, ...] = ()) -> Row:
    (row,) = rows(run_of(trials, judges=judges))
    return row


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.2345, "1.23"), (0.9996, "1.00"), (12.34, "12.3"), (123.4, "123"), (0.01234, "0.0123"), (-2.5, "-2.50"),
        (0, "0"), (1e-7, "1.00e-07"), (2e6, "2.00e+06"), (None, "–"), (math.nan, "–"), (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(("part", "text"), [(0, "0"), (1, "100"), (0.5, "50"), (0.998, "99.8"), (0.004, "0.4")])
def test_almost_all_is_not_rounded_to_all(part: float, text: str) -> None:
    assert formatting.percent(part) == text


@pytest.mark.parametrize(
    ("median", "text"),
    [
        (Median(1.32, 1.2, 1.414, 9.0, 50), "1.32 [1.20–1.41]"),
        (Median(1.32, 1.2, None, 9.0, 50), "1.32 [1.20–9.00+]"),
        (Median(None, 1.2, None, 9.0, 50), "> 9.00 [1.20–9.00+]"),
        (Median(None, None, None, 9.0, 50), "> 9.00"),
        (None, "–"),
    ],
)
def test_a_median_beyond_all_sizes_is_marked(median: Median | None, text: str) -> None:
    assert formatting.size(median) == text


def test_a_rate_has_its_interval_and_a_rate_of_nothing_none() -> None:
    assert formatting.share(Rate(49, 50, 0.8950, 0.9965)) == "98 [90–99.7]"
    assert formatting.share(rate(0, 0)) == "–" and formatting.share(None) == "–"


def test_a_ratio_of_few_pairs_is_not_shown() -> None:
    assert formatting.ratio(Ratio(0.87, 0.8, 0.951, 5, 1, 4, 0, 0.4)) == "0.870 [0.800–0.951]"
    assert formatting.ratio(Ratio(0.87, 0.8, 0.95, 4, 1, 3, 0, 0.4)) == "–"


@pytest.mark.parametrize(("p", "text"), [(0.0009, "< 0.001"), (0.001, "0.001"), (0.0126, "0.013"), (1.0, "1.000")])
def test_probabilities_have_three_decimals(p: float, text: str) -> None:
    assert formatting.probability(p) == text


def test_every_cell_shows_its_own_number() -> None:
    more = {
        "l2": 1.5, "linf": 0.25, "ssim": 0.875, "height": 8, "width": 6, "forward": 12, "backward": 10,
        "unit": "sigma (RMS)", "pixels": 30, "features": 40,
    }  # fmt: skip
    trials = [found(n, size=n + 1.0, votes={"a": int(n > 0)}, control=n == 0, **more) for n in range(4)]
    made = table([row_of(*trials, found(9, outcome=CLEAN_WRONG), found(10, outcome=FAILED, tried=0.0), judges=("a",))])
    assert cells(made) == {
        "change": "tiny:z", "images": "5", "left out": "1", "found %": "80 [38–96]", "confirmed %": "20 [4–62]",
        "median size": "2.00 [1.00–4.00+]", "median, confirmed": "> 4.00 [1.00–4.00+]", "unit": "sigma (RMS)",
        "L2": "1.50", "L∞": "0.250", "SSIM": "0.875", "random %": "25", "failed": "1", "passes": "10+8",
    }  # fmt: skip


def test_columns_without_content_are_left_out() -> None:
    made = table([row_of(found())])
    absent = ("classifier", "left out", "failed", "median, confirmed", "unit", "features", "random %")
    assert not set(absent) & set(made.columns)
    assert cells(made)["confirmed %"] == "no judges"


def test_every_line_has_a_cell_for_every_column(matrix: Run) -> None:
    made = table(rows(matrix))
    assert len(made.lines) == 4 and {len(line) for line in made.lines} == {len(made.columns)} == {len(made.meanings)}
    assert [cells(made, line)["classifier"] for line in range(4)] == ["zoo:plain"] * 2 + ["zoo:hard"] * 2


def test_a_budget_replaces_the_median() -> None:
    key = "tiny:z,budget=2,search=worst"
    ((_, made),) = by_classifier(rows(run_of([found(key=key)], spending(key, 2.0))))
    assert cells(made)["median size"] == "spends 2.00"


def test_changes_inside_the_classifier_stand_beside_changes_of_images() -> None:
    inside = found(key="features:advbn", evidence=CLASSIFIER, unit="batch L2")
    run = run_of([found(l2=0.5, linf=0.1, ssim=0.9, votes={"j": 0}), inside], judges=("j",))
    ((title, made),) = by_classifier(rows(run))
    assert title == "zoo:a: 1 of 1 images classified correctly"
    image, features = cells(made, 0), cells(made, 1)
    assert image["confirmed %"] == "100 [21–100]" and image["L2"] == "0.500"
    assert features["confirmed %"] == "no image" and features["median size"] == "1.00 [1.00–1.00+]"
    assert features["median, confirmed"] == features["L2"] == features["SSIM"] == "–"


def test_pixels_count_their_features() -> None:
    trials = [found(n, unit="pixels", pixels=n, features=2 * n) for n in (1, 2, 5)]
    assert cells(table([row_of(*trials)]))["features"] == "4"


@pytest.mark.parametrize(
    ("trials", "title"),
    [
        ([found(0), found(1, outcome=CLEAN_WRONG)], "zoo:a: 1 of 2 images classified correctly"),
        ([found(0, height=8, width=6)], "zoo:a: 1 of 1 images classified correctly (8 x 6)"),
        (
            [found(0, height=8, width=6), found(1, height=2, width=3), found(2, outcome=UNREADABLE)],
            "zoo:a: 2 of 2 images classified correctly, 1 unreadable (2 x 3 to 8 x 6)",
        ),
        ([found(0), found(1), found(0, "tiny:w")], "zoo:a: images classified correctly"),
    ],
)
def test_the_title_counts_images(trials: list[Trial], title: str) -> None:
    ((got, made),) = by_classifier(rows(run_of(trials)))
    assert got == title and ("images" in made.columns) == (title == "zoo:a: images classified correctly")


def test_a_text_table_is_aligned_without_trailing_spaces() -> None:
    assert text_table(("a", "long"), [("1", "2"), ("three", "4")], "title").split("\n") == [
        "title", "", " a       long", " ────────────", " 1       2", " three   4", "",
    ]  # fmt: skip


def test_in_a_narrow_terminal_intervals_go_below_their_numbers_and_none_is_cut() -> None:
    columns, lines = ("change", "median size", "unit"), [("stylegan:layer0", "0.0766 [0.0602–0.0927]", "sigma (RMS)")]
    assert text_table(columns, lines, width=60) == text_table(columns, lines), "there is room"
    assert text_table(columns, lines, width=50).split("\n") == [
        "",
        " change            median            unit",
        "                   size",
        " " + "─" * 47,
        " stylegan:layer0   0.0766            sigma (RMS)",
        "                   [0.0602–0.0927]",
        "",
    ]


def test_columns_without_room_are_left_out_from_the_right_and_named() -> None:
    columns = ("change", "median size", "L2", "SSIM")
    drawn = text_table(columns, [("pixel", "0.5 [0.4–0.6]", "1.25", "0.9")], width=24)
    assert "no room for: L2, SSIM (widen the terminal, or see --json)" in drawn
    assert max(len(line) for line in drawn.split("\n")[:-2]) <= 24 and "[0.4–0.6]" in drawn
    assert "0.5" in text_table(columns, [("pixel", "0.5", "1", "1")], width=1), "the first number always stays"

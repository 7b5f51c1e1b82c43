"""`granu compare --reference`: all classifiers of a run relative to one, per perturbation, with its figure."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from making_runs import perturbation, run_of, spending
from typer.testing import CliRunner, Result

from granu.cli import app
from granu.errors import GranuError, OptionError, UnknownName
from granu.report import formatting
from granu.report.median_ratio import MedianRatio, median_ratio
from granu.report.relative import RelativeProfile, relative_profile
from granu.report.relative_figure import VERDICTS
from granu.report.statistics import Observation, median_size
from granu.runs.run import Run
from granu.runs.trials import CLASSIFIER, FAILED, FOUND, Trial

JUDGES = ("j",)


def trials(
    classifier: str, sizes: Sequence[float], kept: bool | Sequence[bool] = True, key: str = "tiny:z", **more: object
) -> list[Trial]:
    """One image per size, with a judge that sees the label where `kept` says so."""
    kept = [kept] * len(sizes) if isinstance(kept, bool) else kept
    fields = {"outcome": FOUND, **more}
    return [
        Trial(f"tiny#{i}", key, classifier, label=0, unit="sigma", size=size, tried=10.0, votes={"j": int(not keeps)},
              **fields)  # type: ignore[arg-type]
        for i, (size, keeps) in enumerate(zip(sizes, kept, strict=True))
    ]  # fmt: skip


def profile(*made: list[Trial], judges: tuple[str, ...] = JUDGES) -> RelativeProfile:
    return relative_profile(run_of([trial for one in made for trial in one], judges=judges), "a")


def granu(*words: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def exact(*sizes: float) -> list[Observation]:
    return [Observation(size, True) for size in sizes]


def test_the_ratio_is_that_of_the_medians_of_censored_sizes() -> None:
    first = [*exact(1, 2, 3, 4), Observation(2.5, False)]
    second = [*exact(5, 9, 12, 20), Observation(10, False)]
    one, two = median_size(first), median_size(second)
    made = median_ratio(list(zip(first, second, strict=True)))
    assert one and two and one.value and two.value and made
    assert made.value == two.value / one.value and made.bound is None and made.images == 5


def test_the_bootstrap_draws_images_in_pairs() -> None:
    sizes = np.random.default_rng(0).lognormal(sigma=2, size=30)
    made = median_ratio([(Observation(s, True), Observation(3 * s, True)) for s in sizes])
    assert made and (made.value, made.low, made.high) == pytest.approx((3, 3, 3))


def test_the_median_of_each_draw_is_the_estimator_of_the_tables() -> None:
    random = np.random.default_rng(1)
    observations = [Observation(float(random.integers(1, 6)), bool(random.random() < 0.6)) for _ in range(12)]
    one = [Observation(1.0, True)] * 12
    made = median_ratio(list(zip(one, observations, strict=True)), draws=300)
    drawn = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=300)
    medians = [median_size([o for o, n in zip(observations, row, strict=True) for _ in range(n)]) for row in drawn]
    known = sorted(math.inf if m is None or m.value is None else m.value for m in medians)
    assert made and made.low == known[int(0.025 * 299)] and made.high == known[math.ceil(0.975 * 299)]


def test_a_median_beyond_all_sizes_tried_bounds_the_ratio() -> None:
    beyond = [Observation(6.0, False)] * 4
    above = median_ratio(list(zip(exact(1, 2, 2, 3), beyond, strict=True)))
    below = median_ratio(list(zip(beyond, exact(1, 2, 2, 3), strict=True)))
    assert above and above.value == math.inf and above.bound == 3 and above.high == math.inf
    assert below and below.value == 0 and below.bound == pytest.approx(1 / 3) and below.low == 0


def test_two_medians_beyond_all_sizes_tried_say_nothing() -> None:
    made = median_ratio([(Observation(6.0, False), Observation(9.0, False))] * 5)
    assert made and (made.value, made.low, made.high) == (None, 0, math.inf)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (MedianRatio(1.5, 1.2, 2, None, 9), "1.50 [1.20–2.00]"),
        (MedianRatio(math.inf, 1.2, math.inf, 3, 9), "> 3.00 [1.20–∞]"),
        (MedianRatio(0, 0, 0.5, 0.25, 9), "< 0.250 [0–0.500]"),
        (MedianRatio(None, 0, math.inf, None, 9), "– [0–∞]"),
        (MedianRatio(1.5, 1.2, 2, None, 4), "–"),
        (None, "–"),
    ],
)
def test_a_ratio_of_medians_as_text(ratio: MedianRatio | None, text: str) -> None:
    assert formatting.median_ratio(ratio) == text


def test_every_other_classifier_is_related_to_the_reference() -> None:
    made = profile(trials("a", [1, 2, 3, 4, 5]), trials("b", [2, 4, 6, 8, 10]), trials("c", [0.5, 1, 1.5, 2, 2.5]))
    assert made.classifiers == ("b", "c")
    assert [(c.preserving.value, c.sizes.value, c.verdict) for c in made.cells if c.preserving] == [
        (2, pytest.approx(2), 1), (0.5, pytest.approx(0.5), -1)
    ]  # fmt: skip


def test_a_change_that_judges_reject_is_censored_and_stays_in() -> None:
    made = profile(trials("a", [1, 2, 3, 4, 5]), trials("b", [1, 2, 3, 4, 5], [True, True, False, False, False]))
    (cell,) = made.cells
    assert cell.sizes.value == pytest.approx(1) and cell.verdict == 0
    assert cell.preserving and cell.preserving.images == 5 and cell.preserving.value == math.inf
    assert cell.preserving.bound == pytest.approx(5 / 3)


@pytest.mark.parametrize("more", [{"judges": ()}, {"evidence": CLASSIFIER}])
def test_without_judged_images_the_sizes_of_all_that_was_found_are_shown(more: dict) -> None:
    judges = more.pop("judges", JUDGES)
    made = profile(trials("a", [1] * 6, **more), trials("b", [2] * 6, **more), judges=judges)
    (cell,) = made.cells
    assert cell.preserving is None and cell.interval == (pytest.approx(2), pytest.approx(2)) and cell.verdict == 1
    assert len(made.tables()) == 1 and "label-preserving" not in made.table()


def test_a_classifier_that_is_a_judge_is_not_related_by_what_the_others_judge() -> None:
    (cell,) = profile(trials("a", [1] * 6), trials("j", [2] * 6)).cells
    assert cell.preserving is None


def test_searches_that_could_not_run_enter_no_median() -> None:
    made = profile(trials("a", [1] * 7), [*trials("b", [2] * 6), *trials("b", [0] * 7, outcome=FAILED)[6:]])
    (cell,) = made.cells
    assert cell.preserving and cell.preserving.images == 6 and cell.images == 7


def test_the_command_prints_a_table_for_each_measure(matrix: Run) -> None:
    done = granu(matrix.folder, "--reference", "zoo:plain")
    assert done.exit_code == 0
    assert done.stdout.index("median label-preserving size, relative to zoo:plain") < done.stdout.index(
        "size of all that was found, relative to zoo:plain"
    )
    assert done.stdout.index("tiny:layer1") < done.stdout.index("tiny:image")


def test_json_holds_every_cell(matrix: Run) -> None:
    made = json.loads(granu(matrix.folder, "--reference", "zoo:hard", "--json").stdout)
    assert made["reference"] == "zoo:hard"
    assert [(c["classifier"], c["perturbation"]) for c in made["cells"]] == [
        ("zoo:plain", "tiny:layer1"), ("zoo:plain", "tiny:image")
    ]  # fmt: skip
    assert all(c["ratio_low"] <= c["ratio"] <= c["ratio_high"] < 1 and c["verdict"] == -1 for c in made["cells"])


def test_markdown_and_figure_are_written(matrix: Run, tmp_path: Path) -> None:
    done = granu(
        matrix.folder, "--reference", "zoo:plain", "--markdown", tmp_path / "m.md", "--figure", tmp_path / "f.svg"
    )
    assert done.exit_code == 0
    assert "| change | zoo:hard |" in (tmp_path / "m.md").read_text()
    assert "<svg" in (tmp_path / "f.svg").read_text()


def test_the_figure_has_a_row_per_classifier_and_a_shape_per_verdict() -> None:
    sizes = [1, 1.1, 1.2, 1.3, 1.4, 1.5]
    made = profile(
        trials("a", sizes), trials("b", [3 * s for s in sizes]), trials("c", [s / 3 for s in sizes]),
        trials("d", sizes[::-1]),
    ).figure()  # fmt: skip
    titles = [axes.get_title(loc="left") for axes in made.axes]
    shapes = [
        next(line.get_marker() for line in axes.lines if line.get_marker() in ("^", "v", "o")) for axes in made.axes
    ]
    assert titles == ["b", "c", "d"] and shapes == [VERDICTS[v][1] for v in (1, -1, 0)]


def test_ratios_beyond_the_panel_stand_at_its_edge() -> None:
    figure = profile(trials("a", [1] * 6), trials("b", [900] * 6)).figure()
    (axes,) = figure.axes
    heights = [y for line in axes.lines for y in line.get_ydata()]
    assert max(heights) == axes.get_ylim()[1] < 900
    assert 6 in [line.get_marker() for line in axes.lines]  # the wedge of an interval that goes on


def test_a_run_in_python_gives_the_same_profile(matrix: Run) -> None:
    made = matrix.relative("zoo:plain")
    assert made.cells == relative_profile(matrix, "zoo:plain").cells and made.classifiers == ("zoo:hard",)


def test_the_reference_may_be_given_by_its_label() -> None:
    run = run_of([*trials("a", [1] * 6), *trials("b", [2] * 6)])
    run.record.classifiers["a"] = replace(run.record.classifiers["a"], label="plain")
    assert relative_profile(run, "a").reference == relative_profile(run, "plain").reference == "plain"


def test_an_unknown_reference_is_named_with_a_suggestion(matrix: Run) -> None:
    with pytest.raises(UnknownName, match="did you mean 'zoo:plain'"):
        relative_profile(matrix, "zoo:plian")


def test_one_classifier_alone_cannot_be_related() -> None:
    with pytest.raises(OptionError, match="holds no other classifier than a"):
        profile(trials("a", [1]))


def test_spent_budgets_are_no_sizes_to_relate() -> None:
    run = run_of([*trials("a", [1]), *trials("b", [1])], spending("tiny:z", 0.5))
    with pytest.raises(GranuError, match="no smallest sizes to relate"):
        relative_profile(run, "a")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--versus", "zoo:hard"], "leave out --versus"),
        (["--fail-if-worse", "5", "--junit", "j.xml"], "leave out --fail-if-worse and --junit"),
        (["RUN"], "takes one run"),
    ],
)
def test_what_does_not_go_with_a_reference_is_refused(matrix: Run, words: list[str], message: str) -> None:
    more = [str(matrix.folder) if word == "RUN" else word for word in words]
    done = granu(matrix.folder, "--reference", "zoo:plain", *more)
    assert isinstance(done.exception, OptionError) and message in str(done.exception)


def test_a_perturbation_of_one_classifier_only_leaves_a_gap() -> None:
    sized = perturbation("tiny:z", judges=JUDGES)
    other = [*trials("a", [1] * 6, key="tiny:w"), *trials("b", [1] * 6, key="tiny:w")]
    more = trials("c", [2] * 6)
    run = run_of([*trials("a", [1] * 6), *more, *other], sized)
    made = relative_profile(run, "a")
    assert made.cell("b", "tiny:z") is None and made.cell("c", "tiny:z") is not None
    assert made.classifiers == ("c", "b") and ("tiny:z", "2.00 [2.00–2.00]", "–") in made.tables()[1][1]
    assert len(made.figure().axes) == 2

"""`granu compare`: is one classifier easier to break than another, on the same images?"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from granu.cli import show

if TYPE_CHECKING:
    from granu.report.comparison import Comparison


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN [RUN]", help="Two runs, or one with two classifiers.")],
    classifier: Annotated[
        str | None, typer.Option("--classifier", "-c", help="The first side, where the run holds several.")
    ] = None,
    versus: Annotated[str | None, typer.Option("--versus", help="The second side.")] = None,
    fail_if_worse: Annotated[
        float | None,
        typer.Option(
            "--fail-if-worse",
            metavar="PERCENT",
            min=0,
            help="Exit with 1 if the second is fooled on more than PERCENT more images of a hundred, or by sizes "
            "more than PERCENT % smaller, at any change, and that is no chance (p < 0.05 after Holm).",
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw sizes and their ratio, coarse to fine: .svg, .png or .pdf.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two classifiers, image by image, on those that both name right."""
    from granu.errors import GranuError
    from granu.report import comparison
    from granu.report.pairing import choose_pair, same_judges, together

    first, second = choose_pair(runs, classifier, versus)
    order, judged_alike = first.run.record.get("order", ()), same_judges(first, second)
    compared = comparison.compare(first.trials, second.trials, order, judged_alike)
    if not compared:
        raise GranuError(
            f"{first} and {second} share no perturbation; run `granu eval` with the same --perturb on both"
        )
    if figure is not None:
        from granu.report import style
        from granu.report.profile import profile

        style.save(profile(together(first, second)), figure)
    certain, perhaps = comparison.regressions(compared, fail_if_worse) if fail_if_worse is not None else ([], [])
    if as_json:
        show.as_json({
            "first": {"run": str(first.run.folder), "classifier": first.classifier},
            "second": {"run": str(second.run.folder), "classifier": second.classifier},
            "comparisons": [_plain(asdict(c)) for c in compared],
            "worse": certain,
            "perhaps_worse": perhaps,
        })  # fmt: skip
    else:
        show.say(f"first:  {first}")
        show.say(f"second: {second}")
        _print(compared)
        for key in comparison.unshared(first.trials, second.trials):
            show.say(f"note: {key} was measured for one of the two only")
        if not judged_alike:
            show.say("note: other judges voted in the two runs, so what they confirmed is not compared")
        for sentence in perhaps:
            show.say(f"perhaps worse, perhaps chance: {sentence}")
        for sentence in certain:
            show.say(f"worse: {sentence}")
    if certain:
        raise typer.Exit(1)


def _print(compared: list[Comparison]) -> None:
    from granu.report import formatting

    columns = ("change", "images", "left out", "found % first", "second", "difference", "p",
               "size ratio", "p", "ratio, confirmed", "pairs")  # fmt: skip
    lines = [
        (
            c.perturbation,
            str(c.images),
            str(c.left_out),
            formatting.NONE if math.isnan(c.first_found) else formatting.percent(c.first_found),
            formatting.NONE if math.isnan(c.second_found) else formatting.percent(c.second_found),
            f"{100 * c.rates.value:+.1f} [{100 * c.rates.low:+.1f}, {100 * c.rates.high:+.1f}]",
            formatting.probability(c.rates_p),
            formatting.ratio(c.sizes) if c.sizes else formatting.NONE,
            formatting.probability(c.sizes_p) if c.sizes else formatting.NONE,
            formatting.ratio(c.confirmed) if c.confirmed else formatting.NONE,
            str(c.confirmed.pairs) if c.confirmed else formatting.NONE,
        )
        for c in compared
    ]
    show.table(columns, lines)
    show.say("size ratio: second / first, the median over images; above 1 the second needs larger changes.")
    show.say("confirmed: only images on which no judge lost the label. p is adjusted for all tests here (Holm).")


def _plain(data: Any) -> Any:
    """JSON knows no infinity: it is message as a word, and what is no number as null."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, float) and not math.isfinite(data):
        return None if math.isnan(data) else "inf"
    return data

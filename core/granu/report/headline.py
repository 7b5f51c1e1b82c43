"""The headline of a run in plain words: what breaks first, and which classifier needs larger changes, by how much.

A sentence stands only where a paired test at 5 %, after Holm's correction, supports it; a run that shows nothing gets
no headline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from granu.report import formatting, style
from granu.report.comparison import Comparison, compare
from granu.report.pairing import MeasuredClassifier
from granu.report.rows import Row, observation, without_repeats
from granu.report.statistics import Ratio, holm, paired_ratio
from granu.runs.run import Run
from granu.runs.trials import FAILED, Trial

ALPHA = 0.05
UNDECIDED_SHARE = 0.1  # of pairs; with more, the interval of a median ratio covers the truth too rarely
SHOWN = 3  # perturbations that a sentence names


def headline(run: Run, rows: Sequence[Row]) -> list[str]:
    """Sentences on the run's `rows`; empty where nothing is certain."""
    keys = dict.fromkeys(row.perturbation for row in rows)
    names = style.short_names([run.record.perturbations[key] for key in keys])
    first, *others = (MeasuredClassifier(run, name) for name in dict.fromkeys(row.classifier for row in rows))
    said = _weakest([first, *others], rows, names)
    for other in others:
        said += _compared(first, other, names)
    if said and any(row.confirmed is not None and row.confirmed.hits < row.found.hits for row in rows):
        said.append("Every change that fools counts here, whether or not the judges still see the label.")
    return said


def _weakest(measured: Sequence[MeasuredClassifier], rows: Sequence[Row], names: Mapping[str, str]) -> list[str]:
    """A sentence for each change whose median size is certainly the smallest of its family and unit."""
    shown: dict[tuple[str, str, int], list[str]] = {}
    for one in measured:
        for own in _families(one, rows):
            weakest, *rest = sorted(own, key=_median)
            if rest and _smaller_than_all(one, weakest.perturbation, [row.perturbation for row in rest]):
                place = (weakest.perturbation, weakest.unit, len(own))
                shown.setdefault(place, []).append(f"{formatting.size(weakest.size)} for {one.name}")
    return [
        f"First to break is {names[key]}, the smallest of {count} median sizes in {unit}: {formatting.listed(sizes)}."
        for (key, unit, count), sizes in shown.items()
    ]


def _families(measured: MeasuredClassifier, rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of a classifier whose medians can be compared: of one plugin, on the same images, in the same unit."""
    families: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.classifier == measured.name and row.size is not None and row.size.value is not None:
            record = measured.run.record.perturbations[row.perturbation]
            families.setdefault((record.name, record.source.spec, row.unit), []).append(row)
    return list(families.values())


def _median(row: Row) -> float:
    assert row.size is not None and row.size.value is not None
    return row.size.value


def _smaller_than_all(measured: MeasuredClassifier, key: str, others: Sequence[str]) -> bool:
    """Test, image by image, that the sizes under `key` are smaller than those under each of the others."""
    ours = _by_image(measured, key)
    ratios = []
    for other in others:
        theirs = _by_image(measured, other)
        pairs = [(observation(ours[image]), observation(theirs[image])) for image in ours if image in theirs]
        ratios.append(paired_ratio(pairs, draws=1))
    adjusted = holm([ratio.p for ratio in ratios])
    return all(p < ALPHA and ratio.above > ratio.below for p, ratio in zip(adjusted, ratios, strict=True))


def _by_image(measured: MeasuredClassifier, key: str) -> dict[str, Trial]:
    own = without_repeats(trial for trial in measured.trials if trial.perturbation == key)
    return {trial.image: trial for trial in own if trial.counts and trial.outcome != FAILED}


def _compared(first: MeasuredClassifier, second: MeasuredClassifier, names: Mapping[str, str]) -> Iterator[str]:
    """Changes at which the second needs larger or smaller sizes than the first, or is fooled more or less often."""
    made = compare(first, second)
    sized = [c for c in made if c.sizes is not None and c.sizes_p < ALPHA and _reliable(c.sizes)]
    larger = sorted((c for c in sized if _ratio(c) > 1), key=_ratio, reverse=True)
    smaller = sorted((c for c in sized if _ratio(c) < 1), key=_ratio)
    for chosen, verb in ((larger, "holds better"), (smaller, "breaks more easily")):
        if chosen:
            where = [
                f"{formatting.ratio(c.sizes)} times as large at {names[c.perturbation]}" for c in chosen if c.sizes
            ]
            yield f"{second.name} {verb} than {first.name}: the changes that fool it are {_listed(where)}."
    rates = sorted((c for c in made if c.rates_p < ALPHA and c not in sized), key=_rise)
    for chosen, word in (
        ([c for c in rates if _rise(c) < 0], "fewer"),
        ([c for c in rates[::-1] if _rise(c) > 0], "more"),
    ):
        if chosen:
            where = [_of_a_hundred(c, names) for c in chosen]
            yield f"{second.name} is fooled on {word} images than {first.name}: {_listed(where)}."


def _reliable(ratio: Ratio) -> bool:
    """True where a ratio can be reported: enough pairs, and few of which the larger side is unknown."""
    finite = ratio.low and ratio.high is not None and ratio.high < float("inf")
    return (
        bool(finite)
        and ratio.pairs >= formatting.FEW_PAIRS
        and (ratio.undecided <= UNDECIDED_SHARE * (ratio.pairs + ratio.undecided))
    )


def _ratio(comparison: Comparison) -> float:
    assert comparison.sizes is not None and comparison.sizes.value is not None
    return comparison.sizes.value


def _rise(comparison: Comparison) -> float:
    return comparison.rates.value


def _of_a_hundred(comparison: Comparison, names: Mapping[str, str]) -> str:
    """`25 [12–36] of a hundred at image`: the difference without its sign."""
    rates = comparison.rates
    sign = -1 if rates.value < 0 else 1
    low, high = sorted((sign * rates.low, sign * rates.high))
    shown = f"{100 * abs(rates.value):.0f} [{100 * low:.0f}–{100 * high:.0f}]"
    return f"{shown} of a hundred at {names[comparison.perturbation]}"


def _listed(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return (", ".join(parts[:SHOWN]) + more) if more else formatting.listed(parts)

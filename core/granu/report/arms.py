"""Notes on perturbations that send images through a model: what the model loses, and what the change itself costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from granu.report import formatting
from granu.report.rows import classifiers_of, without_repeats
from granu.runs.run import Run
from granu.runs.trials import NOT_ENCODED, PREPARED, RECONSTRUCTION_WRONG, Trial


def of_arms(run: Run) -> list[str]:
    """A sentence for each classifier and perturbation whose trials have unchanged images beside the changed ones."""
    sentences = []
    for classifier in classifiers_of(run):
        for key in run.record.perturbations:
            own = without_repeats(t for t in run.trials if (t.classifier, t.perturbation) == (classifier, key))
            if any(trial.unchanged for trial in own):
                sentences.append(f"{key}, {classifier}: {'; '.join(_parts(own))}")
    return sentences


def _parts(trials: Sequence[Trial]) -> Iterator[str]:
    """Accuracies on images that were classified correctly as they came, then what was left out."""
    measured = [trial for trial in trials if trial.unchanged]
    prepared = [trial.arms.get(PREPARED) == trial.label for trial in measured]
    count = "1 image" if len(measured) == 1 else f"{len(measured)} images"
    yield f"of {count} classified correctly as they came, {_percent(prepared)} % are once prepared"
    sizes = sorted({size for trial in measured for size in trial.unchanged}, key=float)
    yield "without change → changed: " + ", ".join(_of_size(measured, size) for size in sizes)
    if wrong := sum(trial.outcome == RECONSTRUCTION_WRONG for trial in trials):
        yield f"left out: {wrong} misclassified once prepared, or without change at the smallest size"
    reasons = Counter(trial.note for trial in trials if trial.outcome == NOT_ENCODED)
    for reason, number in reasons.most_common():
        yield f"left out: {number} ({reason})"


def _of_size(trials: Sequence[Trial], size: str) -> str:
    """`0.5: 95 → 80 % (-15.0)`, on the same images; the difference is what the change itself costs."""
    own = [trial for trial in trials if size in trial.unchanged and size in trial.levels]
    before = [trial.unchanged[size] == trial.label for trial in own]
    after = [trial.levels[size] == trial.label for trial in own]
    difference = 100 * (sum(after) - sum(before)) / max(len(own), 1)
    return f"{size}: {_percent(before)} → {_percent(after)} % ({difference:+.1f})"


def _percent(right: Sequence[bool]) -> str:
    return formatting.percent(sum(right) / len(right)) if right else formatting.NONE

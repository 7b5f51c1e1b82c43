"""Notes on encoded images: how like the reconstructions are, what classifiers make of them, and what is left out."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from granu.report import formatting
from granu.report.rows import classifiers_of, without_repeats
from granu.runs.records import PerturbationRecord
from granu.runs.run import Run
from granu.runs.trials import ARMS, NOT_ENCODED, PSNR, RECONSTRUCTION_WRONG, SSIM, Trial

# of the site options, those that decide which images are left out
DECIDING = ("residual", "psnr")


def of_encodings(run: Run) -> list[str]:
    """A sentence per generator on its reconstructions, then one per classifier on the images before any edit."""
    groups: dict[tuple[object, ...], list[PerturbationRecord]] = {}
    for record in run.record.perturbations.values():
        if record.generator is not None:
            deciding = tuple(record.site_options.get(key) for key in DECIDING)
            groups.setdefault((record.generator.spec, record.source.spec, *deciding), []).append(record)
    return [sentence for records in groups.values() for sentence in _of_group(run, records)]


def _of_group(run: Run, records: Sequence[PerturbationRecord]) -> Iterator[str]:
    """Notes on the images of perturbations whose encodings are the same."""
    keys = {record.key for record in records}
    trials = [trial for trial in run.trials if trial.perturbation in keys]
    what = _name(records[0])
    known = [t for t in without_repeats(trials) if PSNR in t.extra]
    if known:
        psnr, ssim = (statistics.median(t.extra[key] for t in known if key in t.extra) for key in (PSNR, SSIM))
        count = "1 image" if len(known) == 1 else f"{len(known)} images"
        yield f"{what}: {count}, reconstructions with a median PSNR of {psnr:.1f} dB and SSIM of {ssim:.3f}"
    for classifier in classifiers_of(run):
        own = without_repeats(t for t in trials if t.classifier == classifier)
        if text := "; ".join(filter(None, (_accuracies(own), _left_out(own)))):
            yield f"{what}, {classifier}: {text}"


def _name(record: PerturbationRecord) -> str:
    assert record.generator is not None
    residual = " with residual" if record.site_options.get("residual") else ""
    return f"{record.source.spec} encoded by {record.generator.spec}{residual}"


def _accuracies(trials: Sequence[Trial]) -> str:
    """`accuracy of source 98 %, prepared 98 %, reconstruction 95 %`."""
    shares = []
    for arm in ARMS:
        right = [t.arms[arm] == t.label for t in trials if arm in t.arms]
        if right:
            shares.append(f"{arm} {formatting.percent(sum(right) / len(right))} %")
    return f"accuracy of {', '.join(shares)}" if shares else ""


def _left_out(trials: Sequence[Trial]) -> str:
    """`left out: 2 misclassified once prepared or reconstructed, 1 not encoded (the encoding is not finite)`."""
    parts = []
    if wrong := sum(t.outcome == RECONSTRUCTION_WRONG for t in trials):
        parts.append(f"{wrong} misclassified once prepared or reconstructed")
    reasons = Counter(t.note for t in trials if t.outcome == NOT_ENCODED)
    parts += [f"{number} not encoded ({reason})" for reason, number in reasons.most_common()]
    return f"left out: {', '.join(parts)}" if parts else ""

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


def of_encodings(run: Run) -> list[str]:
    """A sentence per generator on its reconstructions, then one per classifier on the images before any edit."""
    groups: dict[tuple[str, str], list[PerturbationRecord]] = {}
    for record in run.record.perturbations.values():
        if record.generator is not None:
            groups.setdefault((record.source.spec, record.generator.spec), []).append(record)
    return [
        sentence
        for (source, generator), records in groups.items()
        for sentence in _of_group(run, f"{source} encoded by {generator}", records)
    ]


def _of_group(run: Run, what: str, records: Sequence[PerturbationRecord]) -> Iterator[str]:
    """Notes on the images of perturbations whose encodings are the same."""
    trials = _trials(run, records)
    known = [t for t in without_repeats(trials) if t.extra.keys() >= {PSNR, SSIM}]
    if known:
        psnr, ssim = (statistics.median(t.extra[key] for t in known) for key in (PSNR, SSIM))
        count = "1 image" if len(known) == 1 else f"{len(known)} images"
        yield f"{what}: {count}, reconstructions with a median PSNR of {psnr:.1f} dB and SSIM of {ssim:.3f}"
    variants: dict[str, list[PerturbationRecord]] = {}
    for record in records:
        variants.setdefault(_variant(record), []).append(record)
    for classifier in classifiers_of(run):
        parts = [_accuracies(without_repeats(t for t in trials if t.classifier == classifier))]
        for name, some in variants.items():
            own = without_repeats(t for t in _trials(run, some) if t.classifier == classifier)
            if left_out := _left_out(own):
                parts.append(f"left out with {name}: {left_out}" if len(variants) > 1 else f"left out: {left_out}")
        if text := "; ".join(filter(None, parts)):
            yield f"{what}, {classifier}: {text}"


def _trials(run: Run, records: Sequence[PerturbationRecord]) -> list[Trial]:
    keys = {record.key for record in records}
    return [trial for trial in run.trials if trial.perturbation in keys]


def _variant(record: PerturbationRecord) -> str:
    """The options that decide which images are left out: `residual=yes, psnr=15`."""
    residual = "yes" if record.site_options.get("residual") else "no"
    return f"residual={residual}, psnr={record.site_options.get('psnr', 0):g}"


def _accuracies(trials: Sequence[Trial]) -> str:
    """`accuracy of source 98 %, prepared 98 %, reconstruction 95 %`."""
    shares = []
    for arm in ARMS:
        right = [t.arms[arm] == t.label for t in trials if arm in t.arms]
        if right:
            shares.append(f"{arm} {formatting.percent(sum(right) / len(right))} %")
    return f"accuracy of {', '.join(shares)}" if shares else ""


def _left_out(trials: Sequence[Trial]) -> str:
    """`2 misclassified once prepared or reconstructed, 1 not encoded (the encoding is not finite)`."""
    parts = []
    if wrong := sum(t.outcome == RECONSTRUCTION_WRONG for t in trials):
        parts.append(f"{wrong} misclassified once prepared or reconstructed")
    reasons = Counter(t.note for t in trials if t.outcome == NOT_ENCODED)
    parts += [f"{number} not encoded ({reason})" for reason, number in reasons.most_common()]
    return ", ".join(parts)

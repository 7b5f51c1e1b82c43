"""One image in words: what a classifier says of it, after which change, and whether the judges still see the label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from granu.report import formatting
from granu.report.strips import class_name
from granu.runs.trials import (
    CLASSIFIER,
    CLEAN_WRONG,
    FAILED,
    FOUND,
    NOT_ENCODED,
    NOT_FOUND,
    PREPARED,
    RECONSTRUCTION,
    RECONSTRUCTION_WRONG,
    UNREADABLE,
    Trial,
)

ARM_WORDS = {PREPARED: "once the image is prepared for the generator", RECONSTRUCTION: "in the reconstruction"}
WORDS = {
    FAILED: "The search could not run",
    UNREADABLE: "The image could not be read",
    NOT_ENCODED: "The image could not be encoded or edited, so nothing was searched",
}


def describe(classifier: str, trials: Sequence[Trial], names: Mapping[str, str], classes: Sequence[str]) -> str:
    """Sentences on the trials of one image and one classifier, which are given coarse to fine.

    `names` are short names of the perturbations, `classes` those of the classifier. Changes that every judge confirms
    come first, then those that they do not confirm, then what was not found. Nothing is said that no trial says.
    """
    return " ".join(_sentences(classifier, trials, names, classes))


def amount(trial: Trial) -> str:
    """The size of a trial's change with its unit: `0.157 sigma (RMS)`; empty where it is unknown."""
    if trial.size is None:
        return ""
    if trial.levels:  # a fixed size such as a severity, and no measured one
        return f"{trial.unit} {trial.size:g}".lstrip()
    return _with_unit(trial.size, trial.unit)


def _sentences(
    classifier: str, trials: Sequence[Trial], names: Mapping[str, str], classes: Sequence[str]
) -> Iterator[str]:
    for trial in trials:
        if trial.outcome == CLEAN_WRONG:
            yield f"{classifier} {_sees(trial, trial.predicted, classes)} before any change, so nothing was searched."
            return
    subject = classifier
    for chosen, ending in _by_evidence([trial for trial in trials if trial.outcome == FOUND]):
        label = class_name(chosen[0].label, classes)
        yield f"{subject} sees {_readings(chosen, label, names, classes)}{ending.format(label=label)}."
        subject = "It also"
    if missing := [trial for trial in trials if trial.outcome == NOT_FOUND]:
        whom = classifier if subject == classifier else "it"
        yield f"No change that fools {whom} was found {_limits(missing, names)}."
    for sentence, own in _unsearched(classifier, trials, classes).items():
        yield sentence.format(where=formatting.listed([names[trial.perturbation] for trial in own]))


def _unsearched(classifier: str, trials: Sequence[Trial], classes: Sequence[str]) -> dict[str, list[Trial]]:
    """Sentences on what could not be searched, with a place for where; the same sentence is said once."""
    said: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.outcome == RECONSTRUCTION_WRONG:
            arm = next(
                (arm for arm in (PREPARED, RECONSTRUCTION) if trial.arms.get(arm) != trial.label), RECONSTRUCTION
            )
            sees = _sees(trial, trial.predicted, classes)
            sentence = f"{classifier} {sees} {ARM_WORDS[arm]}, before any edit, so nothing was searched at "
        elif trial.outcome in WORDS:
            sentence = f"{WORDS[trial.outcome]} at "
        else:
            continue
        reason = "" if trial.outcome == RECONSTRUCTION_WRONG else f": {(trial.note or 'no reason given').rstrip('.')}"
        said.setdefault(_literal(sentence) + "{where}" + _literal(reason) + ".", []).append(trial)
    return said


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _sees(trial: Trial, seen: int | None, classes: Sequence[str]) -> str:
    return f"sees {class_name(seen, classes)} instead of {class_name(trial.label, classes)}"


def _by_evidence(found: Sequence[Trial]) -> Iterator[tuple[list[Trial], str]]:
    """Groups of found changes, and what is known of their label as the end of a sentence; no group is empty."""
    judged = [trial for trial in found if trial.votes]
    inside = [trial for trial in found if trial.evidence == CLASSIFIER]
    groups = (
        ([trial for trial in judged if trial.confirmed], "; every judge still sees {label}"),
        ([trial for trial in judged if not trial.confirmed], ", but there not every judge still sees {label}"),
        ([trial for trial in found if not trial.votes and trial not in inside], "; no judge was asked"),
        (inside, "; such a change, inside the classifier, has no image that judges could see"),
    )
    return ((group, ending) for group, ending in groups if group)


def _readings(found: Sequence[Trial], label: str, names: Mapping[str, str], classes: Sequence[str]) -> str:
    """`9 instead of 7 after a change of 0.2 sigma at z, 0.1 at layer3, and 3 after one of 0.8 pixel L2 at image`."""
    by_class: dict[int | None, list[Trial]] = {}
    for trial in found:
        by_class.setdefault(trial.predicted, []).append(trial)
    parts: list[str] = []
    for predicted, own in by_class.items():
        said = f"{class_name(predicted, classes)} after one of" if parts else ""
        said = said or f"{class_name(predicted, classes)} instead of {label} after a change of"
        parts.append(f"{said} {_sizes(own, names)}")
    return formatting.listed(parts) if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _sizes(trials: Sequence[Trial], names: Mapping[str, str]) -> str:
    """The size at each perturbation; a unit is not repeated."""
    parts: list[str] = []
    unit = ""
    for trial in trials:
        size = amount(trial if trial.unit != unit or trial.levels else replace(trial, unit=""))
        parts.append(f"{size or 'unknown size'} at {names[trial.perturbation]}")
        unit = trial.unit
    return formatting.listed(parts)


def _limits(missing: Sequence[Trial], names: Mapping[str, str]) -> str:
    """`at z (up to 0.5 sigma) and image`: what was not found, and the largest size that was tried."""
    return "at " + formatting.listed(
        [
            names[trial.perturbation] + (f" (up to {_with_unit(trial.tried, trial.unit)})" if trial.tried else "")
            for trial in missing
        ]
    )


def _with_unit(size: float, unit: str) -> str:
    return f"{formatting.number(size)} {unit}".rstrip()

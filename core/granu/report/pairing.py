"""Which two classifiers a comparison means, and whether their runs can be compared at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from granu.errors import GranuError, OptionError, RunFolderError, UnknownName
from granu.runs.folder import Run, read_run
from granu.runs.trials import Trial


@dataclass(frozen=True)
class ClassifierRun:
    """One classifier of one run."""

    run: Run
    classifier: str

    @property
    def trials(self) -> list[Trial]:
        """This classifier's trials."""
        return [trial for trial in self.run.trials if trial.classifier == self.classifier]

    def __str__(self) -> str:
        return f"{self.classifier} in {self.run.folder}"


def choose_pair(
    folders: Sequence[Path], classifier: str | None, versus: str | None
) -> tuple[ClassifierRun, ClassifierRun]:
    """The two sides; of one folder, two of its classifiers. A GranuError says what is missing or does not fit."""
    if len(folders) > 2:
        raise OptionError(f"{len(folders)} runs are too many; compare two, or two classifiers of one")
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if not run.trials:
            raise GranuError(f"{run.folder} holds no trials yet; give the `granu eval` command that began it again")
    first, second = runs[0], runs[-1]
    if first is not second:
        _refuse_unlike(first, second)
    return _choose(first, second, classifier, versus)


def same_judges(first: ClassifierRun, second: ClassifierRun) -> bool:
    """Whether the same judges voted on both sides."""
    ours, theirs = (side.run.record.get("identity", {}).get("judges") or [] for side in (first, second))
    return set(ours) == set(theirs)


def together(first: ClassifierRun, second: ClassifierRun) -> Run:
    """Both sides as one run, so that one figure can show them; of two runs, the classifiers carry their names."""
    sides = [(side.classifier, side.trials) for side in (first, second)]
    if first.classifier == second.classifier:
        sides = [(str(side), side.trials) for side in (first, second)]
    trials = [replace(trial, classifier=name) for name, trials in sides for trial in trials]
    if not same_judges(first, second):
        trials = [replace(trial, votes={}) for trial in trials]
    return Run(first.run.folder, first.run.record, trials)


def _choose(first: Run, second: Run, classifier: str | None, versus: str | None) -> tuple[ClassifierRun, ClassifierRun]:
    one = classifier or _first_of(first, second)
    _known(first, one)
    others = [name for name in _classifiers(second) if first is not second or name != one]
    if versus is None and first is not second and one in others:
        versus = one
    if versus is None and len(others) != 1:
        message = ", ".join(others) if others else f"no other classifier than {one}"
        raise OptionError(f"{second.folder} holds {message}; say with --versus which one to compare with")
    other = versus or others[0]
    _known(second, other)
    if first is second and one == other:
        raise OptionError(f"'{one}' cannot be compared with itself; name another classifier with --versus")
    return ClassifierRun(first, one), ClassifierRun(second, other)


def _first_of(first: Run, second: Run) -> str:
    names = _classifiers(first)
    if len(names) == 1 or (first is second and len(names) == 2):
        return names[0]
    raise OptionError(f"{first.folder} holds {', '.join(names)}; say with --classifier which one is meant")


def _known(run: Run, name: str) -> None:
    names = _classifiers(run)
    if name not in names:
        raise UnknownName("classifier", name, names, str(run.folder))


def _classifiers(run: Run) -> list[str]:
    return list(dict.fromkeys(trial.classifier for trial in run.trials))


def _refuse_unlike(first: Run, second: Run) -> None:
    ours, theirs = first.record.get("identity", {}), second.record.get("identity", {})
    unlike = [key for key in ("seed", "data") if ours.get(key) != theirs.get(key)]
    if unlike:
        message = " and ".join(f"{key} {ours.get(key)} against {theirs.get(key)}" for key in unlike)
        raise RunFolderError(
            f"{first.folder} and {second.folder} saw other images ({message}); a paired comparison needs the same ones"
        )
    weights, other_weights = _generator_weights(first.record), _generator_weights(second.record)
    changed = [key for key in weights if key in other_weights and weights[key] != other_weights[key]]
    if changed:
        raise RunFolderError(
            f"{first.folder} and {second.folder} drew with other weights of the generator in {changed[0]}; "
            "a paired comparison needs the same images"
        )


def _generator_weights(record: dict[str, Any]) -> dict[str, str]:
    """Perturbation -> sha256 of its generator's weights, as far as the record tells."""
    hashes = record.get("weights", {})
    planned = record.get("plan", {}).get("perturbations", ())
    named = {p["spec"]: p.get("options", {}).get("weights") for p in planned if p.get("sites")}
    return {spec: hashes[name] for spec, name in named.items() if name in hashes}

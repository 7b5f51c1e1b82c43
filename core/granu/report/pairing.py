"""The two classifiers that a comparison means, and the check that their runs can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from granu.errors import OptionError, RunFolderError, UnknownName
from granu.report.rows import check_run, classifiers_of, judges_of
from granu.runs.records import RunRecord
from granu.runs.run import Run
from granu.runs.trials import Trial


@dataclass(frozen=True)
class MeasuredClassifier:
    """One classifier of one run."""

    run: Run
    name: str

    @property
    def trials(self) -> list[Trial]:
        """This classifier's trials."""
        return [trial for trial in self.run.trials if trial.classifier == self.name]

    @property
    def perturbations(self) -> list[str]:
        """Keys of the perturbations that it was measured under, in the order of the records."""
        measured = {trial.perturbation for trial in self.trials}
        return [key for key in self.run.record.perturbations if key in measured]

    def judges(self, perturbation: str) -> frozenset[str]:
        """Names of the judges that voted on a perturbation's changes."""
        return judges_of(self.run.record.perturbations[perturbation], self.name)

    def __str__(self) -> str:
        return f"{self.name} in {self.run}"


Pair = tuple[MeasuredClassifier, MeasuredClassifier]


def choose_pair(runs: Sequence[Run], classifier: str | None, versus: str | None) -> Pair:
    """The two classifiers to compare, of one run or of two; a GranuError says what is missing or does not fit."""
    if len(runs) > 2:
        raise OptionError(f"{len(runs)} runs are too many; compare two, or two classifiers of one")
    for run in runs:
        check_run(run)
    pair = _choose(runs[0], runs[-1], classifier, versus)
    if runs[0] is not runs[-1]:
        _check_comparable(*pair)
    return pair


def check_known(run: Run, name: str) -> None:
    """Raise UnknownName unless the run holds results of a classifier."""
    names = classifiers_of(run)
    if name not in names:
        raise UnknownName("classifier", name, names, str(run))


def shared_perturbations(first: MeasuredClassifier, second: MeasuredClassifier) -> list[str]:
    """Keys of the perturbations that both were measured under, in the first run's order."""
    others = set(second.perturbations)
    return [key for key in first.perturbations if key in others]


def merged(first: MeasuredClassifier, second: MeasuredClassifier) -> Run:
    """Both as one run, to draw them into one figure; classifiers of the same name carry their run's name.

    Where their judges differ, the perturbation counts as not judged.
    """
    record = RunRecord(seed=first.run.record.seed, precision=first.run.record.precision)
    for one in (first, second):
        for key in one.perturbations:
            known = one.run.record.perturbations[key]
            record.perturbations.setdefault(key, replace(known, judges=_common_judges(first, second, key)))
    trials = []
    for name, one in zip(_distinct_names(first, second), (first, second), strict=True):
        record.classifiers[name] = replace(one.run.record.classifiers[one.name], name=name)
        trials += [replace(trial, classifier=name) for trial in one.trials]
    return Run(record, trials, first.run.folder)


def _common_judges(first: MeasuredClassifier, second: MeasuredClassifier, perturbation: str) -> tuple[str, ...]:
    """The judges of those of the two that were measured under a perturbation; none where they differ."""
    judges = {one.judges(perturbation) for one in (first, second) if perturbation in one.perturbations}
    return tuple(sorted(judges.pop())) if len(judges) == 1 else ()


def _distinct_names(first: MeasuredClassifier, second: MeasuredClassifier) -> tuple[str, str]:
    if first.name != second.name:
        return first.name, second.name
    if str(first) != str(second):
        return str(first), str(second)
    return f"{first.name} (first)", f"{second.name} (second)"


def _choose(first: Run, second: Run, classifier: str | None, versus: str | None) -> Pair:
    one = classifier or _only_classifier(first, second)
    check_known(first, one)
    others = [name for name in classifiers_of(second) if first is not second or name != one]
    if versus is None and first is not second and one in others:
        versus = one
    if versus is None and len(others) != 1:
        holds = ", ".join(others) if others else f"no other classifier than {one}"
        raise OptionError(f"{second} holds {holds}; say with --versus which one to compare with")
    other = versus or others[0]
    check_known(second, other)
    if first is second and one == other:
        raise OptionError(f"'{one}' cannot be compared with itself; name another classifier with --versus")
    return MeasuredClassifier(first, one), MeasuredClassifier(second, other)


def _only_classifier(first: Run, second: Run) -> str:
    names = classifiers_of(first)
    if len(names) == 1 or (first is second and len(names) == 2):
        return names[0]
    raise OptionError(f"{first} holds {', '.join(names)}; say with --classifier which one is meant")


def _check_comparable(first: MeasuredClassifier, second: MeasuredClassifier) -> None:
    """Refuse to pair measurements on different images."""
    ours, theirs = first.run.record, second.run.record
    if ours.seed != theirs.seed:
        raise _not_comparable(first, second, f"seed {ours.seed} against {theirs.seed}")
    for key in shared_perturbations(first, second):
        one, two = ours.perturbations[key], theirs.perturbations[key]
        source, other = one.source, two.source
        if source.spec != other.spec:
            raise _not_comparable(first, second, f"images of {source.spec} against {other.spec}", key)
        if source.fingerprint != other.fingerprint:
            raise _not_comparable(first, second, f"the generator {source.spec} differs: its weights or options", key)
        if one.generator != two.generator:
            encoder = (one if one.generator else two).edited
            what = f"the generator {encoder} that encodes them differs: its weights or options"
            raise _not_comparable(first, second, what, key)
        if changed := _changed_image(first, second, key):
            raise _not_comparable(first, second, f"the image '{changed}' of {source.spec} differs", key)


def _changed_image(first: MeasuredClassifier, second: MeasuredClassifier, perturbation: str) -> str | None:
    """An image that has the same name but other content in the two runs."""
    hashes = {t.image: t.image_hash for t in first.trials if t.perturbation == perturbation and t.image_hash}
    for trial in second.trials:
        known = hashes.get(trial.image) if trial.perturbation == perturbation else None
        if known and trial.image_hash and known != trial.image_hash:
            return trial.image
    return None


def _not_comparable(
    first: MeasuredClassifier, second: MeasuredClassifier, difference: str, perturbation: str | None = None
) -> RunFolderError:
    where = f" under {perturbation}" if perturbation else ""
    return RunFolderError(
        f"{first.run} and {second.run} were measured on different images{where} ({difference}); "
        "a paired comparison needs the same ones"
    )

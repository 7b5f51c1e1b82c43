"""Labels: a run whose classifiers and perturbations are called what a person called them with `label=`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from granu.runs.run import Run


def labelled(run: Run, like: Run | None = None) -> Run:
    """The run with labels in place of the names that results are stored under; itself where there are none.

    `like` is a run whose labels of perturbations go first, so that two runs that are compared call them the same.
    """
    classifiers = _titles({name: record.label for name, record in run.record.classifiers.items()})
    known = like.record.perturbations if like else {}
    labels = {key: known[key].label if key in known else one.label for key, one in run.record.perturbations.items()}
    perturbations = _titles(labels)
    if all(key == title for titles in (classifiers, perturbations) for key, title in titles.items()):
        return run

    def called(name: str) -> str:
        return classifiers.get(name, name)

    def changed(key: str) -> str:
        return perturbations.get(key, key)

    record = replace(
        run.record,
        perturbations={
            perturbations[key]: replace(
                one,
                key=perturbations[key],
                label=labels[key],
                judges=tuple(map(called, one.judges)),
                guides=tuple(map(called, one.guides)),
            )
            for key, one in run.record.perturbations.items()
        },
        classifiers={called(name): replace(one, name=called(name)) for name, one in run.record.classifiers.items()},
        failures=[
            replace(one, classifier=called(one.classifier), perturbation=changed(one.perturbation))
            for one in run.record.failures
        ],
    )
    trials = [
        replace(
            trial,
            classifier=called(trial.classifier),
            perturbation=changed(trial.perturbation),
            votes={called(judge): vote for judge, vote in trial.votes.items()},
        )
        for trial in run.trials
    ]
    stored = {(called(name), perturbations[key]): (name, key) for name in classifiers for key in perturbations}
    return Run(record, trials, run.folder, run.images, stored)


def title_of(run: Run, classifier: str | None) -> str | None:
    """The name by which `labelled` calls a classifier, which may be given by its name or by its label."""
    titles = _titles({name: record.label for name, record in run.record.classifiers.items()})
    return titles.get(classifier or "", classifier)


def _titles(labels: Mapping[str, str]) -> dict[str, str]:
    """The label of each name; the name itself where there is none, or where another has it too."""
    often = Counter(label for label in labels.values() if label)
    return {
        name: label if often[label] == 1 and (label == name or label not in labels) else name
        for name, label in labels.items()
    }

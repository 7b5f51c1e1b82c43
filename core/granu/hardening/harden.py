"""A hardening from plan to result: measure, choose, train, measure on other images, keep or reject, and again.

Every step is a run or a training that resumes by itself and that seed and plan determine, so an interrupted hardening
is repeated from its beginning, and finds done what was done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from granu.files import write_whole
from granu.hardening.choice import Choice, is_above, ratios, weakest, worse
from granu.hardening.classifiers import check_pair, copied, trained
from granu.hardening.measurement import clean_accuracy, labelled_as, measured
from granu.hardening.parts import CHOICE, REPORT, VERDICT, divide
from granu.hardening.plan import HardenPlan
from granu.hardening.planning import ROUND, train_request
from granu.hardening.record import HARDENED, HardenRecord, opened
from granu.hardening.rounds import HardenResult, Interval, Round, rounds_as_json
from granu.plugins.catalog import Resolved
from granu.plugins.context import BuildContext
from granu.report.relative import relative_profile
from granu.report.statistics import Ratio
from granu.runs.devices import choose_device
from granu.runs.records import names_in
from granu.runs.run import Run
from granu.training.api import SilentListener
from granu.training.loop import Listener
from granu.training.planning import make_train_plan
from granu.training.train import train

BEFORE, AFTER, REJECTED, REFERENCE = "before", "after", "rejected", "reference"  # labels of the report


def harden(plan: HardenPlan, context: BuildContext, listener: Listener, command: str, fresh: bool) -> HardenResult:
    """Do a hardening, or what is left of it.

    `fresh` starts over. The listener's lines say what is chosen, trained and decided.
    """
    with opened(plan, fresh):
        context.device = choose_device(plan.settings.device)
        return _Hardening(plan, context, listener, command, fresh).run()


@dataclass(frozen=True)
class _Candidate:
    """A classifier that a round trained."""

    classifier: Resolved
    file: Path


class _Hardening:
    """The state of a hardening: the best classifier so far, and the rounds."""

    def __init__(self, plan: HardenPlan, context: BuildContext, listener: Listener, command: str, fresh: bool) -> None:
        self.plan, self.context, self.listener, self.command = plan, context, listener, command
        self.record = HardenRecord(plan, command)
        self.record.save({})
        self.start = copied(plan.classifier, plan.settings.seed)
        self.reference = copied(plan.reference, plan.settings.seed)
        check_pair(self.start, self.reference, context)
        self.images = divide(plan, context)
        self.best = self.start
        self.best_file: Path | None = None
        self.rounds: list[Round] = []
        self.shares: dict[str, float] = {}  # of the size, for changes that were tried on the best classifier
        self.not_begun = {CHOICE, VERDICT, REPORT} if fresh else set()  # runs to be deleted when they are opened

    def run(self) -> HardenResult:
        """Go through the rounds, and report."""
        begun = time.monotonic()
        accuracy = clean_accuracy(self.plan, self.images, self.context, self.start)
        stopped = self._next(begun)
        while isinstance(stopped, Choice):
            self._round(stopped, accuracy)
            self.record.save({"rounds": rounds_as_json(self.rounds)})
            stopped = self._next(begun)
        self.listener.line(f"stopped: {stopped}")
        result = self._report(stopped)
        self.record.save(result.as_json())
        return result

    def _next(self, begun: float) -> Choice | str:
        """The choice of the next round, or why there is none."""
        settings, name = self.plan.settings, str(self.best.spec)
        run = self._measure(CHOICE, [self.best, self.reference])
        reference = str(self.reference.spec)
        choice = weakest(run, name, reference, self.shares, settings.size)
        if choice is None:
            tried = "that was not tried " if self.shares else ""
            return f"at no change {tried}is {name} shown to need smaller changes than {reference}"
        if len(self.rounds) >= settings.rounds:
            done = "1 round is done" if settings.rounds == 1 else f"{settings.rounds} rounds are done"
            return f"{done}; the same command with more --rounds goes on"
        if settings.minutes is not None and time.monotonic() - begun > 60 * settings.minutes:
            return f"{settings.minutes:g} minutes are over; repeated, the command goes on"
        return choice

    def _round(self, choice: Choice, accuracy_before: float) -> None:
        number = len(self.rounds) + 1
        grain = self.plan.grain(choice.key)
        name, budget = ROUND.format(number), choice.budget if grain.sized else None
        begun = Round(
            number, choice.key, _interval(choice.ratio), budget, choice.share, choice.unit,
            grain.defense_at(choice.budget), str(self.best.spec), f"{name}.safetensors",
            None, accuracy_before, 0.0, (), False, "",
        )  # fmt: skip
        self.listener.line(begun.choosing(str(self.reference.spec)))
        candidate = self._train(choice, number)
        decided = self._decide(begun, candidate)
        self.rounds.append(decided)
        self.listener.line(decided.deciding())
        if decided.kept:
            self.best, self.best_file, self.shares = candidate.classifier, candidate.file, {}
        elif grain.sized and self._lost(decided.accuracy_before, decided.accuracy):
            self.shares[choice.key] = self.shares.get(choice.key, 1.0) / 2  # again, with smaller changes
        else:
            self.shares[choice.key] = 0.0

    def _train(self, choice: Choice, number: int) -> _Candidate:
        grain = self.plan.grain(choice.key)
        request = train_request(self.plan, self.best, self.images.training, grain, choice.budget, number)
        own = BuildContext(self.context.catalog, self.context.device, self.context.cache)
        planned = make_train_plan(own.catalog, own, request)
        quiet = SilentListener(self.listener.progress)
        result = train(planned, own, quiet, self.command, fresh=False)
        return _Candidate(trained(result.file, self.start), result.file)

    def _decide(self, begun: Round, candidate: _Candidate) -> Round:
        """The round with what was found on the images of the verdict, and the decision."""
        run = self._measure(VERDICT, [self.best, candidate.classifier])
        compared = ratios(run, str(self.best.spec), str(candidate.classifier.spec))
        own = compared[begun.change].sizes if begun.change in compared else None
        accuracy = clean_accuracy(self.plan, self.images, self.context, candidate.classifier)
        lost, allowed = self._lost(begun.accuracy_before, accuracy), self.plan.settings.clean_loss
        kept = is_above(own) and not lost
        because = (
            f"it lost more than {allowed:g} point{'' if allowed == 1 else 's'} of clean accuracy"
            if lost
            else "it needs larger changes there"
            if kept
            else "no gain is shown there"
        )
        gain = None if own is None else _interval(own)
        return replace(begun, gain=gain, accuracy=accuracy, worse=worse(compared), kept=kept, because=because)

    def _lost(self, before: float, now: float) -> bool:
        """True if more clean accuracy is lost than may be; a loss of exactly that is none by its rounding error."""
        return before - now > self.plan.settings.clean_loss / 100 + 1e-9

    def _report(self, stopped: str) -> HardenResult:
        """Measure before, after and reference on images that nothing was decided by."""
        shown = [labelled_as(self.start, BEFORE)]
        if self.best_file is not None:
            write_whole(self.plan.out / HARDENED, self.best_file.read_bytes())
            shown.append(labelled_as(self.best, AFTER))
        elif self.rounds:
            last = self.plan.out / self.rounds[-1].file
            shown.append(labelled_as(trained(last, self.start), REJECTED))
        shown.append(labelled_as(self.reference, REFERENCE))
        run = _only(self._measure(REPORT, shown), [str(one.spec) for one in shown])
        file = None if self.best_file is None else self.plan.out / HARDENED
        return HardenResult(
            self.plan.out, tuple(self.rounds), stopped, file, run, relative_profile(run, str(self.start.spec))
        )

    def _measure(self, phase: int, classifiers: list[Resolved]) -> Run:
        fresh = phase in self.not_begun
        self.not_begun.discard(phase)
        return measured(
            self.plan, self.images, self.context, phase, classifiers, self.command, self.listener.progress, fresh
        )


def _only(run: Run, classifiers: list[str]) -> Run:
    """The run without classifiers that an earlier report, of fewer rounds, showed."""
    trials = [trial for trial in run.trials if trial.classifier in classifiers]
    known = run.record.classifiers
    judges = names_in(run.record.perturbations.values())
    ordered = {name: known[name] for name in [*classifiers, *(name for name in known if name in judges)]}
    return Run(replace(run.record, classifiers=ordered), trials, run.folder, run.images)


def _interval(ratio: Ratio) -> Interval:
    assert ratio.value is not None and ratio.low is not None and ratio.high is not None  # there are pairs
    return Interval(ratio.value, ratio.low, ratio.high)

"""A training from plan to file: opens what the plan names, runs the loop, and writes the result."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from granu.errors import TrainingError
from granu.plugins.context import BuildContext
from granu.runs.fingerprints import classifier_fingerprint
from granu.runs.provenance import describe_machine
from granu.training.data import ImageSet
from granu.training.defense import MAIN
from granu.training.drawn import open_dataset
from granu.training.figure import draw_training
from granu.training.heads import check_outputs
from granu.training.journal import EpochRecord
from granu.training.loop import Files, Listener, Loop
from granu.training.machine import Machine
from granu.training.opening import (
    adopt_names,
    check_sizes,
    divide,
    open_classifier,
    open_defenses,
    read_images,
    select,
    try_out,
)
from granu.training.outputs import PLAN, Outputs
from granu.training.plan import TrainPlan, identity_of
from granu.training.validation import Validation
from granu.types import Classifier
from granu.weights.trained import save_trained


@dataclass(frozen=True)
class TrainingResult:
    """A trained file, and what its header says of the training."""

    file: Path
    about: Mapping[str, Any]


def train(plan: TrainPlan, context: BuildContext, listener: Listener, command: str, fresh: bool) -> TrainingResult:
    """Do a training, or what is left of it. A finished one is read from its file.

    `fresh` deletes an earlier result and checkpoint first. With several processes each calls this; one writes.
    """
    machine = Machine(plan.settings.device, plan.settings.precision)
    context.device = str(machine.device)
    outputs = Outputs(plan.out)
    with outputs.locked() if machine.main else nullcontext():
        if fresh and machine.main:
            outputs.clear()
        machine.wait()
        if header := outputs.finished(plan.as_json()):
            outputs.checkpoint.unlink(missing_ok=True)
            return TrainingResult(plan.out, header.about)
        try:
            about = _Training(plan, context, machine, outputs, listener).run(command)
        except torch.OutOfMemoryError as problem:
            reason = str(problem).splitlines()[0]
            raise TrainingError(
                f"the device is out of memory ({reason}); lower --batch {plan.settings.batch}"
            ) from None
        machine.wait()
        return TrainingResult(plan.out, about)


class _Training:
    """Everything of one training, built."""

    def __init__(
        self, plan: TrainPlan, context: BuildContext, machine: Machine, outputs: Outputs, listener: Listener
    ) -> None:
        self.plan, self.context, self.machine, self.outputs = plan, context, machine, outputs
        settings = plan.settings
        self.classifier = open_classifier(plan, context)
        self.start = classifier_fingerprint(cast(Classifier, self.classifier))
        dataset = open_dataset(plan.data, context, settings.images, settings.seed)
        separate = None if plan.val is None else open_dataset(plan.val, context, settings.images, settings.seed + 1)
        other = dataset if separate is None else separate
        parts = divide(settings, len(dataset), None if separate is None else len(separate))
        check_sizes(settings, len(parts.training), machine.count)
        adopt_names(self.classifier, dataset)
        check_outputs(self.classifier, plan.classifier, dataset, str(plan.data.spec), context)
        training = select(plan, plan.data, dataset, parts.training, self.classifier)
        validation = select(plan, plan.val or plan.data, other, parts.validation, self.classifier)
        try_out(self.classifier, training)
        self.defenses = open_defenses(plan, self.classifier, context)  # before what takes long: it may refuse
        self.images = read_images(training, settings, listener.progress)
        check_sizes(settings, len(self.images), machine.count)
        self.held_out = read_images(validation, settings, listener.progress) if parts.validation else None
        for id_, reason in self._skipped().items():
            listener.line(f"skipped {id_}: {reason}")
        for remark in dict.fromkeys(remark for defense in self.defenses for remark in defense.remarks()):
            listener.line(remark)
        self.loop = Loop(
            self.classifier,
            self.defenses,
            self.images,
            None if self.held_out is None else Validation(self.held_out, self.defenses, settings, machine),
            settings,
            machine,
            Files(outputs.checkpoint, outputs.journal, outputs.board, self._identity()),
            listener,
        )

    def run(self, command: str) -> Mapping[str, Any]:
        """Train and write the result; returns what its header says."""
        self.loop.run()
        about = self._about(command)
        if self.machine.main:
            classifier = self.classifier
            save_trained(self.outputs.result, classifier, classifier.architecture, self._routes(), about)
            draw_training(self.loop.history, self.outputs.figure)
            self.outputs.checkpoint.unlink(missing_ok=True)
        return about

    def _routes(self) -> Mapping[str, Mapping[str, torch.Tensor]]:
        """State dicts of the original network, from the defense that changed it if one did."""
        for defense in self.defenses:
            routes = defense.routes(self.classifier)
            if routes is not None:
                return routes
        return {MAIN: self.classifier.network.state_dict()}

    def _identity(self) -> dict[str, Any]:
        return identity_of(self.plan.as_json()) | {
            "starting weights": _short(self.start),
            "training images": _short(self.images.fingerprint),
            "validation images": _short(self.held_out.fingerprint) if self.held_out is not None else None,
        }

    def _about(self, command: str) -> dict[str, Any]:
        """A description of the training, without anything that differs when it is repeated."""
        loop = self.loop
        chosen = loop.history[loop.best.epoch if loop.best is not None else -1]
        return {
            PLAN: self.plan.as_json(),
            "start": {
                "fingerprint": self.start,
                "weights": dict(self.context.used_weights),
                "licence": self.plan.classifier.offer.licence,
            },
            "images": _counted(self.images),
            "validation-images": None if self.held_out is None else _counted(self.held_out),
            "steps": loop.steps,
            "before": _numbers(loop.history[0]),
            "after": _numbers(chosen),
            "command": command,
            "versions": describe_machine(self.context.catalog, self.context.device),
        }

    def _skipped(self) -> dict[str, str]:
        return self.images.skipped | (self.held_out.skipped if self.held_out is not None else {})


def _short(fingerprint: str | None) -> str | None:
    return None if fingerprint is None else fingerprint[:16]


def _counted(images: ImageSet) -> dict[str, Any]:
    return {"count": len(images), "fingerprint": images.fingerprint, "skipped": len(images.skipped)}


def _numbers(record: EpochRecord) -> dict[str, Any]:
    return {key: value for key, value in asdict(record).items() if key not in ("seconds", "best")}

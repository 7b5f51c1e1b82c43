"""The training loop: steps, epochs, validation, checkpoints. What a step minimises is the defenses' affair."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from granu.errors import TrainingError
from granu.images.classifier import ImageClassifier
from granu.streams import Streams
from granu.training.augment import CROPS, WHOLE, resized_crop_flip
from granu.training.average import MovingAverage
from granu.training.checkpoint import load_checkpoint, save_checkpoint
from granu.training.data import ImageSet, LabelledBatch, one_size, permutation
from granu.training.defense import Defense
from granu.training.divergence import WINDOW, LossWatch
from granu.training.interruption import Interruption
from granu.training.journal import Board, EpochRecord, read_record, write_journal
from granu.training.machine import Machine, batch_on
from granu.training.optimisation import Optimisation
from granu.training.settings import TrainingSettings
from granu.training.step import TrainingStep
from granu.training.validation import Accuracy, Validation


class Listener(Protocol):
    """Receiver of a training's progress and of its lines for people."""

    def progress(self, done: int, total: int, what: str) -> None: ...
    def line(self, text: str) -> None: ...


@dataclass(frozen=True)
class Files:
    """The files beside the result, and what a checkpoint must belong to."""

    checkpoint: Path
    journal: Path
    board: Path
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Best:
    """The network's state after the epoch with the highest validation score so far."""

    epoch: int
    score: float
    state: Mapping[str, Tensor]


class Loop:
    """Trains a prepared classifier in place; `run` goes on from the checkpoint if there is one."""

    def __init__(
        self,
        classifier: ImageClassifier,
        defenses: Sequence[Defense],
        training: ImageSet,
        validation: Validation | None,
        settings: TrainingSettings,
        machine: Machine,
        files: Files,
        listener: Listener,
    ) -> None:
        self.classifier, self.defenses, self.settings = classifier, tuple(defenses), settings
        self.training, self.validation, self.machine = training, validation, machine
        self.files, self.listener = files, listener
        self.per_epoch = len(training) // settings.batch
        self.steps = self.per_epoch * settings.epochs
        self.optimisation = Optimisation(classifier.parameters(), settings, self.steps)
        self.average = MovingAverage(classifier.network, settings.ema) if settings.ema else None
        self.watch = LossWatch(len(classifier.classes))
        self.step = 0  # steps done
        self.losses: list[float] = []  # of the present epoch
        self.notes: dict[str, list[float]] = {}  # by name, of the present epoch's steps
        self.history: list[EpochRecord] = []
        self.best: Best | None = None
        self.seconds = 0.0  # of earlier commands
        self.named = len(training.skipped)  # broken images that were reported
        self.started = self.saved = time.monotonic()

    def run(self) -> None:
        """Train to the end and leave the best state in the network.

        TrainingError if the loss diverges, KeyboardInterrupt if asked to stop; both leave a checkpoint.
        """
        devices = [self.machine.device] if self.machine.device.type == "cuda" else []
        board = Board(self.files.board) if self.machine.main else None
        with Interruption() as interruption, torch.random.fork_rng(devices):
            self._restore()
            while len(self.history) <= self.settings.epochs:
                if self.step == len(self.history) * self.per_epoch:
                    self._finish_epoch(board)
                else:
                    self._train_epoch(interruption)
        if self.best is not None:
            self.classifier.network.load_state_dict(dict(self.best.state))
        elif self.average is not None:
            self.classifier.network.load_state_dict(self.average.state)

    @property
    def epoch(self) -> int:
        """The present epoch, from 0."""
        return self.step // self.per_epoch

    def _train_epoch(self, interruption: Interruption) -> None:
        """The steps of the present epoch that are left."""
        self.classifier.train()
        for batch in self._batches():
            asked = self._train_step(batch, interruption)
            self.listener.progress(self.step, self.steps, self._status())
            if asked:
                self._save()
                raise KeyboardInterrupt
            within = self.step % self.per_epoch
            if within and time.monotonic() - self.saved >= self.settings.checkpoint_seconds:
                self._save()

    def _batches(self) -> Iterator[LabelledBatch]:
        """This process's part of the batches that are left in the epoch; the last incomplete batch is dropped."""
        order = permutation(len(self.training), _number(self.settings.seed, "order", self.epoch))
        size, done = self.settings.batch, self.step % self.per_epoch
        starts = range(done * size, self.per_epoch * size, size)
        return self.training.batches(self.machine.share(order[start : start + size]) for start in starts)

    def _train_step(self, batch: LabelledBatch, interruption: Interruption) -> bool:
        """One step; returns whether any process was asked to stop."""
        # layers such as dropout draw from torch's own generator, which a resumed training must find in the same state
        torch.manual_seed(_number(self.settings.seed, "network", self.step, self.machine.rank))
        with self.machine.whole_batch_statistics():
            with self.machine.autocast():
                step = self._step(batch)
                loss = step.rest(step.images)
            loss.backward()
        noted = {name: sum(values) / len(values) for name, values in step.noted.items()}
        numbers = [loss.item(), float(interruption.asked), *noted.values()]
        value, stop, *means = self.machine.average_gradients(self.optimisation.parameters, numbers)
        if problem := self.watch.see(value):
            raise self._diverged(problem)
        if self.settings.clip:
            self.machine.clip(self.optimisation.parameters, self.settings.clip)
        self.optimisation.step(self.step)
        if self.average is not None:
            self.average.update()
        self.losses.append(value)
        for name, mean in zip(noted, means, strict=True):
            self.notes.setdefault(name, []).append(mean)
        self.step += 1
        return stop > 0

    def _step(self, batch: LabelledBatch) -> TrainingStep:
        """A step on augmented images."""
        device = self.machine.device
        streams = Streams(self.settings.seed, batch.ids, f"train/{self.epoch}", str(device))
        images, labels = self._augmented(batch, streams.scope("augment")), batch.labels.to(device)
        return TrainingStep(self.classifier, images, labels, streams, self.step, self.step / self.steps, self.defenses)

    def _augmented(self, batch: LabelledBatch, streams: Streams) -> Tensor:
        """Images (B, C, H, W) in [0, 1], at the size of the network."""
        device, name = self.machine.device, self.settings.augment
        if name == CROPS:
            originals = [image.to(device).float() / 255 for image in batch.images]
            size = self.classifier.size or one_size(batch.images).shape[-2:]
            images = resized_crop_flip(originals, streams, (size[0], size[1]))
            return images.contiguous(memory_format=torch.channels_last)
        images = batch_on(device, one_size(batch.images))
        return WHOLE[name](images, streams) if name in WHOLE else images

    def _finish_epoch(self, board: Board | None) -> None:
        """Validate, record the epoch and write a checkpoint. Epoch 0 is the classifier before training."""
        number = len(self.history)
        accuracy = self._validate()
        best = bool(number and accuracy and (self.best is None or accuracy.score >= self.best.score))
        record = EpochRecord(
            number,
            self.step,
            sum(self.losses) / len(self.losses) if self.losses else None,
            accuracy.clean if accuracy else None,
            accuracy.robust if accuracy else None,
            self.optimisation.rate(max(self.step - 1, 0)),
            self._seconds(),
            best,
            {name: sum(values) / len(values) for name, values in self.notes.items()},
        )
        if best and accuracy is not None:
            self.best = Best(number, accuracy.score, _copied(self._saved_state()))
        self.losses, self.notes, self.history = [], {}, [*self.history, record]
        self._save()
        self.listener.line(record.line(self.settings.epochs))
        self._name_skipped()
        if board is not None:
            write_journal(self.files.journal, self.history)
            board.write(record)

    def _name_skipped(self) -> None:
        """Name broken images that were found since the last time; in images read for each batch they turn up late."""
        found = list(self.training.skipped.items())
        for id_, reason in found[self.named :]:
            self.listener.line(f"skipped {id_}: {reason}")
        self.named = len(found)

    def _validate(self) -> Accuracy | None:
        if self.validation is None:
            return None
        with self.average.applied() if self.average is not None else nullcontext():
            return self.validation.measure(self.classifier, self.step, self.step / self.steps)

    def _saved_state(self) -> Mapping[str, Tensor]:
        """The state that is validated and saved: the moving average, if there is one, otherwise the network's own."""
        return self.classifier.network.state_dict() if self.average is None else self.average.state

    def _save(self) -> None:
        """Write a checkpoint. TrainingError, and the earlier one stays, if the weights are not finite."""
        own = self.classifier.network.state_dict()
        if not all(tensor.isfinite().all() for tensor in own.values() if tensor.is_floating_point()):
            raise self._diverged("the weights are no longer finite")
        self.saved = time.monotonic()
        if not self.machine.main:
            return
        average = self.average and {"state": self.average.state, "updates": self.average.updates}
        best = self.best and {"epoch": self.best.epoch, "score": self.best.score, "state": dict(self.best.state)}
        state = {
            "step": self.step,
            "seconds": self._seconds(),
            "losses": self.losses,
            "notes": self.notes,
            "history": json.dumps([asdict(record) for record in self.history]),
            "watch": self.watch.state(),
            "network": own,
            "optimiser": self.optimisation.optimiser.state_dict(),
            "average": average,
            "best": best,
            "skipped": dict(self.training.skipped),
        }
        save_checkpoint(self.files.checkpoint, self.files.identity, state)

    def _restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        state = load_checkpoint(self.files.checkpoint, self.files.identity)
        if state is None:
            return
        self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
        self.notes = state.get("notes", {})  # checkpoints of earlier versions have none
        self.history = [read_record(values) for values in json.loads(state["history"])]
        self.watch.restore(state["watch"])
        self.classifier.network.load_state_dict(state["network"])
        self.optimisation.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.restore(state["average"]["state"], state["average"]["updates"])
        if state["best"] is not None:
            self.best = Best(**state["best"])
        self.training.skipped |= state["skipped"]
        self.listener.line(f"continued after step {self.step} of {self.steps} ({self.files.checkpoint})")

    def _seconds(self) -> float:
        return self.seconds + time.monotonic() - self.started

    def _status(self) -> str:
        """For the progress bar: the epoch, the present loss, and the last accuracies."""
        last = self.history[-1]
        parts = [f"epoch {(self.step - 1) // self.per_epoch + 1}"]
        parts += [f"loss {sum(self.losses[-WINDOW:]) / len(self.losses[-WINDOW:]):.3f}"]
        parts += [f"clean {100 * last.clean:.1f} %"] if last.clean is not None else []
        parts += [f"robust {100 * last.robust:.1f} %"] if last.robust is not None else []
        return " ".join(parts)

    def _diverged(self, problem: str) -> TrainingError:
        kept = f"{self.files.checkpoint} keeps the last good state; " if self.files.checkpoint.exists() else ""
        return TrainingError(
            f"training stopped in step {self.step + 1} of {self.steps} (epoch {self.epoch + 1}): {problem}; {kept}"
            f"start over with --fresh and a learning rate below {self.settings.rate:g}, or limit gradients with --clip"
        )


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _number(seed: int, *parts: str | int) -> int:
    """A seed for torch's generators from a training's seed and a place in it."""
    text = "/".join(map(str, (seed, *parts))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1

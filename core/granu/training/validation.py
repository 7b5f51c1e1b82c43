"""Clean and robust accuracy on validation images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from granu.errors import DataError
from granu.images.classifier import ImageClassifier
from granu.streams import Streams
from granu.training.data import ImageSet, one_size, permutation
from granu.training.defense import Defense
from granu.training.machine import Machine, batch_on
from granu.training.settings import TrainingSettings
from granu.training.step import TrainingStep

SCOPE = "validation"  # the same in every epoch, so that epochs are compared under the same random numbers


@dataclass(frozen=True)
class Accuracy:
    """Shares of the validation images, in [0, 1]; `robust` is None where no defense perturbs images."""

    clean: float
    robust: float | None = None

    @property
    def score(self) -> float:
        """The number by which epochs are compared: the mean of clean and robust accuracy."""
        return self.clean if self.robust is None else (self.clean + self.robust) / 2


class Validation:
    """Validation images, the same ones for every epoch.

    Processes share them equally, so up to (processes - 1) images are left out.
    """

    def __init__(
        self, images: ImageSet, defenses: Sequence[Defense], settings: TrainingSettings, machine: Machine
    ) -> None:
        self.images, self.defenses, self.settings, self.machine = images, defenses, settings, machine
        self.order = permutation(len(images), settings.seed)  # the first ones are a sample of all
        if len(images) < machine.count:
            raise DataError(f"{len(images)} validation images are too few for {machine.count} processes")

    def measure(self, classifier: ImageClassifier, number: int, progress: float) -> Accuracy:
        """Clean accuracy of all images, and robust accuracy of the first of them, before step `number`.

        An image counts as robust if it is classified correctly under each of the defenses that perturb images. Clean
        accuracy is measured in float32.
        """
        training = classifier.training
        classifier.eval()
        try:
            clean = self._share(self._steps(classifier, number, progress, len(self.images)), _correct)
            most = min(len(self.images), self.settings.robust_images)
            robust = self._share(self._steps(classifier, number, progress, most), self._correct_under_all)
        finally:
            classifier.train(training)
        assert clean is not None
        return Accuracy(clean, robust)

    def _steps(self, classifier: ImageClassifier, number: int, progress: float, most: int) -> Iterator[TrainingStep]:
        """This process's part of the first images, as batches that a defense can perturb."""
        count = most - most % self.machine.count
        size = self.settings.batch
        parts = [self.order[start : min(start + size, count)] for start in range(0, count, size)]
        for batch in self.images.batches(self.machine.share(part) for part in parts):
            images = batch_on(self.machine.device, one_size(batch.images))
            streams = Streams(self.settings.seed, batch.ids, SCOPE, str(self.machine.device))
            yield TrainingStep(classifier, images, batch.labels.to(images.device), streams, number, progress)

    def _share(self, steps: Iterator[TrainingStep], correct: Callable[[TrainingStep], Tensor | None]) -> float | None:
        """The share of correct images over all processes; None where there is nothing to count."""
        right = seen = 0
        for step in steps:
            answers = correct(step)
            if answers is None:
                break
            right, seen = right + int(answers.sum()), seen + len(answers)
        right, seen = self.machine.total([right, seen])
        return right / seen if seen else None

    def _correct_under_all(self, step: TrainingStep) -> Tensor | None:
        answers: Tensor | None = None
        for defense in self.defenses:
            with self.machine.autocast():
                logits = defense.robust_logits(step)
            if logits is not None:
                right = logits.detach().argmax(dim=1) == step.labels
                answers = right if answers is None else answers & right
        return answers


@torch.no_grad()
def _correct(step: TrainingStep) -> Tensor:
    """(B,) bool, whether each image is classified correctly."""
    return step.classifier(step.images).argmax(dim=1) == step.labels

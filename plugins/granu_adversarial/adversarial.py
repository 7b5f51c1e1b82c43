"""Adversarial training (Madry et al. 2018) and its control of random changes, in any space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import (
    Attacked,
    Batch,
    BuildContext,
    Defense,
    OptionError,
    Streams,
    TrainingAttack,
    TrainingStep,
    open_perturbations,
)
from granu_adversarial import DEFAULTS, AdversarialOptions
from granu_adversarial.divergence import divergence, divergence_from


def open_attacks(spec: str, context: BuildContext, random_start: bool = True) -> list[TrainingAttack]:
    """The attack in each perturbation that a spec names."""
    return [TrainingAttack(one, random_start) for one in open_perturbations(spec, context, DEFAULTS)]


class Adversarial(Defense):
    """Training on changed images: those of the step, or where sites are changed, images of their generator.

    With several perturbations the loss is the mean over them, or that of the worst one or of a random one for each
    image (Tramèr and Boneh 2019, section 2). With `loss=trades` it is the cross-entropy of the images, plus `beta`
    times the divergence of the predictions for changed images from those for unchanged ones (Zhang et al. 2019,
    equation 5); the attack then maximises this divergence.
    """

    def __init__(self, attacks: Sequence[TrainingAttack], options: AdversarialOptions) -> None:
        self.attacks, self.options = attacks, options
        self.images = attacks[0].perturbation.images  # of all: different sources are refused
        self.clean = (0.0 if self.images is None else 0.5) if options.clean is None else options.clean

    def loss(self, step: TrainingStep) -> Tensor:
        if self.clean == 1:
            return step.rest(step.images)
        loss = self._changed_loss(*self._subject(step))
        return loss if self.clean == 0 else self.clean * step.rest(step.images) + (1 - self.clean) * loss

    def robust_logits(self, step: TrainingStep) -> Tensor | None:
        """Logits under the full budget, of the worst perturbation for each image unless `combine=random`.

        None where a generator cannot draw images of the classes of the step.
        """
        subject, batch = self._subject(replace(step, progress=1.0))
        if not torch.equal(batch.labels, step.labels):
            return None
        if self.options.combine == "random":
            return subject.classifier(self._random_of_each(subject, batch))
        changes = self._changes(subject, batch)
        logits = torch.stack([change.logits().detach() for change in changes])  # (n, B, K)
        return _of_each(logits, _worst(logits, batch.labels))

    def change(self, attack: TrainingAttack, step: TrainingStep, batch: Batch, streams: Streams) -> Attacked:
        """Change a batch by at most the budget that the step allows."""
        objective = None
        if self.options.loss == "trades":
            objective = divergence_from(step.classifier(batch.images).detach())
        return attack(step.classifier, batch, streams, self._share(step), objective)

    def _share(self, step: TrainingStep) -> float:
        """The share of the budget that is spent: training does not start at the full budget if that is large."""
        return min(1.0, step.progress / self.options.warmup) if self.options.warmup else 1.0

    def _subject(self, step: TrainingStep) -> tuple[TrainingStep, Batch]:
        """The step and the batch whose images are changed; `images` of the step are at the network's size."""
        streams = step.streams.scope("adversarial")  # also for the defenses behind, which may be of the same kind
        if self.images is None:
            return replace(step, streams=streams), Batch(step.images, step.labels, streams.ids)
        batch = self.images.draw(step.classifier, step.labels, streams)
        images = step.classifier.fitted(batch.images).clamp(0, 1)
        return replace(step, images=images, labels=batch.labels, streams=streams), batch

    def _changed_loss(self, step: TrainingStep, batch: Batch) -> Tensor:
        changed = self._changed(step, batch)
        if self.options.loss == "madry":
            return torch.stack([self._rest(step, one) for one in changed]).mean()
        clean = step.classifier(step.images)
        divergences = [divergence(clean, self._logits(step, one)).mean() for one in changed]
        return step.rest(step.images, clean) + self.options.beta * torch.stack(divergences).mean()

    def _rest(self, step: TrainingStep, changed: Tensor | Attacked) -> Tensor:
        """The loss of changed images under the defenses behind; without images, of the logits."""
        if isinstance(changed, Tensor):
            return step.rest(changed)
        if step.following:
            raise OptionError(
                f"`{self._names()}` changes no images that the defenses behind could take; name this defense last"
            )
        return F.cross_entropy(changed.logits(), step.labels)

    def _logits(self, step: TrainingStep, changed: Tensor | Attacked) -> Tensor:
        return step.classifier(changed) if isinstance(changed, Tensor) else changed.logits()

    def _changed(self, step: TrainingStep, batch: Batch) -> list[Tensor | Attacked]:
        """The terms of the mean loss: changed images (B, C, H, W) at the network's size, or changes without any."""
        if len(self.attacks) > 1 and self.options.combine == "random":
            return [self._random_of_each(step, batch)]
        changes = self._changes(step, batch)
        if len(self.attacks) > 1 and self.options.combine == "worst":
            return [self._worst_of_each(step, changes)]
        return [self._images(step, change) if change.has_images else change for change in changes]

    def _changes(self, step: TrainingStep, batch: Batch) -> list[Attacked]:
        """The batch under each perturbation."""
        with step.attacking():
            return [
                self.change(attack, step, batch, step.streams.scope(str(number)))
                for number, attack in enumerate(self.attacks)
            ]

    def _worst_of_each(self, step: TrainingStep, changes: Sequence[Attacked]) -> Tensor:
        """For each image its change of the largest loss; one further forward pass for each perturbation."""
        images = torch.stack([self._images(step, change) for change in changes])  # (n, B, C, H, W)
        with step.attacking() as classifier:
            # with gradients on: under no_grad, autocast would keep copies of the weights that have no gradient
            logits = torch.stack([classifier(one).detach() for one in images])
        return _of_each(images, _worst(logits, step.labels))

    def _random_of_each(self, step: TrainingStep, batch: Batch) -> Tensor:
        """For each image the change of one perturbation, drawn at random; the others are not computed."""
        choice = step.streams.scope("choice").integers(len(self.attacks))
        indices, images = [], []
        with step.attacking():
            for number, attack in enumerate(self.attacks):
                index = (choice == number).nonzero().squeeze(1)
                if len(index):
                    streams = step.streams.scope(str(number)).select(index)
                    change = self.change(attack, step, batch.select(index.to(batch.labels.device)), streams)
                    images.append(self._images(step, change))
                    indices.append(index)
        return torch.cat(images)[torch.cat(indices).argsort()]

    def _images(self, step: TrainingStep, change: Attacked) -> Tensor:
        if not change.has_images:
            raise OptionError(f"`{self._names()}`: combine={self.options.combine} chooses among images, and one of "
                              "these changes has none; take combine=mean")  # fmt: skip
        return step.classifier.fitted(change.images()).clamp(0, 1)

    def _names(self) -> str:
        return "|".join(attack.perturbation.name for attack in self.attacks)


class RandomChanges(Adversarial):
    """The control of adversarial training: random changes of the size that the attack spends, by the same code."""

    def change(self, attack: TrainingAttack, step: TrainingStep, batch: Batch, streams: Streams) -> Attacked:
        return attack.at_random(step.classifier, batch, streams, self._share(step))


def _worst(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) int64: which of n logits (n, B, K) have the largest cross-entropy."""
    return torch.stack([F.cross_entropy(one, labels, reduction="none") for one in logits]).argmax(dim=0)


def _of_each(values: Tensor, which: Tensor) -> Tensor:
    """For each of B images one of n values: (n, B, ...) and (B,) to (B, ...)."""
    return values[which, torch.arange(len(which), device=which.device)]

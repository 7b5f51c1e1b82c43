"""The defense `gat`: half of the loss on training images, half on images whose latents an adversary changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import (
    AUX_ROUTE,
    MAIN_ROUTE,
    Attacked,
    ClassifierError,
    Defense,
    ImageClassifier,
    Judge,
    OptionError,
    TrainingAttack,
    TrainingStep,
    duplicate_norms,
    is_norm,
    mean_over_processes,
    route_state,
    routed,
)
from granu_gat import GATOptions
from granu_gat.subject import Subject, draw_subject, encode_subject
from granu_gat.towards import cross_entropy_of_target, towards_least_likely

NO_JUDGE = "gat: no judge checks that changed images still show their class; name one with judge=CLASSIFIER"


@dataclass(frozen=True)
class Labelled:
    """Images to train on with their labels, and which of them count."""

    images: Tensor  # (B, C, H, W)
    labels: Tensor  # (B,)
    counts: Tensor  # (B,) bool


class GAT(Defense):
    """Generative adversarial training (Poursaeed et al. 2021).

    Images are drawn or encoded by a generator, and at its sites an attack moves them towards the class that seemed
    least likely. How the loss is divided, how the images are mixed and what the judge does are ours: the paper's body
    was not at hand.
    """

    def __init__(self, options: GATOptions, attack: TrainingAttack, judge: Judge | None) -> None:
        self.options, self.attack, self.judge = options, attack, judge
        self.perturbation = attack.perturbation

    def prepare(self, classifier: ImageClassifier) -> None:
        """Check that generator and judge fit the classifier; double the normalisation layers if they are to be own."""
        self._check_images(classifier)
        if self.judge is not None:
            self.judge.check(classifier)
        if self.options.normalisation == "own":
            norms = [module for module in classifier.network.modules() if is_norm(module)]
            if not norms:
                raise ClassifierError(
                    f"gat: '{classifier.name}' has no normalisation layers, so changed images cannot have their own; "
                    "leave out normalisation=own"
                )
            duplicate_norms(classifier.network, norms)

    def loss(self, step: TrainingStep) -> Tensor:
        clean = self._clean_share(step.progress)
        if clean == 1:
            return step.rest(step.images)
        changed = self._changed_loss(replace(step, streams=step.streams.scope("gat")))
        return changed if clean == 0 else clean * step.rest(step.images) + (1 - clean) * changed

    def robust_logits(self, step: TrainingStep) -> Tensor | None:
        """Logits of images under the full budget; None without an attack, or where a class cannot be drawn."""
        if self.options.attack == "none":
            return None
        step = replace(step, progress=1.0, streams=step.streams.scope("gat"))
        with self._own_normalisation(step.classifier):
            subject = self._subject(step)
            if not torch.equal(subject.labels, step.labels):
                return None
            return step.classifier(self._changed_images(step, subject))

    def routes(self, classifier: ImageClassifier) -> Mapping[str, Mapping[str, Tensor]] | None:
        if self.options.normalisation == "shared":
            return None
        return {route: route_state(classifier.network, route) for route in (MAIN_ROUTE, AUX_ROUTE)}

    def remarks(self) -> Sequence[str]:
        return (NO_JUDGE,) if self.judge is None and self.options.attack != "none" else ()

    def _clean_share(self, progress: float) -> float:
        """The share of the training images in the loss, linear in the progress."""
        first, last = self.options.clean[0], self.options.clean[-1]
        return first + (last - first) * progress

    def _changed_loss(self, step: TrainingStep) -> Tensor:
        with self._own_normalisation(step.classifier):
            subject = self._subject(step)
            for name, value in subject.notes.items():
                step.note(name, value)
            made = self._judged(step, self._changed_images(step, subject), subject.labels)
            return self._loss_of(step, made)

    def _subject(self, step: TrainingStep) -> Subject:
        """The images that are changed."""
        encoded = self.perturbation.encoded
        if encoded is not None:
            return encode_subject(encoded, step)
        assert self.perturbation.images is not None  # a generator's sites are attacked
        return draw_subject(self.perturbation.images, step)

    def _changed_images(self, step: TrainingStep, subject: Subject) -> Tensor:
        """The images (B, C, H, W) after the attack, at the network's size."""
        if self.options.attack == "none":
            return subject.with_changed(subject.batch.images, step.classifier)
        with step.attacking():
            attacked = self._attacked(step, subject)
        return subject.with_changed(attacked.images(), step.classifier)

    def _attacked(self, step: TrainingStep, subject: Subject) -> Attacked:
        """The batch under the change that the step's share of the budget allows."""
        batch = subject.batch
        share = min(1.0, step.progress / self.options.warmup) if self.options.warmup else 1.0
        streams = step.streams if subject.unchanged is None else step.streams.select(subject.index)
        if self.options.attack == "random":
            return self.attack.at_random(step.classifier, batch, streams, share)
        if self.options.objective == "true":
            return self.attack(step.classifier, batch, streams, share)
        # with gradients on: under no_grad, autocast would keep copies of the weights that have no gradient
        with torch.enable_grad():
            before = step.classifier(batch.images).detach()
        goal = towards_least_likely(before, batch.labels)
        return self.attack(step.classifier, batch, streams, share, cross_entropy_of_target, goal)

    def _judged(self, step: TrainingStep, images: Tensor, labels: Tensor) -> Labelled:
        """Changed images and their labels as the judge leaves them; the share in which it sees another class is noted.

        A class that the classifier does not know cannot become a label, so `relabel` leaves such images out.
        """
        everything = torch.ones_like(labels, dtype=torch.bool)
        if self.judge is None:
            return Labelled(images, labels, everything)
        seen = self.judge.classes_of(images, step.classifier)
        step.note("class changed", (seen != labels).float().mean())
        if self.options.changed == "keep":
            return Labelled(images, labels, everything)
        if self.options.changed == "relabel":
            return Labelled(images, torch.where(seen < 0, labels, seen), seen >= 0)
        return Labelled(images, labels, seen == labels)

    def _loss_of(self, step: TrainingStep, made: Labelled) -> Tensor:
        """The mean loss of the images that count, over all processes; the others pass the network too.

        So every process normalises as many images as the others.
        """
        step = replace(step, images=made.images, labels=made.labels)
        if self.judge is None or self.options.changed == "keep":
            return step.rest(made.images)
        if step.following:
            raise OptionError("gat leaves images out, and defenses behind it would not; name it last, or changed=keep")
        losses = F.cross_entropy(step.classifier(made.images), made.labels, reduction="none")
        count = mean_over_processes(made.counts.float().sum())
        return losses[made.counts].sum() / count.clamp_min(1e-6)  # none counts anywhere: the sum is zero

    def _own_normalisation(self, classifier: ImageClassifier) -> AbstractContextManager[None]:
        """Passes inside take the normalisation layers of changed images, if these have their own."""
        return routed(classifier.network, AUX_ROUTE) if self.options.normalisation == "own" else nullcontext()

    def _check_images(self, classifier: ImageClassifier) -> None:
        """ClassifierError for a generator of other classes, or of images of another size or other channels."""
        images = self.perturbation.images
        assert images is not None
        images.check(classifier)
        channels, *size = images.generator.sites()[-1].shape
        if self.options.resize:
            return
        ours = (classifier.channels or channels, *(classifier.size or size))
        if ours != (channels, *size):
            theirs = f"{size[0]} x {size[1]}, {channels} channels"
            raise ClassifierError(
                f"`{images.name}` draws images of {theirs}, and '{classifier.name}' takes {ours[1]} x {ours[2]}, "
                f"{ours[0]} channels; take a generator of such images, or add resize=yes"
            )

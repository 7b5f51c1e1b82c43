"""The defense `advbn`: training on features with adversarially changed statistics (Shu et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import (
    AUX_ROUTE,
    MAIN_ROUTE,
    ClassifierError,
    Defense,
    ImageClassifier,
    Streams,
    TrainingStep,
    duplicate_norms,
    is_norm,
    route_state,
    routed,
)
from granu_advbn import SCOPE, DefenseOptions
from granu_advbn.attack import strengthen
from granu_advbn.cut import Cut, evaluating, find_cut_untold
from granu_advbn.replay import Front
from granu_advbn.statistics import Moments, Multipliers


class AdvBN(Defense):
    """Cross-entropy of changed features by the second normalisation layers, plus that of the images by the first.

    The network is cut behind a module, and an adversary changes mean and deviation of the features there. In each step
    the changed features come first, then the clean ones, as in the reference implementation.
    """

    def __init__(self, options: DefenseOptions) -> None:
        self.options = options
        self.cuts: tuple[Cut, ...] = ()

    def prepare(self, classifier: ImageClassifier) -> None:
        """Find the cuts, freeze what comes before the earliest, and duplicate the normalisation layers behind it.

        ClassifierError if there is no normalisation layer to duplicate, or nothing behind the cut to train.
        """
        found = [find_cut_untold(classifier, name, self.options.channels) for name in self.options.layer.split("+")]
        self.cuts = tuple(cut for cut, _ in found)
        earliest, images = min(found, key=lambda pair: pair[0].position)
        norms = [module for name, module in _behind(classifier, earliest) if is_norm(module)]
        if self.options.freeze:
            _freeze_front(classifier, earliest, images)
        if self.options.dual:
            if not norms:
                raise ClassifierError(
                    f"advbn: no normalisation layer runs behind '{earliest.name}' of '{classifier.name}', so there is "
                    "nothing to have twice; cut further to the front, or add dual=no"
                )
            duplicate_norms(classifier.network, norms)

    def loss(self, step: TrainingStep) -> Tensor:
        common = _common_streams(step, f"step#{step.number}")
        cut = self.cuts[int(common.scope("cut").integers(len(self.cuts))[0])]
        part = self._divide(step, cut, common)
        changed = F.cross_entropy(self._changed_logits(step, part), step.labels)
        # defenses behind this one make images of their own, for which these logits would be of no use
        clean = None if step.following else part.rest(part.front.features)
        return changed + step.rest(step.images, clean)

    @torch.no_grad()
    def robust_logits(self, step: TrainingStep) -> Tensor:
        """Logits of changed features by the second normalisation layers, behind the first of the modules named."""
        return self._changed_logits(step, self._divide(step, self.cuts[0], _common_streams(step, "validation")))

    def routes(self, classifier: ImageClassifier) -> Mapping[str, Mapping[str, Tensor]] | None:
        if not self.options.dual:
            return None
        return {route: route_state(classifier.network, route) for route in (MAIN_ROUTE, AUX_ROUTE)}

    def _divide(self, step: TrainingStep, cut: Cut, common: Streams) -> _Part:
        """Run the classifier up to the cut and measure the features, if the scope is the batch in all processes."""
        shared = self.options.scope == "batch"
        front = cut.front(step.classifier, step.images)
        multipliers = Multipliers.read(self.options, cut.axis, cut.nonnegative)
        moments = multipliers.moments(front.features, self._group(len(step.images)), shared)
        first = range(0, len(step.images), moments.group)  # image of each group
        streams = common if shared else step.streams.select(first)
        return _Part(step.classifier, cut, front, multipliers, moments, streams.scope("advbn"), shared)

    def _group(self, count: int) -> int:
        """The number of images that share statistics and a change, of `count` in the batch."""
        if self.options.scope == "batch":
            return count
        match = SCOPE.fullmatch(self.options.scope)
        return int(match[1]) if match is not None and match[1] else 1

    def _changed_logits(self, step: TrainingStep, part: _Part) -> Tensor:
        """Logits (B, K) of the changed features, by the second normalisation layers."""
        change = self._start(part)
        with routed(step.classifier.network, AUX_ROUTE):
            if self.options.random == "no":
                with step.attacking():
                    change = self._strengthen(step, part, change)
            return part.rest(part.changed(part.front.features, change))

    def _strengthen(self, step: TrainingStep, part: _Part, start: Tensor) -> Tensor:
        """The adversary's change (G, 2 C)."""
        features = part.front.features.detach()
        return strengthen(
            lambda change: F.cross_entropy(part.rest(part.changed(features, change)), step.labels),
            start,
            step=self.options.step,
            steps=self.options.steps,
            bounded=lambda change: part.multipliers.bounded(change, self.options.epsilon),
            shared=part.shared,
        )

    def _start(self, part: _Part) -> Tensor:
        """The change (G, 2 C) at which an attack begins, or the change of the control."""
        mean, epsilon = part.moments.mean, self.options.epsilon
        numbers = 2 * mean.shape[1]
        if self.options.random == "no" and self.options.init == "ones":
            return mean.new_zeros(len(mean), numbers)
        share = 2 * part.streams.uniform(numbers).to(mean) - 1
        if self.options.random == "corners":
            share = torch.where(share < 0, -1.0, 1.0)
        return part.multipliers.bounded(epsilon * share, epsilon)


@dataclass(frozen=True)
class _Part:
    """The part of a classifier behind a cut, for one batch of images."""

    classifier: ImageClassifier
    cut: Cut
    front: Front
    multipliers: Multipliers
    moments: Moments
    streams: Streams  # one for each change
    shared: bool  # whether all processes share statistics and change

    def changed(self, features: Tensor, change: Tensor) -> Tensor:
        """Features (B, ...) after a change (G, 2 C)."""
        return self.multipliers.apply(features, self.moments, change)

    def rest(self, features: Tensor) -> Tensor:
        """The logits (B, K) for features (B, ...)."""
        return self.cut.rest(self.classifier, self.front, features)


def _common_streams(step: TrainingStep, name: str) -> Streams:
    """One stream for all images, the same in all processes."""
    return Streams(step.streams.seed, [name], "advbn", str(step.images.device))


def _behind(classifier: ImageClassifier, cut: Cut) -> list[tuple[str, torch.nn.Module]]:
    """The modules that run behind a cut and not before it too."""
    layers = classifier.layers()
    front = {inner for name in (*cut.before, cut.name) for inner in layers[name].modules()}
    return [(name, layers[name]) for name in cut.behind if layers[name] not in front]


def _freeze_front(classifier: ImageClassifier, cut: Cut, images: Tensor) -> None:
    """Exclude from training what runs up to the cut, and parameters that nothing behind it uses, such as positions."""
    layers = classifier.layers()
    classifier.freeze(*(layers[name] for name in (*cut.before, cut.name)))
    left = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    with torch.enable_grad(), evaluating(classifier):
        front = cut.front(classifier, images)
        logits = cut.rest(classifier, front, front.features.detach())
        if not left or not logits.requires_grad:
            raise ClassifierError(
                f"advbn: nothing is left to train behind '{cut.name}' of '{classifier.name}'; "
                "cut further to the front, or add freeze=no"
            )
        used = torch.autograd.grad(logits.sum(), left, allow_unused=True)
    for parameter, gradient in zip(left, used, strict=True):
        if gradient is None:
            parameter.requires_grad_(False)

"""Defenses: what a training step minimises, how the network is prepared for it, and what is saved afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from granu.weights.trained import MAIN as MAIN  # the route that a defense's `routes` must name

if TYPE_CHECKING:
    from granu.images.classifier import ImageClassifier
    from granu.training.step import TrainingStep


class Defense(ABC):
    """Base class of the defenses; a subclass implements `loss` and, if it must, the other methods.

    Defenses are combined in the order in which a person names them. Each receives the images that those before it
    made, and passes its own on with `step.rest`, at whose end stands the cross-entropy. So `prime` followed by
    `adversarial` attacks augmented images.
    """

    def prepare(self, classifier: ImageClassifier) -> None:  # noqa: B027  most defenses change nothing
        """Change the network in place before training, for instance freeze a part (`classifier.freeze`).

        Called once for each process and again on resuming, before weights of a checkpoint are loaded: what it changes
        must depend on the classifier alone. At most one of several combined defenses may add or rename tensors.
        """

    @abstractmethod
    def loss(self, step: TrainingStep) -> Tensor:
        """The loss of one step, a scalar with a gradient for the classifier's parameters: a mean over the images."""

    def robust_logits(self, step: TrainingStep) -> Tensor | None:
        """Logits (B, K) of the images as this defense perturbs them, for the robust accuracy on validation images.

        None if the defense perturbs nothing. The classifier is in evaluation mode.
        """
        return None

    def remarks(self) -> Sequence[str]:
        """Sentences that a person should read before the training, for instance what is not checked."""
        return ()

    def routes(self, classifier: ImageClassifier) -> Mapping[str, Mapping[str, Tensor]] | None:
        """State dicts of the network as it was before `prepare`, by route: `main`, and others that can be evaluated.

        None if `prepare` neither adds nor renames tensors; the network's own state dict is then the only route.
        """
        return None

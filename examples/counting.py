"""A classifier that counts its passes, for the scripts that compare attacks; prints nothing by itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from granu import Classifier


class Counted(nn.Module):
    """A classifier that counts its forward passes and gradient passes, one per image."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.classes = classifier.classes
        self.forward_passes = self.backward_passes = 0
        self.register_parameter("anchor", nn.Parameter(torch.zeros(()), requires_grad=False))  # others read its device

    def forward(self, images: Tensor) -> Tensor:
        self.forward_passes += len(images)
        if images.requires_grad:
            images.register_hook(torch.Tensor.contiguous)  # torchattacks takes views, which channels last forbids
        logits = self.classifier(images)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def layers(self) -> dict[str, nn.Module]:
        return {}

    def _count(self, gradient: Tensor) -> None:
        self.backward_passes += len(gradient)

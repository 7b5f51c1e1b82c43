"""The denoising network of a pipeline: with classes or a prompt, guidance, and a middle block that can be edited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Denoiser:
    """Predicts noise, velocity or image from a noisy image, its timestep and its class.

    `prompt` (1, L, D) conditions a network with text, `empty_class` is what `guidance` leads away from.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        conditional: bool,
        prompt: Tensor | None = None,
        guidance: float = 1.0,
        empty_class: int | None = None,
    ) -> None:
        self.network, self.conditional, self.prompt = network, conditional, prompt
        self.guidance, self.empty_class = guidance, empty_class
        self.middle_block = find_middle_block(network)

    def __call__(self, x: Tensor, t: int, labels: Tensor) -> Tensor:
        """The prediction for noisy images x (B, C, H, W) of classes `labels` (B,), in float32."""
        return self._guided(self._evaluate(x, t, labels), x, t, labels)

    def middle(self, x: Tensor, t: int, labels: Tensor) -> Tensor:
        """The middle block's output; what lies behind it is not computed."""

        def stop(block: nn.Module, inputs: object, output: Tensor) -> Tensor:
            raise _Reached(output)

        with _hook(self.middle_block, stop):
            try:
                self._evaluate(x, t, labels)
            except _Reached as reached:
                return reached.output.float()
        raise AssertionError("the network does not run its middle block")

    def behind_middle(self, x: Tensor, h: Tensor, t: int, labels: Tensor) -> Tensor:
        """The prediction with `h` as the middle block's output; skip connections are those of x.

        With guidance `h` belongs to the image's class; the empty class keeps its own middle.
        """

        def replace(block: nn.Module, inputs: object, output: Tensor) -> Tensor:
            return h.to(output.dtype)

        with _hook(self.middle_block, replace):
            prediction = self._evaluate(x, t, labels)
        return self._guided(prediction, x, t, labels)

    def _guided(self, prediction: Tensor, x: Tensor, t: int, labels: Tensor) -> Tensor:
        """Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598)."""
        if self.guidance == 1:
            return prediction
        assert self.empty_class is not None
        empty = self._evaluate(x, t, torch.full_like(labels, self.empty_class))
        return empty + self.guidance * (prediction - empty)

    def _evaluate(self, x: Tensor, t: int, labels: Tensor) -> Tensor:
        timesteps = torch.full((len(x),), t, device=x.device)
        given: dict[str, Any] = {"timestep": timesteps, "return_dict": False}
        if self.conditional:
            given["class_labels"] = labels
        if self.prompt is not None:
            given["encoder_hidden_states"] = self.prompt.expand(len(x), -1, -1)
        (prediction,) = self.network(x, **given)
        return prediction[:, : x.shape[1]].float()  # without the variances that some networks predict behind it


def find_middle_block(network: nn.Module) -> nn.Module | None:
    """The middle block of a U-Net, or the middle one of a transformer's blocks."""
    if (blocks := getattr(network, "transformer_blocks", None)) is not None:
        return blocks[len(blocks) // 2]
    return getattr(network, "mid_block", None)


class _Reached(Exception):
    """Carries the middle block's output out of the network."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


@contextmanager
def _hook(block: nn.Module | None, act: Callable[..., Tensor]) -> Iterator[None]:
    """Register a forward hook for one evaluation."""
    assert block is not None
    handle = block.register_forward_hook(act)
    try:
        yield
    finally:
        handle.remove()

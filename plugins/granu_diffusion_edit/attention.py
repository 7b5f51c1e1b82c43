"""Prompt-to-Prompt in the attention layers of a U-Net, as attention processors of diffusers (Hertz et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

SELF, CROSS = "attn1", "attn2"  # names of the attentions of a transformer block
LARGEST_MAP = 32 * 32  # tokens: self-attention of finer maps is left alone
ROWS = 4  # of a batch: without prompt source and target, with prompt source and target
SOURCE, TARGET = 2, 3


@dataclass
class Control:
    """Attention to inject at the present step, and the layers in which it was."""

    index: Tensor  # (L,) int64, the source token that a target token refines
    aligned: Tensor  # (L,) 1 where there is one
    cross_steps: float  # cross-attention is injected at steps below this
    self_steps: float
    step: int = 0
    layers: set[str] = field(default_factory=set)

    def injects(self, cross: bool, queries: int) -> bool:
        """True if a layer with this many queries is controlled at the present step."""
        if cross:
            return self.step < self.cross_steps
        return self.step < self.self_steps and queries <= LARGEST_MAP

    def inject(self, probabilities: Tensor, cross: bool) -> Tensor:
        """Attention (4, heads, Q, K) in which that of the target, with its prompt, is taken from the source."""
        chosen = probabilities[SOURCE]
        if cross:
            # section 3.2, adding a new phrase: aligned tokens keep the source's map, new ones have their own
            chosen = chosen[..., self.index] * self.aligned + probabilities[TARGET] * (1 - self.aligned)
        return torch.cat([probabilities[:TARGET], chosen[None]])


class ControlledAttention:
    """Attention of a transformer block, computed step by step where it is controlled, and by `usual` elsewhere."""

    def __init__(self, control: Control, name: str, usual: Any) -> None:
        self.control, self.name, self.usual = control, name, usual

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        cross = encoder_hidden_states is not None
        if not self.control.injects(cross, hidden_states.shape[1]):
            return self.usual(attn, hidden_states, encoder_hidden_states, attention_mask, *args, **kwargs)  # type: ignore[no-any-return]
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        query, key, value = (attn.head_to_batch_dim(part) for part in (query, key, value))
        probabilities = attn.get_attention_scores(query, key, attention_mask)  # (4 * heads, Q, K)
        by_row = probabilities.view(ROWS, -1, *probabilities.shape[1:])
        probabilities = self.control.inject(by_row, cross).flatten(0, 1)
        self.control.layers.add(self.name)
        attended = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        return attn.to_out[1](attn.to_out[0](attended)) / attn.rescale_output_factor  # type: ignore[no-any-return]


@contextmanager
def controlled(unet: Any, control: Control) -> Iterator[None]:
    """Control the attentions of all transformer blocks of a U-Net, for as long as the context lasts."""
    before = dict(unet.attn_processors)
    unet.set_attn_processor(
        {
            name: ControlledAttention(control, name, usual) if name.split(".")[-2] in (SELF, CROSS) else usual
            for name, usual in before.items()
        }
    )
    try:
        yield
    finally:
        unet.set_attn_processor(before)

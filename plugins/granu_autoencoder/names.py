"""Names of tensors in published files, translated to those of the networks; without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

# attention as diffusers named it before 0.13, in many published files
FORMER = re.compile(r"(.*\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")
TODAY = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
TINY = re.compile(r"(encoder|decoder)\.layers\.(\d{1,4})\.(.+)")


def rename_attention(state: Mapping[str, T]) -> dict[str, T]:
    """Give the attention of older files of diffusers today's names."""
    return {FORMER.sub(lambda m: f"{m[1]}.{TODAY[m[2]]}.{m[3]}", name): tensor for name, tensor in state.items()}


def rename_tiny(state: Mapping[str, T]) -> dict[str, T]:
    """Give the tensors of an AutoencoderTiny the names of a TAESD, whose decoder counts the clamp as layer 0."""
    return {TINY.sub(lambda m: f"{m[1]}.{int(m[2]) + (m[1] == 'decoder')}.{m[3]}", n): t for n, t in state.items()}

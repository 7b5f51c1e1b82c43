"""Which token of a target prompt stands for which token of the source prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def align(source: Sequence[int], target: Sequence[int], length: int) -> tuple[Tensor, Tensor]:
    """For each of `length` target tokens the source token that it refines, and 1 where there is one, else 0.

    The longest common subsequence of the two prompts, which is what Prompt-to-Prompt's alignment with match 1,
    mismatch -1 and gap 0 finds (Hertz et al. 2023, section 3.2). Padding behind both prompts is aligned with itself.
    """
    longest = [[0] * (len(target) + 1) for _ in range(len(source) + 1)]
    for i in range(len(source) - 1, -1, -1):
        for j in range(len(target) - 1, -1, -1):
            same = source[i] == target[j]
            longest[i][j] = longest[i + 1][j + 1] + 1 if same else max(longest[i + 1][j], longest[i][j + 1])
    index, aligned = torch.arange(length), torch.ones(length)
    i = 0
    for j in range(min(len(target), length)):
        while i < len(source) and source[i] != target[j] and longest[i + 1][j] == longest[i][j] > 0:
            i += 1
        if i < len(source) and source[i] == target[j]:
            index[j] = i
            i += 1
        else:
            index[j], aligned[j] = 0, 0
    return index, aligned

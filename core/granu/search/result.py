"""Result of a search: one change per image of the batch, with what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class SearchResult:
    """Result of a search in a space of B images.

    Where nothing was found `size` is infinite, and `change` is the strongest change that the search can offer, or zero.
    `tried` is the largest size tried. `extra` holds further numbers per image, (B,) each.
    """

    change: Tensor  # (B, D)
    size: Tensor  # (B,) in the space's unit
    tried: Tensor  # (B,)
    forward: Tensor  # (B,) int64, passes through the classifier
    backward: Tensor  # (B,) int64, gradient passes
    notes: tuple[str | None, ...]
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def found(self) -> Tensor:
        """(B,) bool, true where a change reached the criterion."""
        return self.size.isfinite()

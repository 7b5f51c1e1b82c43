"""Base class of the searches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from granu.errors import OptionError
from granu.search.options import SearchOptions
from granu.search.result import SearchResult
from granu.search.state import SearchState
from granu.streams import Streams
from granu.types import Criterion, Space

ChosenT = TypeVar("ChosenT", bound=SearchOptions)


class Search(ABC, Generic[ChosenT]):
    """An algorithm that searches any space for a change that reaches a criterion.

    A subclass names its `options` and implements `search`. With `spends_budget` it tries changes of a given size;
    otherwise it looks for a small one, and the core draws a random control of the size found.
    """

    name: ClassVar[str]  # what a person types after `search=`
    summary: ClassVar[str]
    options: ClassVar[type[SearchOptions]]
    spends_budget: ClassVar[bool] = False

    def __init__(self, chosen: ChosenT) -> None:
        self.chosen = chosen

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name, cls.summary = cls.options.name, cls.options.summary

    def run(self, space: Space, criterion: Criterion, streams: Streams) -> SearchResult:
        """Search the space's B images, at the margin that the options say; `streams` (B) for what is random."""
        state = SearchState(space, replace(criterion, margin=self.chosen.margin), streams)
        return state.result(self.search(state))

    @abstractmethod
    def search(self, state: SearchState) -> Mapping[str, Tensor]:
        """Update `state` with what is found; returns further numbers per image by name, (B,) each."""


def size_limit(space: Space, limit: float | None) -> Tensor:
    """(B,) the largest size worth trying: the space's own, at most `limit`."""
    return space.limit() if limit is None else space.limit().clamp_max(limit)


def spendable(space: Space, budget: float) -> Tensor:
    """(B,) the largest size up to `budget` that the judged changes keep. OptionError where that is no size at all."""
    sizes = space.storable(torch.full_like(space.limit(), budget))
    if (sizes == 0).any():
        raise OptionError(
            f"budget={budget:g} is less than one step of 8-bit images, so that every change of this size is rounded "
            f"away; take 1/255 ({1 / 255:.5f}) or more"
        )
    return sizes

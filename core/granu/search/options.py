"""The options that every searched perturbation takes beside its own; known before torch is."""

from __future__ import annotations

from dataclasses import dataclass

from granu.errors import OptionError
from granu.plugins.options import option

STEPS = {"smallest": 100, "dunn2020": 400, "worst": 40, "random": 10}
MARGINS = {"smallest": 1e-3, "dunn2020": 1.0, "worst": 1e-3, "random": 1e-3}


@dataclass(frozen=True)
class SearchOptions:
    """How a space is searched."""

    search: str = option(
        "smallest",
        "smallest change that is found, the published growing bound, the worst at a budget, or random changes;",
        choices=tuple(STEPS),
    )
    steps: int | None = option(
        None,
        "gradient steps per image (random: draws); smallest 100, paper 400, worst 40, random 10;",
        low=1,
        high=100_000,
    )
    budget: float | None = option(
        None, "size spent by search=worst and search=random, in the perturbation's unit;", low=1e-12
    )
    limit: float | None = option(None, "largest size that search=smallest and search=dunn2020 try;", low=1e-12)
    deepfool_init: int = option(
        0,
        "looks of a walk to the nearest boundary before search=smallest begins, three gradients each; 25 can pay with "
        "few steps, but is less repeatable;",
        low=0,
        high=1000,
    )
    margin: float | None = option(
        None, "logits by which another class must lead; 0.001, with search=dunn2020 1;", low=0, high=1000
    )

    @property
    def passes(self) -> int:
        """Steps, with the search's own default filled in."""
        return self.steps or STEPS[self.search]

    @property
    def lead(self) -> float:
        """Margin, with the search's own default filled in."""
        return MARGINS[self.search] if self.margin is None else self.margin

    def check(self, where: str) -> None:
        """OptionError where options contradict each other; `where` is the spec as typed."""
        spends = self.search in ("worst", "random")
        if spends and self.budget is None:
            raise OptionError(f"`{where}`: search={self.search} needs a size to spend; add budget=NUMBER")
        if not spends and self.budget is not None:
            raise OptionError(f"`{where}`: search={self.search} spends no budget; write limit= or search=worst")
        if self.deepfool_init and self.search != "smallest":
            raise OptionError(f"`{where}`: only search=smallest begins with a walk; leave deepfool_init= out")
        if spends and self.limit is not None:
            raise OptionError(f"`{where}`: search={self.search} has no limit; its size is budget=")


SEARCH_KEYS = ("search", "steps", "budget", "limit", "deepfool_init", "margin")


def read_search(given, where):  # type: ignore[no-untyped-def]
    """Read the search that a spec names."""
    from granu.plugins.options import read_options

    options = read_options(SearchOptions, given, where)
    options.check(where)
    return options.search, options

"""Statistics at generators' sites, shared by all perturbations that measure them on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from granu.spaces.samples import Samples
from granu.spaces.site_statistics import StatisticsCache
from granu.types import Site


class AtSites(Protocol):
    """A planned perturbation or space at some sites of a generator, or at none."""

    @property
    def sites(self) -> tuple[Site, ...]: ...
    @property
    def statistics_key(self) -> tuple[str, ...]: ...


PlannedT = TypeVar("PlannedT", bound=AtSites)


class SharedStatistics(Generic[PlannedT]):
    """One StatisticsCache for all that is planned with the same key; it measures all of their sites together."""

    def __init__(self, planned: Sequence[PlannedT], samples: Callable[[PlannedT], Samples], folder: Path) -> None:
        self.planned, self.samples, self.folder = [one for one in planned if one.sites], samples, folder
        self._made: dict[tuple[str, ...], StatisticsCache] = {}

    def of(self, planned: PlannedT) -> StatisticsCache:
        """The statistics of a planned perturbation or space; made when they are first asked for."""
        key = planned.statistics_key
        if key not in self._made:
            sites = {site.name: site for one in self.planned if one.statistics_key == key for site in one.sites}
            self._made[key] = StatisticsCache(self.samples(planned), list(sites.values()), self.folder)
        return self._made[key]

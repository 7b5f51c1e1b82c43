"""Statistics of a generator's sites: each neuron's standard deviation over clean samples, cached on disk."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from granu.files import write_whole
from granu.spaces.samples import Samples
from granu.types import Site

# Minimum deviation, relative to the root mean square of the site's deviations, and of its activation: else moving a
# constant neuron would cost nothing
FLOOR = 0.01
FLOOR_OF_ACTIVATION = 1e-4
CONSTANT = 1e-5  # of the activation: a site whose deviations are smaller differs by rounding only
CHUNK = 100  # clean samples at a time, or fewer:
NUMBERS = 20_000_000  # their activations at the largest site hold at most this many numbers


@dataclass(frozen=True)
class Measured:
    """A site's activations over clean samples."""

    deviation: Tensor  # of each neuron, site.shape
    activation: Tensor  # root mean square over samples and neurons, a single number

    @property
    def is_constant(self) -> bool:
        """True if the site is the same in all samples, up to rounding."""
        return bool(_root_mean_square(self.deviation) <= CONSTANT * self.activation)


@dataclass(frozen=True)
class SiteStatistics:
    """Standard deviation of each neuron over a group of clean samples, and how many were clamped to the floor.

    `across` are sites that are constant within a class: their deviation is that over samples of all classes.
    `constant` are sites that do not vary there either: they have none.
    """

    deviation: dict[str, Tensor]  # site -> site.shape
    clamped: dict[str, int]  # site -> number of neurons
    across: frozenset[str] = frozenset()
    constant: frozenset[str] = frozenset()


class StatisticsCache:
    """Deviations at a generator's sites, cached on disk under a hash of everything they depend on.

    It takes all sites that a run needs, so that one pass over the clean samples measures them together.
    """

    def __init__(self, samples: Samples, sites: Sequence[Site], folder: Path) -> None:
        self.samples = samples
        self.sites = tuple(site for site in sites if site.scale == "sigma")
        self.folder = folder / "statistics"
        self._memory: dict[int, SiteStatistics] = {}

    def of_class(self, label: int) -> SiteStatistics:
        """Return the statistics for images of a class of the generator, from memory, from disk, or measured now."""
        group = self.samples.group(label)
        if group not in self._memory:
            self._memory[group] = self._statistics(group)
        return self._memory[group]

    def _statistics(self, group: int) -> SiteStatistics:
        known = self._measured(self.sites, group)
        still = [site for site in self.sites if known[site.name].is_constant]
        wider = self.samples.wider()
        if still and wider is not None:
            known.update(self._measured(still, wider))
        constant = frozenset(site.name for site in still if known[site.name].is_constant)
        raised = {name: _clamped(measured) for name, measured in known.items() if name not in constant}
        return SiteStatistics(
            {name: deviation for name, (deviation, _) in raised.items()},
            {name: clamped for name, (_, clamped) in raised.items()},
            frozenset(site.name for site in still) - constant,
            constant,
        )

    def _measured(self, sites: Sequence[Site], group: int) -> dict[str, Measured]:
        """From disk, or measured now."""
        read = {site.name: self._read(site, group) for site in sites}
        known = {name: measured for name, measured in read.items() if measured is not None}
        if missing := [site for site in sites if site.name not in known]:
            for name, measured in measure(self.samples, missing, group).items():
                known[name] = measured
                self._write(name, group, measured)
        return known

    def summary(self) -> dict[str, dict[str, int]]:
        """Return each site's samples, neurons, most neurons clamped in a group used so far, and whether its deviation
        was measured across classes."""
        used = list(self._memory.values())
        return {
            site.name: {
                "samples": len(self.samples),
                "neurons": math.prod(site.shape),
                "clamped": max(statistics.clamped.get(site.name, 0) for statistics in used),
                "across": int(any(site.name in statistics.across for statistics in used)),
            }
            for site in self.sites
            if used
        }

    def _file(self, site: str, group: int) -> Path:
        text = f"2|{self.samples.identity(group)}|{site}"
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    def _read(self, site: Site, group: int) -> Measured | None:
        import safetensors
        import safetensors.torch

        try:
            stored = safetensors.torch.load_file(self._file(site.name, group), device=self.samples.device)
            return Measured(stored["deviation"], stored["activation"])
        except (OSError, safetensors.SafetensorError):  # absent, or truncated by a crash: measure again
            return None

    def _write(self, site: str, group: int, measured: Measured) -> None:
        import safetensors.torch

        file = self._file(site, group)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            tensors = {"deviation": measured.deviation, "activation": measured.activation}
            write_whole(file, safetensors.torch.save({name: t.cpu().contiguous() for name, t in tensors.items()}))
        except OSError:
            return  # without a cache the next run only takes longer


def measure(samples: Samples, sites: Sequence[Site], group: int) -> dict[str, Measured]:
    """Measure each neuron's standard deviation over a group of samples: site -> site.shape.

    Uses running sums over chunks (Chan et al. 1979).
    """
    device, count = samples.device, 0
    mean = {site.name: torch.zeros(site.shape, device=device) for site in sites}
    spread = {site.name: torch.zeros(site.shape, device=device) for site in sites}
    chunk = max(1, min(CHUNK, NUMBERS // max(math.prod(site.shape) for site in sites)))
    # no gradients in the loop's header either: it draws the samples
    with torch.no_grad():
        for latent in samples.latents(group, chunk):
            clean = samples.generator.tail(latent, [site.name for site in sites]).clean
            added = len(latent.labels)
            total = count + added
            for site in sites:
                x = clean[site.name]
                delta = x.mean(dim=0) - mean[site.name]
                spread[site.name] += x.var(dim=0, unbiased=False) * added + delta**2 * (count * added / total)
                mean[site.name] += delta * (added / total)
            count = total
    return {
        name: Measured(
            (spread[name] / max(count - 1, 1)).sqrt(),
            (mean[name].square() + spread[name] / max(count, 1)).mean().sqrt(),
        )
        for name in mean
    }


def _clamped(measured: Measured) -> tuple[Tensor, int]:
    """The deviations, raised to the floor, and how many were."""
    sigma = measured.deviation
    floor = torch.maximum(FLOOR * _root_mean_square(sigma), FLOOR_OF_ACTIVATION * measured.activation)
    return sigma.maximum(floor), int((sigma < floor).sum())


def _root_mean_square(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()

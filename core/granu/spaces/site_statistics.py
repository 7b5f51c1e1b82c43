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
from granu.streams import Streams
from granu.types import Generator, Site

FLOOR = 0.01  # minimum deviation, relative to the site's root mean square: else moving a constant neuron costs nothing
CHUNK = 100  # clean samples at a time, or fewer:
NUMBERS = 20_000_000  # their activations at the largest site hold at most this many numbers
UNCONDITIONAL = -1


@dataclass(frozen=True)
class SiteStatistics:
    """Standard deviation of each neuron over clean samples of one class, and how many were clamped to the floor."""

    deviation: dict[str, Tensor]  # site -> site.shape
    clamped: dict[str, int]  # site -> number of neurons


class StatisticsCache:
    """Per-class deviations at a generator's sites, cached on disk under a hash of everything they depend on.

    It takes all sites that a run needs, so that one pass over the clean samples measures them together.
    """

    def __init__(self, generator: Generator, sites: Sequence[Site], samples: int, folder: Path, device: str) -> None:
        self.generator, self.samples, self.device = generator, samples, device
        self.sites = tuple(site for site in sites if site.scale == "sigma")
        self.folder = folder / "statistics"
        self._memory: dict[int, SiteStatistics] = {}

    def of_class(self, label: int) -> SiteStatistics:
        """Return the statistics of one class, from memory, from disk, or measured now.

        A generator without classes has one set of statistics, for any label.
        """
        label = label if self.generator.classes else UNCONDITIONAL
        if label not in self._memory:
            known = {site.name: self._read(site, label) for site in self.sites}
            missing = [site for site in self.sites if known[site.name] is None]
            if missing:
                measured = measure_deviation(self.generator, missing, label, self.samples, self.device)
                known.update(measured)
                for name, sigma in measured.items():
                    self._write(name, label, sigma)
            self._memory[label] = _clamped({name: s for name, s in known.items() if s is not None})
        return self._memory[label]

    def summary(self) -> dict[str, dict[str, int]]:
        """Return each site's samples per class, neurons, and most neurons clamped in a class used so far."""
        used = list(self._memory.values())
        return {
            site.name: {
                "samples": self.samples,
                "neurons": math.prod(site.shape),
                "clamped": max(statistics.clamped[site.name] for statistics in used),
            }
            for site in self.sites
            if used
        }

    def _file(self, site: str, label: int) -> Path:
        text = f"1|{self.generator.fingerprint}|{label}|{self.samples}|{site}"
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    def _read(self, site: Site, label: int) -> Tensor | None:
        import safetensors
        import safetensors.torch

        try:
            return safetensors.torch.load_file(self._file(site.name, label), device=self.device)["deviation"]
        except (OSError, safetensors.SafetensorError):  # absent, or truncated by a crash: measure again
            return None

    def _write(self, site: str, label: int, sigma: Tensor) -> None:
        import safetensors.torch

        file = self._file(site, label)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, safetensors.torch.save({"deviation": sigma.cpu().contiguous()}))
        except OSError:
            return  # without a cache the next run only takes longer


def measure_deviation(
    generator: Generator, sites: Sequence[Site], label: int, samples: int, device: str
) -> dict[str, Tensor]:
    """Measure each neuron's standard deviation over `samples` clean images of one class: site -> site.shape.

    Uses running sums over chunks (Chan et al. 1979). The samples' streams are fixed, so the unit of size is the same
    in every run.
    """
    count = 0
    mean = {site.name: torch.zeros(site.shape, device=device) for site in sites}
    spread = {site.name: torch.zeros(site.shape, device=device) for site in sites}
    chunk = max(1, min(CHUNK, NUMBERS // max(math.prod(site.shape) for site in sites)))
    for start in range(0, samples, chunk):
        ids = [f"clean-{label}-{i}" for i in range(start, min(start + chunk, samples))]
        labels = None if label == UNCONDITIONAL else torch.full((len(ids),), label, device=device)
        with torch.no_grad():
            latent = generator.draw(Streams(0, ids, "statistics", device), labels)
            clean = generator.tail(latent, [site.name for site in sites]).clean
        total = count + len(ids)
        for site in sites:
            x = clean[site.name]
            delta = x.mean(dim=0) - mean[site.name]
            spread[site.name] += x.var(dim=0, unbiased=False) * len(ids) + delta**2 * (count * len(ids) / total)
            mean[site.name] += delta * (len(ids) / total)
        count = total
    return {name: (total / max(count - 1, 1)).sqrt() for name, total in spread.items()}


def _clamped(deviation: dict[str, Tensor]) -> SiteStatistics:
    raised, clamped = {}, {}
    for name, sigma in deviation.items():
        floor = FLOOR * sigma.square().mean().sqrt().clamp_min(1e-12)
        raised[name], clamped[name] = sigma.maximum(floor), int((sigma < floor).sum())
    return SiteStatistics(raised, clamped)

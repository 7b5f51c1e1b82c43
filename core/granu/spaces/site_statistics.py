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
from granu.types import DrawingGenerator, Site

# Minimum deviation, relative to the root mean square of the site's deviations, and of its activation: else moving a
# constant neuron would cost nothing
FLOOR = 0.01
FLOOR_OF_ACTIVATION = 1e-4
CONSTANT = 1e-5  # of the activation: a site whose deviations are smaller differs by rounding only
CHUNK = 100  # clean samples at a time, or fewer:
NUMBERS = 20_000_000  # their activations at the largest site hold at most this many numbers
UNCONDITIONAL = -1  # the label of samples of a generator without classes
ACROSS = -2  # samples of all classes in turn


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
    """Standard deviation of each neuron over clean samples of one class, and how many were clamped to the floor.

    `across` are sites that are constant within the class: their deviation is that over samples of all classes.
    `constant` are sites that do not vary there either: they have none.
    """

    deviation: dict[str, Tensor]  # site -> site.shape
    clamped: dict[str, int]  # site -> number of neurons
    across: frozenset[str] = frozenset()
    constant: frozenset[str] = frozenset()


class StatisticsCache:
    """Per-class deviations at a generator's sites, cached on disk under a hash of everything they depend on.

    It takes all sites that a run needs, so that one pass over the clean samples measures them together.
    """

    def __init__(
        self, generator: DrawingGenerator, sites: Sequence[Site], samples: int, folder: Path, device: str
    ) -> None:
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
            self._memory[label] = self._statistics(label)
        return self._memory[label]

    def _statistics(self, label: int) -> SiteStatistics:
        known = self._measured(self.sites, label)
        still = [site for site in self.sites if known[site.name].is_constant]
        if still and len(self.generator.classes) > 1:
            known.update(self._measured(still, ACROSS))
        constant = frozenset(site.name for site in still if known[site.name].is_constant)
        raised = {name: _clamped(measured) for name, measured in known.items() if name not in constant}
        return SiteStatistics(
            {name: deviation for name, (deviation, _) in raised.items()},
            {name: clamped for name, (_, clamped) in raised.items()},
            frozenset(site.name for site in still) - constant,
            constant,
        )

    def _measured(self, sites: Sequence[Site], label: int) -> dict[str, Measured]:
        """From disk, or measured now."""
        read = {site.name: self._read(site, label) for site in sites}
        known = {name: measured for name, measured in read.items() if measured is not None}
        if missing := [site for site in sites if site.name not in known]:
            for name, measured in measure(self.generator, missing, label, self.samples, self.device).items():
                known[name] = measured
                self._write(name, label, measured)
        return known

    def summary(self) -> dict[str, dict[str, int]]:
        """Return each site's samples per class, neurons, most neurons clamped in a class used so far, and whether its
        deviation was measured across classes."""
        used = list(self._memory.values())
        return {
            site.name: {
                "samples": self.samples,
                "neurons": math.prod(site.shape),
                "clamped": max(statistics.clamped.get(site.name, 0) for statistics in used),
                "across": int(any(site.name in statistics.across for statistics in used)),
            }
            for site in self.sites
            if used
        }

    def _file(self, site: str, label: int) -> Path:
        text = f"2|{self.generator.fingerprint}|{label}|{self.samples}|{site}"
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    def _read(self, site: Site, label: int) -> Measured | None:
        import safetensors
        import safetensors.torch

        try:
            stored = safetensors.torch.load_file(self._file(site.name, label), device=self.device)
            return Measured(stored["deviation"], stored["activation"])
        except (OSError, safetensors.SafetensorError):  # absent, or truncated by a crash: measure again
            return None

    def _write(self, site: str, label: int, measured: Measured) -> None:
        import safetensors.torch

        file = self._file(site, label)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            tensors = {"deviation": measured.deviation, "activation": measured.activation}
            write_whole(file, safetensors.torch.save({name: t.cpu().contiguous() for name, t in tensors.items()}))
        except OSError:
            return  # without a cache the next run only takes longer


def measure(
    generator: DrawingGenerator, sites: Sequence[Site], label: int, samples: int, device: str
) -> dict[str, Measured]:
    """Measure each neuron's standard deviation over `samples` clean images of one class: site -> site.shape.

    `label` may be ACROSS: the images are then of all classes in turn. Uses running sums over chunks (Chan et al. 1979).
    The samples' streams are fixed, so the unit of size is the same in every run.
    """
    count = 0
    mean = {site.name: torch.zeros(site.shape, device=device) for site in sites}
    spread = {site.name: torch.zeros(site.shape, device=device) for site in sites}
    chunk = max(1, min(CHUNK, NUMBERS // max(math.prod(site.shape) for site in sites)))
    for start in range(0, samples, chunk):
        positions = range(start, min(start + chunk, samples))
        ids = [f"clean-{label}-{i}" for i in positions]
        with torch.no_grad():
            labels = _labels(generator, label, positions, samples, device)
            latent = generator.draw(Streams(0, ids, "statistics", device), labels)
            clean = generator.tail(latent, [site.name for site in sites]).clean
        total = count + len(ids)
        for site in sites:
            x = clean[site.name]
            delta = x.mean(dim=0) - mean[site.name]
            spread[site.name] += x.var(dim=0, unbiased=False) * len(ids) + delta**2 * (count * len(ids) / total)
            mean[site.name] += delta * (len(ids) / total)
        count = total
    return {
        name: Measured(
            (spread[name] / max(count - 1, 1)).sqrt(), (mean[name].square() + spread[name] / count).mean().sqrt()
        )
        for name in mean
    }


def _labels(generator: DrawingGenerator, label: int, positions: range, samples: int, device: str) -> Tensor | None:
    """The classes of clean samples; those of ACROSS are spread evenly over all classes, whichever are drawn."""
    if label == UNCONDITIONAL:
        return None
    if label != ACROSS:
        return torch.full((len(positions),), label, device=device)
    K = len(generator.classes)
    return torch.tensor([i % K if samples >= K else i * K // samples for i in positions], device=device)


def _clamped(measured: Measured) -> tuple[Tensor, int]:
    """The deviations, raised to the floor, and how many were."""
    sigma = measured.deviation
    floor = torch.maximum(FLOOR * _root_mean_square(sigma), FLOOR_OF_ACTIVATION * measured.activation)
    return sigma.maximum(floor), int((sigma < floor).sum())


def _root_mean_square(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()

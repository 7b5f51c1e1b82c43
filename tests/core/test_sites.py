"""Neuron statistics: how they are measured, clamped and cached."""

from __future__ import annotations

from pathlib import Path

import torch

from granu.spaces.sites import FLOOR, StatisticsCache, measure_deviation
from granu.streams import Streams
from granu.testing.tiny import TinyGenerator


def test_running_sums_give_the_deviation_of_all_samples_at_once() -> None:
    generator = TinyGenerator()
    site = generator.sites()[1]
    measured = measure_deviation(generator, [site], 2, 250, "cpu")[site.name]
    streams = Streams(0, [f"clean-2-{i}" for i in range(250)], "statistics")
    everything = generator.tail(generator.draw(streams, torch.full((250,), 2)), [site.name]).clean[site.name]
    assert torch.allclose(measured, everything.std(dim=0), atol=1e-5)


def test_a_class_is_measured_once_and_then_read_from_disk(tmp_path: Path) -> None:
    generator = TinyGenerator()
    sites = generator.sites()
    first = StatisticsCache(generator, sites, 100, tmp_path, "cpu").of_class(1)

    class Silent(TinyGenerator):
        def draw(self, noise, labels):  # type: ignore[no-untyped-def]
            raise AssertionError("measured again")

    second = StatisticsCache(Silent(), sites, 100, tmp_path, "cpu").of_class(1)
    assert all(torch.equal(first.deviation[name], second.deviation[name]) for name in first.deviation)
    assert "image" not in first.deviation


def test_a_damaged_cache_is_measured_again(tmp_path: Path) -> None:
    generator = TinyGenerator()
    first = StatisticsCache(generator, generator.sites(), 100, tmp_path, "cpu").of_class(0)
    for file in (tmp_path / "statistics").iterdir():
        file.write_bytes(file.read_bytes()[:20])
    second = StatisticsCache(generator, generator.sites(), 100, tmp_path, "cpu").of_class(0)
    assert torch.equal(first.deviation["layer0"], second.deviation["layer0"])


def test_the_deviation_of_a_constant_neuron_is_clamped_to_the_floor(tmp_path: Path) -> None:
    generator = TinyGenerator()
    generator.across[:, 3] = 0  # tanh(0) stays 0 whatever the latent is
    statistics = StatisticsCache(generator, [generator.sites()[2]], 100, tmp_path, "cpu").of_class(0)
    sigma = statistics.deviation["layer1"]
    typical = measure_deviation(generator, [generator.sites()[2]], 0, 100, "cpu")["layer1"].square().mean().sqrt()
    assert torch.isclose(sigma[3], FLOOR * typical) and statistics.clamped["layer1"] >= 1

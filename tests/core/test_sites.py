"""Neuron statistics: how they are measured, clamped and cached."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from granu import OptionError, Site, UnknownName
from granu.spaces.base import PixelSpace
from granu.spaces.samples import ACROSS, DrawnSamples
from granu.spaces.site_names import choose_sites
from granu.spaces.site_statistics import FLOOR, Measured, StatisticsCache, measure
from granu.spaces.sites import SitePerturbation
from granu.streams import Streams
from granu.testing import tiny
from granu.testing.tiny import TinyGenerator


def test_running_sums_give_the_deviation_of_all_samples_at_once() -> None:
    generator = TinyGenerator()
    site = generator.sites()[1]
    measured = measure(DrawnSamples(generator, 250, "cpu"), [site], 2)[site.name].deviation
    streams = Streams(0, [f"clean-2-{i}" for i in range(250)], "statistics")
    everything = generator.tail(generator.draw(streams, torch.full((250,), 2)), [site.name]).clean[site.name]
    assert torch.allclose(measured, everything.std(dim=0), atol=1e-5)


def test_a_class_is_measured_once_and_then_read_from_disk(tmp_path: Path) -> None:
    generator = TinyGenerator()
    sites = generator.sites()
    first = StatisticsCache(DrawnSamples(generator, 100, "cpu"), sites, tmp_path).of_class(1)

    class Silent(TinyGenerator):
        def draw(self, noise, labels):  # type: ignore[no-untyped-def]
            raise AssertionError("measured again")

    second = StatisticsCache(DrawnSamples(Silent(), 100, "cpu"), sites, tmp_path).of_class(1)
    assert all(torch.equal(first.deviation[name], second.deviation[name]) for name in first.deviation)
    assert "image" not in first.deviation


def test_a_damaged_cache_is_measured_again(tmp_path: Path) -> None:
    generator = TinyGenerator()
    first = StatisticsCache(DrawnSamples(generator, 100, "cpu"), generator.sites(), tmp_path).of_class(0)
    for file in (tmp_path / "statistics").iterdir():
        file.write_bytes(file.read_bytes()[:20])
    second = StatisticsCache(DrawnSamples(generator, 100, "cpu"), generator.sites(), tmp_path).of_class(0)
    assert torch.equal(first.deviation["layer0"], second.deviation["layer0"])


def test_the_deviation_of_a_constant_neuron_is_clamped_to_the_floor(tmp_path: Path) -> None:
    generator = TinyGenerator()
    generator.across[:, 3] = 0  # tanh(0) stays 0 whatever the latent is
    statistics = StatisticsCache(DrawnSamples(generator, 100, "cpu"), [generator.sites()[2]], tmp_path).of_class(0)
    sigma = statistics.deviation["layer1"]
    measured = measure(DrawnSamples(generator, 100, "cpu"), [generator.sites()[2]], 0)["layer1"].deviation
    typical = measured.square().mean().sqrt()
    assert torch.isclose(sigma[3], FLOOR * typical) and statistics.clamped["layer1"] >= 1


class Unconditional(TinyGenerator):
    """The tiny generator without classes: it draws class 1 and must not be asked for any."""

    classes = ()
    fingerprint = "tiny-unconditional"

    def draw(self, noise: Streams, labels: Tensor | None):  # type: ignore[no-untyped-def]
        assert labels is None
        return super().draw(noise, torch.ones(len(noise), dtype=torch.long))


def test_a_generator_without_classes_has_one_set_of_statistics(tmp_path: Path) -> None:
    generator = Unconditional()
    cache = StatisticsCache(DrawnSamples(generator, 60, "cpu"), generator.sites(), tmp_path)
    first = cache.of_class(0)
    assert cache.of_class(2) is first and cache.of_class(-1) is first
    assert len(list((tmp_path / "statistics").iterdir())) == 3
    streams = Streams(0, [f"clean--1-{i}" for i in range(60)], "statistics")
    clean = generator.tail(generator.draw(streams, None), ["z"]).clean["z"]
    assert torch.allclose(first.deviation["z"], clean.std(dim=0), atol=1e-5)


def test_statistics_are_measured_for_the_asked_class_only_and_in_memory_afterwards(tmp_path: Path) -> None:
    generator = TinyGenerator()
    cache = StatisticsCache(DrawnSamples(generator, 40, "cpu"), generator.sites(), tmp_path)
    assert cache.summary() == {}
    first = cache.of_class(0)
    for file in (tmp_path / "statistics").iterdir():
        file.unlink()
    assert cache.of_class(0) is first and not list((tmp_path / "statistics").iterdir())
    assert not torch.equal(cache.of_class(1).deviation["layer1"], first.deviation["layer1"])


def test_a_summary_has_the_most_clamped_neurons_of_a_class(tmp_path: Path) -> None:
    class Fixed(StatisticsCache):
        def _read(self, site: Site, label: int) -> Measured:
            constant = {("z", 0): 1, ("z", 1): 3, ("z", 2): 2}.get((site.name, label), 0)
            deviation = torch.cat([torch.ones(math.prod(site.shape) - constant), torch.zeros(constant)])
            return Measured(deviation, torch.tensor(1.0))

    cache = Fixed(DrawnSamples(TinyGenerator(), 40, "cpu"), TinyGenerator().sites(), tmp_path)
    for label in (0, 1, 2):
        cache.of_class(label)
    assert cache.summary() == {
        "z": {"samples": 40, "neurons": 4, "clamped": 3, "across": 0},
        "layer0": {"samples": 40, "neurons": 16, "clamped": 0, "across": 0},
        "layer1": {"samples": 40, "neurons": 32, "clamped": 0, "across": 0},
    }


@pytest.mark.parametrize("change", ["samples", "label", "site", "fingerprint"])
def test_statistics_on_disk_are_for_one_generator_class_site_and_number_of_samples(change: str, tmp_path: Path) -> None:
    generator = TinyGenerator()
    sites = {site.name: site for site in generator.sites()}
    StatisticsCache(DrawnSamples(generator, 40, "cpu"), [sites["layer0"]], tmp_path).of_class(0)
    if change == "fingerprint":
        generator.fingerprint = "other"
    site = sites["layer1" if change == "site" else "layer0"]
    cache = StatisticsCache(DrawnSamples(generator, 41 if change == "samples" else 40, "cpu"), [site], tmp_path)
    cache.of_class(1 if change == "label" else 0)
    files = list((tmp_path / "statistics").iterdir())
    assert len(files) == 2 and all(len(file.stem) == 32 and file.suffix == ".safetensors" for file in files)


def test_only_sites_that_are_not_on_disk_are_measured(tmp_path: Path) -> None:
    generator = TinyGenerator()
    z, layer0, *_ = generator.sites()
    stored = StatisticsCache(DrawnSamples(generator, 40, "cpu"), [z], tmp_path / "deep" / "er").of_class(0)
    both = StatisticsCache(DrawnSamples(generator, 40, "cpu"), [z, layer0], tmp_path / "deep" / "er").of_class(0)
    assert torch.equal(both.deviation["z"], stored.deviation["z"]) and set(both.deviation) == {"z", "layer0"}


def test_a_cache_that_cannot_be_written_gives_the_statistics_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "statistics").write_text("a file where the folder would be")
    generator = TinyGenerator()
    measured = StatisticsCache(DrawnSamples(generator, 40, "cpu"), generator.sites(), tmp_path).of_class(0)
    expected = measure(DrawnSamples(generator, 40, "cpu"), [generator.sites()[0]], 0)
    assert torch.equal(measured.deviation["z"], expected["z"].deviation)


@pytest.mark.parametrize("numbers", [1, 40, 64, 10**9])
@pytest.mark.parametrize("samples", [1, 2, 101])
def test_the_deviation_does_not_depend_on_how_many_samples_are_measured_at_a_time(
    numbers: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, sizes = TinyGenerator(), []

    class Counting(TinyGenerator):
        def draw(self, noise: Streams, labels: Tensor | None):  # type: ignore[no-untyped-def]
            sizes.append(len(noise))
            return super().draw(noise, labels)

    monkeypatch.setattr("granu.spaces.site_statistics.NUMBERS", numbers)
    chosen = list(generator.sites()[:3])
    measured = measure(DrawnSamples(Counting(), samples, "cpu"), chosen, 1)
    streams = Streams(0, [f"clean-1-{i}" for i in range(samples)], "statistics")
    clean = generator.tail(generator.draw(streams, torch.ones(samples, dtype=torch.long)), ["z", "layer1"]).clean
    for name in ("z", "layer1"):
        expected = clean[name].std(dim=0) if samples > 1 else torch.zeros(clean[name].shape[1:])
        assert torch.allclose(measured[name].deviation, expected, atol=1e-5)
    assert sum(sizes) == samples and max(sizes) == min(samples, {1: 1, 40: 1, 64: 2, 10**9: 100}[numbers])


def test_deviations_are_raised_to_a_hundredth_of_their_root_mean_square(tmp_path: Path) -> None:
    class Fixed(StatisticsCache):
        def _read(self, site: Site, label: int) -> Measured:
            return Measured(torch.tensor([[3.0, 4.0], [0.001, 0.0]]), torch.tensor(1.0))

    statistics = Fixed(DrawnSamples(TinyGenerator(), 1, "cpu"), TinyGenerator().sites()[:1], tmp_path).of_class(0)
    floor = 0.01 * math.sqrt((9 + 16 + 1e-6) / 4)
    assert torch.allclose(statistics.deviation["z"], torch.tensor([[3.0, 4.0], [floor, floor]]))
    assert statistics.clamped == {"z": 2}


def test_deviations_are_raised_to_a_ten_thousandth_of_the_activation(tmp_path: Path) -> None:
    class Fixed(StatisticsCache):
        def _read(self, site: Site, label: int) -> Measured:
            return Measured(torch.tensor([0.3, 0.01]), torch.tensor(500.0))

    statistics = Fixed(DrawnSamples(TinyGenerator(), 1, "cpu"), TinyGenerator().sites()[:1], tmp_path).of_class(0)
    assert torch.allclose(statistics.deviation["z"], torch.tensor([0.3, 0.05])) and statistics.clamped == {"z": 1}


class ByClass(TinyGenerator):
    """The tiny generator, whose z is the same for all images of a class, and may be so for all classes."""

    fingerprint = "tiny-by-class"
    everywhere = False

    def draw(self, noise: Streams, labels: Tensor | None):  # type: ignore[no-untyped-def]
        drawn = super().draw(noise, labels)
        fixed = torch.linspace(-1, 1, 12).view(3, 4) + 100
        return dataclasses.replace(drawn, z=fixed[0 * drawn.labels if self.everywhere else drawn.labels])


def test_a_site_that_is_constant_within_a_class_is_measured_across_classes(tmp_path: Path) -> None:
    generator = ByClass()
    cache = StatisticsCache(DrawnSamples(generator, 30, "cpu"), generator.sites(), tmp_path)
    statistics = cache.of_class(1)
    assert "z" in statistics.across and not statistics.constant
    expected = (torch.linspace(-1, 1, 12).view(3, 4) + 100).repeat(10, 1).std(dim=0)
    assert torch.allclose(statistics.deviation["z"], expected, atol=1e-4)
    assert torch.equal(statistics.deviation["z"], cache.of_class(2).deviation["z"])
    assert cache.summary()["z"]["across"] == 1
    again = StatisticsCache(DrawnSamples(generator, 30, "cpu"), generator.sites(), tmp_path).of_class(1)
    assert torch.equal(again.deviation["z"], statistics.deviation["z"]) and again.across == statistics.across


def test_classes_take_part_evenly_even_if_there_are_more_than_samples() -> None:
    asked: list[int] = []

    class Many(TinyGenerator):
        classes = tuple(map(str, range(1000)))

        def draw(self, noise: Streams, labels: Tensor | None):  # type: ignore[no-untyped-def]
            assert labels is not None
            asked.extend(labels.tolist())
            return super().draw(noise, labels % 3)

    measure(DrawnSamples(Many(), 4, "cpu"), TinyGenerator().sites()[:1], ACROSS)
    assert asked == [0, 250, 500, 750]


def test_a_site_where_nothing_varies_is_refused_and_others_are_not(tmp_path: Path) -> None:
    generator, batch = ByClass(), tiny.tiny_batch(3)
    generator.everywhere = True
    cache = StatisticsCache(DrawnSamples(generator, 30, "cpu"), generator.sites(), tmp_path)
    assert "z" in cache.of_class(0).constant and "z" not in cache.of_class(0).deviation
    sites = {site.name: site for site in generator.sites()}
    with pytest.raises(OptionError, match="the site 'z' is the same in all images"):
        SitePerturbation(generator, [sites["z"]], cache).open(tiny.tiny_bent_classifier(), batch, Streams(0, batch.ids))


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """Open the space of edits at some sites of the tiny generator."""

    def open_(*names: str) -> Any:
        generator, batch = TinyGenerator(), tiny.tiny_batch(3)
        sites = [site for site in generator.sites() if site.name in names]
        cache = StatisticsCache(DrawnSamples(generator, 50, "cpu"), generator.sites(), tmp_path)
        perturbation = SitePerturbation(generator, sites, cache)
        return perturbation, perturbation.open(tiny.tiny_bent_classifier(), batch, Streams(0, batch.ids)), batch, cache

    return open_


def test_an_edit_is_in_standard_deviations_of_its_images_class_and_goes_to_its_site(opened: Callable[..., Any]) -> None:
    perturbation, space, batch, cache = opened("layer0", "layer1")
    assert space.dimension == 48 and perturbation.unit == space.unit == "sigma (RMS)"
    change = torch.randn(3, 48, generator=torch.Generator().manual_seed(0))
    tail = TinyGenerator().tail(batch.latent, ["layer0", "layer1"])
    deviation = {
        name: torch.stack([cache.of_class(label).deviation[name] for label in batch.labels.tolist()])
        for name in ("layer0", "layer1")
    }
    edits = {"layer0": change[:, :16] * deviation["layer0"], "layer1": change[:, 16:] * deviation["layer1"]}
    assert torch.equal(space.images(change), tail(edits).clamp(0, 1))
    assert torch.allclose(space.size(change), change.square().mean(dim=1).sqrt())
    assert space.classifier is not None and space.clean is batch.images


def test_a_selected_space_is_that_of_the_selected_images(opened: Callable[..., Any]) -> None:
    _, space, batch, _ = opened("layer1")
    change = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    index = torch.tensor([2, 0])
    chosen = space.select(index)
    assert torch.allclose(chosen.images(change[index]), space.images(change)[index], atol=1e-6)
    assert torch.equal(chosen.clean, batch.images[index]) and len(space.clean) == 3
    assert torch.equal(space.deviation["layer1"][index], chosen.deviation["layer1"])


def test_a_space_of_edits_may_hold_one_image(tmp_path: Path) -> None:
    generator, batch = TinyGenerator(), tiny.tiny_batch(1)
    cache = StatisticsCache(DrawnSamples(generator, 20, "cpu"), generator.sites(), tmp_path)
    perturbation = SitePerturbation(generator, generator.sites()[:2], cache)
    space = perturbation.open(tiny.tiny_bent_classifier(), batch, Streams(0, batch.ids))
    assert space.start().shape == (1, 20)
    assert torch.allclose(space.images(space.start()), batch.images, atol=1 / 255)


def test_the_site_image_is_the_space_of_pixels(opened: Callable[..., Any]) -> None:
    perturbation, space, batch, _ = opened("image")
    assert type(space) is PixelSpace and (space.norm, space.clean) == ("l2", batch.images)
    assert perturbation.unit == space.unit == "pixel L2"
    assert torch.equal(space.classifier(batch.images), tiny.tiny_bent_classifier()(batch.images))


def test_opening_a_space_computes_no_gradient(opened: Callable[..., Any]) -> None:
    generator = TinyGenerator()
    generator.into.requires_grad_()
    perturbation, _, batch, _ = opened("layer1")
    perturbation.generator = generator
    space = perturbation.open(tiny.tiny_bent_classifier(), batch, Streams(0, batch.ids))
    assert not space.tail.clean["layer1"].requires_grad


@pytest.mark.parametrize(
    ("target", "names"),
    [("z", ["z"]), ("layer1+layer0", ["layer0", "layer1"]), ("image", ["image"]), ("image+image", ["image"])],
)
def test_a_target_names_sites_which_come_from_coarse_to_fine(target: str, names: list[str]) -> None:
    assert [site.name for site in choose_sites(TinyGenerator().sites(), target, "tiny:x")] == names


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("layer9", UnknownName, "there is no site named 'layer9' in `tiny:x`; did you mean 'layer1'?"),
        ("layer1+w", UnknownName, "there is no site named 'w' in `tiny:x`; there are: z, layer0, layer1, image"),
        ("z+image", OptionError,
            "`tiny:x`: 'image' is measured in pixels and cannot be joined with other sites"),
    ],
)  # fmt: skip
def test_a_target_that_names_no_sites_gives_the_reason(target: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        choose_sites(TinyGenerator().sites(), target, "tiny:x")
    assert str(raised.value) == message

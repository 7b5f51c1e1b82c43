"""`frequency` keeps granu's contract, and searches in it find the closed form."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from granu import Criterion, DataError, OptionError
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.search.options import SmallestOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.smallest import Smallest
from granu.streams import Streams
from granu.testing import contracts, tiny
from granu_frequency import FrequencyOptions
from granu_frequency.space import Frequency


@pytest.mark.parametrize("box", [True, False])
@pytest.mark.parametrize("shape", ["window", "ring", "low", "high"])
def test_it_keeps_the_contract(shape: str, box: bool) -> None:
    band = Frequency(FrequencyOptions(window=3, shape=shape, box=box))
    contracts.check_space_factory(band, tiny.tiny_bent_classifier(), tiny.tiny_batch(5))


def test_a_change_stays_within_its_band() -> None:
    batch = tiny.tiny_batch(3)
    batch = replace(batch, images=torch.full_like(batch.images, 0.5))
    frequency = Frequency(FrequencyOptions(start=3, width=2))
    space = frequency.open(tiny.tiny_linear_classifier(), batch, Streams(0, batch.ids))
    moved = space.images(space.draw(torch.full((3,), 0.2), Streams(0, batch.ids))) - 0.5
    torch.testing.assert_close(frequency.band((8, 8)).project(moved), moved, atol=1e-6, rtol=0)
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), torch.full((3,), 0.2))


def test_the_smallest_change_on_a_linear_classifier_is_exact() -> None:
    classifier, batch = tiny.tiny_linear_classifier(), tiny.tiny_batch(6)
    batch = replace(batch, images=0.4 + 0.2 * batch.images)  # away from the range's ends
    labels = classifier(batch.images).argmax(1)
    frequency = Frequency(FrequencyOptions(start=0, width=6))
    searched = SearchedPerturbation(frequency, Smallest(SmallestOptions()))
    size = searched.perturb(classifier, batch, Criterion(labels), Streams(0, batch.ids)).size
    logits = classifier(batch.images)
    weight = classifier.network[1].weight  # type: ignore[index]
    difference = (weight[None] - weight[labels][:, None]).view(6, 3, 8, 8)
    length = frequency.band((8, 8)).project(difference).flatten(2).norm(dim=2)
    gaps = (logits.gather(1, labels[:, None]) - logits).masked_fill(length == 0, torch.inf)
    exact = (gaps / length.clamp_min(1e-9)).amin(1)
    assert (size >= 0.97 * exact).all()  # rounding to 8 bits may help a little
    assert (size <= 1.1 * exact + 0.01).all()


def plan(text: str) -> list[str]:
    catalog = load_catalog()
    request = Request((text,), classifiers=("zoo:mnist-cnn",), judges=(), data="stylegan")
    return [p.key for p in make_plan(catalog, BuildContext(catalog), request).perturbations]


def test_all_sweeps_low_to_high() -> None:
    assert plan("frequency:all") == [f"frequency:{k}" for k in range(13)]
    assert plan("frequency:all,windows=21") == [f"frequency:{k},windows=21" for k in range(21)]
    assert plan("frequency:1?,windows=14") == [f"frequency:{k},windows=14" for k in range(10, 14)]


@pytest.mark.parametrize(
    "text", ["frequency", "frequency:3,start=4", "frequency:13", "frequency:all,windows=1", "frequency:3,shape=round"]
)
def test_mistakes_are_reported_before_anything_loads(text: str) -> None:
    with pytest.raises(OptionError):
        plan(text)


def test_a_band_beyond_the_images_frequencies_is_refused() -> None:
    with pytest.raises(DataError, match="does not fit images of 8 pixels"):
        Frequency(FrequencyOptions(start=6, width=4)).band((8, 8))

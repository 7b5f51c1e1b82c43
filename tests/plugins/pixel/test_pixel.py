"""`pixel` keeps the contract and finds the known smallest changes of a linear classifier."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from granu import Criterion
from granu.images.ops import quantize
from granu.search.options import SmallestOptions, WorstOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.smallest import Smallest
from granu.search.worst import Worst
from granu.spaces.base import PixelSpace
from granu.spaces.samples import DrawnSamples
from granu.spaces.site_statistics import StatisticsCache
from granu.spaces.sites import SitePerturbation
from granu.streams import Streams
from granu.testing import contracts, tiny
from granu.types import Batch, ImageEvidence
from granu_pixel import CHOICES, NORMS
from granu_pixel.perturbation import Pixel

DUAL = {"l2": 2.0, "linf": 1.0, "l1": math.inf}


def grey_batch() -> Batch:
    """Images away from black and white, so that no bound is active, labelled as the classifier predicts."""
    batch = tiny.tiny_batch(9)
    images = quantize(0.4 + 0.2 * batch.images)
    return replace(batch, images=images, labels=tiny.tiny_linear_classifier()(images).argmax(1))


@pytest.mark.parametrize("norm", CHOICES)
def test_it_keeps_the_contract(norm: str) -> None:
    contracts.check_space_factory(Pixel(norm), tiny.tiny_bent_classifier(), tiny.tiny_batch(4))


@pytest.mark.parametrize("norm", NORMS)
def test_the_smallest_change_on_a_linear_classifier(norm: str) -> None:
    classifier, batch = tiny.tiny_linear_classifier(), grey_batch()
    weight = classifier.network[1].weight  # type: ignore[index]
    logits = classifier(batch.images)
    difference = weight[None] - weight[batch.labels][:, None]  # (B, K, D)
    length = difference.norm(p=DUAL[norm], dim=2)
    gaps = logits.gather(1, batch.labels[:, None]) - logits
    exact = (gaps / length).masked_fill(length == 0, torch.inf).amin(1)
    searched = SearchedPerturbation(Pixel(norm), Smallest(SmallestOptions(steps=300)))
    size = searched.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids)).size
    slack = 1.5 if norm == "l1" else 1.1  # L1 needs single pixels beyond the range here; 8-bit steps count, too
    assert (size >= 0.9 * exact).all()
    assert (size <= slack * exact + 2 / 255).all()


def test_rms_is_l2_over_the_root_of_the_number_of_values() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), grey_batch()
    values = math.sqrt(batch.images[0].numel())
    spaces = [Pixel(norm).open(classifier, batch, Streams(0, batch.ids)) for norm in ("rms", "l2")]
    rms, l2 = spaces
    change = torch.randn(9, l2.dimension, generator=torch.Generator().manual_seed(0))
    budget = torch.linspace(0.01, 0.1, 9)
    torch.testing.assert_close(rms.size(change), change.square().mean(dim=1).sqrt())
    torch.testing.assert_close(rms.within(change, budget), l2.within(change, budget * values))
    torch.testing.assert_close(rms.size(rms.direction(change)), torch.ones(9))
    torch.testing.assert_close((rms.direction(change) * change).sum(dim=1), rms.slope(change))
    torch.testing.assert_close(rms.limit(), torch.ones(9))
    found = [
        SearchedPerturbation(Pixel(norm), Smallest(SmallestOptions(steps=60)))
        .perturb(
            classifier,
            replace(batch, labels=classifier(batch.images).argmax(1)),
            Criterion(batch.labels),
            Streams(0, batch.ids),
        )
        .size
        for norm in ("rms", "l2")
    ]
    torch.testing.assert_close(found[0] * values, found[1], rtol=0.02, atol=1e-3)


def test_worst_keeps_its_budget() -> None:
    classifier, batch = tiny.tiny_linear_classifier(), grey_batch()
    searched = SearchedPerturbation(Pixel("linf"), Worst(WorstOptions(budget=0.05)))
    proposal = searched.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids))
    assert isinstance(proposal.evidence, ImageEvidence)
    assert (proposal.evidence.images - batch.images).abs().max() <= 0.05 + 1e-6


def test_the_image_site_of_a_generator_opens_the_same_space(tmp_path: Path) -> None:
    generator, batch = tiny.TinyGenerator(), tiny.tiny_batch(3)
    site = generator.sites()[-1]
    cache = StatisticsCache(DrawnSamples(generator, 10, "cpu"), [site], tmp_path)
    image = SitePerturbation(generator, (site,), cache).open(
        tiny.tiny_linear_classifier(), batch, Streams(0, batch.ids)
    )
    pixel = Pixel("l2").open(tiny.tiny_linear_classifier(), batch, Streams(0, batch.ids))
    assert type(image) is type(pixel) is PixelSpace
    change = pixel.draw(torch.ones(3), Streams(1, batch.ids))
    torch.testing.assert_close(image.images(change), pixel.images(change))
    torch.testing.assert_close(image.size(change), pixel.size(change))
    assert image.unit == pixel.unit

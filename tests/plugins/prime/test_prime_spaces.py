"""The perturbation `prime` keeps granu's contracts, and its sizes are severities."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from granu import Batch, BuildContext, Criterion, DataError, OptionError, Streams, load_catalog
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.search.options import SmallestOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.smallest import Smallest
from granu.testing import contracts, tiny
from granu_prime import ChangeOptions
from granu_prime.spaces import PrimeChange, RandomChange, SeveritySpace
from granu_prime.spatial import Spatial

PRIMITIVES = ("spatial", "colour", "spectral")


def ramps(count: int, height: int = 16, width: int = 16) -> Batch:
    """Colour images whose values rise from left to right."""
    images = torch.linspace(0.3, 0.7, width).expand(count, 3, height, width)
    return Batch(images, torch.zeros(count, dtype=torch.int64), tuple(str(i) for i in range(count)))


def space_of(primitive: str, batch: Batch) -> SeveritySpace:
    factory = PrimeChange(ChangeOptions(primitive))
    opened = factory.open(tiny.tiny_linear_classifier(), batch, Streams(0, batch.ids))
    assert isinstance(opened, SeveritySpace)
    return opened


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_the_space_keeps_the_contract(primitive: str) -> None:
    factory = PrimeChange(ChangeOptions(primitive, warp_cut=4))
    contracts.check_space_factory(factory, tiny.tiny_bent_classifier(), tiny.tiny_batch(5))
    colour = replace(ramps(3, 9, 14))
    classifier = lambda images: images.flatten(1)[:, :3]  # noqa: E731
    contracts.check_space_factory(factory, classifier, colour)  # type: ignore[arg-type]


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_searches_find_small_changes(primitive: str) -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(6)
    labels = classifier(batch.images).argmax(1)
    searched = SearchedPerturbation(PrimeChange(ChangeOptions(primitive, warp_cut=4)), Smallest(SmallestOptions()))
    contracts.check_perturbation(searched, classifier, replace(batch, labels=labels))
    proposal = searched.perturb(classifier, batch, Criterion(labels), Streams(0, batch.ids))
    fooled = classifier(proposal.evidence.images).argmax(1) != labels  # type: ignore[union-attr]
    assert fooled.float().mean() >= (0.5 if primitive != "spatial" else 0.1)
    assert (proposal.size[fooled] < 5).all()


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_the_gradient_is_that_of_small_differences(primitive: str) -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 8), torch.linspace(0, 1, 8), indexing="ij")
    smooth = (0.4 + 0.1 * torch.sin(3 * x + 2 * y) + 0.05 * x * y).expand(2, 1, 8, 8)
    batch = Batch(smooth, torch.zeros(2, dtype=torch.int64), ("0", "1"))
    space = space_of(primitive, batch)
    weights = torch.linspace(-1, 1, 64).view(1, 1, 8, 8).square()
    change = 0.05 * torch.randn(2, space.dimension, generator=torch.Generator().manual_seed(0))
    direction = torch.randn(2, space.dimension, generator=torch.Generator().manual_seed(1))

    def value(of: Tensor) -> Tensor:
        return (weights * space.images(of)).double().sum()

    leaf = change.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    h = 2e-3
    numeric = (value(change + h * direction) - value(change - h * direction)) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum().double(), numeric, rtol=0.05, atol=5e-3)


def test_at_size_five_filters_have_the_largest_deviation_of_training() -> None:
    delta = torch.zeros(1, 1, 9, 9)
    delta[0, 0, 4, 4] = 1e-3  # small, so that nothing is clamped above 1
    count = 2000
    batch = Batch(delta.expand(count, -1, -1, -1), torch.zeros(count, dtype=torch.int64), tuple(map(str, range(count))))
    space = space_of("spectral", batch)
    changed = space.images(space.draw(torch.full((count,), 5.0), Streams(0, batch.ids))) * 1000
    entry = changed[:, 0, 3, 4]
    assert abs(entry.square().mean() * 2 - 16) < 1.5  # half of the entries are negative, and clamped


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_at_size_five_colour_maps_change_as_much_as_in_training_at_any_cut(cut: int) -> None:
    count = 1500
    batch = Batch(
        torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0)),
        torch.zeros(count, dtype=torch.int64),
        tuple(map(str, range(count))),
    )
    space = PrimeChange(ChangeOptions("colour", colour_cut=cut)).open(
        tiny.tiny_linear_classifier(), batch, Streams(0, batch.ids)
    )
    small = space.draw(torch.full((count,), 0.5), Streams(0, batch.ids))
    moved = 10 * (space.images(small) - batch.images)  # at a tenth, where little is clamped
    inside = (batch.images > 0.3) & (batch.images < 0.7)
    variance = float(moved[inside].square().mean())
    expected = torch.sin(torch.pi * torch.arange(1, cut + 1) * batch.images[inside][:, None]).square().mean()
    assert abs(variance / float(expected) - 1) < 0.15


def test_at_size_five_deformations_are_those_of_the_highest_temperature() -> None:
    count, side = 1200, 33
    batch = ramps(count, side, side)
    space = space_of("spatial", batch)
    moved = space.images(space.draw(torch.full((count,), 5.0), Streams(0, batch.ids))) - batch.images
    pixels = moved[:, 0, 16, 16] / (0.4 / (side - 1))
    odd = torch.arange(1, 11, 2)  # the sines that do not vanish in the middle
    squares = odd[:, None].square() + odd.square()
    temperature = 4 / (torch.pi**3 * 100 * torch.tensor(10.0).log())
    expected = side * (temperature * ((squares < 10.5**2) / squares).sum()).sqrt()
    assert abs(pixels.std() / expected - 1) < 0.1


def test_a_deformation_has_only_the_sines_of_its_cut() -> None:
    batch = ramps(2)
    admitted = {cut: PrimeChange(ChangeOptions("spatial", warp_cut=cut)).open(
        tiny.tiny_linear_classifier(), batch, Streams(0, batch.ids)
    ).dimension for cut in (2, 3)}  # fmt: skip  # type: ignore[attr-defined]
    # i, j from 1 with i^2 + j^2 < (c + 1/2)^2: (1,1), (1,2), (2,1), and for 3 also (2,2), (1,3), (3,1)
    assert admitted == {2: 2 * 3, 3: 2 * 6}


def test_an_image_without_an_inside_cannot_be_deformed() -> None:
    with pytest.raises(DataError, match="images of 2x9 pixels cannot be deformed"):
        space_of("spatial", ramps(2, 2, 9))
    assert torch.equal(Spatial()(ramps(2, 2, 9).images, Streams(0, ["0", "1"])), ramps(2, 2, 9).images)


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_at_fixed_severities_one_random_change_is_scaled(primitive: str) -> None:
    batch, classifier = tiny.tiny_batch(4), tiny.tiny_bent_classifier()
    change = PrimeChange(ChangeOptions(primitive, warp_cut=4))
    contracts.check_perturbation(RandomChange(change, (1, 3)), classifier, batch)
    noise = Streams(0, batch.ids)
    proposal = RandomChange(change, (3, 0.5)).perturb(classifier, batch, Criterion(batch.labels), noise)
    space = change.open(classifier, batch, noise)
    coefficients = space.draw(torch.full((4,), 1.0), Streams(0, batch.ids))
    assert proposal.levels is not None and set(proposal.levels) == {0.5, 3}
    for severity, evidence in proposal.levels.items():
        assert torch.equal(evidence.images, space.images(severity * coefficients))  # type: ignore[union-attr]
    assert proposal.evidence is proposal.levels[3] and (proposal.size == 3).all() and (proposal.tried == 3).all()


def plan(text: str) -> list[str]:
    catalog = load_catalog()
    request = Request((text,), classifiers=("zoo:mnist-cnn",), judges=(), data="stylegan")
    return [p.key for p in make_plan(catalog, BuildContext(catalog), request).perturbations]


def test_all_sweeps_coarse_to_fine() -> None:
    assert plan("prime:all") == ["prime:spatial", "prime:colour", "prime:spectral"]
    assert plan("prime:all,severity=1+3") == [f"prime:{name},severity=1+3" for name in PRIMITIVES]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prime", "say which primitive: prime:spatial, prime:colour, prime:spectral or prime:all"),
        ("prime:color", "did you mean 'colour'"),
        ("prime:colour,severity=1+11", "severity=11 is out of range; it must be above 0 and at most 10"),
        ("prime:colour,severity=0", "severity=0 is out of range"),
        ("prime:colour,severity=3,steps=4", "remove steps"),
        ("prime:spectral,kernel=6", "choose an odd number, such as 7"),
    ],
)
def test_mistakes_are_reported_before_anything_loads(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        plan(text)

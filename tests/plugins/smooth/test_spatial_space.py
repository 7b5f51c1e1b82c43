"""The perturbation `spatial`: displacements on a lattice, their size, and the warp."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from granu import Batch, Criterion, Streams
from granu.search.options import PgdOptions, RandomOptions, SmallestOptions, WorstOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.testing import contracts, tiny
from granu_smooth.spatial import Spatial, SpatialSpace, warped


def batch_of(images: Tensor) -> Batch:
    return Batch(images, torch.zeros(len(images), dtype=torch.int64), tuple(map(str, range(len(images)))))


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


def first_values(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :3]


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 9, 14), (2, 3, 1, 5), (2, 2, 1, 1)])
def test_the_space_keeps_the_contract_at_any_size(shape: tuple[int, ...]) -> None:
    contracts.check_space_factory(Spatial(16), first_values, batch_of(noise(*shape)))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(28, 28), (13, 21), (1, 7)])
def test_no_change_is_the_image_bit_by_bit(size: tuple[int, int]) -> None:
    space = SpatialSpace(first_values, noise(2, 3, *size), 16)
    assert torch.equal(space.images(space.start()), space.clean)


def test_a_size_of_one_moves_by_half_the_shorter_side() -> None:
    clean = noise(1, 1, 8, 12)
    space = SpatialSpace(first_values, clean, 4)
    along_x = torch.zeros(1, *space.shape)
    along_x[:, 0] = 0.5  # two of eight pixels
    moved = space.images(along_x.flatten(1))
    torch.testing.assert_close(moved[..., :-2], clean[..., 2:])
    assert torch.equal(moved[..., -2:], clean[..., -1:].expand(-1, -1, -1, 2))  # the border repeats
    along_y = torch.zeros(1, *space.shape)
    along_y[:, 1] = -0.25
    torch.testing.assert_close(space.images(along_y.flatten(1))[..., 1:, :], clean[..., :-1, :])


def test_no_pixel_moves_further_than_the_size_and_one_moves_as_far() -> None:
    space = SpatialSpace(first_values, noise(4, 1, 31, 46), 16)
    assert space.shape == (2, 16, 24)
    budget = torch.full((4,), 0.05)
    flow = space.flow(space.draw(budget, Streams(0, tuple("abcd"))))
    assert (flow.abs().flatten(1).amax(dim=1) <= 0.05 * 31 / 2 + 1e-6).all()
    corner = torch.zeros(4, *space.shape)
    corner[:, 1, 0, 0] = 0.05
    assert torch.allclose(space.flow(corner.flatten(1))[:, 1, 0, 0], torch.tensor(0.05 * 31 / 2))


def test_the_outer_points_lie_on_the_outer_pixels() -> None:
    space = SpatialSpace(first_values, noise(1, 1, 8, 10), 4)
    ramp = torch.zeros(1, *space.shape)
    ramp[:, 0] = torch.linspace(0, 0.1, space.shape[2])
    flow = space.flow(ramp.flatten(1))
    torch.testing.assert_close(flow[0, 0], torch.linspace(0, 0.4, 10).expand(8, -1))


def test_a_coarser_lattice_bends_less() -> None:
    def bend(points: int) -> float:
        space = SpatialSpace(first_values, noise(3, 1, 32, 32), points)
        flow = space.flow(space.draw(torch.full((3,), 0.1), Streams(0, tuple("abc"))))
        return float(flow.diff(dim=3).abs().mean())

    assert bend(4) < 0.5 * bend(16) < 0.5 * bend(32)


def test_lattices_have_no_more_points_than_pixels() -> None:
    assert SpatialSpace(first_values, noise(1, 1, 5, 9), 16).shape == (2, 5, 9)


def test_the_gradient_is_that_of_small_differences() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 9), torch.linspace(0, 1, 9), indexing="ij")
    clean = (0.5 + 0.2 * torch.sin(4 * x + 3 * y) + 0.2 * x * y).expand(1, 1, 9, 9).double()
    weights = torch.linspace(-1, 1, 81, dtype=torch.float64).view(1, 1, 9, 9).square()
    space = SpatialSpace(first_values, clean, 4)
    change = 0.03 + 0.02 * torch.rand(1, space.dimension, generator=torch.Generator().manual_seed(0)).double()
    assert torch.autograd.gradcheck(lambda c: (weights * space.images(c)).sum(), change.requires_grad_())


def test_the_warp_reads_between_pixels() -> None:
    clean = torch.tensor([[[[0.0, 1.0], [0.5, 0.25]]]])
    flow = torch.zeros(1, 2, 2, 2)
    flow[0, 0, 0, 0], flow[0, 1, 0, 0] = 0.25, 0.5
    upper, lower = 0.25 * 1.0, 0.75 * 0.5 + 0.25 * 0.25
    assert warped(clean, flow)[0, 0, 0, 0] == pytest.approx((upper + lower) / 2)


SEARCHES = [
    SmallestOptions(steps=40),
    WorstOptions(budget=0.3, effort="quick"),
    PgdOptions(budget=0.3),
    RandomOptions(budget=0.3, steps=3),
]


@pytest.mark.parametrize("options", SEARCHES, ids=lambda options: options.name)
def test_searches_keep_to_the_image_and_the_budget(options: object) -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(6)
    batch = replace(batch, labels=classifier(batch.images).argmax(1))
    search = make_search(options.name, options)  # type: ignore[attr-defined, arg-type]
    searched = SearchedPerturbation(Spatial(16), search)
    contracts.check_perturbation(searched, classifier, batch)
    proposal = searched.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids))
    assert (proposal.size <= 0.5 + 1e-5).all()
    fooled = classifier(proposal.evidence.images).argmax(1) != batch.labels  # type: ignore[union-attr]
    assert fooled.any() or isinstance(options, RandomOptions)

"""Mixing: weights, chains, and that an image is computed by the primitives of its own chains only."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from granu import Streams
from granu_prime.mixing import Mixture, mixing_weights, routes

COUNT = 4000


def streams(count: int) -> Streams:
    return Streams(0, [str(i) for i in range(count)])


@pytest.mark.parametrize("width", [1, 3, 5])
def test_weights_are_those_of_dirichlet_and_beta(width: int) -> None:
    weights = mixing_weights(streams(COUNT), width)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(COUNT))
    m, w = 1 - weights[:, 0], weights[:, 1:] / (1 - weights[:, :1])
    assert abs(m.mean() - 1 / 2) < 0.02 and abs(m.var() - 1 / 12) < 0.005
    variance = (width - 1) / (width**2 * (width + 1))  # of Dirichlet(1, ..., 1)
    torch.testing.assert_close(w.mean(dim=0), torch.full((width,), 1 / width), atol=0.02, rtol=0)
    torch.testing.assert_close(w.var(dim=0), torch.full((width,), variance), atol=0.01, rtol=0)


def test_every_chain_has_one_to_depth_primitives_drawn_uniformly() -> None:
    width, depth, primitives = 3, 3, 4
    applied = torch.zeros(width * COUNT, dtype=torch.int64)
    chosen: Counter[int] = Counter()
    for primitive, rows in routes(streams(COUNT), primitives, width, depth):
        applied[rows] += 1
        chosen[primitive] += len(rows)
    lengths = torch.bincount(applied, minlength=depth + 1) / len(applied)
    torch.testing.assert_close(lengths, torch.tensor([0, 1 / 3, 1 / 3, 1 / 3]), atol=0.02, rtol=0)
    shares = torch.tensor([chosen[k] for k in range(primitives)]) / sum(chosen.values())
    torch.testing.assert_close(shares, torch.full((primitives,), 1 / primitives), atol=0.02, rtol=0)


def test_chains_of_an_image_differ() -> None:
    rows = {(p, int(r)) for p, chosen in routes(streams(200), 5, 3, 1) for r in chosen}
    of = {r: p for p, r in rows}
    alike = sum(of[i] == of[200 + i] == of[400 + i] for i in range(200))
    assert alike < 30  # one in 25 by chance


class Marks:
    """Multiply images by a number, and count the images that were computed."""

    def __init__(self, factor: float) -> None:
        self.factor, self.computed = factor, 0

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        assert len(images) == len(streams)
        self.computed += len(images)
        return images * self.factor


def test_an_image_is_computed_by_its_own_primitives_only() -> None:
    marks = [Marks(0.5), Marks(0.25), Marks(0.125)]
    B, width, depth = 300, 3, 3
    Mixture(marks, width, depth)(torch.rand(B, 3, 2, 2), streams(B))
    computed = sum(mark.computed for mark in marks)
    # the published code computes all primitives for all chains at all depths: 27 B; 2 of 9 are used
    assert abs(computed / (len(marks) * width * depth * B) - 2 / 9) < 0.01


def test_the_mixture_is_the_weighted_mean_of_image_and_chains() -> None:
    marks, B = [Marks(0.5), Marks(0.8)], 20
    images = torch.rand(B, 3, 4, 5)
    chains = torch.ones(3 * B)
    noise = streams(B)
    weights = mixing_weights(noise, 3)
    for primitive, rows in routes(noise, 2, 3, 2):
        chains[rows] *= marks[primitive].factor
    factors = torch.cat((torch.ones(1, B), chains.view(3, B)))
    expected = images * torch.einsum("bj,jb->b", weights, factors)[:, None, None, None]
    torch.testing.assert_close(Mixture(marks, 3, 2)(images, streams(B)), expected)


def test_a_primitive_receives_the_streams_of_its_images() -> None:
    def drawn(images: Tensor, noise: Streams) -> Tensor:
        ids = torch.tensor([float(name) for name in noise.ids])
        assert torch.equal(images[:, 0, 0, 0], ids / 100)
        return images

    images = (torch.arange(50) / 100)[:, None, None, None].expand(-1, 1, 2, 2)
    Mixture((drawn, drawn, drawn))(images, streams(50))


def test_mixing_keeps_no_graph_and_leaves_its_input_alone() -> None:
    images = torch.rand(4, 3, 4, 4, requires_grad=True)
    before = images.detach().clone()
    assert not Mixture((Marks(0.5),))(images, streams(4)).requires_grad
    assert torch.equal(images, before)

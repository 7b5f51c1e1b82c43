"""The space of the largest coordinate: projections, directions, random changes and patches."""

from __future__ import annotations

import torch
from torch import Tensor

from granu import LInfSpace, Streams
from granu.testing import contracts

CLEAN = torch.full((3, 1, 4, 5), 0.5)
SHAPE = (2, 4, 5)


class Added(LInfSpace):
    """The mean of two layers is added to the image."""

    def images(self, change: Tensor) -> Tensor:
        return (self.clean + self.shaped(change).mean(dim=1, keepdim=True)).clamp(0, 1)


class AddedLight(Added):
    one_sided = True


def space(cls: type[LInfSpace] = Added) -> LInfSpace:
    return cls(lambda images: images.flatten(1)[:, :2], CLEAN, SHAPE)


def streams() -> Streams:
    return Streams(0, ("a", "b", "c"))


def test_it_keeps_the_contract() -> None:
    contracts.check_space(space(), 3)
    contracts.check_space(space(AddedLight), 3)


def test_the_projection_is_the_nearest_change_in_the_box() -> None:
    change = torch.tensor([[-2.0, -0.1, 0.3, 2.0]]).repeat(3, 10)
    budget = torch.tensor([0.2, 0.5, 3.0])
    expected = [[-0.2, -0.1, 0.2, 0.2], [-0.5, -0.1, 0.3, 0.5], [-2.0, -0.1, 0.3, 2.0]]
    torch.testing.assert_close(space().within(change, budget)[:, :4], torch.tensor(expected))
    assert torch.equal(space(AddedLight).within(change, budget)[:, :4], torch.tensor(expected).clamp_min(0))


def test_the_direction_is_the_steepest_and_the_slope_how_steep_it_is() -> None:
    gradient = torch.randn(3, 40, generator=torch.Generator().manual_seed(0))
    direction = space().direction(gradient)
    torch.testing.assert_close((direction * gradient).sum(dim=1), space().slope(gradient))
    assert (space().size(direction) == 1).all()
    other = space().within(torch.randn(3, 40, generator=torch.Generator().manual_seed(1)), torch.ones(3))
    assert ((other * gradient).sum(dim=1) < space().slope(gradient)).all()


def test_random_changes_have_both_signs_unless_one_sided() -> None:
    budget = torch.tensor([0.1, 0.2, 0.3])
    for cls in (Added, AddedLight):
        change = space(cls).draw(budget, streams())
        torch.testing.assert_close(space(cls).size(change), budget)
        assert (change < 0).any(dim=1).all() == (cls is Added)


def test_a_patch_is_a_block_with_one_sign_for_each_channel() -> None:
    patch = space().shaped(space().patch(0.3, streams()))
    assert (patch.abs().flatten(1).amax(dim=1) == 1).all()
    for image in patch:
        rows, columns = image[0].nonzero().T
        block = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert block.shape == (2, 2, 3)  # round(4 * 0.55), round(5 * 0.55)
        assert (block == block[:, :1, :1]).all() and image.abs().sum() == 12
    assert len({str(image.nonzero().tolist()) for image in patch}) > 1  # at different places

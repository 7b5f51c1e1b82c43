"""Every style: zero is the identity, sizes are what they say, and a search finds the smallest along either sign."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from granu import Batch, BuildContext, Criterion, DataError, OptionError, Streams, gaussian_blur, load_catalog
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.search.options import SmallestOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.smallest import Smallest
from granu.testing import check_space_factory, tiny
from granu_style import COLOUR_ONLY, NAMES, colour, geometry
from granu_style.space import STYLES, StylePerturbation

GREY = [name for name in NAMES if name not in COLOUR_ONLY]


def batch_of(images: Tensor) -> Batch:
    return Batch(images, torch.zeros(len(images), dtype=torch.int64), tuple(map(str, range(len(images)))))


def colourful(size: tuple[int, int] = (20, 14)) -> Tensor:
    draws = Streams(0, ["a", "b"]).uniform(3, 4, 4)
    smooth = torch.nn.functional.interpolate(draws, size, mode="bicubic").clamp(0, 1)
    return (smooth * 255).round() / 255


def styled(name: str, images: Tensor, *change: float, fill: str = "reflect") -> Tensor:
    space = StylePerturbation(name, fill).open(lambda x: x, batch_of(images), Streams(0, ["a"]))
    return space.images(torch.tensor([change]).expand(len(images), -1))


@pytest.mark.parametrize("name", GREY)
def test_it_keeps_the_contract(name: str) -> None:
    check_space_factory(StylePerturbation(name, "reflect"), tiny.tiny_bent_classifier(), tiny.tiny_batch(5))


@pytest.mark.parametrize("name", NAMES)
def test_zero_is_the_identity_and_sizes_go_with_the_distance(name: str) -> None:
    images = colourful()
    space = StylePerturbation(name, "reflect").open(lambda x: x, batch_of(images), Streams(0, ["a", "b"]))
    torch.testing.assert_close(space.images(space.start()), images, atol=1e-4, rtol=0)
    for ray in space.rays():
        assert ray.norm() == pytest.approx(1)
        change = (0.02 * space.limit())[:, None] * ray
        near, far = (space.images(factor * change) - images for factor in (1, 4))
        assert (space.size(change) - 0.02 * space.limit()).abs().max() < 1e-4
        assert (far.flatten(1).norm(dim=1) > near.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    images = 0.3 + 0.4 * colourful()
    style = STYLES[name]
    space = StylePerturbation(name, "edge").open(lambda x: x, batch_of(images), Streams(0, ["a", "b"]))
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    x = torch.full((2, style.dimension), 0.07 * style.largest, requires_grad=True)
    (gradient,) = torch.autograd.grad((space.images(x) * weights).sum(), x)
    step = 1e-3 * style.largest
    for axis in range(style.dimension):
        e = torch.zeros_like(x)
        e[:, axis] = step
        with torch.no_grad():
            slope = ((space.images(x + e) - space.images(x - e)) * weights).flatten(1).sum(1) / (2 * step)
        torch.testing.assert_close(gradient[:, axis], slope, rtol=0.2, atol=float(slope.abs().max()) * 0.1)


@pytest.mark.parametrize("name", [name for name in NAMES if STYLES[name].directions > 1])
def test_a_gradient_leads_away_from_zero(name: str) -> None:
    space = StylePerturbation(name, "reflect").open(lambda x: x, batch_of(0.3 + 0.4 * colourful()), Streams(0, ["a"]))
    x = space.start().requires_grad_()
    weights = torch.randn(2, 3, 20, 14, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((space.images(x) * weights).sum(), x)
    assert gradient.isfinite().all() and (gradient != 0).any(dim=1).all()


def test_quarter_turns_are_exact() -> None:
    images = colourful((15, 15))
    torch.testing.assert_close(styled("rotation", images, 90.0), images.rot90(-1, dims=(2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(styled("rotation", images, -180.0), images.flip(2, 3), atol=1e-4, rtol=0)


def test_translation_moves_by_shares_of_the_sides() -> None:
    images = colourful((20, 10))
    moved = styled("translation", images, 20.0, 10.0, fill="black")  # two pixels right, two down
    torch.testing.assert_close(moved[:, :, 2:, 2:], images[:, :, :-2, :-2], atol=1e-4, rtol=0)
    assert moved[:, :, :2].abs().max() < 1e-4 and moved[:, :, :, :2].abs().max() < 1e-4
    edge = styled("translation", images, 20.0, 0.0, fill="edge")
    torch.testing.assert_close(edge[:, :, :, 0], images[:, :, :, 0], atol=1e-4, rtol=0)


def test_scale_doubles() -> None:
    x = torch.linspace(-1, 1, 41)
    ramp = (0.5 + 0.2 * x[:, None] + 0.1 * x)[None, None]
    torch.testing.assert_close(styled("scale", ramp, 1.0), 0.5 + (ramp - 0.5) / 2, atol=1e-4, rtol=0)
    middle = styled("scale", ramp, -1.0)[0, 0, 12:29, 12:29]
    torch.testing.assert_close(middle, (0.5 + (ramp - 0.5) * 2)[0, 0, 12:29, 12:29], atol=5e-3, rtol=0)


def test_shrinking_keeps_the_mean_of_what_is_finer_than_a_pixel() -> None:
    stripes = (torch.arange(32) % 2).float().expand(1, 1, 32, 32)
    assert (styled("scale", stripes, -1.5) - 0.5).abs().max() < 0.2


def test_a_tilt_keeps_lines_straight_and_shrinks_what_is_far() -> None:
    x = torch.linspace(-1, 1, 61)
    column = (0.5 + 0.4 * x).expand(1, 1, 61, 61)  # tells the place that is seen
    tilted = (styled("perspective", column, 30.0, 0.0)[0, 0, 30] - 0.5) / 0.4
    half, distance = 30.0, geometry.CAMERA * math.hypot(60, 60) / 2
    angle = math.radians(30)
    for seen in (-20, 0, 15):
        place = seen * distance / (distance * math.cos(angle) - seen * math.sin(angle))
        assert float(tilted[30 + seen]) * half == pytest.approx(place, abs=0.02)


def test_blur_is_a_gaussian_of_a_share_of_the_shorter_side() -> None:
    images = colourful((40, 20))
    torch.testing.assert_close(styled("blur", images, 10.0), gaussian_blur(images, torch.full((2,), 2.0)).clamp(0, 1))


def test_light() -> None:
    images = 0.2 + 0.3 * colourful()
    torch.testing.assert_close(styled("brightness", images, -0.1), images - 0.1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(styled("contrast", images, 1.0), (2 * images - mean).clamp(0, 1))
    torch.testing.assert_close(styled("gamma", images, 1.0), images.square())
    black = torch.zeros(1, 1, 4, 4)
    assert torch.equal(styled("gamma", black, -4.0), black)


def test_colour() -> None:
    images = 0.3 + 0.3 * colourful()
    torch.testing.assert_close(colour.hue(images, torch.full((2, 1), 120.0)), images.roll(1, dims=1))
    torch.testing.assert_close(colour.hue(images, torch.full((2, 1), 77.0)).mean(1), images.mean(1))
    grey = styled("greyscale", images, 1.0)
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-6
    torch.testing.assert_close(styled("saturation", images, -40.0), grey)
    cast = styled("tint", images, 0.06, 0.08) - images
    assert cast.sum(1).abs().max() < 1e-5 and torch.allclose(cast.norm(dim=1), torch.tensor(0.1), atol=1e-5)


class Upright:
    """Tells a bar that stands from one that lies, by the moments of the image."""

    classes = ("upright", "lying")

    def __call__(self, images: Tensor) -> Tensor:
        place = torch.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
        tall = (images.mean(1) * place.square()[:, None]).sum((1, 2))
        wide = (images.mean(1) * place.square()).sum((1, 2))
        return torch.stack([tall - wide, wide - tall], dim=1)

    def layers(self) -> dict[str, torch.nn.Module]:
        return {}


@pytest.mark.parametrize("lean", [0.0, 20.0, -20.0])
def test_the_smallest_rotation_is_found_on_its_side(lean: float) -> None:
    bar = torch.zeros(1, 1, 33, 33)
    bar[..., 6:27, 15:18] = 1.0
    image = (styled("rotation", bar, lean, fill="black") * 255).round() / 255
    search = SearchedPerturbation(StylePerturbation("rotation", "black"), Smallest(SmallestOptions(margin=0)))
    proposal = search.perturb(
        Upright(), batch_of(image), Criterion(torch.zeros(1, dtype=torch.int64)), Streams(0, ["0"])
    )
    assert float(proposal.size) == pytest.approx(45 - abs(lean), abs=1.0)
    assert not proposal.backward.any()


@pytest.mark.parametrize(("name", "control"), [("blur", False), ("rotation", False), ("translation", True)])
def test_only_changes_of_several_coordinates_have_a_random_control(name: str, control: bool) -> None:
    search = SearchedPerturbation(StylePerturbation(name, "reflect"), Smallest(SmallestOptions(steps=3)))
    batch = tiny.tiny_batch(3)
    proposal = search.perturb(tiny.tiny_bent_classifier(), batch, Criterion(batch.labels), Streams(0, batch.ids))
    assert (proposal.control is not None) == control


@pytest.mark.parametrize("name", COLOUR_ONLY)
def test_colours_of_grey_images_cannot_be_changed(name: str) -> None:
    with pytest.raises(DataError, match=f"style:{name} changes colours, and these images are grey; leave it out"):
        StylePerturbation(name, "reflect").open(tiny.tiny_bent_classifier(), tiny.tiny_batch(2), Streams(0, ["a", "b"]))


@pytest.mark.parametrize(("text", "sentence"), [
    ("style", "`style` names none; write it like style:rotation"),
    ("style:rotate", "there is no style named 'rotate'; did you mean 'rotation'"),
    ("style:rotation,fill=white", "fill=white is not one of its values"),
])  # fmt: skip
def test_mistakes_are_one_sentence(text: str, sentence: str) -> None:
    catalog = load_catalog()
    with pytest.raises(OptionError) as raised:
        make_plan(catalog, BuildContext(catalog), Request((text,), ("zoo:mnist-cnn",), (), "stylegan"))
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_all_means_every_style() -> None:
    catalog = load_catalog()
    plan = make_plan(catalog, BuildContext(catalog), Request(("style:all",), ("zoo:mnist-cnn",), (), "stylegan"))
    assert [p.resolved.options.name for p in plan.perturbations] == list(NAMES) == list(STYLES)

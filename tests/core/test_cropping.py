"""A network's own resizing and cropping takes images of any size and shape."""

import pytest
import torch

from granu.images.cropping import Cropping
from granu.images.ops import resize


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (20, 31), (32, 33)])
def test_images_of_any_size_are_cropped_to_the_input_size(squash: bool, shape: tuple[int, int]) -> None:
    cropping = Cropping((32, 32), (36, 36), "bicubic", squash)
    assert cropping(torch.rand(2, 3, *shape)).shape == (2, 3, 32, 32)


def test_an_image_of_the_input_size_is_unchanged() -> None:
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(Cropping((32, 32), (36, 36), "bicubic")(images), images)


def test_cropping_keeps_the_centre_and_squashing_keeps_everything() -> None:
    images = torch.zeros(1, 3, 64, 128)
    images[..., 32:96] = 1
    assert Cropping((32, 32), (32, 32), "bilinear")(images).mean() > 0.99
    assert Cropping((32, 32), (32, 32), "bilinear", squash=True)(images).mean() == pytest.approx(0.5, abs=0.01)


def test_an_interpolation_without_a_gradient_becomes_bicubic() -> None:
    images = torch.rand(1, 3, 64, 64)
    ours, bicubic = (Cropping((32, 32), (36, 36), mode)(images) for mode in ("lanczos", "bicubic"))
    assert torch.equal(ours, bicubic)


def test_the_gradient_reaches_the_image() -> None:
    images = torch.rand(1, 3, 40, 48, requires_grad=True)
    Cropping((32, 32), (32, 32), "bilinear")(images).sum().backward()
    assert images.grad is not None and (images.grad[..., 8:-8] != 0).all() and not images.grad[..., :2].any()


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("shape", "squash", "resized", "top", "left"),
    [
        ((40, 60), False, (20, 30), 2, 6),  # height 20 of the box decides
        ((60, 40), False, (36, 24), 10, 3),  # width 24 of the box decides
        ((40, 60), True, (20, 24), 2, 3),
        ((7, 60), False, (20, 171), 2, 76),
    ],
)
def test_an_image_covers_the_box_and_its_middle_is_cut_out(
    shape: tuple[int, int], squash: bool, resized: tuple[int, int], top: int, left: int, mode: str
) -> None:
    images = torch.rand(2, 3, *shape)
    expected = resize(images, *resized, mode)[..., top : top + 16, left : left + 18]
    assert torch.equal(Cropping((16, 18), (20, 24), mode, squash)(images), expected)

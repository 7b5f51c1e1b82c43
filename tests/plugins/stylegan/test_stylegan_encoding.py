"""StyleGAN as an encoder: w+ by optimisation, edits behind it, noise maps, and what is stored."""

from dataclasses import replace

import pytest
import torch
from stylegan_networks import make_stylegan2, make_stylegan3
from torch import Tensor

from granu import BuildContext, OptionError, Streams, load_catalog
from granu.images.ops import psnr
from granu.plugins.options import read_options
from granu.testing import check_encoder
from granu_stylegan import StyleGANOptions, granu_generators
from granu_stylegan.encoding import correlations, unit_noise
from granu_stylegan.generator import StyleGANGenerator, StyleGANLatent
from granu_stylegan.loading import make_generator


def streams(count: int) -> Streams:
    return Streams(0, [str(i) for i in range(count)], "encode")


def labels_of(generator: StyleGANGenerator, count: int) -> Tensor:
    return torch.arange(count) % 3 if generator.classes else torch.full((count,), -1)


def drawn_images(generator: StyleGANGenerator, count: int) -> Tensor:
    """Images that the generator drew from other streams than `encode` draws from."""
    labels = labels_of(generator, count)
    latent = generator.draw(Streams(1, [str(i) for i in range(count)]), labels if generator.classes else None)
    return image_of(generator, latent)


def image_of(generator: StyleGANGenerator, latent: StyleGANLatent) -> Tensor:
    with torch.no_grad():
        return generator.tail(latent, ["image"])({}).clamp(0, 1)


GENERATORS = {
    "grey, with classes": lambda: make_stylegan2(classes=3),
    "colour, without classes": lambda: make_stylegan2(colours=3),
    "StyleGAN3": lambda: make_stylegan3(),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_it_keeps_the_contract_of_encoders(kind: str) -> None:
    generator = replace(GENERATORS[kind](), inversion_steps=2)
    check_encoder(generator, drawn_images(generator, 2), labels_of(generator, 2))


@pytest.mark.parametrize(("kind", "floor"), [("grey, with classes", 30), ("colour, without classes", 28)])
def test_images_that_the_generator_drew_are_found_again(kind: str, floor: float) -> None:
    generator = replace(GENERATORS[kind](), inversion_steps=40)
    images, labels = drawn_images(generator, 1), labels_of(generator, 1)
    untouched = replace(generator, inversion_steps=1).encode(images, labels, streams(1))
    latent = generator.encode(images, labels, streams(1))
    ratio = psnr(images, image_of(generator, latent))
    assert ratio.min() > floor and (ratio > psnr(images, image_of(generator, untouched)) + 3).all()


def test_more_starts_never_encode_worse_images_than_their_best() -> None:
    generator = replace(make_stylegan2(classes=3), inversion_steps=4)
    images, labels = drawn_images(generator, 2), labels_of(generator, 2)
    ratios = [
        psnr(images, image_of(generator, replace(generator, starts=n).encode(images, labels, streams(2))))
        for n in (1, 6)
    ]
    assert (ratios[1] >= ratios[0] - 0.01).all() and (ratios[1] > ratios[0] + 0.01).any()


def test_the_class_is_part_of_an_encoding() -> None:
    generator = replace(make_stylegan2(classes=3), inversion_steps=2)
    images = drawn_images(generator, 1)
    one, other = (generator.encode(images, torch.tensor([k]), streams(1)) for k in (0, 1))
    assert not torch.equal(image_of(generator, one), image_of(generator, other))


def test_an_image_has_the_same_encoding_in_any_batch() -> None:
    generator = replace(make_stylegan2(classes=3), inversion_steps=20)
    images, labels = drawn_images(generator, 2), labels_of(generator, 2)
    together = generator.encode(images, labels, streams(2))
    alone = generator.encode(images[1:], labels[1:], streams(2).select([1]))
    assert all(torch.equal(value[1:], alone.tensors()[name]) for name, value in together.tensors().items())


def test_an_edit_of_w_moves_every_row_and_one_of_z_goes_through_the_mapping() -> None:
    generator = replace(make_stylegan2(), inversion_steps=2)
    latent = generator.encode(drawn_images(generator, 2), labels_of(generator, 2), streams(2))
    assert latent.offsets is not None and latent.offsets.abs().max() > 0
    shift = 0.3 * torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    moved = replace(latent, offsets=latent.offsets + shift[:, None])
    torch.testing.assert_close(generator.tail(latent, ["w"])({"w": shift}), generator.tail(moved, ["w"])({}))
    turned = replace(latent, z=latent.z + shift[:, :6])
    torch.testing.assert_close(generator.tail(latent, ["z"])({"z": shift[:, :6]}), generator.tail(turned, ["z"])({}))


@pytest.mark.parametrize(("make", "rows"), [(make_stylegan2, 4), (make_stylegan3, None)])
def test_every_row_reaches_the_image(make, rows: int | None) -> None:  # type: ignore[no-untyped-def]
    generator = make()
    count = len(generator.network.layers) + 1
    assert rows in (None, count)
    base = replace(generator.draw(streams(1)), offsets=torch.zeros(1, count, 8))
    torch.testing.assert_close(image_of(generator, base), image_of(generator, generator.draw(streams(1))))
    for row in range(count):
        offsets = torch.zeros(1, count, 8)
        offsets[:, row] = 1
        assert not torch.equal(image_of(generator, replace(base, offsets=offsets)), image_of(generator, base)), row


def test_noise_maps_stay_noise_where_they_are_optimised() -> None:
    generator = replace(make_stylegan2(), inversion_steps=10)
    with torch.no_grad():
        generator.network.layers[1].noise_strength.zero_()
    images, labels = drawn_images(generator, 1), labels_of(generator, 1)
    drawn, found = generator.draw(streams(1)).noises, generator.encode(images, labels, streams(1)).noises
    assert torch.equal(found[1], drawn[1]), "a map that changes nothing stays as it was drawn"
    for i in (0, 2):
        assert not torch.equal(found[i], drawn[i])
        assert found[i].mean().abs() < 1e-5 and found[i].square().mean() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("mode", ["stored", "none"])
def test_noise_maps_that_are_not_an_images_own_are_not_optimised(mode: str) -> None:
    generator = replace(make_stylegan2(), inversion_steps=2, noise=mode)
    found = generator.encode(drawn_images(generator, 1), labels_of(generator, 1), streams(1)).noises
    drawn = generator.draw(streams(1)).noises
    assert all(torch.equal(one, other) for one, other in zip(found, drawn, strict=True))


def test_the_penalty_of_noise_maps_tells_noise_from_an_image() -> None:
    noise = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    slope = unit_noise(torch.linspace(0, 1, 32).expand(1, 1, 32, 32))
    assert len(list(correlations(noise))) == 6, "two axes at 32, 16 and 8 pixels"
    assert sum(correlations(noise)) < 0.1 < sum(correlations(slope))
    squares = unit_noise(torch.randn(1, 1, 16, 16).repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert sum(correlations(squares)) > 0.1


def test_options_set_how_images_are_encoded() -> None:
    (offer,) = granu_generators()
    assert offer.can_encode(StyleGANOptions()) and offer.can_draw(StyleGANOptions())
    options = StyleGANOptions(starts=3, inversion_steps=7)
    opened = make_generator(options, BuildContext(load_catalog()))
    assert (opened.starts, opened.inversion_steps) == (3, 7)
    texts = {opened.encoding, replace(opened, starts=4).encoding, replace(opened, inversion_steps=8).encoding}
    assert len(texts) == 3


def test_there_are_no_more_starts_than_candidates() -> None:
    with pytest.raises(OptionError, match="starts=33 is out of range; it must be from 1 to 32"):
        read_options(StyleGANOptions, {"starts": "33"}, "stylegan")


def test_no_images_have_an_encoding_too() -> None:
    generator = make_stylegan2()
    assert len(generator.encode(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64), streams(0)).z) == 0

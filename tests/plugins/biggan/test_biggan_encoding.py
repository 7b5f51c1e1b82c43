"""BigGAN as an encoder: z, the class vector and each block's condition by optimisation."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from granu import BuildContext, OptionError, Streams, load_catalog
from granu.images.ops import psnr
from granu.plugins.options import read_options
from granu.testing import check_encoder
from granu_biggan import BigGANOptions, granu_generators, make
from granu_biggan.config import BigGANConfig, Hierarchy, LayerPlan
from granu_biggan.generator import BigGANGenerator, BigGANLatent
from granu_biggan.network import BigGAN

LABELS = torch.tensor([2, 0])


def build(hierarchy: Hierarchy, channels: int = 1, steps: int = 2, **options: int) -> BigGANGenerator:
    kind = "bottleneck" if hierarchy == "whole" else "residual"
    layers = (LayerPlan(kind, 16, 16, True), LayerPlan("attention", 16, 16), LayerPlan(kind, 16, 8, False))
    config = BigGANConfig(z_dim=9, y_dim=4, classes=3, layers=layers, hierarchy=hierarchy, channels=channels)  # type: ignore[arg-type]
    torch.manual_seed(0)
    network = BigGAN(config).eval().requires_grad_(False)
    return BigGANGenerator(network, ("a", "b", "c"), range(3), 0.8, "tiny", inversion_steps=steps, **options)


def streams(count: int = 2) -> Streams:
    return Streams(0, [str(i) for i in range(count)], "encode")


def drawn_images(generator: BigGANGenerator) -> Tensor:
    """Images that the generator drew from other streams than `encode` draws from."""
    return image_of(generator, generator.draw(Streams(1, ["a", "b"]), LABELS))


def image_of(generator: BigGANGenerator, latent: BigGANLatent) -> Tensor:
    with torch.no_grad():
        return generator.tail(latent, ["image"])({}).clamp(0, 1)


@pytest.mark.parametrize(("hierarchy", "channels"), [("none", 1), ("chunks", 1), ("whole", 3)])
def test_it_keeps_the_contract_of_encoders(hierarchy: Hierarchy, channels: int) -> None:
    generator = build(hierarchy, channels)
    check_encoder(generator, drawn_images(generator), LABELS)


@pytest.mark.parametrize("hierarchy", ["chunks", "whole"])
def test_images_that_the_generator_drew_are_found_again(hierarchy: Hierarchy) -> None:
    generator = build(hierarchy, steps=40)
    images = drawn_images(generator)
    untouched = replace(generator, inversion_steps=1).encode(images, LABELS, streams())
    ratio = psnr(images, image_of(generator, generator.encode(images, LABELS, streams())))
    assert ratio.min() > 35 and (ratio > psnr(images, image_of(generator, untouched)) + 3).all()


def test_an_image_has_the_same_encoding_in_any_batch() -> None:
    generator = build("chunks", steps=20)
    images = drawn_images(generator)
    together = generator.encode(images, LABELS, streams())
    alone = generator.encode(images[1:], LABELS[1:], streams().select([1]))
    assert all(torch.equal(value[1:], alone.tensors()[name]) for name, value in together.tensors().items())


def test_the_class_vector_stays_near_that_of_the_given_class() -> None:
    generator = build("whole", steps=20)
    latent = generator.encode(drawn_images(generator), LABELS, streams())
    assert latent.embedding is not None
    distance = torch.cdist(latent.embedding, generator.network.embedding.weight)
    assert distance.min(dim=1).values.gt(0).all() and torch.equal(distance.argmin(dim=1), LABELS)


def test_an_offset_changes_the_condition_of_its_own_block_only() -> None:
    generator = build("whole")
    latent = generator.encode(drawn_images(generator), LABELS, streams())
    assert latent.offsets is not None and latent.offsets[:, 0].any() and latent.offsets[:, 2].any()
    assert not latent.offsets[:, 1].any(), "attention has no condition"
    moved = replace(latent, offsets=latent.offsets + torch.tensor([0.0, 0.0, 1.0])[:, None])
    before, behind = (generator.tail(x, ["layer1", "layer2"]).clean for x in (latent, moved))
    assert torch.equal(before["layer1"], behind["layer1"]) and not torch.equal(before["layer2"], behind["layer2"])


def test_edits_of_z_and_the_class_vector_add_to_those_of_the_encoding() -> None:
    generator = build("chunks")
    latent = generator.encode(drawn_images(generator), LABELS, streams())
    assert latent.embedding is not None
    for name, moved in (("z", replace(latent, z=latent.z + 0.5)), ("embedding", None)):
        moved = moved or replace(latent, embedding=latent.embedding + 0.5)
        edit = torch.full_like(latent.tensors()[name], 0.5)
        torch.testing.assert_close(generator.tail(latent, [name])({name: edit}), generator.tail(moved, [name])({}))


def test_drawn_latents_are_as_they_were() -> None:
    generator = build("chunks")
    latent = generator.draw(streams(), LABELS)
    assert set(latent.tensors()) == {"z"}
    network = generator.network
    expected = (network(latent.z, LABELS) + 1) / 2
    torch.testing.assert_close(generator.tail(latent, ["z"])({}), expected)


def test_options_set_how_images_are_encoded() -> None:
    (offer,) = granu_generators()
    assert offer.can_encode(BigGANOptions()) and offer.can_draw(BigGANOptions())
    opened = make(BigGANOptions(starts=3, inversion_steps=7), BuildContext(load_catalog()))
    assert (opened.starts, opened.inversion_steps) == (3, 7)
    texts = {opened.encoding, replace(opened, starts=4).encoding, replace(opened, inversion_steps=8).encoding}
    assert len(texts) == 3


def test_there_are_no_more_starts_than_candidates() -> None:
    with pytest.raises(OptionError, match="starts=33 is out of range; it must be from 1 to 32"):
        read_options(BigGANOptions, {"starts": "33"}, "biggan")


def test_no_images_have_an_encoding_too() -> None:
    generator = build("chunks")
    none = torch.zeros(0, dtype=torch.int64)
    assert len(generator.encode(torch.zeros(0, 1, 8, 8), none, streams(0)).z) == 0

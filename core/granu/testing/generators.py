"""The contracts of generators that draw images and of those that encode them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from granu.images.ops import clamp_for_descent
from granu.streams import Streams
from granu.testing.closeness import check_close
from granu.types import DrawingGenerator, EncodingGenerator, Generator, Latent, Site


def check_generator(generator: DrawingGenerator, count: int = 3) -> None:
    """Check sites, draws and tails with `count` (at least 2) images.

    Images depend on their own streams alone, a zero edit reproduces the clean image exactly, `select` narrows a tail,
    and a gradient reaches every site.
    """
    sites = _checked_sites(generator)
    ids = [f"contract#{i}" for i in range(count)]
    chosen = generator.labels
    labels = torch.tensor([chosen[i % len(chosen)] for i in range(count)]) if generator.classes else None
    latent = generator.draw(Streams(0, ids, "draw"), labels)
    clean = generator.tail(latent, ["image"])({})
    again = generator.draw(Streams(0, ids, "draw"), labels)
    assert torch.equal(clean, generator.tail(again, ["image"])({})), "the same streams drew different images"
    alone = generator.tail(latent.select(torch.tensor([count - 1])), ["image"])({})
    check_close(alone, clean[-1:], "an image depends on the other images of its batch")
    for site in sites:
        _check_tail(generator, latent, site, clean)


def check_encoder(generator: EncodingGenerator, images: Tensor, labels: Tensor, tolerance: float = 1e-3) -> None:
    """Check encodings of at least two different images (B, C, H, W) in [0, 1], in the shape of the site `image`.

    `labels` (B,) are the generator's class numbers, -1 where it has no classes. An image's encoding depends on the
    image, its label and its stream alone, up to `tolerance` of its reconstruction; what is stored gives the same image
    bit by bit; `select` chooses images; and tails behave as those of drawn images do (`check_generator`).
    """
    sites = _checked_sites(generator)
    assert isinstance(generator.encoding, str), "`encoding` must be a text that says what `encode` depends on"
    assert tuple(images.shape[1:]) == tuple(sites[-1].shape), "the site `image` has another shape than the images"
    count, given = len(images), images.clone()
    ids = [f"contract#{i}" for i in range(count)]

    latent = generator.encode(images, labels, Streams(0, ids, "encode"))
    assert torch.equal(images, given), "`encode` changes the images that it is given"
    assert torch.equal(latent.labels, labels), "the encoding must have the labels that were given"
    clean = generator.tail(latent, ["image"])({})
    assert clean.shape == images.shape and clean.isfinite().all(), "reconstructions must be finite images"
    again = generator.encode(images, labels, Streams(0, ids, "encode"))
    same = torch.equal(clean, generator.tail(again, ["image"])({}))
    assert same, "the same images and streams gave another encoding"

    last = torch.tensor([count - 1])
    alone = generator.encode(images[last], labels[last], Streams(0, ids[-1:], "encode"))
    made = generator.tail(alone, ["image"])({})
    check_close(made, clean[last], "an encoding depends on the other images of its batch", tolerance)
    made = generator.tail(latent.select(last), ["image"])({})
    check_close(made, clean[last], "`select` changes the reconstruction")

    stored = latent.tensors()
    assert stored, "`tensors` must hold what the encoding consists of"
    for name, value in stored.items():
        assert len(value) == count and value.isfinite().all(), f"'{name}' must be finite, with a row for each image"
    restored = generator.restore(labels, {name: value.detach().cpu().clone() for name, value in stored.items()})
    assert torch.equal(restored.labels, labels), "`restore` must keep the labels"
    assert torch.equal(generator.tail(restored, ["image"])({}), clean), "a restored encoding gives another image"
    single = generator.restore(labels[last], {name: value[last].detach() for name, value in stored.items()})
    made = generator.tail(single, ["image"])({})
    check_close(made, clean[last], "a row of `tensors` is not the encoding of its image", tolerance)
    for site in sites:
        _check_tail(generator, restored, site, clean)


def _checked_sites(generator: Generator) -> Sequence[Site]:
    sites = generator.sites()
    assert sites[-1].name == "image" and sites[-1].scale == "pixel", "the last site must be `image`, in pixels"
    assert len({site.name for site in sites}) == len(sites), "two sites have the same name"
    return sites


def _check_tail(generator: Generator, latent: Latent, site: Site, clean: Tensor) -> None:
    tail = generator.tail(latent, [site.name])
    count, value = len(clean), tail.clean[site.name]
    assert value.shape == (count, *site.shape), f"the activation at '{site.name}' does not have the site's shape"
    check_close(tail({}), clean, f"the tail behind '{site.name}' gives a different image", 1e-5)
    zero = tail({site.name: torch.zeros_like(value)})
    assert torch.equal(zero, tail({})), f"a zero edit at '{site.name}' changes the image"
    ids = [f"contract#{i}" for i in range(count)]
    edit = Streams(1, ids).normal(*site.shape) * value.std().clamp_min(0.1)
    changed = tail({site.name: edit})
    assert changed.shape == clean.shape, f"an edit at '{site.name}' changes the image's shape"
    selected = tail.select(torch.tensor([1]))({site.name: edit[1:2]})
    check_close(selected, changed[1:2], f"`select` changes the tail behind '{site.name}'")
    edit = edit.clone().requires_grad_()
    clamp_for_descent(tail({site.name: edit})).square().sum().backward()
    assert edit.grad is not None and edit.grad.isfinite().all(), f"no finite gradient reaches '{site.name}'"

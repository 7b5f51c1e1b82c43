"""The perturbation `jpeg`: coefficients in quantization steps, blocks, chroma at half resolution."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import Tensor

from granu import Batch, BuildContext, Criterion, Streams, load_catalog
from granu.search.options import WorstOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.testing import contracts, tiny
from granu_frequency.jpeg import CHROMA, LUMA, Jpeg, JpegSpace, steps_at


def first_values(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :2]


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 20, 33), (2, 2, 1, 3)])
def test_the_space_keeps_the_contract_at_any_size(shape: tuple[int, ...]) -> None:
    batch = Batch(noise(*shape), torch.zeros(shape[0], dtype=torch.int64), tuple(map(str, range(shape[0]))))
    contracts.check_space_factory(Jpeg(50), first_values, batch)  # type: ignore[arg-type]
    space = JpegSpace(first_values, batch.images, 50)
    assert torch.equal(space.images(space.start()), batch.images)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 95, 100])
def test_the_steps_are_those_of_a_jpeg_file(quality: int) -> None:
    """Pillow writes them with libjpeg."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as coded:
        tables = coded.quantization  # type: ignore[attr-defined]
    for number, table in enumerate((LUMA, CHROMA)):
        assert steps_at(quality, table).flatten().tolist() == list(tables[number])


def test_a_change_decodes_to_what_the_jpeg_codec_decodes() -> None:
    """Two grey blocks: one more step of a coefficient in the file is a change of size 1 there."""
    steps = steps_at(50, LUMA)
    space = JpegSpace(first_values, torch.full((1, 1, 8, 16), 0.5), 50)
    change = torch.zeros(1, *space.shape)
    change[0, 8 * 1 + 2, 1] = 1.0  # vertical frequency 1, horizontal 2, in the right block
    added = (space.images(change.flatten(1)) - 0.5)[0, 0]
    assert not added[:, :8].any()
    y, x = torch.arange(8)[:, None], torch.arange(8)[None]
    basis = torch.cos((2 * y + 1) * torch.pi / 16) * torch.cos((2 * x + 1) * 2 * torch.pi / 16) / 4
    torch.testing.assert_close(added[:, 8:], basis * steps[1, 2] / 255, atol=1e-6, rtol=0)
    pixels = ((added + 0.5) * 255).round().to(torch.uint8).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=50)
    with Image.open(stream) as coded:
        decoded = torch.tensor(list(coded.tobytes())).view(8, 16)
    assert (decoded - torch.from_numpy(pixels).long()).abs().max() <= 1  # the file holds it


def test_chroma_has_half_the_resolution_and_leaves_the_luma() -> None:
    space = JpegSpace(first_values, torch.full((1, 3, 16, 32), 0.5), 50)
    assert space.blocks == [(2, 4), (1, 2), (1, 2)] and space.shape == (64, 12)
    change = torch.zeros(1, *space.shape)
    change[0, 5, 8] = 2.0  # the first of the blocks of Cb
    added = (space.images(change.flatten(1)) - 0.5)[0]
    assert added[..., :16].any() and not added[..., 16:].any()
    assert torch.equal(added[:, ::2, ::2], added[:, 1::2, 1::2])
    luma = 0.299 * added[0] + 0.587 * added[1] + 0.114 * added[2]
    assert luma.abs().max() < 1e-5 < added.abs().max()


def test_chroma_has_its_own_steps() -> None:
    space = JpegSpace(first_values, torch.full((1, 3, 16, 16), 0.5), 50)
    change = torch.zeros(1, *space.shape)
    change[0, 0, 4] = 1.0  # the mean of the block of Cb, whose step is 17
    added = (space.images(change.flatten(1)) - 0.5)[0]
    torch.testing.assert_close(added[2], torch.full((16, 16), 1.772 * 17 / 8 / 255))


def test_better_quality_has_smaller_steps() -> None:
    def largest(quality: int) -> float:
        space = JpegSpace(first_values, torch.full((1, 3, 16, 16), 0.5), quality)
        changed = space.images(space.draw(torch.tensor([0.2]), Streams(0, ("a",))))
        return float((changed - 0.5).abs().max())

    assert largest(90) < 0.5 * largest(50) < 0.5 * largest(20)


def test_worst_finds_what_fools_within_the_budget() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(6)
    batch = replace(batch, labels=classifier(batch.images).argmax(1))
    search = make_search("worst", WorstOptions(budget=2.0, effort="quick"))
    searched = SearchedPerturbation(BuildContext(load_catalog()).build("perturbation", "jpeg"), search)
    contracts.check_perturbation(searched, classifier, batch)
    proposal = searched.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids))
    assert (proposal.size <= 2.0 + 1e-5).all()
    assert (classifier(proposal.evidence.images).argmax(1) != batch.labels).any()  # type: ignore[union-attr]


def test_the_gradient_is_that_of_small_differences() -> None:
    clean = (0.4 + 0.2 * noise(1, 3, 9, 5)).double()
    space = JpegSpace(first_values, clean, 50)
    weights = torch.linspace(-1, 1, clean.numel(), dtype=torch.float64).view_as(clean)
    change = (0.01 * torch.randn(1, space.dimension, generator=torch.Generator().manual_seed(0))).double()
    direction = torch.randn(1, space.dimension, generator=torch.Generator().manual_seed(1)).double()
    leaf = change.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((weights * space.images(leaf)).sum(), leaf)
    ahead, behind = ((weights * space.images(change + h * direction)).sum() for h in (1e-4, -1e-4))
    torch.testing.assert_close((gradient * direction).sum(), (ahead - behind) / 2e-4)

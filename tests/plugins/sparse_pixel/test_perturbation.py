"""`sparse-pixel` keeps granu's contract, its bounds and its mask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from granu import Criterion, DataError
from granu.images.ops import encode_png
from granu.streams import Streams
from granu.testing import contracts, tiny
from granu.types import Batch, Evidence, ImageEvidence, Proposal
from granu_sparse_pixel import SparsePixelOptions
from granu_sparse_pixel.perturbation import SparsePixel


def batch() -> Batch:
    made = tiny.tiny_batch(9)
    return replace(made, labels=tiny.tiny_bent_classifier()(made.images).argmax(1))


def shown(evidence: Evidence | None) -> Tensor:
    assert isinstance(evidence, ImageEvidence)
    return evidence.images


def perturb(**options: object) -> Proposal:
    here = batch()
    pixel = SparsePixel(SparsePixelOptions(**options))  # type: ignore[arg-type]
    return pixel.perturb(tiny.tiny_bent_classifier(), here, Criterion(here.labels), Streams(0, here.ids))


@pytest.mark.parametrize("solver", ["pixel", "l0", "l1"])
def test_it_keeps_the_contract(solver: str) -> None:
    pixel = SparsePixel(SparsePixelOptions(solver=solver))
    contracts.check_perturbation(pixel, tiny.tiny_bent_classifier(), batch())


def test_the_size_is_the_number_of_pixels_that_differ() -> None:
    proposal = perturb()
    differ = (shown(proposal.evidence) != batch().images).any(1).flatten(1).sum(1)
    assert torch.equal(proposal.size, differ.float())


def test_the_control_changes_as_many_pixels() -> None:
    proposal = perturb()
    differ = (shown(proposal.control) != batch().images).any(1).flatten(1).sum(1)
    assert (differ <= proposal.size).all() and (differ > proposal.size - 2).all()  # a bound may equal the clean value


def test_delta_bounds_every_value() -> None:
    moved = (shown(perturb(delta=64 / 255).evidence) - batch().images).abs()
    assert 0 < moved.max() <= 64 / 255 + 1e-6


def test_only_pixels_that_the_mask_allows_change(tmp_path: Path) -> None:
    region = torch.zeros(1, 8, 8)
    region[:, 2:7, 1:8] = 1
    (tmp_path / "mask.png").write_bytes(encode_png(region))
    changed = shown(perturb(mask=tmp_path / "mask.png").evidence) != batch().images
    assert changed.any() and not changed[:, (region == 0)].any()


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(encode_png(torch.ones(1, 5, 6)))
    with pytest.raises(DataError, match="5 x 6 but the images are 8 x 8"):
        perturb(mask=tmp_path / "mask.png")


def test_an_image_without_a_change_has_a_note_and_no_size() -> None:
    proposal = perturb(delta=1 / 255)
    failed = proposal.size.isnan()
    assert failed.any()
    assert all((note is not None) == bool(f) for note, f in zip(proposal.notes, failed, strict=True))

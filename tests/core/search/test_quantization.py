"""Changes that quantization undoes: scaled up or searched again, and counted as large as they had to become."""

from __future__ import annotations

import pytest
import torch
from searching import perturb, run, searched, shown
from torch import Tensor, nn

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.images.ops import quantize
from granu.search.quantization import SCALES
from granu.spaces.base import PixelSpace
from granu.testing import tiny


class Stepped(nn.Module):
    """A class whose logit peaks at a step of 1/255 at every pixel; the first pixel weighs four times as much."""

    def forward(self, images: Tensor) -> Tensor:
        steps = (images - 128 / 255).flatten(1) * 255
        weight = torch.ones(steps.shape[1]).index_fill(0, torch.tensor([0]), 4.0)
        logit = (weight * steps * (2 - steps)).sum(1)
        return torch.stack([torch.full_like(logit, 8.0), logit], dim=1)


def test_where_no_scale_survives_quantization_another_change_is_found() -> None:
    classifier = ImageClassifier(Stepped(), ["a", "b"], channels=1, size=(4, 4))
    space = PixelSpace(classifier, torch.full((2, 1, 4, 4), 128 / 255), "l2")
    criterion = Criterion(torch.zeros(2, dtype=torch.int64))
    found = run("smallest", space, criterion, limit=4.0)
    assert found.found.all() and found.notes == (None, None) and (found.extra["quantization_scale"] > 1.13).all()
    assert criterion.reached(classifier(quantize(space.images(found.change)))).all()
    torch.testing.assert_close(found.size, space.size(found.change))
    for factor in SCALES:  # along the ray of the change before quantization
        ray = torch.full((1, 16), 0.16 / 255).index_fill(1, torch.tensor([0]), 0.62 / 255)
        assert not criterion.select(torch.tensor([0])).reached(
            space.select(torch.tensor([0])).judged_logits(factor * ray)
        )


def test_no_quantized_change_exceeds_its_limit() -> None:
    space = PixelSpace(
        ImageClassifier(Stepped(), ["a", "b"], channels=1, size=(4, 4)), torch.full((1, 1, 4, 4), 128 / 255), "l2"
    )
    found = run("smallest", space, Criterion(torch.tensor([0])), limit=1.2 / 255)
    assert found.extra["quantization_scale"].isfinite().all()
    assert found.extra["size_before_quantization"].item() <= 1.2 / 255
    assert not found.found.any() and found.notes == ("what was found is undone by rounding to 8 bits",)
    assert found.tried.item() <= 1.2 / 255 + 1e-6


@pytest.mark.parametrize("search", ["smallest", "deepfool", "dunn2020"])
def test_what_was_found_is_misclassified_after_quantization(batch: Batch, search: str) -> None:
    classifier = tiny.tiny_bent_classifier()
    result = perturb(searched("l2", search, steps=400), classifier, batch)
    fooled = classifier(quantize(shown(result.evidence))).argmax(dim=1) != batch.labels
    assert fooled.all()
    assert (result.size > 0).all() and (result.size <= result.tried + 1e-6).all()


@pytest.fixture
def near() -> tuple[ImageClassifier, Batch]:
    """An image very near the boundary: the change found is far below 1/255, the one judged cannot be."""
    image = torch.full((1, 1, 8, 8), 0.5).mul(255).round().div(255)
    linear = nn.Linear(64, 2)
    weight = torch.ones(2, 64)
    weight[1] = -1
    gap = 2 * float(image.sum())
    linear.load_state_dict({"weight": weight, "bias": torch.tensor([0.02 - gap, 0.0])})
    classifier = ImageClassifier(nn.Sequential(nn.Flatten(), linear), ("a", "b"), channels=1)
    return classifier, Batch(image, torch.tensor([0]), ("near",))


def test_a_change_that_does_not_survive_quantization_counts_as_large_as_it_had_to_become(
    near: tuple[ImageClassifier, Batch],
) -> None:
    classifier, batch = near
    result = perturb(searched("linf"), classifier, batch)
    assert classifier(quantize(shown(result.evidence))).argmax(dim=1) != 0
    found, needed = 0.021 / 128, 0.5 / 255  # rounding makes a whole step of the second
    assert result.extra is not None and torch.isclose(
        result.extra["size_before_quantization"][0], torch.tensor(found), rtol=0.02
    )
    assert 1 < result.extra["quantization_scale"][0] / (needed / found) < 1.06
    assert torch.isclose(result.size, torch.tensor(1 / 255), rtol=1e-4)


@pytest.mark.parametrize(("limit", "holds"), [(1 / 255, False), (0.9 / 255, True)])
def test_a_limit_of_one_step_of_8_bits_allows_that_step(
    near: tuple[ImageClassifier, Batch], limit: float, holds: bool
) -> None:
    classifier, batch = near
    result = perturb(searched("linf", limit=limit), classifier, batch)
    verdict = result.notes == ("what was found is undone by rounding to 8 bits",)
    assert verdict == holds and bool((classifier(quantize(shown(result.evidence))).argmax(dim=1) == 0).all()) == holds

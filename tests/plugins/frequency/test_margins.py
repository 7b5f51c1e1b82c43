"""Margins along frequencies: exact on a linear classifier, unmoved by batches, honest without a gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from granu.testing import tiny
from granu_frequency.bands import all_bands, make_band
from granu_frequency.margins import margins


def linear_margins(weight: Tensor, logits: Tensor, labels: Tensor, bands: list, shape: tuple[int, ...]) -> Tensor:
    """(B, S) in closed form: the gap of the nearest class over the projected difference of weights."""
    gaps = (logits.gather(1, labels[:, None]) - logits).masked_fill(
        nn.functional.one_hot(labels, logits.shape[1]).bool(), torch.inf
    )
    rows = []
    for band in bands:
        w = band.project((weight[None] - weight[labels][:, None]).view(len(labels), -1, *shape))  # (B, K, C, H, W)
        rows.append((gaps / w.flatten(2).norm(dim=2)).amin(1))
    return torch.stack(rows, dim=1)


def test_on_a_linear_classifier_they_are_what_algebra_says() -> None:
    classifier, batch = tiny.tiny_linear_classifier(), tiny.tiny_batch(9)
    weight = classifier.network[1].weight  # type: ignore[index]
    logits = classifier(batch.images)
    labels = logits.argmax(1)
    bands = all_bands((8, 8))
    exact = linear_margins(weight, logits, labels, bands, (1, 8, 8))
    found = margins(classifier, batch.images, labels, bands)
    torch.testing.assert_close(found.distance, 1.02 * exact, rtol=2e-3, atol=1e-3)


def test_the_first_jacobian_is_shared_by_all_bands() -> None:
    classifier, batch = tiny.tiny_linear_classifier(), tiny.tiny_batch(3)
    bands = all_bands((8, 8))
    found = margins(classifier, batch.images, classifier(batch.images).argmax(1), bands)
    assert (found.forward[:, 1:] <= 2).all()
    assert (found.backward[:, 0] == 2).all() and (found.backward[:, 1:] == 0).all()


def test_batches_do_not_change_a_margin() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(7)
    labels, bands = classifier(batch.images).argmax(1), all_bands((8, 8))
    whole = margins(classifier, batch.images, labels, bands).distance
    torch.testing.assert_close(margins(classifier, batch.images, labels, bands, batch=1).distance, whole)


def test_a_image_named_wrong_has_no_margin() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(4)
    wrong = (classifier(batch.images).argmax(1) + 1) % 3
    assert not margins(classifier, batch.images, wrong, all_bands((8, 8))).distance.any()


def test_a_boundary_that_no_frequency_of_the_band_reaches_is_infinitely_far() -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            mean = images.mean((1, 2, 3))
            return torch.stack([mean, 0.3 - 0 * mean], dim=1)

    x = torch.full((2, 1, 8, 8), 0.5)
    bands = [make_band("low", (0, 0), (1, 1), (8, 8)), make_band("high", (4, 4), (1, 1), (8, 8))]
    found = margins(Mean(), x, torch.zeros(2, dtype=torch.int64), bands).distance
    torch.testing.assert_close(found[:, 0], torch.full((2,), 1.02 * 0.2 * 8), rtol=1e-3, atol=0)
    assert (found[:, 1] > 1e3).all()


def test_with_a_box_the_classifier_only_sees_what_a_image_can_be() -> None:
    inner, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(6)
    labels, bands = inner(batch.images).argmax(1), all_bands((8, 8))
    beyond: list[float] = []

    def watched(images: Tensor) -> Tensor:
        beyond.append(float((images - images.clamp(0, 1)).detach().abs().max()))
        return inner(images)

    boxed = margins(watched, batch.images, labels, bands, box=True)
    assert max(beyond) == 0 and boxed.distance.isfinite().float().mean() > 0.5
    free = margins(watched, batch.images, labels, bands)
    assert max(beyond) > 0 and not torch.equal(boxed.distance, free.distance)

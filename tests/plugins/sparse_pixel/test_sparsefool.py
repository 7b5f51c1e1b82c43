"""SparseFool as a whole: exact where a closed form exists, with a reason where there is no answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from granu import Criterion
from granu.images.ops import quantize
from granu.testing import tiny
from granu_sparse_pixel.boundary import nearest_boundary
from granu_sparse_pixel.bounds import bounds_around
from granu_sparse_pixel.failure import FailureReason
from granu_sparse_pixel.passes import Passes
from granu_sparse_pixel.prune import prune
from granu_sparse_pixel.refine import refine
from granu_sparse_pixel.solver import Solver
from granu_sparse_pixel.sparsefool import Found, sparsefool


class Scores(nn.Module):
    """Two or more classes whose logits are linear in the pixels."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


def linear(shape: tuple[int, ...], classes: int = 3, seed: int = 0) -> Scores:
    noise = torch.Generator().manual_seed(seed)
    size = torch.Size(shape).numel()
    return Scores(torch.randn(classes, size, generator=noise), torch.randn(classes, generator=noise))


def images(count: int, *shape: int, seed: int = 1) -> Tensor:
    return quantize(torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)))


def search(classifier: nn.Module, x: Tensor, labels: Tensor | None = None, **changes: object) -> tuple[Found, Passes]:
    criterion = Criterion(classifier(x).argmax(1) if labels is None else labels)
    passes = Passes(classifier, len(x), x.device)
    chosen = {"solver": Solver.PIXEL, "lambda_": 1.0, "classes": 9, **changes}
    return sparsefool(passes, x, criterion, bounds_around(x), **chosen), passes  # type: ignore[arg-type]


def test_the_boundary_of_a_linear_classifier_is_the_closed_form() -> None:
    classifier, x = linear((1, 4, 4)), images(20, 1, 4, 4)
    logits = classifier(x)
    labels = logits.argmax(1)
    found = nearest_boundary(
        Passes(classifier, 20, x.device), x, Criterion(labels), torch.arange(20), mask=torch.ones_like(x), classes=2
    )
    gaps = logits - logits.gather(1, labels[:, None])
    w = classifier.weight[None] - classifier.weight[labels][:, None]  # (20, 3, 16)
    distance = (gaps.abs() / w.norm(dim=2)).masked_fill(gaps == 0, torch.inf).amin(1)
    torch.testing.assert_close(found.step.flatten(1).norm(dim=1), distance, rtol=1e-3, atol=2e-4)
    assert not found.failure.any()


def test_on_two_linear_classes_no_choice_of_features_is_sparser() -> None:
    classifier, x = linear((1, 8, 8), classes=2), images(50, 1, 8, 8)
    found, _ = search(classifier, x, solver=Solver.L0)
    logits = classifier(x)
    labels = logits.argmax(1)
    w = classifier.weight[1 - labels] - classifier.weight[labels]
    gain = (w.abs() * torch.where(w > 0, 1 - x.flatten(1), x.flatten(1))).sort(dim=1, descending=True).values
    lead = logits.amax(1) - logits.amin(1)
    fewest = (gain.cumsum(1) < lead[:, None]).sum(1) + 1
    counted = (found.images != x).flatten(1).sum(1)
    assert (counted >= fewest).all()
    assert (counted == fewest).float().mean() > 0.9  # the rest needs one more for the overshoot


@pytest.mark.parametrize("solver", Solver)
def test_what_it_finds_is_misclassified_as_a_png_and_within_bounds(solver: Solver) -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(12)
    labels = classifier(batch.images).argmax(1)
    found, passes = search(classifier, batch.images, solver=solver, lambda_=3.0)
    assert not found.failure.any()
    assert torch.equal(found.images, quantize(found.images))
    assert (classifier(found.images).argmax(1) != labels).all()
    assert (passes.forward > 0).all() and (passes.backward > 0).all()


def test_results_do_not_depend_on_the_batch() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(6)
    together, passes = search(classifier, batch.images)
    for i in range(6):
        alone, own = search(classifier, batch.images[i : i + 1])
        assert torch.equal(alone.images[0], together.images[i])
        assert own.forward[0] == passes.forward[i] and own.backward[0] == passes.backward[i]


def test_a_misclassified_image_needs_no_pixel() -> None:
    classifier, x = linear((1, 4, 4)), images(5, 1, 4, 4)
    found, _ = search(classifier, x, labels=(classifier(x).argmax(1) + 1) % 3)
    assert torch.equal(found.images, x) and not found.failure.any()


class Masked(nn.Module):
    """A network whose gradient is masked by rounding, as in defenses that only seem robust."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return self.inner((images * 4).round() / 4 + 0 * images)


class Broken(Masked):
    """Right logits, but a gradient that is not a number."""

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images) + (images - images.detach()).clamp_min(0).sqrt().sum((1, 2, 3))[:, None]


class Behind(nn.Module):
    """Label 0 everywhere; the other logit rises without ever reaching it."""

    def forward(self, images: Tensor) -> Tensor:
        rising = 1 - torch.exp(-images.square().sum((1, 2, 3)))
        return torch.stack([torch.full_like(rising, 2.0), rising], dim=1)


@pytest.mark.parametrize(
    ("network", "failure"),
    [
        (Masked(linear((1, 4, 4))), {FailureReason.ZERO_GRADIENT}),
        (Broken(linear((1, 4, 4))), {FailureReason.NOT_FINITE}),
        (Behind(), {FailureReason.NOT_REACHED, FailureReason.ZERO_GRADIENT}),
    ],
)
def test_where_nothing_can_be_found_the_image_stays_clean_and_has_a_reason(
    network: nn.Module, failure: set[FailureReason]
) -> None:
    x = images(6, 1, 4, 4)
    found, _ = search(network, x)
    assert torch.equal(found.images, x)
    assert {FailureReason(t) for t in found.failure.tolist()} <= failure
    assert all(FailureReason(t).sentence for t in found.failure.tolist())


def test_a_boundary_outside_the_range_of_images_is_reported() -> None:
    far = Scores(torch.stack([torch.zeros(16), torch.ones(16)]), torch.tensor([100.0, 0.0]))
    found, _ = search(far, images(3, 1, 4, 4))
    assert found.failure.tolist() == [FailureReason.OUT_OF_BOUNDS] * 3


class Waves(nn.Module):
    """A class whose logit rises with small changes and falls with larger ones, so that distant planes mislead."""

    def forward(self, images: Tensor) -> Tensor:
        logit = torch.sin(25 * (images - 128 / 255)).flatten(1).sum(1)
        return torch.stack([torch.full_like(logit, 6.0), logit], dim=1)


def test_where_far_steps_mislead_shorter_ones_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.full((1, 1, 4, 4), 128 / 255)
    found, _ = search(Waves(), x, lambda_=3.0)
    assert found.failure.tolist() == [FailureReason.NONE] and Waves()(found.images).argmax(1).item() == 1
    monkeypatch.setattr("granu_sparse_pixel.sparsefool.NARROWER", (1.0,))
    found, _ = search(Waves(), x, lambda_=3.0)
    assert found.failure.tolist() == [FailureReason.OUT_OF_BOUNDS] and torch.equal(found.images, x)


def test_narrower_bounds_lie_within_the_wider_ones_and_on_the_8_bit_grid() -> None:
    x = images(5, 3, 4, 4)
    wide = bounds_around(x, 40 / 255)
    narrow = wide.narrower(x, 1 / 8)
    assert (narrow.lower >= wide.lower).all() and (narrow.upper <= wide.upper).all()
    assert (narrow.upper - x).max() <= 5 / 255 + 1e-6
    for bound in (narrow.lower, narrow.upper):
        torch.testing.assert_close(bound, quantize(bound), rtol=0, atol=1e-6)
    assert wide.narrower(x, 1.0) is wide


def test_a_failed_image_does_not_affect_others() -> None:
    inner = linear((1, 4, 4))

    class Half(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            hidden = images[:, 0, 0, :1] < 0.5
            return torch.where(hidden, inner(images.detach()) + 0 * inner(images), inner(images))

    x = images(8, 1, 4, 4)
    x[:4, 0, 0, 0], x[4:, 0, 0, 0] = 0, 1
    found, _ = search(Half(), x)
    plain, _ = search(inner, x[4:])
    assert (found.failure[:4] == FailureReason.ZERO_GRADIENT).all()
    assert torch.equal(found.images[4:], plain.images)


def test_pruning_and_refining_never_add_changes_and_keep_the_label_wrong() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(12)
    x, rows = batch.images, torch.arange(12)
    criterion = Criterion(classifier(x).argmax(1))
    found, passes = search(classifier, x, solver=Solver.L1, lambda_=3.0)
    pruned = prune(passes, x, found.images, criterion, rows, normal=found.normal, pixels=True, pruning_passes=16)
    refined = refine(passes, x, pruned, criterion, rows, bounds_around(x), pixels=True, rounds=5, pruning_passes=16)
    counts = [(changed != x).flatten(1).sum(1) for changed in (found.images, pruned, refined)]
    assert (counts[1] <= counts[0]).all() and (counts[2] <= counts[1]).all()
    assert counts[2].sum() < counts[0].sum()
    assert criterion.reached(classifier(refined)).all()

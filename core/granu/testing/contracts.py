"""What every plugin must keep, ours or theirs; each function raises AssertionError with a sentence.

Call them from your own tests: `check_plugin("checkers")` for what is installed under that entry point, or
`check_generator`, `check_space`, `check_perturbation`, `check_classifier`, `check_dataset` for a thing you built.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from granu.images.ops import clamp_for_descent
from granu.plugins.catalog import load_catalog
from granu.plugins.offers import Offer, PerturbationOffer, Weights
from granu.plugins.options import describe_options
from granu.plugins.spec import NAME
from granu.search.options import SEARCH_KEYS
from granu.streams import Streams
from granu.types import (
    Batch,
    Classifier,
    Criterion,
    Dataset,
    Evidence,
    Generator,
    ImageEvidence,
    Perturbation,
    Space,
    SpaceFactory,
)

SIZE_TOLERANCE = 1e-3  # relative; kernels round differently for other batch shapes


def check_plugin(name: str) -> None:
    """The entry point `name` loads without load_error and its offers are in order."""
    catalog = load_catalog()
    load_errors = [str(t) for t in catalog.load_errors if t.plugin == name]
    assert not load_errors, load_errors[0]
    offers = [entry.offer for _, entry in catalog.all_entries() if entry.plugin == name]
    assert offers, f"no plugin '{name}' is installed, or it offers nothing"
    for offer in offers:
        check_offer(offer)


def check_offer(offer: Offer | Weights) -> None:
    """An offer is named as people type names, says in one line what it is, and its options have defaults and help."""
    assert NAME.fullmatch(offer.name) and offer.name == offer.name.lower(), f"'{offer.name}' is no lower-case name"
    assert offer.summary and "\n" not in offer.summary, f"'{offer.name}' needs a summary of one line"
    assert offer.licence, f"'{offer.name}' needs a licence"
    if isinstance(offer, Weights):
        return
    keys = [name for name, _, _ in describe_options(offer.options)]
    for name, _, meaning in describe_options(offer.options):
        assert meaning, f"option '{name}' of '{offer.name}' needs help"
    assert not offer.target or offer.target in keys, f"'{offer.name}' has no option '{offer.target}' for its target"
    if isinstance(offer, PerturbationOffer) and offer.searched:
        taken = set(keys) & set(SEARCH_KEYS)
        assert not taken, f"options {sorted(taken)} of '{offer.name}' belong to the searches"


def check_import_without_torch(module: str) -> None:
    """Importing the plugin's plugin module does not import torch; run it in a fresh process."""
    import subprocess

    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, f"{module} imports torch"


def check_generator(generator: Generator, count: int = 3) -> None:
    """Sites, draws and tails keep their promises; a zero edit reproduces the clean image exactly."""
    sites = generator.sites()
    assert sites[-1].name == "image" and sites[-1].scale == "pixel", "the last site must be `image`, in pixels"
    assert len({site.name for site in sites}) == len(sites), "two sites have one name"
    ids = [f"contract#{i}" for i in range(count)]
    chosen = generator.labels
    labels = torch.tensor([chosen[i % len(chosen)] for i in range(count)]) if generator.classes else None
    latent = generator.draw(Streams(0, ids, "draw"), labels)
    clean = generator.tail(latent, ["image"])({})
    again = generator.draw(Streams(0, ids, "draw"), labels)
    assert torch.equal(clean, generator.tail(again, ["image"])({})), "the same streams drew other images"
    alone = generator.tail(latent.select(torch.tensor([count - 1])), ["image"])({})
    _near(alone, clean[-1:], "an image depends on its batch")
    for site in sites:
        tail = generator.tail(latent, [site.name])
        assert tail.clean[site.name].shape == (count, *site.shape), f"'{site.name}' is not of the shape it says"
        zero = torch.zeros(count, *site.shape)
        _near(tail({}), clean, f"the tail behind '{site.name}' draws another image", 1e-5)
        assert torch.equal(tail({site.name: zero}), tail({})), f"a zero edit at '{site.name}' changes the image"
        pushed = Streams(1, ids).normal(*site.shape) * tail.clean[site.name].std().clamp_min(0.1)
        changed = tail({site.name: pushed})
        assert changed.shape == clean.shape, f"an edit at '{site.name}' changes the image's shape"
        picked = tail.select(torch.tensor([1]))({site.name: pushed[1:2]})
        _near(picked, changed[1:2], f"select breaks the tail behind '{site.name}'")
        push = pushed.clone().requires_grad_()
        clamp_for_descent(tail({site.name: push})).square().sum().backward()
        assert push.grad is not None and push.grad.isfinite().all(), f"no gradient reaches '{site.name}'"


def check_space(space: Space, count: int) -> None:
    """Zero changes nothing and has size zero, sizes scale, projections keep budgets, draws have their size."""
    start = space.start()
    assert start.ndim == 2 and len(start) == count, "a change must be (B, D)"
    assert not space.size(start).any(), "the start has a size"
    before = _judged(space, start)
    budget = 0.5 * space.limit().clamp_max(1)
    ids = [f"contract#{i}" for i in range(count)]
    change = space.draw(budget, Streams(0, ids))
    _near(space.size(change), budget, "a drawn change is not of the size asked for", SIZE_TOLERANCE)
    _near(space.size(change / 2), budget / 2, "size does not scale with the change", SIZE_TOLERANCE)
    kept = space.within(2 * change, budget)
    assert (space.size(kept) <= budget * (1 + SIZE_TOLERANCE)).all(), "`within` leaves the budget"
    moved = _judged(space, change)
    assert moved.shape == before.shape, "a change gives evidence of another shape"
    picked = space.select(torch.tensor([count - 1]))
    _near(_judged(picked, change[-1:]), moved[-1:], "select breaks the space")


def check_space_factory(perturbation: SpaceFactory, classifier: Classifier, batch: Batch) -> None:
    """A perturbation that opens a space: the space is in order and zero reproduces the batch's images."""
    assert perturbation.unit, "say the unit of sizes"
    space = perturbation.open(classifier, batch, Streams(0, batch.ids))
    check_space(space, len(batch.ids))
    if space.has_images:
        _near(_judged(space, space.start()), batch.images, "the zero change changes images", 1 / 255)
    else:
        _near(_judged(space, space.start()), classifier(batch.images), "the zero change changes logits")


def check_perturbation(perturbation: Perturbation, classifier: Classifier, batch: Batch) -> None:
    """What is proposed has the right shapes, is the same every time, and does not depend on the batch."""
    proposal = _perturb(perturbation, classifier, batch)
    count = len(batch.ids)
    if isinstance(proposal.evidence, ImageEvidence):
        assert proposal.evidence.images.shape == batch.images.shape, "images change their shape"
    for name in ("size", "tried", "forward", "backward"):
        assert getattr(proposal, name).shape == (count,), f"`{name}` must be one number per image"
    assert len(proposal.notes) == count, "one note (or None) per image"
    again = _perturb(perturbation, classifier, batch)
    assert torch.equal(_shown(proposal.evidence), _shown(again.evidence)), "the same streams gave another result"
    last = torch.tensor([count - 1])
    latent = batch.latent.select(last) if batch.latent is not None else None
    alone = Batch(batch.images[last], batch.labels[last], batch.ids[-1:], latent)
    _near(_perturb(perturbation, classifier, alone).size, proposal.size[last], "a size depends on the batch", 1e-2)


def check_classifier(classifier: Classifier, images: Tensor) -> None:
    """Logits of the right shape, finite, in float32, with a gradient, and independent of the batch."""
    images = images.clone().requires_grad_()
    logits = classifier(images)
    assert logits.shape == (len(images), len(classifier.classes)), "one logit per class is needed"
    assert logits.dtype == torch.float32 and logits.isfinite().all(), "logits must be finite and float32"
    total = logits.exp().sum(dim=1)
    flat = (logits >= 0).all() and torch.allclose(logits.sum(dim=1), torch.ones_like(total), atol=1e-4)
    assert not flat, "these look like probabilities; give logits"
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert gradient.isfinite().all(), "the gradient is not finite"
    _near(classifier(images[-1:]), logits[-1:], "a verdict depends on the batch", 1e-4)


def check_dataset(dataset: Dataset, positions: Sequence[int] = (0,)) -> None:
    """Images in [0, 1] with labels among the classes, and ids that stay."""
    assert len(dataset) > max(positions)
    for index in positions:
        image, label = dataset.read(index)
        assert image.ndim == 3 and image.shape[0] in (1, 3), "images are (C, H, W) with one or three channels"
        assert image.min() >= 0 and image.max() <= 1, "images must be in [0, 1]"
        assert 0 <= label < len(dataset.classes), "labels must be class numbers"
        assert dataset.image_id(index) == dataset.image_id(index), "an image's id must stay the same"


def _judged(space: Space, change: Tensor) -> Tensor:
    """The images in [0, 1], or the logits, that a change is judged by."""
    return _shown(space.evidence(change))


def _shown(evidence: Evidence) -> Tensor:
    if not isinstance(evidence, ImageEvidence):
        return evidence.logits_at()
    images = evidence.images
    assert images.min() >= 0 and images.max() <= 1, "images leave [0, 1]"
    return images


def _perturb(perturbation: Perturbation, classifier: Classifier, batch: Batch):  # type: ignore[no-untyped-def]
    return perturbation.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids, "perturb"))


def _near(one: Tensor, other: Tensor, otherwise: str, tolerance: float = 1e-4) -> None:
    scale = other.abs().amax().clamp_min(1e-6)
    apart = ((one - other).abs().amax() / scale).item()
    assert apart <= tolerance, f"{otherwise} (by {apart:.2g} of its range)"

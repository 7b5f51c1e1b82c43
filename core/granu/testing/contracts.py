"""The contracts that every plugin keeps; each check raises AssertionError with a sentence.

Call them from the tests of a plugin: `check_plugin("checkers")` for everything that the entry point `checkers` offers,
the other checks for single objects. `granu.testing.tiny` has a generator, classifiers and a batch to pass to them.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.plugins.offers import AnyOffer, PerturbationOffer, Suite, Weights
from granu.plugins.options import describe_options
from granu.plugins.spec import NAME
from granu.runs.suites import read_suite
from granu.search.options import SEARCH_KEYS
from granu.streams import Streams
from granu.testing.closeness import check_close
from granu.training.defense import MAIN, Defense
from granu.training.step import TrainingStep
from granu.types import (
    Batch,
    Classifier,
    Criterion,
    Dataset,
    Evidence,
    ImageEvidence,
    Perturbation,
    Proposal,
    Space,
    SpaceFactory,
)
from granu.weights.trained import load_trained, save_trained

SIZE_TOLERANCE = 1e-3  # relative; kernels round differently for other batch shapes
PIXEL_STEP = 1 / 255


def check_plugin(name: str) -> None:
    """Check that the entry point `name` loads without an error and that its offers keep `check_offer`."""
    catalog = load_catalog()
    errors = [str(error) for error in catalog.load_errors if error.plugin == name]
    assert not errors, errors[0]
    offers = [entry.offer for _, entry in catalog.all_entries() if entry.plugin == name]
    assert offers, f"no plugin '{name}' is installed, or it offers nothing"
    for offer in offers:
        check_offer(offer)


def check_offer(offer: AnyOffer) -> None:
    """Check an offer's name, one-line summary and licence, and that all its options have help."""
    assert NAME.fullmatch(offer.name) and offer.name.islower(), f"'{offer.name}' is not a lower-case name"
    assert offer.summary and "\n" not in offer.summary, f"'{offer.name}' needs a summary of one line"
    assert offer.licence, f"'{offer.name}' needs a licence"
    if isinstance(offer, Suite):
        assert read_suite(offer.file).perturbations, f"the suite '{offer.name}' is empty"
    if isinstance(offer, Weights | Suite):
        return
    options = describe_options(offer.options)
    keys = {name for name, _, _ in options}
    for name, _, meaning in options:
        assert meaning, f"option '{name}' of '{offer.name}' needs help"
    assert not offer.target or offer.target in keys, f"'{offer.name}' has no option '{offer.target}' for its target"
    if isinstance(offer, PerturbationOffer) and offer.searched:
        taken = sorted(keys.intersection(SEARCH_KEYS))
        assert not taken, f"options {taken} of '{offer.name}' have the names of search options"


def check_import_without_torch(*modules: str) -> None:
    """Check, in a new process, that importing these plugin modules does not import torch."""
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert result.returncode == 0, f"importing {' or '.join(modules)} imports torch"


def check_space(space: Space, count: int) -> None:
    """Check a space of changes to `count` images.

    The zero change has size 0, sizes scale with the change, `draw` and `within` keep the budget, and the evidence of a
    change has the right shape and range and does not depend on the batch.
    """
    start = space.start()
    assert start.ndim == 2 and len(start) == count, "`start` must be (B, D)"
    assert not space.size(start).any(), "the zero change must have size 0"
    budget = 0.5 * space.limit().clamp_max(1)
    change = space.draw(budget, Streams(0, [f"contract#{i}" for i in range(count)]))
    check_close(space.size(change), budget, "`draw` does not give the size asked for", SIZE_TOLERANCE)
    check_close(space.size(change / 2), budget / 2, "size does not scale with the change", SIZE_TOLERANCE)
    within = space.size(space.within(2 * change, budget))
    assert (within <= budget * (1 + SIZE_TOLERANCE)).all(), "`within` exceeds the budget"
    evidence = space.evidence(change)
    _check_evidence(space.evidence(start), count)
    _check_evidence(evidence, count)
    alone = space.select(torch.tensor([count - 1])).evidence(change[-1:])
    check_close(_values(alone), _values(evidence)[-1:], "`select` changes the evidence")


def check_space_factory(perturbation: SpaceFactory, classifier: Classifier, batch: Batch) -> None:
    """Check the space that a perturbation opens, and that its zero change leaves images and logits as they are."""
    assert perturbation.unit, "a perturbation needs a unit of size"
    space = perturbation.open(classifier, batch, Streams(0, batch.ids))
    check_space(space, len(batch.ids))
    evidence = space.evidence(space.start())
    if isinstance(evidence, ImageEvidence):
        check_close(evidence.images, batch.images, "the zero change changes the images", PIXEL_STEP)
    else:
        check_close(evidence.logits_at(), classifier(batch.images), "the zero change changes the logits")


def check_perturbation(perturbation: Perturbation, classifier: Classifier, batch: Batch) -> None:
    """Check that proposals have the right shapes, are reproducible, and do not depend on the batch."""
    proposal = _perturb(perturbation, classifier, batch)
    count = len(batch.ids)
    _check_evidence(proposal.evidence, count)
    if proposal.control is not None:
        _check_evidence(proposal.control, count)
    if isinstance(proposal.evidence, ImageEvidence):
        assert proposal.evidence.images.shape == batch.images.shape, "changed images must keep the images' shape"
    if proposal.arms is not None:
        sizes = set(proposal.levels or {})
        assert sizes and sizes == set(proposal.arms.unchanged), "`arms` must hold the sizes of `levels`"
        assert len(proposal.arms.reasons) == count, "`arms.reasons` must hold one reason (or None) per image"
        for arm in (proposal.arms.prepared, *proposal.arms.unchanged.values()):
            _check_evidence(arm, count)
    for name in ("size", "tried", "forward", "backward"):
        assert getattr(proposal, name).shape == (count,), f"`{name}` must be (B,)"
    assert len(proposal.notes) == count, "`notes` must hold one note (or None) per image"
    again = _perturb(perturbation, classifier, batch)
    same = torch.equal(_values(proposal.evidence), _values(again.evidence))
    assert same, "the same streams gave a different result"
    last = torch.tensor([count - 1])
    latent = batch.latent.select(last) if batch.latent is not None else None
    alone = Batch(batch.images[last], batch.labels[last], batch.ids[-1:], latent)
    size = _perturb(perturbation, classifier, alone).size
    check_close(size, proposal.size[last], "a size depends on the other images of the batch", 1e-2)


def check_classifier(classifier: Classifier, images: Tensor) -> None:
    """Check that logits are (B, K), finite and float32, have a gradient, and do not depend on the batch."""
    images = images.clone().requires_grad_()
    logits = classifier(images)
    assert logits.shape == (len(images), len(classifier.classes)), "logits must be (B, number of classes)"
    assert logits.dtype == torch.float32 and logits.isfinite().all(), "logits must be finite and float32"
    total = logits.sum(dim=1)
    probabilities = (logits >= 0).all() and torch.allclose(total, torch.ones_like(total), atol=1e-4)
    assert not probabilities, "the outputs look like probabilities; return logits"
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert gradient.isfinite().all(), "the gradient must be finite"
    check_close(classifier(images[-1:]), logits[-1:], "logits depend on the other images of the batch")


def check_classifier_is_saved(classifier: ImageClassifier, context: BuildContext) -> None:
    """Check that a classifier can be trained, saved and opened: the file gives the same classes and logits, bit by bit.

    The classifier offer that `classifier.architecture` names must be in the context's catalog.
    """
    assert classifier.architecture, "`architecture` must be the name of the classifier's offer"
    parameters = list(classifier.parameters())
    assert parameters and all(p.requires_grad for p in parameters), "a classifier that can be trained is not frozen"
    size = classifier.size or (32, 32)
    images = torch.rand(2, classifier.channels or 3, *size, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "saved.safetensors"
        save_trained(file, classifier, classifier.architecture, None, {})
        opened = load_trained(file, context)
    with torch.no_grad():
        same = torch.equal(opened(images), classifier(images))
    assert same, "the opened classifier gives other logits; `network` must build it from `config` as it was"
    assert opened.classes == classifier.classes, "the opened classifier has other classes"
    assert opened.architecture == classifier.architecture, "the opened classifier cannot be saved again"


def check_defense(defense: Defense, classifier: ImageClassifier, batch: Batch, *, per_image: bool = True) -> None:
    """Check what a defense does to a step of training on a batch (at least 2 images); `classifier` is copied.

    `prepare` is repeatable; the loss is a finite scalar with a finite gradient for parameters and leaves them as they
    are; the same streams give the same loss, in any order of the images; `routes` fit the network as it was. With
    `per_image` the loss of the batch is the mean of those of its halves: pass False if the defense looks at the whole
    batch, or the classifier does (batch normalisation).
    """
    states = []
    for _ in range(2):
        prepared = copy.deepcopy(classifier)
        defense.prepare(prepared)
        states.append({name: value.clone() for name, value in prepared.state_dict().items()})
    state = states[1]
    same = states[0].keys() == state.keys() and all(torch.equal(states[0][name], state[name]) for name in state)
    assert same, "`prepare` gives a different network when it is repeated"

    def loss(chosen: Batch) -> Tensor:
        prepared.load_state_dict(state)
        return defense.loss(_training_step(prepared.train(), chosen))

    whole = loss(batch)
    assert whole.ndim == 0 and whole.isfinite(), "the loss must be a finite scalar"
    assert prepared.training, "the classifier must be left in training mode"
    changed = [name for name, value in prepared.named_parameters() if not torch.equal(value, state[name])]
    assert not changed, f"computing the loss changes parameters: {', '.join(changed)}"
    trained = [value for value in prepared.parameters() if value.requires_grad]
    gradients = [g for g in torch.autograd.grad(whole, trained, allow_unused=True) if g is not None]
    assert any(gradient.any() for gradient in gradients), "the loss has no gradient for any parameter"
    assert all(gradient.isfinite().all() for gradient in gradients), "the gradient of the loss must be finite"
    assert torch.equal(loss(batch), whole), "the same streams gave a different loss"
    backwards = batch.select(torch.arange(len(batch.ids)).flip(0))
    check_close(loss(backwards), whole, "the loss depends on the order of the images", SIZE_TOLERANCE)
    if per_image:
        halves = torch.stack([loss(batch.select(index)) for index in torch.arange(len(batch.ids) // 2 * 2).chunk(2)])
        even = loss(batch.select(torch.arange(len(batch.ids) // 2 * 2)))
        check_close(halves.mean(), even, "the loss is not the mean of those of two halves", SIZE_TOLERANCE)
    logits = defense.robust_logits(_training_step(prepared.eval(), batch))
    if logits is not None:
        shape = (len(batch.ids), len(classifier.classes))
        assert logits.shape == shape and logits.isfinite().all(), "`robust_logits` must be finite and (B, K)"
    routes = defense.routes(prepared)
    if routes is not None:
        assert MAIN in routes, f"`routes` must hold the route '{MAIN}'"
        _check_routes(routes, classifier)


def check_dataset(dataset: Dataset, positions: Sequence[int] = (0,)) -> None:
    """Check images, labels and ids at some positions, and that several threads may read them at once."""
    assert len(dataset) > max(positions), f"the dataset has only {len(dataset)} images"
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(dataset.read, [index for index in positions for _ in range(8)]))
    for index in positions:
        image, label = dataset.read(index)
        assert image.ndim == 3 and image.shape[0] in (1, 3), "images must be (C, H, W) with one or three channels"
        assert image.min() >= 0 and image.max() <= 1, "images must be in [0, 1]"
        assert 0 <= label < len(dataset.classes), "labels must be class numbers"
        assert dataset.image_id(index) == dataset.image_id(index), "an image's id must not change"
        same = all(one[1] == label and torch.equal(one[0], image) for one in together[:8])
        assert same, "`read` must give the same image when several threads call it"
        together = together[8:]


def _training_step(classifier: ImageClassifier, batch: Batch) -> TrainingStep:
    streams = Streams(0, batch.ids, "train")
    return TrainingStep(classifier, batch.images, batch.labels, streams, number=5, progress=0.5)


def _check_routes(routes: Mapping[str, Mapping[str, Tensor]], classifier: ImageClassifier) -> None:
    before = {name: value.shape for name, value in classifier.network.state_dict().items()}
    for route, state in routes.items():
        shapes = {name: value.shape for name, value in state.items()}
        assert shapes == before, f"the route '{route}' does not fit the network as it was before `prepare`"


def _check_evidence(evidence: Evidence, count: int) -> None:
    if isinstance(evidence, ImageEvidence):
        images = evidence.images
        assert images.ndim == 4 and len(images) == count, "changed images must be (B, C, H, W)"
        assert images.min() >= 0 and images.max() <= 1, "changed images must be in [0, 1]"
        return
    logits = evidence.logits_at()
    assert logits.ndim == 2 and len(logits) == count, "`logits_at` must give logits (B, K)"
    assert logits.dtype == torch.float32 and logits.isfinite().all(), "logits must be finite and float32"


def _values(evidence: Evidence) -> Tensor:
    """The tensor that evidence is compared by."""
    return evidence.images if isinstance(evidence, ImageEvidence) else evidence.logits_at()


def _perturb(perturbation: Perturbation, classifier: Classifier, batch: Batch) -> Proposal:
    return perturbation.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids, "perturb"))

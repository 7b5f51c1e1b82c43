"""Values that modules exchange, and the protocols that plugins implement (torch for type checkers only).

Letters in shapes: B images, C channels (1 grey, 3 colour), H x W pixels, K classes, D coordinates of a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from granu.streams import Streams


@dataclass(frozen=True)
class Site:
    """A named place in a generator where its activation can be edited.

    `shape` is one image's activation; `scale` says how changes there are measured: "sigma" (in each neuron's
    standard deviation over clean samples) or "pixel" (in image units; only for the last site, `image`).
    `resolution` is the side, in pixels, of the feature map that a vector such as a style acts on.
    """

    name: str
    shape: tuple[int, ...]
    summary: str = ""
    scale: str = "sigma"
    resolution: int | None = None  # None: the last number of a map's shape; a vector without one is of the whole image


class Latent(Protocol):
    """The origin of a batch of images in a generator, drawn or encoded; opaque to the core but for these."""

    labels: Tensor  # (B,) int64; the generator's own class numbers, -1 where it is unconditional

    def select(self, index: Tensor) -> Latent:
        """The latents of some of the images."""


class Tail(Protocol):
    """The part of a generator behind some sites, for one batch of latents."""

    clean: Mapping[str, Tensor]  # site -> (B, *site.shape), the activation of the clean image

    def __call__(self, edits: Mapping[str, Tensor]) -> Tensor:
        """Images (B, C, H, W) with `edits[site]` (B, *site.shape) added to the activation there.

        About [0, 1] but not clamped (the core clamps); differentiable; no edit or a zero edit reproduces the
        clean image exactly.
        """

    def select(self, index: Tensor) -> Tail:
        """The tail for some of the images, without computing its beginning again."""


class EncodedLatent(Latent, Protocol):
    """The encoding of a batch of images, which can be stored."""

    def tensors(self) -> Mapping[str, Tensor]:
        """All that the encoding consists of but the labels: name -> (B, ...)."""


@runtime_checkable
class Generator(Protocol):
    """Makes images from latents; its inside can be edited at named sites, coarse to fine.

    It draws latents (`DrawingGenerator`), or encodes given images (`EncodingGenerator`), or both.
    """

    classes: Sequence[str]  # empty where the generator is unconditional
    fingerprint: str  # changes when weights, truncation or whatever else shapes the images changes

    def sites(self) -> Sequence[Site]:
        """Coarse to fine; the last is `image`, so that pixels are one family with the rest."""

    def tail(self, latent: Latent, sites: Sequence[str]) -> Tail:
        """Compute once what lies before the first of `sites`."""


@runtime_checkable
class DrawingGenerator(Generator, Protocol):
    """A generator that draws images with known labels."""

    labels: Sequence[int]  # the classes that samples are drawn from; all of them unless options say fewer

    def draw(self, noise: Streams, labels: Tensor | None) -> Latent:
        """Latents for the images of `noise`, of these classes (B,); None where the generator is unconditional."""


@runtime_checkable
class EncodingGenerator(Generator, Protocol):
    """A generator that finds the latents of given images, so that its sites can be edited in them.

    The core crops images to its proportions and resizes them; where it is grey, smaller ones are padded with zeros.
    """

    encoding: str  # the parameters that `encode` depends on, beside the fingerprint

    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> EncodedLatent:
        """Latents whose images are as near as possible to `images` (B, C, H, W) in [0, 1], of the site `image`'s shape.

        `labels` (B,) int64 are the generator's own class numbers, -1 where it is unconditional. Each image's encoding
        depends on the image, its label and its stream alone. DataError where an image cannot be encoded: the core then
        encodes those of the batch one by one, and records the sentence for each that fails.
        """

    def restore(self, labels: Tensor, tensors: Mapping[str, Tensor]) -> EncodedLatent:
        """The encoding of these labels (B,) whose `tensors()` were stored."""


class Classifier(Protocol):
    """Images (B, C, H, W) in [0, 1] to logits (B, K) in float32."""

    classes: Sequence[str]

    def __call__(self, images: Tensor) -> Tensor: ...

    def layers(self) -> Mapping[str, nn.Module]:
        """Named modules of the network, for changes inside it; may be empty."""


@dataclass
class Batch:
    """Images that the core hands to a perturbation, all classified correctly."""

    images: Tensor  # (B, C, H, W) in [0, 1], quantized to 8 bits
    labels: Tensor  # (B,) int64
    ids: tuple[str, ...]
    latent: Latent | None = None  # where a generator drew them
    hashes: tuple[str, ...] | None = None  # where a dataset gave them: of each image's pixels and class

    def select(self, index: Tensor) -> Batch:
        """The batch of some of the images; `index` (b,) int64."""
        chosen = index.tolist()
        return Batch(
            self.images[index],
            self.labels[index],
            tuple(self.ids[i] for i in chosen),
            None if self.latent is None else self.latent.select(index),
            None if self.hashes is None else tuple(self.hashes[i] for i in chosen),
        )


@dataclass(frozen=True)
class Criterion:
    """The goal of a search: another class leads the label by `margin` logits."""

    labels: Tensor  # (B,) int64
    margin: float = 0.0

    def joint_logits(self, logits: Tensor) -> Tensor:
        """The logits (B, K) that the criterion is about, from those of everything that a search asks."""
        return logits

    def objective(self, logits: Tensor) -> Tensor:
        """The label's logit minus the largest other logit, (B,); a search drives it below -margin."""
        own = logits.gather(1, self.labels[:, None]).squeeze(1)
        others = logits.scatter(1, self.labels[:, None], float("-inf"))
        return own - others.amax(dim=1)

    def reached(self, logits: Tensor) -> Tensor:
        """(B,) bool, true where another class leads by more than the margin."""
        return self.objective(logits) < -self.margin

    def select(self, index: Tensor) -> Criterion:
        """The criterion for some of the images."""
        return Criterion(self.labels[index], self.margin)


class Space(Protocol):
    """Changes that may be made to a batch; plugins inherit the base class `granu.spaces.base.Space`."""

    unit: str
    has_images: bool
    differentiable: bool
    low_precision: bool

    def start(self) -> Tensor: ...
    def logits(self, change: Tensor) -> Tensor: ...
    def judged_logits(self, change: Tensor) -> Tensor: ...
    def evidence(self, change: Tensor) -> Evidence: ...
    def quantized(self, change: Tensor) -> Tensor: ...
    def size(self, change: Tensor) -> Tensor: ...
    def within(self, change: Tensor, budget: Tensor) -> Tensor: ...
    def direction(self, gradient: Tensor) -> Tensor: ...
    def slope(self, gradient: Tensor) -> Tensor: ...
    def draw(self, budget: Tensor, noise: Streams) -> Tensor: ...
    def patch(self, share: float, noise: Streams) -> Tensor: ...
    def storable(self, budget: Tensor) -> Tensor: ...
    def limit(self) -> Tensor: ...
    def rays(self) -> Tensor | None: ...
    def select(self, index: Tensor) -> Space: ...


@dataclass(frozen=True)
class ImageEvidence:
    """Changed images, judged after quantization to 8 bits."""

    images: Tensor  # (B, C, H, W) in [0, 1]


@dataclass(frozen=True)
class ClassifierEvidence:
    """A change inside the classifier, for which no image exists: judged by the logits alone, in float32.

    `logits_at` computes (B, K) anew whenever the core asks.
    """

    logits_at: Callable[[], Tensor]


Evidence = ImageEvidence | ClassifierEvidence


@dataclass(frozen=True)
class Arms:
    """Images as a perturbation's own model returns them when nothing shall change, at each of its fixed sizes.

    The core judges them as it judges `levels`, so that what the model loses is never a success of the change: an image
    whose prepared version, or unchanged version at the smallest size, is misclassified is left out, and at the other
    sizes a failure counts as long as the unchanged versions up to there are classified correctly.
    """

    prepared: Evidence  # resized and converted as the model needs it, and back; the model itself is not run
    unchanged: Mapping[float, Evidence]  # size -> what the model makes of the image if asked to change nothing
    reasons: tuple[str | None, ...]  # why an image is left out, image by image; None where it is not


@dataclass
class Proposal:
    """A perturbation's proposal for a batch; the core judges its evidence.

    `size` is the proposal's size in the perturbation's unit, `tried` the largest size tried (where a failure is
    censored), `control` a random change of the same size, if the space can draw one. `notes` says, image by image,
    what went wrong; None where nothing did.

    A perturbation that is evaluated at fixed sizes, without a search, gives `levels`: the evidence at each size. The
    core judges all of them, records each verdict, and takes the smallest level that fools in place of `evidence` and
    `size`. With `arms` beside them, the images that sizes and distances begin at are those of `arms.unchanged`.
    """

    evidence: Evidence
    size: Tensor  # (B,)
    tried: Tensor  # (B,)
    forward: Tensor  # (B,) int64: passes through the classifier
    backward: Tensor  # (B,) int64: gradient passes
    notes: tuple[str | None, ...]
    control: Evidence | None = None
    extra: Mapping[str, Tensor] | None = None  # further numbers per image, (B,) each, written to the trial
    levels: Mapping[float, Evidence] | None = None  # size -> evidence
    arms: Arms | None = None  # with `levels` only, of the same sizes
    texts: Mapping[str, tuple[str | None, ...]] | None = None  # further texts per image, written to the trial


class Perturbation(Protocol):
    """A family of changes with a size."""

    unit: str

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        """Propose a change of each image of the batch."""


@runtime_checkable
class SelectivePerturbation(Perturbation, Protocol):
    """A perturbation that has no change for some images, whatever a classifier makes of them."""

    def unsuitable(self, classifier: Classifier, labels: Tensor) -> tuple[str | None, ...]:
        """The reason why an image of a class, `labels` (B,) int64, gets no change; None where it gets one."""


class SpaceFactory(Protocol):
    """A perturbation that defines only what may change; the core's searches find the change."""

    unit: str

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        """The space of changes of this batch."""


@runtime_checkable
class Dataset(Protocol):
    """Labelled images, readable in any order."""

    classes: Sequence[str]

    def __len__(self) -> int: ...

    def image_id(self, index: int) -> str:
        """A name that stays the same from run to run: the path inside the folder, or the row."""

    def read(self, index: int) -> tuple[Tensor, int]:
        """Image (C, H, W) in [0, 1] and its class number; DataError where the image is broken.

        Several threads may call it at once.
        """

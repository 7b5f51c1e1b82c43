"""The cut of a classifier: the modules that run before and behind one of them, and the shape of its features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from granu import ClassifierError, GranuError, ImageClassifier, UnknownName
from granu_advbn.replay import Divisible, Forward, Front, features_of, replaced, run_front, run_rest

IMAGES = 4  # with which a classifier is tried
SIDES = (32, 28, 64, 224, 96, 299)  # tried in turn where a classifier does not say its size
TOLERANCE = 1e-4  # relative; kernels of some devices add in varying order


@dataclass(frozen=True)
class Cut:
    """A classifier divided behind its module `name`."""

    name: str
    before: tuple[str, ...]  # outermost modules that end before it does, in the order of their first calls
    behind: tuple[str, ...]  # modules that begin after it has ended
    position: int  # calls that end before it
    axis: int  # of the channels of its features
    nonnegative: bool  # whether its features are never negative, as after a ReLU
    copies: bool = False  # whether the network changes in place what is kept of a pass

    def front(self, classifier: Divisible, images: Tensor) -> Front:
        """Run the classifier up to the cut."""
        return run_front(classifier, self.name, self.before, images)

    def rest(self, classifier: Divisible, front: Front, features: Tensor) -> Tensor:
        """The logits (B, K) for these features (B, ...) in place of the front's own."""
        return run_rest(classifier, self.name, front, features, self.copies)


def find_cut(classifier: Divisible, name: str, images: Tensor, channels: str = "auto") -> Cut:
    """Observe some passes of these images (B, C, H, W) in evaluation mode, and cut the classifier behind `name`.

    `channels` says where the features' channels are: "first", "last", or "auto". UnknownName if there is no such
    module; ClassifierError if it does not run exactly once, gives no features, or the classifier cannot be divided
    there.
    """
    modules = classifier.layers()
    where = _name_of(classifier)
    if name not in modules:
        raise UnknownName("layer", name, modules, where)
    with torch.no_grad(), evaluating(classifier):
        seen = _observe(classifier, name, images)
        logits = classifier(images)
        if seen.runs != 1:
            times = f"runs {seen.runs} times in a pass" if seen.runs else "does not run"
            raise ClassifierError(f"advbn: '{name}' of '{where}' {times}; name a module that runs once")
        features = _checked_features(seen.output, name, where, len(images))
        cut = Cut(
            name,
            before=seen.before,
            behind=tuple(dict.fromkeys(seen.behind)),
            position=seen.position,
            axis=_channel_axis(features, seen.width, channels),
            nonnegative=False,
        )
        # looked at again, because what runs behind the cut may have changed the output of the observed pass in place
        features = cut.front(classifier, images).features
        cut = replace(cut, nonnegative=bool((features >= 0).all()))
        for candidate in (cut, replace(cut, copies=True)):
            if _is_sound(candidate, classifier, images, logits):
                return candidate
    raise ClassifierError(
        f"advbn: '{where}' cannot be divided behind '{name}', because going on from there gives other logits; "
        "choose another module"
    )


@contextmanager
def evaluating(classifier: Divisible) -> Iterator[None]:
    """The classifier in evaluation mode, if it has modes, so that passes update nothing."""
    training = isinstance(classifier, nn.Module) and classifier.training
    if training:
        classifier.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if training:
            classifier.train()  # type: ignore[attr-defined]


def trial_images(classifier: ImageClassifier) -> list[Tensor]:
    """Images (B, C, H, W) of noise in [0, 1] that the classifier may take; several sizes if it does not say its own."""
    parameter = next(classifier.parameters(), torch.empty(0))
    sizes = [classifier.size] if classifier.size is not None else [(side, side) for side in SIDES]
    channels = [classifier.channels] if classifier.channels is not None else [3, 1]
    generator = torch.Generator().manual_seed(0)
    shapes = [(IMAGES, count, *size) for size in sizes for count in channels]
    return [torch.rand(shape, generator=generator).to(parameter.device) for shape in shapes]


def find_cut_untold(classifier: ImageClassifier, name: str, channels: str) -> tuple[Cut, Tensor]:
    """`find_cut` on noise, with the images that it was tried with. ClassifierError if the classifier takes none."""
    problem: Exception | None = None
    for images in trial_images(classifier):
        try:
            return find_cut(classifier, name, images, channels), images
        except GranuError:
            raise
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:  # images of a size it does not take
            problem = error
    raise ClassifierError(
        f"advbn: '{_name_of(classifier)}' does not say which images it takes and fails with those tried ({problem}); "
        "give it a size"
    )


@dataclass
class _Observation:
    """Record of one pass."""

    name: str
    runs: int = 0
    output: Any = None
    width: int = 0  # output channels of the last module with weights up to the cut, 0 if there is none
    before: tuple[str, ...] = ()
    behind: list[str] = field(default_factory=list)
    position: int = 0
    open: list[int] = field(default_factory=list)  # numbers of the calls that have begun and not ended
    begun: int = 0
    ended: list[tuple[str, int]] = field(default_factory=list)  # module, and number of the call in which it ran

    def observing(self, name: str, module: nn.Module) -> Forward:
        forward = module.forward

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.runs:
                self.behind.append(name)
            caller = self.open[-1] if self.open else 0
            self.begun += 1
            self.open.append(self.begun)
            output = forward(*args, **kwargs)
            self.open.pop()
            if not self.runs:
                self.width = _width(module) or self.width
            if name == self.name:
                self._end(output)
            self.ended.append((name, caller))
            return output

        return call

    def _end(self, output: Any) -> None:
        """Note the end of the cut module: the calls that are still open contain it, and call all others before it."""
        self.runs += 1
        self.output = output
        self.position = len(self.ended)
        inside = {0, *self.open}
        self.before = tuple(dict.fromkeys(name for name, caller in self.ended if caller in inside))


def _observe(classifier: Divisible, name: str, images: Tensor) -> _Observation:
    seen = _Observation(name)
    with replaced({module: seen.observing(other, module) for other, module in classifier.layers().items()}):
        classifier(images)
    return seen


def _width(module: nn.Module) -> int:
    """The number of channels that a module with weights of its own gives, otherwise 0."""
    weight = getattr(module, "_parameters", {}).get("weight")
    if weight is None or not weight.ndim:
        return 0
    return weight.shape[1] if isinstance(module, nn.modules.conv._ConvTransposeNd) else weight.shape[0]


def _checked_features(output: Any, name: str, where: str, count: int) -> Tensor:
    features = features_of(output) if type(output) in (tuple, list) and output else output
    if not isinstance(features, Tensor) or not features.is_floating_point():
        raise ClassifierError(
            f"advbn: '{name}' of '{where}' gives a {type(output).__name__}, not features; name a module inside it"
        )
    if features.ndim < 2 or len(features) != count:
        raise ClassifierError(
            f"advbn: '{name}' of '{where}' gives {tuple(features.shape)} for {count} images, not features of each; "
            "name another module"
        )
    return features


def _channel_axis(features: Tensor, width: int, channels: str) -> int:
    """The axis of the channels: (B, C), (B, C, H, W) or tokens (B, T, C), unless the width of the layers contradicts.

    Where both axes have that width, images have their channels first and tokens have theirs last.
    """
    first, last = 1, features.ndim - 1
    if channels != "auto":
        return first if channels == "first" else last
    usual, other = (last, first) if features.ndim == 3 else (first, last)
    return other if features.shape[other] == width != features.shape[usual] else usual


def _is_sound(cut: Cut, classifier: Divisible, images: Tensor, logits: Tensor) -> bool:
    """True if going on from the cut gives these logits (B, K), twice."""
    front = cut.front(classifier, images)
    again = (cut.rest(classifier, front, front.features) for _ in range(2))
    return all((other - logits).abs().amax() <= TOLERANCE * logits.abs().amax().clamp_min(1e-6) for other in again)


def _name_of(classifier: Divisible) -> str:
    return getattr(classifier, "name", "the classifier")

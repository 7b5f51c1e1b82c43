"""Running a network in two parts: once up to a module, then any number of times from that module's output on.

A network is Python code, so it cannot be entered in the middle. It is run from the beginning instead, with the modules
that come before the cut returning what they returned the first time, which costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils._pytree import tree_map

Forward = Callable[..., Any]


class Divisible(Protocol):
    """A classifier whose network has named modules, such as `granu.ImageClassifier`."""

    def __call__(self, images: Tensor) -> Tensor: ...

    def layers(self) -> Mapping[str, nn.Module]: ...


@dataclass
class Front:
    """The outputs of a classifier up to a cut, for one batch of images."""

    images: Tensor  # (B, C, H, W)
    outputs: Mapping[str, Sequence[Any]]  # module -> its outputs, in the order of its calls
    output: Any  # of the cut module: a tensor, or a tuple that begins with one

    @property
    def features(self) -> Tensor:
        """The tensor in the output of the cut module, (B, ...)."""
        return features_of(self.output)

    def detached(self) -> Front:
        """The same without gradients."""
        return Front(self.images, *(tree_map(_without_gradient, kept) for kept in (self.outputs, self.output)))


def features_of(output: Any) -> Tensor:
    """The first tensor of a module's output."""
    return output[0] if isinstance(output, tuple | list) else output


def run_front(classifier: Divisible, name: str, before: Sequence[str], images: Tensor) -> Front:
    """Run a classifier up to its module `name`, keeping what the modules `before` return."""
    recorder = _Recorder()
    modules = classifier.layers()
    forwards = {modules[other]: recorder.recording(other, modules[other].forward) for other in before}
    with replaced(forwards | {modules[name]: recorder.stopping(modules[name].forward)}):
        try:
            classifier(images)
        except _Reached as reached:
            return Front(images, recorder.outputs, reached.output)
    raise RuntimeError(f"'{name}' did not run")


def run_rest(classifier: Divisible, name: str, front: Front, features: Tensor, copies: bool = False) -> Tensor:
    """The logits (B, K) if the module `name` returned these features (B, ...).

    With `copies` the network gets copies of all that was kept, because it changes it in place.
    """
    own: Callable[[Any], Any] = _copied if copies else _same
    modules = classifier.layers()
    output = features if isinstance(front.output, Tensor) else type(front.output)([features, *front.output[1:]])
    forwards: dict[nn.Module, Forward] = {
        modules[other]: _replaying(deque(outputs), modules[other].forward, own)
        for other, outputs in front.outputs.items()
    }
    with replaced(forwards | {modules[name]: lambda *args, **kwargs: own(output)}):
        return classifier(front.images)


@contextmanager
def replaced(forwards: Mapping[nn.Module, Forward]) -> Iterator[None]:
    """Let modules call other functions in place of their `forward`."""
    before = {module: vars(module).get("forward") for module in forwards}
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module, own in before.items():
            vars(module).pop("forward", None)
            if own is not None:
                vars(module)["forward"] = own


class _Reached(Exception):
    """Ends a pass at the cut."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


@dataclass
class _Recorder:
    """Keeps the outputs of modules, but not of those that run inside another one that is recorded."""

    outputs: dict[str, list[Any]] = field(default_factory=dict)
    inside: bool = False

    def recording(self, name: str, forward: Forward) -> Forward:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.inside:
                return forward(*args, **kwargs)
            self.inside = True
            try:
                output = forward(*args, **kwargs)
            finally:
                self.inside = False
            self.outputs.setdefault(name, []).append(output)
            return output

        return call

    def stopping(self, forward: Forward) -> Forward:
        def call(*args: Any, **kwargs: Any) -> Any:
            raise _Reached(forward(*args, **kwargs))

        return call


def _replaying(outputs: deque[Any], forward: Forward, own: Callable[[Any], Any]) -> Forward:
    """Return the outputs in turn, then call `forward`: a module without weights may run again behind the cut."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return own(outputs.popleft()) if outputs else forward(*args, **kwargs)

    return call


def _same(output: Any) -> Any:
    return output


def _copied(output: Any) -> Any:
    return tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, output)


def _without_gradient(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value

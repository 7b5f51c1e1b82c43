"""What a plugin hands out: cheap, frozen, printable descriptions; building comes later and imports torch then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from granu.plugins.options import NoOptions

if TYPE_CHECKING:
    from torch import Tensor

    from granu.plugins.context import BuildContext
    from granu.types import Site
    from granu.weights.checkpoints import WeightsHeader


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One thing a plugin can build.

    `target` names the option that the bare word after the colon fills ("" means that there is none).
    `make(options, context)` builds the thing and is the place for imports that cost more than a moment.
    `check(options, context)` raises the GranuError that can be known before (a file is missing), without torch.
    """

    kind: ClassVar[str] = "thing"
    name: str
    summary: str
    make: Callable[[Any, BuildContext], Any]
    options: type = NoOptions
    target: str = ""
    check: Callable[[Any, BuildContext], None] | None = None
    licence: str = "Apache-2.0"
    cite: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GeneratorOffer(Offer):
    """A generator; the core derives one perturbation per site from it.

    `sites(options, context)` lists the sites coarse to fine without torch (from the header of the weights);
    `weights(options)` is the name or path of the weights that these options mean. `read(path)` gives what a granu
    weights file of them would hold, whatever form they have; it is what `granu convert` asks.
    """

    kind: ClassVar[str] = "generator"
    sites: Callable[[Any, BuildContext], Sequence[Site]]
    weights: Callable[[Any], str]
    read: Callable[[Path], tuple[WeightsHeader, Mapping[str, Tensor]]] | None = None


@dataclass(frozen=True, kw_only=True)
class PerturbationOffer(Offer):
    """A family of changes. `make` returns a Perturbation.

    With `searched` the core searches its Space and adds the options of the searches to its own; an algorithm
    with a search of its own says False and implements `perturb`. `targets` lists what `name:all` sweeps over,
    coarse to fine, or is a function that lists it for the other options.
    """

    kind: ClassVar[str] = "perturbation"
    searched: bool = True
    targets: Sequence[str] | Callable[[Any], Sequence[str]] = ()

    def sweep(self, options: Any) -> Sequence[str]:
        """What `name:all` means with these options."""
        return self.targets(options) if callable(self.targets) else self.targets


@dataclass(frozen=True, kw_only=True)
class ClassifierOffer(Offer):
    """A classifier. `make` returns a granu.images.classifier.ImageClassifier or anything that keeps that protocol.

    `models` lists the names that the target may take, where they are known beforehand.
    """

    kind: ClassVar[str] = "classifier"
    models: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DefenseOffer(Offer):
    """A training that makes a classifier hold. `make` returns a Defense."""

    kind: ClassVar[str] = "defense"


@dataclass(frozen=True, kw_only=True)
class DatasetOffer(Offer):
    """A place where labelled images come from. `make` returns a Dataset."""

    kind: ClassVar[str] = "dataset"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A weights file that a plugin ships, with what one must know to use it rightly.

    `classifiers` and `judges` are specs that fit a generator's weights; the first classifier is the default.
    `default_source` is the spec of the generator that draws images with these weights where a command names none.
    """

    kind: ClassVar[str] = "weights"
    name: str
    summary: str
    file: Path
    sha256: str
    licence: str
    source: str
    classifiers: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    default_source: str = ""


AnyOffer = Offer | Weights
KINDS: dict[str, type] = {
    cls.kind: cls for cls in (GeneratorOffer, PerturbationOffer, ClassifierOffer, DefenseOffer, DatasetOffer, Weights)
}

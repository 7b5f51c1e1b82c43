"""Offers: frozen descriptions of what a plugin can build. Creating one is cheap; building imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from granu.plugins.options import NoOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from granu.plugins.context import BuildContext
    from granu.types import Site
    from granu.weights.checkpoints import WeightsHeader


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Description of one thing that a plugin can build.

    `target` names the option that the word directly after the colon sets ("" if there is none).
    `make(options, context)` builds the thing; slow imports belong inside it.
    `check(options, context)` raises errors that can be known before building (a missing file), without torch.
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
    """A generator, from which the core derives one perturbation per site.

    `sites(options, context)` lists the sites from coarse to fine without torch (from the header of the weights).
    `weights(options)` returns the name or path of the weights that these options select. `read(path, options)` reads
    weights in another format for `granu convert` and returns the header and tensors of a granu weights file.
    `describe(options, context)` says for `granu info` what the weights hold, under headings such as `architecture`.
    `draws` says that it makes a `DrawingGenerator`, `encodes` that it makes an `EncodingGenerator`; a function of the
    options decides case by case. `samples` is how many clean images measure the standard deviations, by default.
    """

    kind: ClassVar[str] = "generator"
    sites: Callable[[Any, BuildContext], Sequence[Site]]
    weights: Callable[[Any], str]
    read: Callable[[Path, Any], tuple[WeightsHeader, Mapping[str, Tensor]]] | None = None
    describe: Callable[[Any, BuildContext], Mapping[str, str]] | None = None
    draws: bool | Callable[[Any], bool] = True
    encodes: bool | Callable[[Any], bool] = False
    samples: int = 1000

    def can_draw(self, options: Any) -> bool:
        """Return True if the generator draws images with these options."""
        return self.draws(options) if callable(self.draws) else self.draws

    def can_encode(self, options: Any) -> bool:
        """Return True if the generator encodes given images with these options."""
        return self.encodes(options) if callable(self.encodes) else self.encodes


@dataclass(frozen=True, kw_only=True)
class PerturbationOffer(Offer):
    """A family of changes. `make` returns a Perturbation.

    If `searched`, the core searches its spaces and adds the options of the searches to its own; an algorithm with
    its own search sets this to False and implements `perturb`; a function of the options decides case by case, for
    instance not to search where they fix the size. `targets` lists the targets of `name:all` from coarse to fine, or
    is a function of the options that returns this list. `note` is a sentence that reports print below the results.
    """

    kind: ClassVar[str] = "perturbation"
    searched: bool | Callable[[Any], bool] = True
    targets: Sequence[str] | Callable[[Any], Sequence[str]] = ()
    note: str = ""

    def is_searched(self, options: Any) -> bool:
        """Return True if the core searches with these options."""
        return self.searched(options) if callable(self.searched) else self.searched

    def sweep(self, options: Any) -> Sequence[str]:
        """Return the targets of `name:all` with these options."""
        return self.targets(options) if callable(self.targets) else self.targets


@dataclass(frozen=True, kw_only=True)
class ClassifierOffer(Offer):
    """A classifier. `make` returns a `granu.types.Classifier`, for instance an ImageClassifier.

    `models` lists the values that the target may take, if they are known in advance. `network(config, context)` builds
    the network of an ImageClassifier's `config` without its weights, so that one that was trained can be saved and
    opened again; `config` comes from a file, so it must be checked and must not name code to run. `describe(options,
    context)` says what is known of the classifier that these options select, without building it, for `granu info`.
    """

    kind: ClassVar[str] = "classifier"
    models: tuple[str, ...] = ()
    network: Callable[[Mapping[str, Any], BuildContext], nn.Module] | None = None
    describe: Callable[[Any, BuildContext], Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class DefenseOffer(Offer):
    """A training method that makes a classifier more robust. `make` returns a `granu.Defense`.

    If `nested`, the target is another spec, for instance of a perturbation; options that this offer does not have
    belong to it, and further specs may follow it, each after a `|`. The option `target` then is their text. `attacks`
    says that this spec is a perturbation against which it trains, spending `budget=` in `steps=`; `granu harden` takes
    the first defense that does.
    """

    kind: ClassVar[str] = "defense"
    nested: bool = False
    attacks: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetOffer(Offer):
    """A source of labelled images. `make` returns a Dataset."""

    kind: ClassVar[str] = "dataset"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A weights file that a plugin ships, with its licence, source and checksum.

    `classifiers` and `judges` are specs that suit a generator's weights; the first classifier is the default.
    `default_source` is the spec of the generator that draws images with these weights if a command names none.
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


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A named list of perturbations, for `granu eval --suite NAME`; `file` is a TOML file (`granu.runs.suites`)."""

    kind: ClassVar[str] = "suite"
    name: str
    summary: str
    file: Path
    licence: str = "Apache-2.0"


AnyOffer = Offer | Weights | Suite
KINDS: dict[str, type] = {
    cls.kind: cls
    for cls in (GeneratorOffer, PerturbationOffer, ClassifierOffer, DefenseOffer, DatasetOffer, Weights, Suite)
}

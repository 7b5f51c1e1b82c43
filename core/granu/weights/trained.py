"""Trained classifiers as weights files, whose header rebuilds the network and its preprocessing.

The header's `architecture` is the name of the classifier offer whose `network` builds the network from `config`; it is
empty for a network from a person's own code. A file holds one state dict or several, its routes: `main` under the
tensors' own names, of any other route the tensors that differ, under `route:NAME:TENSOR`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu.errors import ClassifierError, PluginError, UnknownName, WeightsError
from granu.plugins.catalog import Catalog
from granu.plugins.offers import ClassifierOffer
from granu.weights.checkpoints import (
    WeightsHeader,
    check_fit,
    load_strictly,
    read_tensors,
    read_weights_header,
    save_weights,
)
from granu.weights.preprocessing import Preprocessing, read_preprocessing
from granu.wording import shown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from granu.images.classifier import ImageClassifier
    from granu.plugins.context import BuildContext

MAIN = "main"  # the route that a trained classifier takes unless another is asked for
MEAN = "mean"  # the mean of the logits of all routes
ROUTE_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class TrainedHeader:
    """The header of a trained classifier's file: `about` says how it was trained, `routes` begins with `main`."""

    file: Path
    architecture: str
    config: Mapping[str, Any]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    routes: tuple[str, ...]
    about: Mapping[str, Any]

    @property
    def choices(self) -> tuple[str, ...]:
        """The routes that can be asked for."""
        return (*self.routes, MEAN) if len(self.routes) > 1 else self.routes

    def check_route(self, route: str) -> None:
        """Raise UnknownName, with the routes there are, unless the file has this one."""
        if route not in self.choices:
            raise UnknownName("route", shown(route), self.choices, str(self.file))

    def builder(self, catalog: Catalog) -> ClassifierOffer:
        """The offer that rebuilds the network. WeightsError if there is none."""
        if not self.architecture:
            raise WeightsError(
                f"{self.file} holds the weights of a network from somebody's own code, which granu does not store; "
                "name the code with network=, like network=python:mymodel.py:build"
            )
        try:
            offer = catalog.find("classifier", self.architecture).offer
        except UnknownName:
            raise WeightsError(
                f"{self.file} holds a network of '{shown(self.architecture)}', which no installed plugin offers; "
                "install the plugin that it was trained with"
            ) from None
        if not isinstance(offer, ClassifierOffer) or offer.network is None:
            raise WeightsError(f"{self.file} names '{shown(self.architecture)}', which rebuilds no networks from files")
        return offer


def save_trained(
    file: Path,
    classifier: ImageClassifier,
    architecture: str | None,
    routes: Mapping[str, Mapping[str, Tensor]] | None,
    about: Mapping[str, Any],
) -> None:
    """Write a trained classifier, as a whole or not at all. WeightsError if the file cannot be written.

    `architecture` is the name of the classifier offer that rebuilds the network from `classifier.config`. `routes` are
    state dicts of the network that it builds, `main` and maybe others; None for the network's own state dict alone.
    `about` is plain data that says how the classifier was trained.
    """
    check_is_one_network(classifier)
    states = dict(routes) if routes else {MAIN: classifier.network.state_dict()}
    _check_routes(states)
    tensors = dict(states[MAIN])
    for route, state in states.items():
        if route != MAIN:
            tensors |= {f"{_prefix(route)}{name}": value for name, value in _differing(state, states[MAIN]).items()}
    rebuilt = architecture is not None and classifier.config is not None
    header = WeightsHeader(
        (architecture or "") if rebuilt else "",
        (classifier.config or {}) if rebuilt else {},
        tuple(classifier.classes),
        {
            **about,
            "preprocessing": Preprocessing.of(classifier).values(),
            "routes": [MAIN, *(route for route in states if route != MAIN)],
        },
    )
    try:
        save_weights(file, tensors, header)
    except OSError as problem:
        raise WeightsError(f"cannot write {file}: {problem.strerror}") from None


def check_can_be_saved(classifier: ImageClassifier, context: BuildContext) -> None:
    """Check before a training that its result can be opened again. ClassifierError if not, with what would be right."""
    check_is_one_network(classifier)
    if classifier.architecture is None or classifier.config is None:
        return  # the network is named when the file is opened
    from granu.weights.rebuilding import shapes_of

    offer = context.catalog.find("classifier", classifier.architecture).offer
    config = json.loads(json.dumps(dict(classifier.config)))  # as a file holds it
    build = getattr(offer, "network", None)
    if build is None:
        raise PluginError(f"`{classifier.name}` cannot be saved: '{classifier.architecture}' builds no networks again")
    shapes = shapes_of(lambda: build(config, context))
    try:
        if shapes is not None:
            check_fit(shapes, classifier.network.state_dict(), Path(classifier.name))
    except WeightsError as problem:
        raise ClassifierError(
            f"`{classifier.name}` is another network than its description builds, so it could not be opened after the "
            f"training: {problem}"
        ) from None


def check_is_one_network(classifier: ImageClassifier) -> None:
    """Raise ClassifierError if the classifier is the mean of several routes, which no single network equals."""
    from granu.weights.routes import MeanOfRoutes

    if isinstance(classifier.network, MeanOfRoutes):
        raise ClassifierError(
            f"'{classifier.name}' is the mean of several routes and cannot be trained as one network; open one of them "
            f"with route={MAIN}"
        )


def read_trained(file: Path) -> TrainedHeader:
    """Read the header of a trained classifier's file, without torch. WeightsError if it is none, or forged."""
    header = read_weights_header(file, None)
    about = dict(header.about)
    if "preprocessing" not in about:
        raise WeightsError(f"{file} holds no trained classifier, whose header states its preprocessing")
    try:
        preprocessing = read_preprocessing(about.pop("preprocessing"))
        routes = _read_routes(about.pop("routes", None))
        classes = _read_classes(header)
    except ValueError as problem:
        raise WeightsError(f"the header of {file} is damaged: it states {problem}") from None
    return TrainedHeader(file, header.architecture, header.config, classes, preprocessing, routes, about)


def load_trained(
    file: Path,
    context: BuildContext,
    route: str = MAIN,
    *,
    name: str = "",
    network: nn.Module | None = None,
) -> ImageClassifier:
    """Open a trained classifier. Nothing in the file is run, and its tensors must fit the network exactly.

    `route` is one of the file's routes, or `mean` for the mean of their logits. `network` is the network to load the
    weights into, for files of networks that no offer rebuilds. WeightsError if the file is damaged, forged, or of
    another network.
    """
    header = read_trained(file)
    header.check_route(route)
    offer = header.builder(context.catalog) if network is None else None
    states = _split(header, read_tensors(file))
    routes = header.routes if route == MEAN else (route,)
    built = [_network(header, states[one], offer, network, context) for one in routes]
    if len(built) == 1:
        rebuilt = {"architecture": header.architecture, "config": header.config} if offer is not None else {}
        return header.preprocessing.wrap(built[0], header.classes, name=name or str(file), **rebuilt)
    from granu.weights.routes import MeanOfRoutes

    return header.preprocessing.wrap(
        MeanOfRoutes(dict(zip(routes, built, strict=True))), header.classes, name=name or str(file)
    )


def _network(
    header: TrainedHeader,
    state: Mapping[str, Tensor],
    offer: ClassifierOffer | None,
    given: nn.Module | None,
    context: BuildContext,
) -> nn.Module:
    import copy

    from granu.weights.rebuilding import build_strictly

    if given is not None:
        network = copy.deepcopy(given)
        load_strictly(network, state, header.file)
        return network
    assert offer is not None and offer.network is not None
    build = offer.network
    return build_strictly(lambda: build(header.config, context), state, header.file)


def _check_routes(states: Mapping[str, Mapping[str, Tensor]]) -> None:
    if MAIN not in states:
        raise PluginError(f"a defense gave the routes {', '.join(states)}; one must be '{MAIN}'")
    for route, state in states.items():
        if not ROUTE_NAME.fullmatch(route) or route == MEAN:
            raise PluginError(f"a defense named a route '{route}'; use lower-case letters, and not '{MEAN}'")
        try:
            check_fit(states[MAIN], state, Path(f"route '{route}'"))
        except WeightsError as problem:
            raise PluginError(f"the routes that a defense gave differ in their tensors: {problem}") from None


def _differing(state: Mapping[str, Tensor], main: Mapping[str, Tensor]) -> dict[str, Tensor]:
    import torch

    return {name: value for name, value in state.items() if not torch.equal(value.cpu(), main[name].cpu())}


def _split(header: TrainedHeader, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The state dict of each route. Tensors of a route that the header does not name stay with `main`."""
    others = {route: _prefix(route) for route in header.routes if route != MAIN}
    main = {name: value for name, value in tensors.items() if not name.startswith(tuple(others.values()))}
    states = {MAIN: main}
    for route, prefix in others.items():
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        states[route] = {**main, **own}
    return states


def _prefix(route: str) -> str:
    return f"route:{route}:"


def _read_routes(values: Any) -> tuple[str, ...]:
    names = isinstance(values, list) and all(isinstance(v, str) and ROUTE_NAME.fullmatch(v) for v in values)
    if not names or not values or values[0] != MAIN or MEAN in values or len(set(values)) < len(values):
        raise ValueError(f"no routes that begin with '{MAIN}'")
    return tuple(values)


def _read_classes(header: WeightsHeader) -> tuple[str, ...]:
    if len(header.classes) < 2 or not all(header.classes):
        raise ValueError("no names of at least two classes")
    return header.classes

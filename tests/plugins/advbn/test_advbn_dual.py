"""Normalisation layers that exist twice: fresh ones agree, each keeps its own state, routes have the first names."""

from __future__ import annotations

import copy

import pytest
import torch
from advbn_networks import Dense, Plain, Residual, Tokens, classifier_of, make_step
from torch import Tensor, nn

from granu.training.dual import AUX_ROUTE, MAIN_ROUTE, DualNorm, duplicate_norms, is_norm, route_state, routed


def duplicated(network: nn.Module) -> nn.Module:
    duplicate_norms(network, [module for module in network.modules() if is_norm(module)])
    return network


@pytest.mark.parametrize("make", [Plain, Residual, Dense, Tokens])
def test_fresh_routes_agree_exactly_and_with_the_network_before(make: type[nn.Module]) -> None:
    classifier = classifier_of(make()).eval()
    images = make_step(classifier).images
    logits = classifier(images)
    duplicated(classifier.network)
    assert torch.equal(classifier(images), logits)
    with routed(classifier.network, AUX_ROUTE):
        assert torch.equal(classifier(images), logits)


def test_each_route_updates_its_own_statistics() -> None:
    classifier = classifier_of(Plain())
    duplicated(classifier.network)
    images = make_step(classifier).images
    main, aux = (route_state(classifier.network, route) for route in (MAIN_ROUTE, AUX_ROUTE))
    main, aux = copy.deepcopy(main), copy.deepcopy(aux)
    with routed(classifier.network, AUX_ROUTE):
        classifier(images)
    assert same(route_state(classifier.network, MAIN_ROUTE), main) and not same(
        route_state(classifier.network, AUX_ROUTE), aux
    )
    aux = copy.deepcopy(route_state(classifier.network, AUX_ROUTE))
    classifier(images)
    assert same(route_state(classifier.network, AUX_ROUTE), aux) and not same(
        route_state(classifier.network, MAIN_ROUTE), main
    )


def test_the_route_is_main_again_after_a_failure() -> None:
    network = duplicated(Plain())
    with pytest.raises(ZeroDivisionError), routed(network, AUX_ROUTE):
        assert {dual.route for dual in duals(network)} == {AUX_ROUTE}
        raise ZeroDivisionError
    assert {dual.route for dual in duals(network)} == {MAIN_ROUTE}


def test_a_copy_has_a_route_of_its_own() -> None:
    network = duplicated(Plain())
    other = copy.deepcopy(network)
    with routed(network, AUX_ROUTE):
        assert {dual.route for dual in duals(other)} == {MAIN_ROUTE}


@pytest.mark.parametrize("make", [Plain, Residual, Dense, Tokens])
def test_states_of_routes_fit_the_network_before(make: type[nn.Module]) -> None:
    classifier = classifier_of(make())
    duplicated(classifier.network)
    for parameter in classifier.parameters():
        parameter.data += torch.randn_like(parameter) / 10
    images = make_step(classifier.eval()).images
    for route in (MAIN_ROUTE, AUX_ROUTE):
        fresh = classifier_of(make(), seed=5).eval()
        fresh.network.load_state_dict(route_state(classifier.network, route))
        with routed(classifier.network, route):
            torch.testing.assert_close(fresh(images), classifier(images))
    assert not same(route_state(classifier.network, MAIN_ROUTE), route_state(classifier.network, AUX_ROUTE))


def test_a_layer_with_two_names_is_duplicated_once() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    network.append(network[1])
    keys = set(network.state_dict())
    duplicated(network)
    assert network[1] is network[2] and len(duals(network)) == 1
    assert set(route_state(network, AUX_ROUTE)) == keys


def test_attributes_are_those_of_the_layer_that_is_applied() -> None:
    dual = DualNorm(nn.BatchNorm2d(4))
    dual.aux.weight.data.zero_()
    assert dual.eps == 1e-5 and dual.weight is dual.main.weight
    dual.route = AUX_ROUTE
    assert dual.weight is dual.aux.weight
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dual.nothing


class ScaleNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.g * x / x.norm()


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.BatchNorm2d(4), True),
        (nn.BatchNorm1d(4, affine=False), True),
        (nn.SyncBatchNorm(4), True),
        (nn.LayerNorm(4), True),
        (nn.GroupNorm(2, 4), True),
        (nn.InstanceNorm2d(4, affine=True), True),
        (nn.RMSNorm(4), True),
        (ScaleNorm(), True),
        (nn.LayerNorm(4, elementwise_affine=False), False),
        (nn.InstanceNorm2d(4), False),
        (nn.Conv2d(3, 4, 1), False),
        (nn.LocalResponseNorm(2), False),
    ],
)
def test_layers_with_a_state_of_their_own_are_normalisation(module: nn.Module, expected: bool) -> None:
    assert is_norm(module) is expected


def duals(network: nn.Module) -> list[DualNorm]:
    return [module for module in network.modules() if isinstance(module, DualNorm)]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)

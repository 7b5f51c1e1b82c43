"""The defense `advbn`: what a step minimises, what it leaves alone, and the adversary's strength."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from advbn_networks import Dense, Plain, Residual, Tokens, classifier_of, defense, make_step, train
from torch import Tensor, nn
from torch.nn import functional as F

from granu import Batch, ClassifierError, Defense, ImageClassifier, OptionError, Streams, TrainingStep, UnknownName
from granu.plugins.catalog import load_catalog
from granu.plugins.spec import parse_spec
from granu.testing import check_defense
from granu.training.dual import AUX_ROUTE, MAIN_ROUTE, DualNorm, routed
from granu_advbn.defense import AdvBN
from granu_advbn.statistics import Multipliers

NETWORKS = [(Plain, "layer1"), (Residual, "deep1.0"), (Dense, "layers.0"), (Tokens, "blocks.0")]


def prepared(spec: str, make: type[nn.Module] = Plain, seed: int = 0) -> tuple[AdvBN, ImageClassifier]:
    """A defense and its network, both in training mode."""
    classifier, advbn = classifier_of(make(), seed), defense(spec)
    advbn.prepare(classifier)
    return advbn, classifier


def state(module: nn.Module) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def unequal(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    assert one.keys() == other.keys()
    return {key for key in one if not torch.equal(one[key], other[key])}


def seen_changes(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The changes that are applied from now on."""
    seen: list[Tensor] = []
    apply = Multipliers.apply

    def recorded(self: Multipliers, features: Tensor, moments: Any, change: Tensor) -> Tensor:
        seen.append(change.detach().clone())
        return apply(self, features, moments, change)

    monkeypatch.setattr(Multipliers, "apply", recorded)
    return seen


@pytest.mark.parametrize(("make", "layer"), NETWORKS)
def test_with_epsilon_zero_both_losses_are_that_of_the_images(make: type[nn.Module], layer: str) -> None:
    advbn, classifier = prepared(f"advbn:{layer},epsilon=0", make)
    torch.manual_seed(0)
    classifier.eval()  # no dropout, and no batch statistics
    step = make_step(classifier)
    assert torch.equal(advbn.loss(step), 2 * F.cross_entropy(classifier(step.images), step.labels))


@pytest.mark.parametrize(("make", "layer"), NETWORKS)
@pytest.mark.parametrize("scope", ["batch", "sample", "group:5"])
def test_what_comes_up_to_the_cut_stays_bit_for_bit(make: type[nn.Module], layer: str, scope: str) -> None:
    advbn, classifier = prepared(f"advbn:{layer},scope={scope}", make)
    before = state(classifier.network)
    cut = advbn.cuts[0]
    train(classifier, advbn)
    changed = unequal(before, state(classifier.network))
    front = {f"{name}." for name in (*cut.before, cut.name)}
    assert changed and not [key for key in changed if key.startswith(tuple(front))]
    assert "positions" not in changed
    behind = {key for key in before if not key.startswith(tuple(front)) and before[key].is_floating_point()}
    assert changed >= behind - {"positions"}


def test_without_freezing_all_is_trained_once() -> None:
    advbn, classifier = prepared("advbn:layer1,freeze=no")
    before = state(classifier.network)
    train(classifier, advbn, steps=1)
    assert unequal(before, state(classifier.network)) == set(before)
    assert classifier.network.stem[1].num_batches_tracked == 1


def test_both_losses_reach_what_is_trained_in_front_of_the_cut() -> None:
    advbn, classifier = prepared("advbn:layer1,freeze=no,random=corners")
    weight = classifier.network.stem[0].weight
    step = make_step(classifier)
    (both,) = torch.autograd.grad(advbn.loss(step), weight)
    (clean,) = torch.autograd.grad(F.cross_entropy(classifier(step.images), step.labels), weight)
    assert (both - clean).norm() > 0.05 * clean.norm()


@pytest.mark.parametrize(("make", "layer"), NETWORKS)
@pytest.mark.parametrize("scope", ["batch", "sample", "group:5"])
def test_the_adversary_is_stronger_than_chance_of_equal_size(make: type[nn.Module], layer: str, scope: str) -> None:
    losses = {}
    for control in ("no", "uniform", "corners"):
        advbn, classifier = prepared(f"advbn:{layer},random={control},scope={scope}", make)
        classifier.eval()
        steps = [learned_step(classifier, number) for number in range(5)]
        losses[control] = sum(cross_entropy(advbn.robust_logits(step), step.labels) for step in steps) / 5
    clean = sum(cross_entropy(classifier(step.images), step.labels) for step in steps) / 5
    assert losses["no"] > max(losses["corners"], losses["uniform"], clean) + 0.3


def learned_step(classifier: ImageClassifier, number: int = 0) -> TrainingStep:
    """A step whose labels are the classifier's own, so that its loss is small."""
    step = make_step(classifier, number=number, seed=number)
    return replace(step, labels=classifier(step.images).argmax(1))


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    return float(F.cross_entropy(logits, labels).detach())


@pytest.mark.parametrize("init", ["ones", "uniform"])
@pytest.mark.parametrize("scope", ["batch", "sample", "group:5"])
def test_multipliers_keep_their_bounds(monkeypatch: pytest.MonkeyPatch, init: str, scope: str) -> None:
    seen = seen_changes(monkeypatch)
    advbn, classifier = prepared(f"advbn:layer1,epsilon=0.7,step=0.3,init={init},scope={scope},min-scale=0.6")
    advbn.loss(make_step(classifier))
    rows = {"batch": 1, "sample": 12, "group:5": 3}[scope]
    assert len(seen) == 7 and {tuple(change.shape) for change in seen} == {(rows, 16)}
    assert all(change.abs().max() <= 0.7 + 1e-6 for change in seen)
    assert all(change[:, 8:].min() >= -0.4 - 1e-6 for change in seen)
    assert seen[-1].abs().max() > 0.69
    assert bool(seen[0].any()) is (init == "uniform")
    assert torch.equal(seen[1] - seen[0] != 0, seen[1] != seen[0])


@pytest.mark.parametrize(("spec", "applied"), [("steps=6", 7), ("steps=2", 3), ("random=uniform", 1)])
def test_each_attack_step_is_one_pass(monkeypatch: pytest.MonkeyPatch, spec: str, applied: int) -> None:
    advbn, classifier = prepared(f"advbn:layer1,{spec}")
    seen = seen_changes(monkeypatch)
    passes: list[str] = []
    for name in ("stem", "fc"):
        classifier.layer(name).register_forward_hook(lambda *_, name=name: passes.append(name))
    advbn.loss(make_step(classifier))
    assert len(seen) == applied
    assert passes.count("fc") == applied + 1  # the clean images
    assert passes.count("stem") == 1 + applied + 1  # hooks see what is returned again, too


def test_the_front_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    advbn, classifier = prepared("advbn:layer1")
    runs: list[str] = []
    for name in ("stem.0", "layer1.0", "layer2.0"):
        classifier.layer(name).register_forward_hook(lambda *_, name=name: runs.append(name))
    advbn.loss(make_step(classifier))
    assert [runs.count(name) for name in ("stem.0", "layer1.0", "layer2.0")] == [1, 1, 8]


def test_controls_draw_from_the_whole_range(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_changes(monkeypatch)
    for control in ("uniform", "corners"):
        advbn, classifier = prepared(f"advbn:layer1,random={control},scope=sample")
        advbn.loss(make_step(classifier))
    uniform, corners = seen
    assert uniform.abs().max() <= 1.1 and uniform.std() == pytest.approx(1.1 / 3**0.5, rel=0.15)
    assert set(corners.unique().tolist()) == set(torch.tensor([-1.1, 1.1]).tolist())


def test_a_step_draws_anew_and_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_changes(monkeypatch)
    for scope in ("batch", "sample"):
        advbn, classifier = prepared(f"advbn:layer1,random=uniform,scope={scope}")
        for number, seed in ((0, 0), (0, 0), (1, 0), (0, 1)):
            advbn.loss(make_step(classifier, number=number, seed=seed))
        one, again, later, other = seen
        assert torch.equal(one, again) and not torch.equal(one, other)
        assert torch.equal(one, later) is (scope == "sample")  # streams of images tell epochs apart themselves
        seen.clear()


def test_changes_of_single_images_do_not_depend_on_the_batch() -> None:
    advbn, classifier = prepared("advbn:layer1,scope=sample,init=uniform")
    classifier.eval()
    step = make_step(classifier)
    index = torch.tensor([7])
    alone = TrainingStep(classifier, step.images[index], step.labels[index], step.streams.select([7]), 0, 0.0)
    torch.testing.assert_close(advbn.robust_logits(alone), advbn.robust_logits(step)[index])


def test_the_attack_updates_nothing() -> None:
    advbn, classifier = prepared("advbn:layer1")
    before = state(classifier)
    with torch.no_grad():
        advbn.robust_logits(make_step(classifier.eval()))
    assert not unequal(before, state(classifier))
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_one_step_counts_once_for_each_route() -> None:
    advbn, classifier = prepared("advbn:layer1")
    advbn.loss(make_step(classifier))
    norm = classifier.network.layer2[1]
    assert isinstance(norm, DualNorm)
    assert norm.main.num_batches_tracked == 1 and norm.aux.num_batches_tracked == 1
    assert classifier.training and norm.route == MAIN_ROUTE and not classifier.network.stem.training


def test_the_main_route_takes_clean_statistics_and_gradients_alone() -> None:
    advbn, classifier = prepared("advbn:layer1")
    plain = copy.deepcopy(classifier)
    step = make_step(classifier)
    advbn.loss(step).backward()
    F.cross_entropy(plain(step.images), step.labels).backward()
    ours, alone = (network.network.layer2[1].main for network in (classifier, plain))
    assert torch.equal(ours.running_mean, alone.running_mean) and torch.equal(ours.running_var, alone.running_var)
    torch.testing.assert_close(ours.weight.grad, alone.weight.grad)
    assert plain.network.layer2[1].aux.weight.grad is None
    assert classifier.network.layer2[1].aux.weight.grad.abs().sum() > 0
    assert (classifier.network.fc.weight.grad - plain.network.fc.weight.grad).abs().sum() > 0


def test_the_loss_is_the_sum_of_both() -> None:
    advbn, classifier = prepared("advbn:layer1,random=corners")
    other = copy.deepcopy(classifier)
    step = make_step(classifier)
    loss = advbn.loss(step)
    part = advbn._divide(make_step(other), advbn.cuts[0], Streams(0, ["step#0"], "advbn"))
    changed = part.changed(part.front.features, advbn._start(part))
    with routed(other.network, AUX_ROUTE):
        adversarial = F.cross_entropy(part.rest(changed), step.labels)
    clean = F.cross_entropy(other(step.images), step.labels)
    torch.testing.assert_close(loss, adversarial + clean)


@pytest.mark.parametrize(("make", "layer"), NETWORKS)
def test_routes_rebuild_the_network(make: type[nn.Module], layer: str) -> None:
    advbn, classifier = prepared(f"advbn:{layer}", make)
    train(classifier, advbn)
    routes = advbn.routes(classifier)
    assert routes is not None and list(routes) == [MAIN_ROUTE, AUX_ROUTE]
    step = make_step(classifier.eval())
    for route in (MAIN_ROUTE, AUX_ROUTE):
        fresh = classifier_of(make(), seed=9).eval()
        fresh.network.load_state_dict(routes[route])
        with routed(classifier.network, route):
            torch.testing.assert_close(fresh(step.images), classifier(step.images))


def test_without_dual_normalisation_nothing_is_renamed() -> None:
    classifier = classifier_of(Plain())
    keys = list(classifier.network.state_dict())
    advbn = defense("advbn:layer1,dual=no")
    advbn.prepare(classifier)
    assert advbn.routes(classifier) is None and list(classifier.network.state_dict()) == keys
    advbn.loss(make_step(classifier)).backward()
    assert classifier.network.layer2[1].num_batches_tracked == 2


class Counting(Defense):
    """Keeps the images that it is given."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def loss(self, step: TrainingStep) -> Tensor:
        self.images.append(step.images)
        return step.rest(step.images)


def test_defenses_behind_it_get_the_images_and_the_main_route() -> None:
    advbn, classifier = prepared("advbn:layer1,random=corners")
    counting, other = Counting(), copy.deepcopy(classifier)
    step = make_step(classifier, following=[counting])
    loss = advbn.loss(step)
    assert torch.equal(counting.images[0], step.images)
    torch.testing.assert_close(loss, advbn.loss(make_step(other)))
    assert classifier.network.layer2[1].main.num_batches_tracked == 1  # one clean pass, that of the other defense


def test_of_several_cuts_each_step_draws_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    divide = AdvBN._divide

    def recorded(self: AdvBN, step: TrainingStep, cut: Any, common: Streams) -> Any:
        names.append(cut.name)
        return divide(self, step, cut, common)

    monkeypatch.setattr(AdvBN, "_divide", recorded)
    advbn, classifier = prepared("advbn:layer2.0+stem+layer1,random=uniform")
    for part in (slice(0, 6), slice(6, 12)):  # as two processes would
        for number in range(12):
            step = make_step(classifier, number=number)
            streams = step.streams.select(range(12)[part])
            advbn.loss(replace(step, images=step.images[part], labels=step.labels[part], streams=streams))
    assert set(names) == {"stem", "layer1", "layer2.0"} and names[:12] == names[12:]


def test_several_cuts_freeze_what_comes_before_the_earliest_and_double_what_comes_behind() -> None:
    advbn, classifier = prepared("advbn:layer2.0+layer1")
    network = classifier.network
    assert not any(parameter.requires_grad for parameter in network.layer1.parameters())
    assert isinstance(network.layer2[1], DualNorm) and not isinstance(network.layer1[1], DualNorm)
    train(classifier, advbn, steps=6)
    advbn, classifier = prepared("advbn:layer1+stem")
    before = state(classifier.network)
    train(classifier, advbn, steps=6)
    changed = unequal(before, state(classifier.network))
    assert "layer1.0.weight" in changed and not [key for key in changed if key.startswith("stem")]


@pytest.mark.parametrize(
    ("make", "layer", "message"),
    [
        (Plain, "layer2", "no normalisation layer runs behind 'layer2' of 'small', so there is nothing to have twice"),
        (Plain, "layer2.1", "no normalisation layer runs behind 'layer2.1'"),
        (Plain, "fc,dual=no", "nothing is left to train behind 'fc' of 'small'"),
    ],
)
def test_cuts_too_far_behind_are_refused(make: type[nn.Module], layer: str, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        prepared(f"advbn:{layer}", make)


def test_a_layer_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'layer1'"):
        prepared("advbn:layer2+layr1")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("advbn", "needs the module behind which features are changed; write it like advbn:layer1"),
        ("advbn:layer1++layer2", "names an empty module; join modules by single pluses"),
        ("advbn:layer1,scope=group", "scope=group is not one of its values: batch, sample, or group:8"),
        ("advbn:layer1,scope=group:0", "scope=group:0 is not one of its values"),
        ("advbn:layer1,epsilon=-1", "epsilon=-1.0 is out of range"),
        ("advbn:layer1,min-scale=2", "min-scale=2.0 is out of range"),
        ("advbn:layer1,mean=sigmas", "did you mean 'sigma'"),
    ],
)
def test_options_that_make_no_sense_are_refused(spec: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        resolved = load_catalog().resolve("defense", parse_spec(spec))
        resolved.offer.check(resolved.options, None)  # type: ignore[union-attr, misc, arg-type]


def test_preparing_leaves_weights_mode_and_random_numbers_as_they_are() -> None:
    classifier = classifier_of(Residual())
    before = state(classifier)
    torch.manual_seed(3)
    defense("advbn:deep1,dual=no").prepare(classifier)
    assert classifier.training and not unequal(before, state(classifier))
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), drawn)


@pytest.mark.parametrize(
    ("model", "layer"), [("test_resnet", "layer1"), ("test_vit", "blocks.0"), ("test_convnext", "stages.0")]
)
def test_networks_of_timm_can_be_trained(timm: ModuleType, model: str, layer: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model(model, num_classes=3)
    size = network.pretrained_cfg["input_size"][1:]
    classifier = ImageClassifier(network, ("a", "b", "c"), size=size).train()
    advbn = defense(f"advbn:{layer},steps=2")
    advbn.prepare(classifier)
    before = state(network)
    train(classifier, advbn, steps=2)
    cut = advbn.cuts[0]
    changed = unequal(before, state(network))
    assert changed and not [key for key in changed if key.startswith((*cut.before, cut.name, "pos_embed", "cls_token"))]
    aux = advbn.routes(classifier)[AUX_ROUTE]  # type: ignore[index]
    timm.create_model(model, num_classes=3).load_state_dict(aux)


def test_a_copy_of_the_network_can_take_its_place() -> None:
    advbn, classifier = prepared("advbn:layer1")
    average = copy.deepcopy(classifier)
    train(classifier, advbn)
    expected = advbn.robust_logits(make_step(copy.deepcopy(average).eval()))
    assert torch.equal(advbn.robust_logits(make_step(average.eval())), expected)
    assert not torch.equal(advbn.robust_logits(make_step(classifier.eval())), expected)


@pytest.mark.parametrize(("make", "layer"), NETWORKS[:1] + NETWORKS[2:])  # of those without dropout
@pytest.mark.parametrize("options", ["", ",scope=sample,init=uniform", ",random=corners,freeze=no"])
def test_it_keeps_the_contract_of_defenses(make: type[nn.Module], layer: str, options: str) -> None:
    classifier = classifier_of(make())
    step = make_step(classifier)
    batch = Batch(step.images, step.labels, step.streams.ids)
    check_defense(defense(f"advbn:{layer},steps=2{options}"), classifier, batch, per_image=False)


def test_validation_images_meet_the_same_random_changes_in_every_epoch() -> None:
    advbn, classifier = prepared("advbn:layer1,random=uniform")
    steps = [make_step(classifier.eval(), number=number) for number in (3, 4)]
    assert torch.equal(*(advbn.robust_logits(step) for step in steps))


def test_training_in_bfloat16_reaches_everything() -> None:
    advbn, classifier = prepared("advbn:layer1,freeze=no,steps=2")
    with torch.autocast("cpu", torch.bfloat16):
        loss = advbn.loss(make_step(classifier))
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in classifier.parameters())

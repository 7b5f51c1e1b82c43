"""Adversarial training and its controls: what their losses are, and that specs mean what they say."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from networks import tiny_network
from torch import Tensor
from torch.nn import functional as F
from training_steps import Recorder, images_of, make_step

from granu import BuildContext, ClassifierError, Defense, GranuError, Streams
from granu.testing import check_defense, tiny
from granu.training.images import DatasetImages, GeneratedImages

Build = Callable[[str], Defense]
PIXEL = "pixel:linf,budget=0.1,steps=4"


SPECS = [
    "standard",
    f"adversarial:{PIXEL}",
    "adversarial:pixel:l2,budget=0.5,steps=3,warmup=0",
    "adversarial:frequency:2,budget=0.5,steps=3",
    "adversarial:frequency:2,budget=0.5,steps=3,box=no",
    "adversarial:tiny:layer1,budget=0.2,steps=3,samples=20",
    "adversarial:tiny:all,budget=0.2,steps=2,samples=20,combine=random",
    f"adversarial:{PIXEL},loss=trades,beta=2",
    f"adversarial:{PIXEL},clean=0.3,start=zero",
    f"adversarial:{PIXEL}|pixel:l2,budget=0.5,steps=3",
    f"adversarial:{PIXEL}|pixel:l2,budget=0.5,steps=3,combine=worst",
    f"adversarial:{PIXEL}|pixel:l2,budget=0.5,steps=3,combine=random",
    f"adversarial:{PIXEL}|pixel:l2,budget=0.5,steps=3,combine=worst,loss=trades",
    f"random:{PIXEL}",
    "random:tiny:layer1,budget=0.2,samples=20",
    "extra-data:tiny",
]


@pytest.mark.parametrize("spec", SPECS)
def test_it_keeps_the_contract(build: Build, spec: str) -> None:
    check_defense(build(spec), tiny_network(), tiny.tiny_batch())


@pytest.mark.parametrize("spec", SPECS)
def test_it_keeps_the_contract_with_batch_normalisation(build: Build, spec: str) -> None:
    check_defense(build(spec), tiny_network(normalised=True), tiny.tiny_batch(), per_image=False)


@pytest.mark.parametrize("spec", SPECS)
def test_it_trains(build: Build, spec: str) -> None:
    defense, classifier = build(spec), tiny_network()
    optimiser = torch.optim.SGD(classifier.parameters(), lr=0.2)
    losses = []
    for number in range(15):
        loss = defense.loss(make_step(classifier, progress=number / 15, number=number))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_standard_is_cross_entropy(build: Build) -> None:
    step = make_step(tiny_network())
    expected = F.cross_entropy(step.classifier(step.images), step.labels)
    assert torch.equal(build("standard").loss(step), expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_changed_images_keep_the_budget_and_raise_the_loss_more_than_random_ones(build: Build, norm: str) -> None:
    step, spec = make_step(tiny_network()), f"pixel:{norm},budget=0.3,steps=10"
    order = {"linf": float("inf"), "l2": 2}[norm]
    losses = {}
    for name in ("adversarial", "random"):
        (images,) = images_of(build(f"{name}:{spec}"), step)
        sizes = (images - step.images).flatten(1).norm(p=order, dim=1)
        assert (sizes <= 0.3 + 1e-6).all() and sizes.max() > 0.29
        assert images.min() >= 0 and images.max() <= 1
        losses[name] = F.cross_entropy(step.classifier(images), step.labels)
    assert losses["adversarial"] > losses["random"] + 0.01


def test_the_attack_is_the_one_of_madry_et_al(build: Build) -> None:
    """Ten signed steps of 2.5 / 10 of the budget from zero, each projected, written out."""
    classifier = tiny_network()
    step = make_step(classifier)
    (images,) = images_of(build("adversarial:pixel:linf,budget=0.1,steps=10,start=zero,warmup=0"), step)
    x = step.images.clone()
    for _ in range(10):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(classifier(x), step.labels, reduction="sum"), x)
        x = (x.detach() + 0.025 * gradient.sign()).clamp(step.images - 0.1, step.images + 0.1).clamp(0, 1)
    torch.testing.assert_close(images, x)


def test_the_loss_of_trades_is_the_papers(build: Build) -> None:
    classifier = tiny_network()
    defense = build(f"adversarial:{PIXEL},loss=trades,beta=3")
    step = make_step(classifier)
    changed = defense._changed(*defense._subject(step))[0]  # type: ignore[attr-defined]
    clean, attacked = classifier(step.images).softmax(dim=1), classifier(changed).softmax(dim=1)
    divergence = (clean * (clean / attacked).log()).sum(dim=1).mean()
    expected = F.cross_entropy(classifier(step.images), step.labels) + 3 * divergence
    torch.testing.assert_close(defense.loss(step), expected)


def test_the_attack_of_trades_raises_the_divergence(build: Build) -> None:
    step = make_step(tiny_network())

    def divergence(spec: str) -> float:
        defense = build(spec)
        changed = defense._changed(*defense._subject(step))[0]  # type: ignore[attr-defined]
        clean, attacked = (step.classifier(x).log_softmax(dim=1) for x in (step.images, changed))
        return float((clean.exp() * (clean - attacked)).sum(dim=1).mean().detach())

    spec = "pixel:l2,budget=0.5,steps=10"
    assert divergence(f"adversarial:{spec},loss=trades") > divergence(f"random:{spec}") * 1.5


def test_the_attack_sees_evaluation_mode_and_leaves_the_statistics(build: Build) -> None:
    classifier = tiny_network(normalised=True)
    step = make_step(classifier)
    calls: list[bool] = []
    classifier.network.register_forward_hook(lambda module, inputs, output: calls.append(module.training))
    before = copy.deepcopy(classifier.state_dict())
    build(f"adversarial:{PIXEL}").loss(step)
    assert calls == [False] * 4 + [True]
    once = tiny_network(normalised=True).train()
    once.load_state_dict(before)
    (images,) = images_of(build(f"adversarial:{PIXEL}"), replace(step, classifier=copy.deepcopy(once)))
    once(images)
    for name, value in once.state_dict().items():
        torch.testing.assert_close(classifier.state_dict()[name], value)


PASSES = [
    ("standard", 1, 0),
    (f"adversarial:{PIXEL}", 5, 4),
    (f"random:{PIXEL}", 1, 0),
    (f"adversarial:{PIXEL},clean=0.5", 6, 4),
    (f"adversarial:{PIXEL},clean=1", 1, 0),
    (f"adversarial:{PIXEL},loss=trades", 7, 4),
    (f"adversarial:{PIXEL}|pixel:l2,budget=0.5,steps=3", 9, 7),
    (f"adversarial:{PIXEL}|pixel:l2,budget=0.5,steps=3,combine=worst", 10, 7),
]


@pytest.mark.parametrize(("spec", "forward", "backward"), PASSES)
def test_no_pass_is_wasted(build: Build, spec: str, forward: int, backward: int) -> None:
    """Forward passes, and gradient passes of the attack, none of which reaches the weights."""
    classifier = tiny_network()
    seen = {"forward": 0, "backward": 0}

    def count(name: str) -> None:
        seen[name] += 1

    classifier.network.register_forward_hook(lambda *_: count("forward"))
    classifier.network[0].register_full_backward_hook(lambda *_: count("backward"))  # type: ignore[index]
    for parameter in classifier.parameters():
        parameter.register_hook(lambda _: count("weights"))
    build(spec).loss(make_step(classifier))
    assert seen == {"forward": forward, "backward": backward}


def test_the_budget_grows(build: Build) -> None:
    classifier = tiny_network()

    def largest(spec: str, progress: float) -> float:
        step = make_step(classifier, progress)
        (images,) = images_of(build(spec), step)
        return float((images - step.images).abs().max())

    for name in ("adversarial", "random"):
        sizes = [largest(f"{name}:{PIXEL},warmup=0.5", progress) for progress in (0.0, 0.25, 0.5, 0.75)]
        assert sizes == pytest.approx([0, 0.05, 0.1, 0.1], abs=1e-6)
        assert largest(f"{name}:{PIXEL},warmup=0", 0.0) == pytest.approx(0.1, abs=1e-6)


def test_clean_is_the_share_of_the_clean_loss(build: Build) -> None:
    step = make_step(tiny_network())
    clean, attacked, mixed = (
        build(spec).loss(step) for spec in ("standard", f"adversarial:{PIXEL}", f"adversarial:{PIXEL},clean=0.3")
    )
    torch.testing.assert_close(mixed, 0.3 * clean + 0.7 * attacked)


BOTH = f"{PIXEL}|pixel:l2,budget=1.2,steps=3"


def test_mean_is_the_mean_over_the_perturbations(build: Build) -> None:
    step = make_step(tiny_network())
    images = images_of(build(f"adversarial:{BOTH}"), step)
    losses = torch.stack([F.cross_entropy(step.classifier(x), step.labels) for x in images])
    torch.testing.assert_close(build(f"adversarial:{BOTH}").loss(step), losses.mean().detach())


def test_worst_is_the_worst_for_each_image(build: Build) -> None:
    step = make_step(tiny_network())
    losses = [
        F.cross_entropy(step.classifier(x), step.labels, reduction="none")
        for x in images_of(build(f"adversarial:{BOTH}"), step)
    ]
    which = losses[0] > losses[1]
    torch.testing.assert_close(
        build(f"adversarial:{BOTH},combine=worst").loss(step), torch.where(which, *losses).mean()
    )


def test_random_chooses_for_each_image(build: Build) -> None:
    step = make_step(tiny_network(), count=24)
    first, second = images_of(build(f"adversarial:{BOTH}"), step)
    (chosen,) = images_of(build(f"adversarial:{BOTH},combine=random"), step)
    is_first, is_second = (((chosen - x).abs().flatten(1) < 1e-4).all(dim=1) for x in (first, second))
    assert (is_first ^ is_second).all() and is_first.any() and is_second.any()


def test_sites_change_images_of_their_generator_of_the_same_classes(build: Build) -> None:
    step = make_step(tiny_network())
    recorder = Recorder()
    defense = build("adversarial:tiny:layer1,budget=0.2,steps=3,samples=20")
    loss = defense.loss(replace(step, following=(recorder,)))
    changed, clean = recorder.images
    assert torch.equal(clean, step.images)
    assert all(torch.equal(labels, step.labels) for labels in recorder.labels)
    assert not any(torch.equal(image, other) for image in changed for other in step.images)
    losses = [F.cross_entropy(step.classifier(x), step.labels) for x in recorder.images]
    torch.testing.assert_close(loss, sum(losses) / 2)


def test_another_step_draws_other_images(build: Build) -> None:
    step = make_step(tiny_network())
    later = replace(step, streams=Streams(0, step.streams.ids, "train/2"))
    defense = build("adversarial:tiny:layer1,budget=0.2,steps=3,samples=20,clean=0")
    (one,), (again,), (other,) = (images_of(defense, s) for s in (step, step, later))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_robust_logits_are_those_of_changed_images_at_the_full_budget(build: Build) -> None:
    classifier = tiny_network()
    step = make_step(classifier, progress=0.0)
    with torch.no_grad():
        logits = build("adversarial:pixel:l2,budget=2,steps=10").robust_logits(
            replace(step, classifier=classifier.eval())
        )
        clean = classifier(step.images)
    assert logits is not None and not logits.requires_grad
    losses = [F.cross_entropy(one, step.labels) for one in (clean, logits)]
    assert losses[1] > losses[0] + 0.3


def test_robust_logits_are_those_of_the_worst_perturbation(build: Build) -> None:
    step = make_step(tiny_network().eval())

    def losses(spec: str) -> Tensor:
        logits = build(f"adversarial:{spec}").robust_logits(step)
        assert logits is not None
        return F.cross_entropy(logits, step.labels, reduction="none")

    both = losses("pixel:linf,budget=0.1,steps=4,start=zero|pixel:l2,budget=0.5,steps=4")
    each = [losses(f"pixel:{one},steps=4,start=zero") for one in ("linf,budget=0.1", "l2,budget=0.5")]
    torch.testing.assert_close(both, torch.stack(each).amax(dim=0))


def test_plain_training_perturbs_nothing(build: Build) -> None:
    step = make_step(tiny_network().eval())
    assert build("standard").robust_logits(step) is None
    assert build("extra-data:tiny").robust_logits(step) is None


def test_extra_images_have_their_share_of_the_loss(build: Build) -> None:
    step = make_step(tiny_network())
    recorder = Recorder()
    loss = build("extra-data:tiny,share=0.2").loss(replace(step, following=(recorder,)))
    clean, further = (
        F.cross_entropy(step.classifier(x), labels) for x, labels in zip(recorder.images, recorder.labels, strict=True)
    )
    torch.testing.assert_close(loss, 0.8 * clean + 0.2 * further)
    assert not torch.equal(*recorder.images)


def test_every_weight_has_a_gradient_under_autocast(build: Build) -> None:
    """A copy of the weights that autocast made without gradients must not be used again with them."""
    for spec in SPECS:
        classifier, defense = tiny_network(), build(spec)
        with torch.autocast("cpu", torch.bfloat16):
            defense.loss(make_step(classifier)).backward()
        assert all(value.grad is not None and value.grad.any() for value in classifier.parameters()), spec


def test_a_generator_without_the_classes_is_refused(build: Build) -> None:
    classifier = tiny_network()
    classifier.classes = ("cat", "dog", "fish")
    with pytest.raises(ClassifierError, match="`tiny` draws disc, bar, cross, which the classifier does not"):
        build("adversarial:tiny:layer1,budget=0.2,samples=20").loss(make_step(classifier))


REFUSED = [
    ("adversarial", "say what to train against, for example `adversarial:pixel:linf,budget=8/255`"),
    ("random", "say what to train against, for example `random:pixel:linf,budget=8/255`"),
    ("extra-data", "say which images to add"),
    ("adversarial:pixel:linf", "search=pgd needs a size to spend; add budget=NUMBER"),
    ("adversarial:pixl:linf,budget=1", "there is no perturbation named 'pixl'; did you mean 'pixel'?"),
    ("adversarial:pixel:linf,budgt=1", "has no option 'budgt'"),
    ("adversarial:pixel:linf,budget=1,search=smallest", "search=smallest has no option 'budget'"),
    ("adversarial:pixel:linf,search=smallest", "search=smallest spends no budget"),
    ("adversarial:pixel:linf,budget=1,search=worst", "search=worst is for evaluation; training attacks by search=pgd"),
    ("adversarial:pixel:linf,budget=1,search=random", "or train on random changes with --defense random:..."),
    ("adversarial:sparse-pixel", "opens no space"),
    ("adversarial:tiny:layer9,budget=1", "there is no site named 'layer9'"),
    ("adversarial:frequency:99,budget=1", "beyond the sweep"),
    ("adversarial:pixel:linf,budget=1,loss=trade", "did you mean 'trades'?"),
    ("adversarial:pixel:linf,budget=1,loss=trades,start=zero", "cannot start at zero"),
    ("adversarial:pixel:linf,budget=1,clean=0.1|pixel:l2,budget=1,clean=0.2", "gives the option 'clean' of"),
    ("adversarial:pixel:linf,budget=1|tiny:layer1,budget=1", "changes images of different sources"),
    ("standard:1", "takes no target"),
    ("extra-data:foldr:x", "there is no dataset named 'foldr'"),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_a_mistake_is_one_sentence(build: Build, spec: str, message: str) -> None:
    with pytest.raises(GranuError) as raised:
        build(spec)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_changes_without_images_must_come_last_and_cannot_be_chosen_among(build: Build) -> None:
    step, inside = make_step(tiny_network()), "frequency:2,budget=0.5,steps=2,box=no"
    with pytest.raises(GranuError, match="name this defense last"):
        build(f"adversarial:{inside}").loss(replace(step, following=(Recorder(),)))
    with pytest.raises(GranuError, match="take combine=mean"):
        build(f"adversarial:{inside}|{PIXEL},combine=worst").loss(step)


def test_the_check_needs_no_torch(context: BuildContext, run_python) -> None:  # type: ignore[no-untyped-def]
    code = """
import sys
from granu import BuildContext, load_catalog
from granu.plugins.spec import parse_spec
context = BuildContext(load_catalog())
resolved = context.catalog.resolve("defense", parse_spec("adversarial:stylegan:all,budget=0.05|stylegan:z,budget=1"))
resolved.offer.check(resolved.options, context)
print("torch" in sys.modules)
"""
    assert run_python(code).stdout.strip() == "False"


class Shapes:
    """A dataset of two classes of the tiny world, named in another order, at another size."""

    classes = ("Cross", "disc")
    named = True

    def __len__(self) -> int:
        return 10

    def image_id(self, index: int) -> str:
        return f"shape#{index}"

    def read(self, index: int) -> tuple[Tensor, int]:
        return torch.full((1, 6, 4), index / 10), index % 2


def test_images_of_a_dataset_have_the_classifiers_classes_and_size() -> None:
    images, classifier = DatasetImages(Shapes(), "shapes"), tiny_network()
    batch = images.draw(classifier, torch.zeros(40).long(), Streams(0, [str(i) for i in range(40)]))
    assert batch.images.shape == (40, 1, 8, 8)
    for id_, image, label in zip(batch.ids, batch.images, batch.labels.tolist(), strict=True):
        number = int(id_.removeprefix("shape#"))
        assert label == (2, 0)[number % 2]
        assert float(image[0, 4, 4]) == pytest.approx(number / 10)
    assert len(set(batch.ids)) >= 8
    again = images.draw(classifier, torch.zeros(1).long(), Streams(0, ["7"]))
    assert again.ids == batch.ids[7:8]


def test_a_generator_of_some_classes_draws_others_at_random() -> None:
    generator = tiny.TinyGenerator()
    generator.labels = (1, 2)  # type: ignore[assignment]
    images, ids = GeneratedImages(generator, "tiny"), [str(i) for i in range(60)]
    batch = images.draw(tiny_network(), torch.arange(60) % 3, Streams(0, ids))
    wanted = torch.arange(60) % 3
    assert torch.equal(batch.labels[wanted > 0], wanted[wanted > 0])
    assert set(batch.labels[wanted == 0].tolist()) == {1, 2}
    assert torch.equal(batch.latent.labels, batch.labels)  # type: ignore[union-attr]


def test_classes_are_matched_by_name_in_any_order() -> None:
    classifier = tiny_network()
    classifier.classes = ("cross", "Disc", "bar")
    batch = GeneratedImages(tiny.TinyGenerator(), "tiny").draw(classifier, torch.arange(3), Streams(0, ["a", "b", "c"]))
    assert batch.labels.tolist() == [0, 1, 2]
    assert batch.latent.labels.tolist() == [2, 0, 1]  # type: ignore[union-attr]


def test_without_all_classes_there_are_no_robust_logits(build: Build) -> None:
    defense = build("adversarial:tiny:layer1,budget=0.2,steps=2,samples=20")
    defense.images.generator.labels = (1, 2)  # type: ignore[attr-defined]
    assert defense.robust_logits(make_step(tiny_network().eval())) is None
    assert defense.loss(make_step(tiny_network())).isfinite()


def test_drawn_images_are_fitted_to_the_network(build: Build) -> None:
    class Larger(tiny.TinyGenerator):
        def tail(self, latent, sites):  # type: ignore[no-untyped-def]
            tail = super().tail(latent, sites)
            return lambda edits: F.pad(tail(edits), (4, 4, 4, 4))

    step = make_step(tiny_network())
    for defense in (build("adversarial:tiny:image,budget=0.2,steps=2"), build("extra-data:tiny")):
        defense.images.generator = Larger()  # type: ignore[attr-defined]
        assert {tuple(x.shape) for x in images_of(defense, step)} == {(6, 1, 8, 8)}


def test_a_generator_without_classes_is_refused() -> None:
    generator = tiny.TinyGenerator()
    generator.classes = ()  # type: ignore[assignment]
    with pytest.raises(GranuError, match="`tiny` draws images without classes; training needs their labels"):
        GeneratedImages(generator, "tiny")


def test_both_predictions_of_trades_have_a_gradient(build: Build) -> None:
    """Zhang et al. 2019, equation 5: the divergence is minimised over both of its sides."""
    classifier = tiny_network()
    step = make_step(classifier)
    defense = build(f"adversarial:{PIXEL},loss=trades,beta=3")
    changed = defense._changed(*defense._subject(step))[0]  # type: ignore[attr-defined]
    clean = classifier(step.images)
    divergence = F.kl_div(classifier(changed).log_softmax(1), clean.softmax(1), reduction="batchmean")
    expected = torch.autograd.grad(F.cross_entropy(clean, step.labels) + 3 * divergence, list(classifier.parameters()))
    given = torch.autograd.grad(defense.loss(step), list(classifier.parameters()))
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_sites_of_one_generator_share_it_and_its_statistics(build: Build) -> None:
    attacks = build("adversarial:tiny:z,budget=1,samples=20|tiny:layer0,budget=0.2,samples=20")
    first, second = (attack.perturbation.spaces for attack in attacks.attacks)  # type: ignore[attr-defined]
    assert first.generator is second.generator and first.statistics is second.statistics

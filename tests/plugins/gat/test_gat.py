"""The defense `gat`: what is attacked and how far, what the judge does, and that specs mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from gat_world import small_network
from torch import Tensor
from torch.nn import functional as F
from training_steps import Recorder, images_of, make_step

from granu import BuildContext, Defense
from granu.spaces.bands import band_of
from granu.testing import check_defense, tiny

Build = Callable[[str], Defense]
SHORT = "budget=0.3,samples=20"

SPECS = [
    f"gat:styled,{SHORT}",
    f"gat:generator=styled,{SHORT}",
    f"gat:styled:style*,{SHORT},objective=true,start=random,norm=rms,freeze=no",
    f"gat:styled:noise0+style0,{SHORT},bands=4+2+1,clean=0.9+0.1,warmup=0",
    f"gat:styled,{SHORT},attack=random",
    f"gat:styled,{SHORT},attack=none",
    f"gat:styled,{SHORT},judge=tiny-classifier:linear",
    f"gat:styled,{SHORT},judge=tiny-classifier:linear,changed=relabel",
    f"gat:styled,{SHORT},judge=tiny-classifier:linear,changed=keep",
    f"gat:styled,{SHORT},images=encoded",
    f"gat:styled,{SHORT},images=encoded,residual=yes,step=0.1",
    f"gat:tiny,{SHORT}",
]


@pytest.mark.parametrize("spec", SPECS)
def test_it_keeps_the_contract(build: Build, spec: str) -> None:
    # the images that count are not as many in both halves of a batch
    check_defense(build(spec), small_network(), tiny.tiny_batch(), per_image="linear" not in spec)


@pytest.mark.parametrize("spec", [*SPECS, f"gat:styled,{SHORT},normalisation=own"])
def test_it_keeps_the_contract_with_batch_normalisation(build: Build, spec: str) -> None:
    check_defense(build(spec), small_network(normalised=True), tiny.tiny_batch(), per_image=False)


@pytest.mark.parametrize(
    ("spec", "sites", "options"),
    [
        ("gat:styled", ["style0", "noise0"], {"norm": "linf", "bands": "style*:1+noise*:6"}),
        ("gat:styled:style*", ["style0"], {"norm": "linf", "bands": ""}),
        ("gat:styled:all,bands=4+2+1", ["style0", "noise0"], {"norm": "linf", "bands": "4+2+1"}),
        ("gat:styled,norm=rms", ["style0", "noise0"], {"norm": "rms", "bands": "style*:1+noise*:6"}),
        ("gat:tiny,budget=0.2", ["layer0", "layer1"], {"norm": "linf", "bands": ""}),
        ("gat:tiny:z+layer*,budget=0.2", ["z", "layer0", "layer1"], {"norm": "linf", "bands": ""}),
        ("gat:biggan,budget=0.2", ["layer0", "layer1", "layer2", "layer3"], {"norm": "linf", "bands": ""}),
        ("gat:diffusion,budget=0.2", ["h800", "h600", "h400", "h200"], {"norm": "linf", "bands": ""}),
    ],
)
def test_all_sites_are_attacked_together(context: BuildContext, spec: str, sites: list[str], options: Any) -> None:
    from granu_gat.planning import plan

    planned = plan(context.resolve("defense", spec).options.generator, context)
    assert [site.name for site in planned.sites] == sites
    assert {key: getattr(planned.site_options, key) for key in options} == options
    assert (planned.search.budget, planned.search.options.steps) == (0.2, 3)


def test_the_styles_of_stylegan_are_the_default(context: BuildContext) -> None:
    from granu_gat.planning import plan

    planned = plan("stylegan", context)
    assert [site.name for site in planned.sites] == [f"{kind}{i}" for kind in ("style", "noise") for i in range(7)]
    assert [band_of(site, 32) for site in planned.sites] == 2 * [0, 0, 0, 1, 1, 2, 2]


def changes(build: Build, options: str, progress: float = 0.9) -> tuple[Tensor, Tensor]:
    """Changes that an attack adds to a style and to a noise map, in units of deviation and budgets: (B, 8), (B, 64)."""
    defense = build(f"gat:styled,samples=20,clean=0,{options}")
    seen = []
    attack = defense.attack  # type: ignore[attr-defined]

    def record(*words: Any) -> Any:
        seen.append(attack(*words))
        return seen[-1]

    defense.attack = record  # type: ignore[attr-defined]
    defense.attack.at_random = lambda *words: seen.append(attack.at_random(*words)) or seen[-1]  # type: ignore[attr-defined]
    defense.loss(make_step(small_network(), progress))
    (attacked,) = seen
    style, noise = attacked.change.split([8, 64], dim=1)
    return style, noise


def test_the_attack_stays_in_its_cube_and_grows_with_the_training(build: Build) -> None:
    for kind in ("worst", "random"):
        sizes = [
            float(torch.cat(changes(build, f"budget=0.3,attack={kind},warmup=0.5,freeze=no", progress), 1).abs().max())
            for progress in (0.0, 0.25, 0.5, 0.9)
        ]
        assert sizes == pytest.approx([0, 0.15, 0.3, 0.3], abs=1e-6)


def test_published_steps_are_signs_of_a_fixed_size(build: Build) -> None:
    """Two steps of 0.05 from zero, no random start, and a budget that cuts nothing."""
    style, noise = changes(build, "budget=1,steps=2,step=0.05,warmup=0,freeze=no")
    for part in (style, noise):
        steps = (part / 0.05).abs()
        torch.testing.assert_close(steps, steps.round())
        assert steps.max() == 2


def test_bands_reach_the_images(build: Build) -> None:
    """The same change of a noise map counts six times as much in the images as without the band."""
    step = make_step(small_network())
    options = "budget=0.1,samples=20,clean=0,attack=random,warmup=0"
    near, far = (
        images_of(build(f"gat:styled:style0+noise0,{options},bands=style0:1e-6+noise0:{band}"), step)[0]
        for band in (1, 6)
    )
    (start,) = images_of(build(f"gat:styled,{options.replace('random', 'none')}"), step)
    inside = (far > 0.01) & (far < 0.99) & (near > 0.01) & (near < 0.99)
    torch.testing.assert_close((far - start)[inside], 6 * (near - start)[inside], rtol=0.05, atol=0.015)


def test_the_attack_descends_to_the_least_likely_class(build: Build) -> None:
    classifier = small_network()
    step = make_step(classifier, count=24)
    options = f"{SHORT.replace('0.3', '0.5')},clean=0,warmup=0,freeze=no,steps=10"
    (start,) = images_of(build(f"gat:styled,{options},attack=none"), step)
    (least,) = images_of(build(f"gat:styled,{options}"), step)
    (true,) = images_of(build(f"gat:styled,{options},objective=true"), step)
    before = classifier(start).detach()
    targets = before.scatter(1, step.labels[:, None], float("inf")).argmin(dim=1)

    def loss(images: Tensor, labels: Tensor) -> float:
        return F.cross_entropy(classifier(images).detach(), labels).item()

    assert loss(least, targets) < loss(true, targets) - 0.05
    assert loss(true, step.labels) > loss(least, step.labels) > loss(start, step.labels)


def test_an_image_that_is_fooled_is_not_changed_further(build: Build) -> None:
    classifier = small_network()
    step = make_step(classifier, count=24)
    options = "budget=0.5,samples=20,clean=0,warmup=0,steps=6"
    (start,) = images_of(build(f"gat:styled,{options},attack=none"), step)
    frozen, going = (images_of(build(f"gat:styled,{options},freeze={freeze}"), step)[0] for freeze in ("yes", "no"))
    classifier.eval()
    wrong = classifier(start).argmax(dim=1) != step.labels
    assert 0 < int(wrong.sum()) < 24
    torch.testing.assert_close(frozen[wrong], start[wrong], atol=1 / 255, rtol=0)
    assert ((going - start).abs().flatten(1).amax(dim=1) > 0.02).all()
    assert ((frozen - start).abs().flatten(1).amax(dim=1)[~wrong] > 0.02).all()


@pytest.mark.parametrize(
    ("options", "forward", "backward"),
    [
        ("steps=4", 7, 4),  # the unchanged image, four steps, and the two halves of the loss
        ("steps=4,objective=true", 6, 4),
        ("steps=4,attack=random", 2, 0),
        ("steps=4,attack=none", 2, 0),
        ("steps=4,clean=1", 1, 0),
        ("steps=4,clean=0", 6, 4),
    ],
)
def test_no_pass_is_wasted(build: Build, options: str, forward: int, backward: int) -> None:
    classifier = small_network()
    seen = {"forward": 0, "backward": 0}

    def count(name: str) -> None:
        seen[name] += 1

    classifier.network.register_forward_hook(lambda *_: count("forward"))
    classifier.network[0].register_full_backward_hook(lambda *_: count("backward"))  # type: ignore[index]
    build(f"gat:styled,{SHORT},freeze=no,{options}").loss(make_step(classifier))
    assert seen == {"forward": forward, "backward": backward}


@pytest.mark.parametrize("images", ["generated", "encoded"])
def test_only_passes_of_the_loss_are_in_training_mode(build: Build, images: str) -> None:
    classifier = small_network(normalised=True)
    modes: list[bool] = []
    classifier.network.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    build(f"gat:styled,{SHORT},images={images}").loss(make_step(classifier))
    assert modes[-2:] == [True, True] and not any(modes[:-2]) and len(modes) > 4


def test_frozen_images_take_no_further_passes(build: Build) -> None:
    classifier = small_network()
    sizes: list[int] = []
    classifier.network.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    build("gat:styled,budget=2,samples=20,steps=5,warmup=0").loss(make_step(classifier))
    before, *steps, changed, clean = sizes
    assert before == changed == clean == 6 and steps == sorted(steps, reverse=True) and steps[-1] < 6


def test_the_share_of_training_images_follows_the_schedule(build: Build) -> None:
    for progress, share in ((0.0, 0.9), (0.5, 0.5), (0.75, 0.3)):
        step = make_step(small_network(), progress)
        recorder = Recorder()
        loss = build(f"gat:styled,{SHORT},clean=0.9+0.1").loss(replace(step, following=(recorder,)))
        changed, clean = (F.cross_entropy(step.classifier(images), step.labels) for images in recorder.images)
        torch.testing.assert_close(loss, share * clean + (1 - share) * changed)


def test_changed_images_are_normalised_by_layers_of_their_own(build: Build) -> None:
    """Statistics of training images stay in the layers of `main`, those of changed ones in `aux`."""
    classifier = small_network(normalised=True)
    defense = build(f"gat:styled,{SHORT},normalisation=own,clean=0")
    defense.prepare(classifier)
    before = {route: dict(state) for route, state in (defense.routes(classifier) or {}).items()}
    before = {route: {name: value.clone() for name, value in state.items()} for route, state in before.items()}
    step = make_step(classifier)
    defense.loss(step).backward()
    after = defense.routes(classifier)
    assert after is not None and set(after) == {"main", "aux"}
    mean = next(name for name in after["main"] if name.endswith("running_mean"))
    assert torch.equal(after["main"][mean], before["main"][mean])
    assert not torch.equal(after["aux"][mean], before["aux"][mean])
    weight = after["main"][mean.replace("running_mean", "weight")]
    assert weight.grad is None or not weight.grad.any()
    step = replace(step, classifier=classifier.eval())
    logits = defense.robust_logits(step)
    after["aux"][mean.replace("running_mean", "bias")].detach().add_(3)
    others = defense.robust_logits(step)
    assert logits is not None and others is not None and (logits - others).abs().max() > 0.1


def test_robust_logits_are_those_of_the_full_budget_or_none(build: Build) -> None:
    step = make_step(small_network().eval(), progress=0.0, count=24)
    losses = []
    for spec in ("", ",attack=random"):
        logits = build(f"gat:styled,budget=1,samples=20,objective=true,freeze=no,steps=10{spec}").robust_logits(step)
        assert logits is not None
        losses.append(F.cross_entropy(logits.detach(), step.labels).item())
    assert losses[0] > losses[1] + 0.1
    assert build(f"gat:styled,{SHORT},attack=none").robust_logits(step) is None
    defense = build(f"gat:styled,{SHORT}")
    defense.perturbation.images.generator.labels = (1, 2)  # type: ignore[attr-defined]
    assert defense.robust_logits(step) is None


def test_a_name_may_be_noted_twice_in_a_step() -> None:
    step = make_step(small_network())
    step.note("a", 1.0)
    replace(step, images=step.images).note("a", torch.tensor(2.0))
    assert step.noted == {"a": [1.0, 2.0]}


def test_a_pixel_attack_in_front_changes_the_training_images_and_gat_the_generated_ones(build: Build) -> None:
    """The dual manifold: each half of the loss has its own attack."""
    step, recorder = make_step(small_network()), Recorder()
    pixel, gat = build("adversarial:pixel:linf,budget=0.1,steps=2"), build(f"gat:styled,{SHORT}")
    loss = pixel.loss(replace(step, following=(gat, recorder)))
    generated, real = recorder.images
    assert 0.09 < (real - step.images).abs().max() <= 0.1 + 1e-6
    assert (generated - step.images).abs().max() > 0.2
    losses = [F.cross_entropy(step.classifier(images), step.labels) for images in recorder.images]
    torch.testing.assert_close(loss, sum(losses) / 2)

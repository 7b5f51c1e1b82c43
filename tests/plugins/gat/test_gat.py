"""The defense `gat`: what is attacked and how far, what the judge does, and that specs mean what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gat_world import Recorder, images_of, make_step, small_network
from torch import Tensor
from torch.nn import functional as F

from granu import BuildContext, ClassifierError, DataError, Defense, GranuError, Judge, Streams
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
    """What an attack adds to a style and to a noise map, in units of deviation and budgets: (B, 8), (B, 64)."""
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


class Biased:
    """A judge that sees the label in some images and another class, or one that is unknown, in the others."""

    classes = (*tiny.CLASSES, "star")
    named = True

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def __call__(self, images: Tensor) -> Tensor:
        return F.one_hot(torch.tensor(self.seen[: len(images)]), 4).float()

    def layers(self) -> dict[str, Any]:
        return {}


def judged(build: Build, changed: str, seen: list[int]) -> Defense:
    defense = build(f"gat:styled,{SHORT},clean=0,judge=tiny-classifier,changed={changed}")
    defense.judge = Judge(Biased(seen), "biased")  # type: ignore[attr-defined]
    return defense


@pytest.mark.parametrize("changed", ["keep", "auto", "leave-out", "relabel"])
def test_the_judge_leaves_out_or_relabels_and_counts_either_way(build: Build, changed: str) -> None:
    step = make_step(small_network())
    (images,) = images_of(build(f"gat:styled,{SHORT},clean=0"), step)
    labels = step.labels.tolist()
    seen = [*labels[:3], (labels[3] + 1) % 3, (labels[4] + 1) % 3, 3]
    loss = judged(build, changed, seen).loss(step)
    losses = F.cross_entropy(step.classifier(images), step.labels, reduction="none")
    relabelled = F.cross_entropy(step.classifier(images[:5]), torch.tensor(seen[:5]))
    expected = {"keep": losses.mean(), "relabel": relabelled}.get(changed, losses[:3].mean())
    torch.testing.assert_close(loss, expected)
    assert step.noted == {"class changed": [pytest.approx(0.5)]}


def test_a_step_whose_images_are_all_left_out_has_no_loss_of_them(build: Build) -> None:
    step = make_step(small_network())
    loss = judged(build, "leave-out", [3] * 6).loss(step)
    loss.backward()
    assert loss.item() == 0 and all(not value.grad.any() for value in step.classifier.parameters())  # type: ignore[union-attr]


def test_images_that_are_left_out_cannot_be_passed_on(build: Build) -> None:
    step = replace(make_step(small_network()), following=(Recorder(),))
    with pytest.raises(GranuError, match="name it last, or changed=keep"):
        judged(build, "auto", [0] * 6).loss(step)
    assert judged(build, "keep", [0] * 6).loss(step).isfinite()


def test_without_a_judge_the_log_says_so(build: Build) -> None:
    (remark,) = build(f"gat:styled,{SHORT}").remarks()
    assert "no judge checks" in remark
    assert not build(f"gat:styled,{SHORT},judge=tiny-classifier").remarks()
    assert not build(f"gat:styled,{SHORT},attack=none").remarks()


def test_encoded_images_are_the_training_images(build: Build) -> None:
    """Reconstructions without the residual, the images themselves with it, each encoded once."""
    step = make_step(small_network())
    (rebuilt,) = images_of(build(f"gat:styled,{SHORT},images=encoded,attack=none,clean=0"), step)
    (itself,) = images_of(build(f"gat:styled,{SHORT},images=encoded,attack=none,residual=yes,clean=0"), step)
    assert torch.equal(itself, step.images)
    assert 0.001 < float((rebuilt - step.images).abs().mean()) < 0.05
    assert step.noted["encoded"] == [1, 1] and 15 < step.noted["psnr"][0] < 60
    right = (step.classifier.eval()(rebuilt).argmax(dim=1) == step.labels).float().mean()
    assert step.noted["right on reconstructions"][0] == pytest.approx(float(right))


def test_the_residual_is_added_to_what_the_attack_makes(build: Build) -> None:
    """x + g(adv) - g(inv), with the same changes in both."""
    step = make_step(small_network())
    options = f"{SHORT},images=encoded,attack=random,clean=0,warmup=0"
    start, changed, moved = (
        images_of(build(f"gat:styled,{given}"), step)[0]
        for given in (options.replace("=random", "=none"), options, f"{options},residual=yes")
    )
    inside = (moved > 0.01) & (moved < 0.99)
    torch.testing.assert_close((moved - step.images)[inside], (changed - start)[inside], atol=0.01, rtol=0.01)


def test_encodings_are_made_once_and_kept(build: Build) -> None:
    import fake_styled  # type: ignore[import-not-found]

    step, spec = make_step(small_network()), f"gat:styled,{SHORT},images=encoded"
    for epoch in range(2):
        build(spec).loss(replace(step, streams=Streams(0, step.streams.ids, f"train/{epoch}")))
    assert fake_styled.MARK == [6]


def test_an_image_that_cannot_be_encoded_stays_as_it_is(build: Build) -> None:
    step = make_step(small_network())
    step.images[2] = 1.0
    (images,) = images_of(build(f"gat:styled,{SHORT},images=encoded,clean=0"), step)
    assert torch.equal(images[2], step.images[2]) and not torch.equal(images[1], step.images[1])
    assert step.noted["encoded"] == [pytest.approx(5 / 6)]
    with pytest.raises(DataError, match=r"every PSNR is below psnr=90|an image is too bright"):
        build(f"gat:styled,{SHORT},images=encoded,psnr=90").loss(step)
    step.images[:] = 1.0
    with pytest.raises(DataError, match=r"`styled` can encode none of the 6 images of a step \(an image is too bright"):
        build(f"gat:styled,{SHORT},images=encoded").loss(step)


REFUSED = [
    ("gat", "say which generator's sites are attacked, for example `gat:stylegan`"),
    ("gat:pixel:linf,budget=0.1", "'pixel' is no generator; train against it with adversarial:pixel:linf"),
    ("gat:tiny,generator=styled", "gives 'generator' twice, as the target and by name"),
    ("gat:stylegn", "there is no perturbation named 'stylegn'; did you mean 'stylegan'?"),
    ("gat:styled:style1", "there is no site named 'style1'"),
    ("gat:stylegan:stile*", "there is no site named 'stile*' in `gat:stylegan:stile*`; did you mean 'style6'?"),
    ("gat:biggan:layr0", "there is no site named 'layr0' in `gat:biggan:layr0`; did you mean 'layer0'?"),
    ("gat:stylegan:style99", "there is no site named 'style99'"),
    ("gat:styled,budgt=1", "has no option 'budgt'"),
    ("gat:tiny", "search=pgd needs a size to spend; add budget=NUMBER"),
    ("gat:styled,budget=0", "budget=0.0 is out of range"),
    ("gat:styled,norm=l2", "norm=l2 is not one of its values"),
    ("gat:styled,bands=1+2", "bands=1+2 is not three numbers"),
    ("gat:styled,search=worst", "training attacks by search=pgd"),
    ("gat:styled,search=random", "leave search= out, or take attack=random"),
    ("gat:styled|tiny", "one generator's sites are attacked together"),
    ("gat:styled,step=0.5", "step=0.5 is larger than budget=0.2"),
    ("gat:styled,clean=0.5+2", "clean=0.5+2 is not one share from 0 to 1"),
    ("gat:styled,clean=0.5+0.2+0.1", "or two such as 0.9+0.5"),
    ("gat:styled,residual=yes", "residual=yes is for encoded images; add images=encoded"),
    ("gat:tiny,budget=1,images=encoded", "images=encoded: `tiny` does not encode images"),
    ("gat:styled,changed=relabel", "changed=relabel needs a classifier that says so; add judge="),
    ("gat:styled,judge=zoo:mnist-cnnn", "there are no weights 'mnist-cnnn'"),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_a_mistake_is_one_sentence(build: Build, spec: str, message: str) -> None:
    with pytest.raises(GranuError) as raised:
        build(spec)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "gat:styled,names=cat+dog+fish",
            "`styled:names=cat+dog+fish` draws cat, dog, fish, which the classifier does",
        ),
        ("gat:styled,side=12", "draws images of 12 x 12, 1 channels, and 'small' takes 8 x 8, 1 channels"),
        ("gat:styled,judge=tiny-classifier:two", "the judge `tiny-classifier:two` does not know disc, bar, cross"),
        ("gat:styled,normalisation=own", "'small' has no normalisation layers"),
    ],
)
def test_what_does_not_fit_the_classifier_is_refused_before_training(build: Build, spec: str, message: str) -> None:
    with pytest.raises(ClassifierError) as raised:
        build(spec).prepare(small_network())
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_another_size_is_accepted_if_asked_for(build: Build) -> None:
    defense, step = build(f"gat:styled,side=12,resize=yes,{SHORT}"), make_step(small_network())
    defense.prepare(step.classifier)
    assert {tuple(images.shape) for images in images_of(defense, step)} == {(6, 1, 8, 8)}


def test_noise_that_does_not_vary_is_refused(build: Build) -> None:
    with pytest.raises(GranuError, match="the site 'noise0' is the same in all images of this generator"):
        build(f"gat:styled,noise=no,{SHORT}").loss(make_step(small_network()))
    assert build(f"gat:styled:style0,noise=no,{SHORT}").loss(make_step(small_network())).isfinite()


def test_the_check_needs_no_torch(run_python) -> None:  # type: ignore[no-untyped-def]
    code = """
import sys
from granu import BuildContext, load_catalog
context = BuildContext(load_catalog())
context.check("defense", "gat:stylegan,judge=zoo:mnist-judge-resnet")
print("torch" in sys.modules)
"""
    assert run_python(code).stdout.strip() == "False"


TRAIN = (
    "train", "--classifier", "gat-net", "--data", "styled", "--images", "64", "--batch", "16", "--epochs", "2",
    "--device", "cpu", "--hold-out", "0.25",
)  # fmt: skip


def test_a_training_logs_what_the_judge_saw_and_writes_both_routes(
    place: Path, granu: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    spec = f"gat:styled,{SHORT},judge=tiny-classifier,normalisation=own"
    answer = granu(*TRAIN, "--defense", spec, "--out", str(out))
    assert answer.returncode == 0, answer.stderr
    records = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert records[0]["notes"] == {} and all(0 <= one["notes"]["class changed"] <= 1 for one in records[1:])
    assert "class changed" in answer.stderr and "robust accuracy" in answer.stdout
    words = [word for route in ("main", "aux") for word in ("--classifier", f"file:{out},route={route}")]
    words += ["--perturb", "tiny:z,samples=20", "--count", "3", "--keep", "0", "--out", str(tmp_path / "run")]
    evaluated = granu("eval", *words)
    assert evaluated.returncode == 0, evaluated.stderr
    silent = granu(*TRAIN, "--defense", f"gat:styled,{SHORT}", "--out", str(tmp_path / "silent.safetensors"))
    assert "no judge checks that changed images still show their class" in silent.stderr


def test_interrupted_and_repeated_ends_with_the_same_bytes(
    place: Path, granu: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from granu.training.loop import Loop

    spec = f"gat:styled,{SHORT},judge=tiny-classifier,images=encoded,start=random"
    words = (*TRAIN, "--defense", spec, "--checkpoint-seconds", "0")
    broken, whole = tmp_path / "broken.safetensors", tmp_path / "whole.safetensors"
    train_step = Loop._train_step
    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_train_step", lambda loop, *given: train_step(loop, *given) or loop.step == 2)
        granu(*words, "--out", str(broken))
    assert not broken.exists() and broken.with_suffix(".safetensors.checkpoint").exists()
    for out in (broken, whole):
        assert granu(*words, "--out", str(out)).returncode == 0
    from granu.weights.checkpoints import read_tensors

    one, other = read_tensors(broken), read_tensors(whole)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    logs = [[json.loads(line)["notes"] for line in out.with_suffix(".jsonl").read_text().splitlines()]
            for out in (broken, whole)]  # fmt: skip
    assert logs[0] == logs[1] and set(logs[0][1]) == {"class changed", "encoded", "psnr", "right on reconstructions"}


@pytest.mark.parametrize(
    ("defense", "message"),
    [
        ("gat:tiny,budget=1,images=encoded", "`tiny` does not encode images"),
        ("gat:styled:style9", "there is no site named 'style9'"),
        ("gat:styled,side=12", "takes 8 x 8, 1 channels"),
        ("gat:styled,noise=no", "the site 'noise0' is the same in all images"),
    ],
)
def test_a_command_with_a_mistake_ends_with_one_sentence(
    place: Path, granu: Callable[..., Any], defense: str, message: str, tmp_path: Path
) -> None:
    answer = granu(*TRAIN, "--defense", f"{defense},samples=20", "--out", str(tmp_path / "out.safetensors"))
    assert answer.returncode == 2 and message in answer.stderr
    assert len([line for line in answer.stderr.strip().splitlines() if line.startswith("granu: ")]) == 1

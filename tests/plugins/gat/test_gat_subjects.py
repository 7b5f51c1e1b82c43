"""Labels and sources of `gat`: what the judge does, and real images as the generator encodes them."""

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

from granu import DataError, Defense, GranuError, Judge, Streams
from granu.testing import tiny

Build = Callable[[str], Defense]
SHORT = "budget=0.3,samples=20"


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

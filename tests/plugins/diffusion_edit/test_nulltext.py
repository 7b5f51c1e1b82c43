"""Null-text inversion and Prompt-to-Prompt: what must hold exactly, the alignment of tokens, and controlled layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from edited_images import images_of, perturbed
from tiny_editors import LAYERS
from torch import Tensor

from granu import Batch, ImageEvidence, PluginError
from granu_diffusion_edit.alignment import align
from granu_diffusion_edit.attention import Control, ControlledAttention
from granu_diffusion_edit.ddim import Steps
from granu_diffusion_edit.nulltext import NullText
from granu_diffusion_edit.perturbation import DiffusionEdit
from granu_diffusion_edit.prompts import Prompt

SNOW = Prompt("weather/snow", "a photo of a cat", "a photo of a cat in snow", "make it snow")
Engines = Callable[..., NullText]


@pytest.fixture
def engine(opened: Callable[..., DiffusionEdit]) -> Engines:
    """The engine of a tiny Stable Diffusion, with four steps."""

    def build(**options: Any) -> NullText:
        made = opened("sd", engine="nulltext-p2p", **({"inner_steps": 2} | options)).engine
        assert isinstance(made, NullText)
        return made

    return build


@pytest.fixture
def image() -> Tensor:
    """One image of the model's size, (3, 16, 16)."""
    return images_of(1, 3, 16, 16).images[0]


def edited(engine: NullText, image: Tensor, prompt: Prompt, severity: float = 1.0) -> Tensor:
    return engine.edit(image[None], [prompt], [0], severity).images


@pytest.mark.parametrize("severity", [0.3, 1.0])
def test_the_same_prompt_on_both_sides_gives_the_reconstruction(
    engine: Engines, image: Tensor, severity: float
) -> None:
    made = engine()
    pair, _ = made.pair(image, SNOW.unchanged(), made.shares.at(severity))
    assert torch.equal(pair[0], pair[1])
    assert torch.equal(edited(made, image, SNOW.unchanged(), severity), pair[:1])


def test_the_reconstruction_beside_an_edit_is_that_of_plain_guidance(engine: Engines, image: Tensor) -> None:
    made = engine()
    pair, _ = made.pair(image, SNOW, made.shares)
    assert (pair[:1] - made.reconstruct(image, SNOW.source)).abs().amax() < 1e-3


def test_without_injection_the_edit_is_plain_guidance(engine: Engines, image: Tensor) -> None:
    made = engine(cross=0.0, self_=0.0)
    plain = made.plainly(image, SNOW.source, SNOW.target)
    assert (edited(made, image, SNOW) - plain).abs().amax() < 1e-3
    assert made.edit(image[None], [SNOW], [0], 1.0).facts["controlled_layers"].tolist() == [0]


def test_injection_makes_another_image_than_plain_guidance_or_none(engine: Engines, image: Tensor) -> None:
    made = engine(cross=1.0, self_=1.0)
    injected = edited(made, image, SNOW)
    assert (injected - made.reconstruct(image, SNOW.source)).abs().amax() > 0.01
    assert (injected - made.plainly(image, SNOW.source, SNOW.target)).abs().amax() > 0.01


@pytest.mark.parametrize(("share", "name"), [("cross", "attn2"), ("self_", "attn1")])
def test_each_kind_of_attention_is_injected_by_its_own_share(
    engine: Engines, image: Tensor, share: str, name: str
) -> None:
    made = engine(**({"cross": 0.0, "self_": 0.0} | {share: 0.5}))
    seen: list[Control] = []
    before = made._sample

    def noted(inversion: Any, prompts: Any, control: Control | None = None) -> Tensor:
        assert control is not None
        seen.append(control)
        return before(inversion, prompts, control)

    made._sample = noted  # type: ignore[method-assign]
    edited(made, image, SNOW)
    assert len(seen[0].layers) == LAYERS / 2 and all(f".{name}." in layer for layer in seen[0].layers)


@pytest.mark.parametrize(("severity", "cross", "own"), [(1.0, {0, 1}, {0}), (0.5, {0, 1, 2}, {0, 1, 2})])
def test_attention_is_injected_in_the_first_steps_alone(
    engine: Engines, image: Tensor, severity: float, cross: set[int], own: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four steps; at half the severity the shares are halfway to all steps."""
    seen: dict[bool, set[int]] = {True: set(), False: set()}
    inject = Control.inject

    def noted(control: Control, probabilities: Tensor, is_cross: bool) -> Tensor:
        seen[is_cross].add(control.step)
        return inject(control, probabilities, is_cross)

    monkeypatch.setattr(Control, "inject", noted)
    edited(engine(cross=0.5, self_=0.25, inner_steps=0), image, SNOW, severity)
    assert seen == {True: cross, False: own}


def test_all_layers_are_controlled_and_counted(engine: Engines, image: Tensor) -> None:
    made = engine().edit(image[None], [SNOW], [0], 1.0)
    assert made.facts["controlled_layers"].tolist() == [LAYERS]


def test_the_usual_attention_is_there_again_afterwards(engine: Engines, image: Tensor) -> None:
    made = engine()
    edited(made, image, SNOW)
    processors = made.pipeline.unet.attn_processors.values()
    assert len(processors) == LAYERS and not any(isinstance(one, ControlledAttention) for one in processors)


def test_controlling_no_layer_is_an_error(engine: Engines, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()
    monkeypatch.setattr("granu_diffusion_edit.attention.SELF", "another name")
    monkeypatch.setattr("granu_diffusion_edit.attention.CROSS", "another name")
    with pytest.raises(PluginError, match="none of the attention layers of this U-Net could be controlled"):
        edited(made, image, SNOW)


def test_optimised_empty_prompts_lead_nearer_to_the_inverted_latents(engine: Engines, image: Tensor) -> None:
    goal = engine().encode(image[None])
    errors = []
    for steps in (0, 10):
        made = engine(inner_steps=steps)
        with torch.no_grad():
            end = made._sample(made.invert(image, SNOW.source), [SNOW.source])
        errors.append((end - goal).square().mean().item())
    assert errors[1] < errors[0]


def test_an_inversion_is_made_once(engine: Engines, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine().invert(image, SNOW.source)
    again = engine()
    monkeypatch.setattr(again, "_states", None)
    second = again.invert(image, SNOW.source)
    assert torch.equal(first.noise, second.noise) and torch.equal(first.empty, second.empty)
    assert first.empty.shape == (4, 77, 16)


def test_another_prompt_or_number_of_inner_steps_is_another_inversion(engine: Engines, image: Tensor) -> None:
    first = engine().invert(image, SNOW.source)
    assert not torch.equal(first.empty, engine().invert(image, "a photo of a dog").empty)
    assert not torch.equal(first.empty, engine(inner_steps=1).invert(image, SNOW.source).empty)


def test_the_perturbation_stores_the_layers_and_one_null_edit(
    opened: Callable[..., DiffusionEdit], tmp_path: Path
) -> None:
    batch: Batch = images_of(1, 3, 16, 16)
    proposal = perturbed(opened("sd", engine="nulltext-p2p", inner_steps=1), batch)
    assert proposal.extra is not None and proposal.arms is not None
    assert proposal.extra["controlled_layers@1"].tolist() == [LAYERS]
    null = [one.images for one in proposal.arms.unchanged.values() if isinstance(one, ImageEvidence)]
    assert torch.equal(null[0], null[1])


# parts


@pytest.mark.parametrize(
    ("source", "target", "index", "aligned"),
    [
        ([1, 5, 6, 2], [1, 5, 6, 2], [0, 1, 2, 3, 4, 5], [1, 1, 1, 1, 1, 1]),
        ([1, 5, 6, 2], [1, 5, 9, 6, 2], [0, 1, 0, 2, 3, 5], [1, 1, 0, 1, 1, 1]),
        ([1, 5, 6, 2], [1, 6, 2], [0, 2, 3, 3, 4, 5], [1, 1, 1, 1, 1, 1]),
        ([1, 5, 2], [1, 7, 2], [0, 0, 2, 3, 4, 5], [1, 0, 1, 1, 1, 1]),
    ],
    ids=["equal", "a word more", "a word less", "another word"],
)
def test_tokens_are_aligned(source: list[int], target: list[int], index: list[int], aligned: list[int]) -> None:
    found, weights = align(source, target, 6)
    assert found.tolist() == index and weights.tolist() == aligned


def test_aligned_tokens_take_the_map_of_the_source_and_new_ones_their_own() -> None:
    control = Control(torch.tensor([0, 0, 1]), torch.tensor([1.0, 0.0, 1.0]), 1, 1)
    probabilities = torch.arange(4 * 3, dtype=torch.float32).view(4, 1, 1, 3)
    made = control.inject(probabilities, cross=True)
    assert torch.equal(made[:3], probabilities[:3])
    assert made[3, 0, 0].tolist() == [6.0, 10.0, 7.0]
    assert torch.equal(control.inject(probabilities, cross=False)[3], probabilities[2])


def test_fine_maps_of_self_attention_and_late_steps_are_left_alone() -> None:
    control = Control(torch.arange(3), torch.ones(3), cross_steps=2, self_steps=1)
    assert control.injects(False, 1024) and not control.injects(False, 1025) and control.injects(True, 4096)
    control.step = 1
    assert not control.injects(False, 16) and control.injects(True, 16)
    control.step = 2
    assert not control.injects(True, 16)


@pytest.mark.parametrize("velocity", [False, True])
def test_a_step_to_noise_and_one_back_with_the_same_output_cancel(velocity: bool) -> None:
    steps = Steps(torch.linspace(0.99, 0.05, 100), (75, 50, 25, 0), 25, velocity)
    noise = torch.Generator().manual_seed(0)
    image, epsilon = (torch.randn(1, 2, 3, 3, generator=noise) for _ in range(2))
    x = steps.levels[25].sqrt() * image + (1 - steps.levels[25]).sqrt() * epsilon
    output = steps.levels[25].sqrt() * epsilon - (1 - steps.levels[25]).sqrt() * image if velocity else epsilon
    up = steps.towards_noise(x, output, 50)
    expected = steps.levels[50].sqrt() * image + (1 - steps.levels[50]).sqrt() * epsilon
    assert torch.allclose(up, expected, atol=1e-5)


def test_the_last_step_ends_at_the_level_of_timestep_zero() -> None:
    steps = Steps(torch.linspace(0.99, 0.05, 100), (51, 26, 1), 25)
    x = torch.ones(1, 1, 1, 1)
    down = steps.towards_image(x, torch.zeros_like(x), 1)
    assert down.item() == pytest.approx((0.99 / steps.levels[1].item()) ** 0.5)

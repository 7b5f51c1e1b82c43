"""Images are those of diffusers' own pipelines, from the same noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pipelines import SCHEDULER, build, ddim, dit, edit_json, latent_diffusion
from torch import Tensor

from granu_diffusion.generator import DiffusionGenerator, DiffusionLatent

TOLERANCE = 1e-5


def images_of(pipeline: Any, steps: int = 5, seed: int = 3, **given: Any) -> Tensor:
    """Images of a pipeline, (B, C, H, W)."""
    noise = torch.Generator().manual_seed(seed)
    images = pipeline(num_inference_steps=steps, generator=noise, output_type="np", **given).images
    return torch.tensor(images).permute(0, 3, 1, 2)


def drawn(generator: DiffusionGenerator, labels: Tensor, seed: int = 3) -> Tensor:
    """The generator's images from the same noise."""
    shape = generator.layout.config.state_shape
    noise = torch.randn(len(labels), *shape, generator=torch.Generator().manual_seed(seed))
    return generator.tail(DiffusionLatent(labels, noise), ["image"])({}).clamp(0, 1)


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 0.01, "an image without content shows nothing"
    assert (ours - theirs).abs().max() < TOLERANCE


@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_ddim_agrees_with_diffusers(tmp_path: Path, prediction: str, betas: str) -> None:
    pipeline = ddim(SCHEDULER | {"prediction_type": prediction, "beta_schedule": betas})
    pipeline.save_pretrained(tmp_path)
    assert_same(drawn(build(tmp_path), torch.tensor([-1, -1])), images_of(pipeline, batch_size=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"clip_sample": True},
        {"clip_sample": True, "clip_sample_range": 0.7, "prediction_type": "v_prediction"},
        {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
        {"timestep_spacing": "trailing", "num_train_timesteps": 37},
        {"timestep_spacing": "linspace"},
        {"steps_offset": 1, "set_alpha_to_one": False},
        {"num_train_timesteps": 13},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_ddim_agrees_with_diffusers_in_the_other_settings_of_a_scheduler(tmp_path: Path, changes: Any) -> None:
    pipeline = ddim(SCHEDULER | changes)
    pipeline.save_pretrained(tmp_path)
    assert_same(drawn(build(tmp_path), torch.tensor([-1, -1])), images_of(pipeline, batch_size=2))


def test_a_network_that_also_predicts_variances_agrees(tmp_path: Path) -> None:
    pipeline = ddim(out_channels=2)
    pipeline.save_pretrained(tmp_path)
    forward = pipeline.unet.forward
    pipeline.unet.forward = lambda *args: type("Output", (), {"sample": forward(*args).sample[:, :1]})
    assert_same(drawn(build(tmp_path), torch.tensor([-1, -1])), images_of(pipeline, batch_size=2))


def test_the_levels_of_another_scheduler_are_used_without_its_clipping(tmp_path: Path) -> None:
    pipeline = ddim(SCHEDULER | {"beta_schedule": "scaled_linear"})
    pipeline.save_pretrained(tmp_path)
    scheduler = tmp_path / "scheduler" / "scheduler_config.json"
    edit_json(scheduler, _class_name="DPMSolverMultistepScheduler", clip_sample=None, solver_order=2)
    assert_same(drawn(build(tmp_path), torch.tensor([-1, -1])), images_of(pipeline, batch_size=2))


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_dit_agrees_with_diffusers(tmp_path: Path, guidance: float) -> None:
    pipeline = dit()
    pipeline.save_pretrained(tmp_path)
    theirs = images_of(pipeline, class_labels=[2, 7], guidance_scale=guidance)
    assert_same(drawn(build(tmp_path, guidance=guidance), torch.tensor([2, 7])), theirs)


def test_a_dit_whose_files_name_the_older_class_is_the_same(tmp_path: Path) -> None:
    pipeline = dit()
    pipeline.save_pretrained(tmp_path)
    edit_json(
        tmp_path / "transformer" / "config.json", _class_name="Transformer2DModel", num_vector_embeds=False, dropout=0.0
    )
    theirs = images_of(pipeline, class_labels=[2, 7], guidance_scale=1.0)
    assert_same(drawn(build(tmp_path), torch.tensor([2, 7])), theirs)


def test_latent_diffusion_agrees_with_diffusers(tmp_path: Path) -> None:
    pipeline = latent_diffusion()
    pipeline.save_pretrained(tmp_path)
    assert_same(drawn(build(tmp_path), torch.tensor([-1, -1])), images_of(pipeline, batch_size=2))


def test_stable_diffusion_agrees_with_diffusers_at_the_empty_prompt(tmp_path: Path) -> None:
    from tiny_text import stable_diffusion

    pipeline = stable_diffusion(tmp_path / "tokenizer")
    pipeline.save_pretrained(tmp_path)
    theirs = images_of(pipeline, prompt=["", ""], guidance_scale=1.0)
    assert_same(drawn(build(tmp_path), torch.tensor([-1, -1])), theirs)

"""A diffusion model as a generator: sites, draws, encodings, gradients and their memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_pipelines import CLASSES, SCHEDULER, build, dit, latent_diffusion, save_granu
from torch import Tensor

from granu import DrawingGenerator, EncodingGenerator, Streams
from granu.plugins.catalog import Catalog
from granu.plugins.context import BuildContext
from granu.testing.contracts import check_import_without_torch, check_plugin
from granu.testing.generators import check_encoder, check_generator
from granu_diffusion import DiffusionOptions, generator, sites
from granu_diffusion.generator import DiffusionGenerator

IDS = ("image 0", "image 1", "image 2")
LABELS = torch.arange(3)


@pytest.fixture
def conditional(tmp_path: Path) -> Path:
    """Three classes and an empty one; of v, since then iterations invert the steps of an untrained network."""
    scheduler = SCHEDULER | {"prediction_type": "v_prediction"}
    return save_granu(tmp_path / "conditional.safetensors", CLASSES, scheduler, num_class_embeds=4)


@pytest.fixture
def unconditional(tmp_path: Path) -> Path:
    return save_granu(tmp_path / "unconditional.safetensors")


def planned(weights: Path, **options: object) -> list[str]:
    """The names of the sites, from the header alone."""
    chosen = DiffusionOptions(weights=str(weights), **options)  # type: ignore[arg-type]
    return [site.name for site in sites(chosen, BuildContext(Catalog()))]


def image(generator: DiffusionGenerator, latent: object) -> Tensor:
    return generator.tail(latent, ["image"])({})  # type: ignore[arg-type]


def psnr(one: Tensor, other: Tensor) -> float:
    """The lowest over the batch, in dB."""
    return -10 * math.log10((one - other).square().flatten(1).mean(dim=1).max().clamp_min(1e-15).item())


def test_the_plugin_keeps_the_contracts() -> None:
    check_plugin("diffusion")
    check_import_without_torch("granu_diffusion", "granu_diffusion.planning")


def test_a_generator_draws_and_encodes(conditional: Path) -> None:
    built = build(conditional)
    assert isinstance(built, DrawingGenerator) and isinstance(built, EncodingGenerator)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_conditional_model_keeps_the_contract(conditional: Path, guidance: float) -> None:
    check_generator(build(conditional, guidance=guidance, sampling_steps=2))


def test_an_unconditional_model_keeps_the_contract(unconditional: Path) -> None:
    built = build(unconditional, sampling_steps=2)
    check_generator(built)
    assert built.classes == () and (built.draw(Streams(0, IDS), None).labels == -1).all()


def test_a_dit_keeps_the_contract(tmp_path: Path) -> None:
    dit().save_pretrained(tmp_path)
    check_generator(build(tmp_path, guidance=3.0, sampling_steps=2))


def test_latent_diffusion_keeps_the_contract(tmp_path: Path) -> None:
    latent_diffusion().save_pretrained(tmp_path)
    check_generator(build(tmp_path, sampling_steps=2))


def test_sites_lead_from_noise_to_image(conditional: Path) -> None:
    levels = [900, 800, 700, 600, 500, 400, 300, 200, 100]
    middles = {800, 600, 400, 200}
    inner = [name for level in levels for name in (f"t{level}", *([f"h{level}"] if level in middles else []))]
    assert planned(conditional, sampling_steps=25) == ["t1000", *inner, "t50", "image"]


def test_few_steps_leave_fewer_sites_and_each_is_the_nearest(conditional: Path) -> None:
    assert planned(conditional, sampling_steps=5) == [
        "t1000", "h800", "t600", "h600", "t400", "h400", "t200", "h200", "t50", "image"
    ]  # fmt: skip
    assert planned(conditional, sampling_steps=2) == ["t1000", "h600", "t50", "h200", "image"]


def test_a_model_with_an_autoencoder_has_the_site_latent(tmp_path: Path) -> None:
    latent_diffusion().save_pretrained(tmp_path)
    assert planned(tmp_path)[-2:] == ["latent", "image"]


def test_planned_sites_are_those_of_the_generator(conditional: Path) -> None:
    built = build(conditional, sampling_steps=7)
    assert [site.name for site in built.sites()] == planned(conditional, sampling_steps=7)


def test_draws_are_of_the_classes_that_were_chosen(conditional: Path) -> None:
    built = build(conditional, classes=("grass snake", "0"))
    labels = built.draw(Streams(0, [str(i) for i in range(20)]), None).labels
    assert built.labels == (2, 0) and set(labels.tolist()) == {0, 2}
    assert built.classes == ("cat", "dog", "green snake")


def test_the_class_changes_the_image(conditional: Path) -> None:
    built = build(conditional)
    noise = Streams(0, IDS)
    one, other = (image(built, built.draw(noise.scope("same"), torch.full((3,), k))) for k in (0, 1))
    assert (one - other).abs().amax() > 0.01


def test_an_edit_of_the_middle_block_keeps_skip_connections(conditional: Path) -> None:
    """With a middle block of zeros the image still depends on the noise, through the skips."""
    built = build(conditional)
    latent = built.draw(Streams(0, IDS), LABELS)
    tail = built.tail(latent, ["h200"])
    erased = tail({"h200": -tail.clean["h200"]})
    assert (erased - tail({})).abs().amax() > 1e-4
    assert erased.flatten(1).std(dim=0).amax() > 0.01


def test_several_sites_are_edited_together(conditional: Path) -> None:
    built = build(conditional)
    latent = built.draw(Streams(0, IDS), LABELS)
    tail = built.tail(latent, ["t600", "h600"])
    edits = {name: torch.randn_like(value) for name, value in tail.clean.items()}
    alone = built.tail(latent, ["t600"])({"t600": edits["t600"]})
    assert not torch.allclose(tail(edits), alone, atol=1e-3)
    assert torch.allclose(tail({"t600": edits["t600"]}), alone, atol=1e-5)


def plainly(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    return function(*inputs)


@pytest.mark.parametrize("site", ["t1000", "h600", "t400"])
def test_recomputing_changes_no_gradient(conditional: Path, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build(conditional, guidance=2.0)
    latent = built.draw(Streams(0, IDS), LABELS)

    def gradient() -> Tensor:
        tail = built.tail(latent, [site])
        edit = torch.zeros_like(tail.clean[site]).requires_grad_()
        (found,) = torch.autograd.grad(tail({site: edit}).square().sum(), edit)
        return found

    recomputed = gradient()
    monkeypatch.setattr(generator, "recomputed", plainly)
    assert recomputed.abs().sum() > 0
    assert torch.allclose(recomputed, gradient(), rtol=1e-4, atol=1e-6)


def kept_numbers(built: DiffusionGenerator) -> int:
    """The number of values that a gradient at the first site keeps for its backward pass."""
    tail = built.tail(built.draw(Streams(0, IDS), LABELS), ["t1000"])
    edit = torch.zeros_like(tail.clean["t1000"]).requires_grad_()
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        tail({"t1000": edit})
    return sum(kept)


def test_a_further_step_keeps_one_state_in_memory(conditional: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images of 64 pixels and their labels; without recomputation, every layer's values."""
    few, many = (kept_numbers(build(conditional, sampling_steps=steps)) for steps in (2, 6))
    assert many - few <= 4 * 3 * (64 + 1)
    monkeypatch.setattr(generator, "recomputed", plainly)
    few, many = (kept_numbers(build(conditional, sampling_steps=steps)) for steps in (2, 6))
    assert many - few > 4 * 3 * 64 * 50


@pytest.mark.parametrize("site", ["t1000", "h600"])
def test_a_search_in_bfloat16_follows_nearly_the_same_gradient(conditional: Path, site: str) -> None:
    built = build(conditional)
    tail = built.tail(built.draw(Streams(0, IDS), LABELS), [site])
    found = []
    for low in (False, True):
        edit = torch.zeros_like(tail.clean[site]).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            images = tail({site: edit})
        assert images.dtype == torch.float32
        found.append(torch.autograd.grad(images.square().sum(), edit)[0].flatten())
    assert torch.nn.functional.cosine_similarity(*found, dim=0) > 0.95


def test_an_encoding_reconstructs_the_image(conditional: Path) -> None:
    built = build(conditional, iterations=60, tolerance=1e-5)
    images = image(built, built.draw(Streams(0, IDS), LABELS)).clamp(0, 1)
    encoded = built.encode(images, LABELS, Streams(0, IDS))
    assert psnr(image(built, encoded), images) > 80


@pytest.mark.parametrize("exact", [False, True])
def test_encodings_keep_the_contract(conditional: Path, exact: bool) -> None:
    built = build(conditional, exact=exact, sampling_steps=2)
    images = image(built, built.draw(Streams(0, IDS), LABELS)).clamp(0, 1)
    check_encoder(built, images, LABELS)


def test_encodings_through_an_autoencoder_keep_the_contract(tmp_path: Path) -> None:
    latent_diffusion().save_pretrained(tmp_path)
    built = build(tmp_path, exact=True, sampling_steps=2)
    check_encoder(built, torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([-1, -1]))


def test_iterations_reconstruct_better_than_plain_inversion(conditional: Path) -> None:
    images = image(drawing := build(conditional), drawing.draw(Streams(0, IDS), LABELS)).clamp(0, 1)
    reached = []
    for iterations in (1, 2, 4):
        built = build(conditional, iterations=iterations)
        reached.append(psnr(image(built, built.encode(images, LABELS, Streams(0, IDS))), images))
    assert reached[0] + 3 < reached[1] and reached[1] + 3 < reached[2]


def test_an_exact_encoding_reconstructs_the_image_however_few_the_iterations(conditional: Path) -> None:
    built = build(conditional, exact=True, iterations=1)
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    encoded = built.encode(images, LABELS, Streams(0, IDS))
    assert psnr(image(built, encoded), images) > 90
    for site in ("t600", "h400"):
        assert psnr(built.tail(encoded, [site])({}), images) > 90


def test_latents_are_encoded_through_the_autoencoder(tmp_path: Path) -> None:
    dit().save_pretrained(tmp_path)
    built = build(tmp_path, exact=True)
    latent = built.draw(Streams(0, IDS), LABELS)
    images = image(built, latent).clamp(0, 1)
    encoded = built.encode(images, LABELS, Streams(0, IDS))
    expected = built.decoder.decode(built.decoder.encode(images))
    assert psnr(image(built, encoded), expected) > 70


def test_the_fingerprint_says_what_shapes_images_and_the_encoding_what_shapes_encodings(conditional: Path) -> None:
    options = [{}, {"sampling_steps": 6}, {"guidance": 2.0}, {"clip": True}]
    assert len({build(conditional, **one).fingerprint for one in options}) == len(options)
    options = [{}, {"iterations": 3}, {"tolerance": 0.1}, {"exact": True}]
    assert len({build(conditional, **one).fingerprint for one in options}) == 1
    assert len({build(conditional, **one).encoding for one in options}) == len(options)

"""Files of a diffusion model, and the sentences about files and options that do not fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_pipelines import CLASSES, SCHEDULER, UNET, build, ddim, dit, edit_json, latent_diffusion, save_granu

from granu import GranuError, OptionError, PluginError, Streams, WeightsError, WeightsHeader, save_weights
from granu.plugins.catalog import Catalog
from granu.plugins.context import BuildContext
from granu_diffusion import DiffusionOptions, check, describe, planning, sites

TENSORS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A DDIMPipeline."""
    ddim().save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.fixture
def conditional(tmp_path: Path) -> Path:
    return save_granu(tmp_path / "conditional.safetensors", CLASSES, num_class_embeds=4)


def checked(weights: Path, **options: Any) -> None:
    """Everything that is checked before anything is built."""
    chosen = DiffusionOptions(weights=str(weights), **({"sampling_steps": 5} | options))
    check(chosen, BuildContext(Catalog()))
    sites(chosen, BuildContext(Catalog()))
    describe(chosen, BuildContext(Catalog()))


def refused(weights: Path, kind: type[GranuError] = WeightsError, **options: Any) -> tuple[str, str]:
    """The sentences about these weights before and while they are built."""
    with pytest.raises(kind) as early:
        checked(weights, **options)
    with pytest.raises(kind) as late:
        build(weights, **options)
    return str(early.value), str(late.value)


def refused_late(weights: Path) -> str:
    """The sentence about weights whose tensors do not fit."""
    with pytest.raises(WeightsError) as late:
        build(weights)
    return str(late.value)


def image(weights: Path) -> torch.Tensor:
    built = build(weights)
    return built.tail(built.draw(Streams(0, ["a", "b"]), None), ["image"])({})


def test_info_describes_a_file(conditional: Path) -> None:
    about = describe(DiffusionOptions(weights=str(conditional)), BuildContext(Catalog()))
    assert about["classes"] == "cat, dog, green snake" and about["empty class for guidance"] == "yes"
    assert about["images"] == "8 x 8, 1 channel" and about["schedule"] == "linear, 1000 timesteps"
    assert about["prediction"] == "epsilon" and about["predicted image clipped"] == "no"


def test_info_describes_a_folder_with_an_autoencoder(tmp_path: Path) -> None:
    dit().save_pretrained(tmp_path)
    names = {str(i): name for i, name in enumerate((*CLASSES, *(f"class {i}" for i in range(3, 1000))))}
    edit_json(tmp_path / "model_index.json", id2label=names)
    about = describe(DiffusionOptions(weights=str(tmp_path)), BuildContext(Catalog()))
    assert about["architecture"] == "DiT" and about["classes"] == "1000, cat to class 999"
    assert about["images"] == "8 x 8, 3 channels" and about["autoencoder"] == "AutoencoderKL, latents 4 x 4 x 4"


def test_a_thousand_classes_without_names_are_those_of_imagenet(tmp_path: Path) -> None:
    dit().save_pretrained(tmp_path)
    built = build(tmp_path, classes=("goldfish", "tiger_shark"))
    assert built.classes[:2] == ("tench", "goldfish") and built.labels == (1, 3)


def test_class_names_with_a_gap_are_refused(tmp_path: Path) -> None:
    dit().save_pretrained(tmp_path)
    edit_json(tmp_path / "model_index.json", id2label={"0": "cat", "2": "dog"})
    early, late = refused(tmp_path)
    assert "does not name classes from 0 on" in early and late == early


def test_a_file_is_described_without_torch(conditional: Path, folder: Path) -> None:
    code = "\n".join([
        "import sys",
        "from granu.plugins.catalog import Catalog",
        "from granu.plugins.context import BuildContext",
        "from granu_diffusion import DiffusionOptions, check, describe, sites",
        "for path in sys.argv[1:]:",
        "    for ask in (check, describe, sites):",
        "        ask(DiffusionOptions(weights=path), BuildContext(Catalog()))",
        "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)",
    ])  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(conditional), str(folder)], env=environment, check=False)
    assert done.returncode == 0


def test_float16_tensors_are_computed_with_in_float32(tmp_path: Path) -> None:
    file = save_granu(tmp_path / "whole.safetensors")
    state = {name: tensor.half() for name, tensor in load_file(file).items()}
    half = tmp_path / "half.safetensors"
    save_weights(half, state, WeightsHeader("diffusion", {"unet": UNET, "scheduler": SCHEDULER}))
    assert image(half).dtype == torch.float32
    assert torch.allclose(image(half), image(file), atol=0.05)


def test_a_file_of_torch_save_gives_the_same_images(folder: Path) -> None:
    before = image(folder)
    torch.save(load_file(folder / TENSORS), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / TENSORS).unlink()
    assert torch.equal(image(folder), before)


def test_attention_with_the_names_of_older_files_gives_the_same_images(folder: Path) -> None:
    before, old = image(folder), {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, tensor in load_file(folder / TENSORS).items():
        for new_name, old_name in old.items():
            name = name.replace(f".{new_name}.", f".{old_name}.")
        state[name] = tensor
    assert any("proj_attn" in name for name in state)
    save_file(state, folder / TENSORS)
    assert torch.equal(image(folder), before)


def test_a_granu_file_may_hold_an_autoencoder(tmp_path: Path) -> None:
    pipeline = latent_diffusion()
    pipeline.save_pretrained(tmp_path / "pipeline")
    parts = {"unet": pipeline.unet, "vqvae": pipeline.vqvae}
    config = {name: json.loads((tmp_path / "pipeline" / name / "config.json").read_text()) for name in parts}
    state = {f"{part}.{name}": t for part, network in parts.items() for name, t in network.state_dict().items()}
    file = tmp_path / "whole.safetensors"
    save_weights(file, state, WeightsHeader("diffusion", {**config, "scheduler": SCHEDULER}))
    assert torch.equal(image(file), image(tmp_path / "pipeline"))


def test_another_pipeline_is_named(folder: Path) -> None:
    edit_json(folder / "model_index.json", _class_name="FluxPipeline")
    early, late = refused(folder)
    assert "holds a FluxPipeline; granu opens DDPMPipeline, DDIMPipeline" in early and late == early


def test_a_folder_without_an_index_is_no_pipeline(tmp_path: Path) -> None:
    early, late = refused(tmp_path)
    assert "has no model_index.json" in early and late == early


def test_a_network_alone_is_missing_its_scheduler(folder: Path) -> None:
    early, late = refused(folder / "unet")
    assert "missing scheduler" in early and late == early
    early, late = refused(folder / TENSORS)
    assert "name the folder that holds" in early and late == early


def test_an_autoencoder_alone_is_for_another_generator(tmp_path: Path) -> None:
    latent_diffusion().save_pretrained(tmp_path)
    early, late = refused(tmp_path / "vqvae")
    assert "denoises nothing; open it with autoencoder:" in early and late == early


def test_a_missing_scheduler_is_named(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").unlink()
    early, late = refused(folder)
    assert "missing its scheduler" in early and late == early


def test_a_missing_part_is_named(folder: Path) -> None:
    (folder / "unet" / "config.json").unlink()
    early, late = refused(folder)
    assert "is a DDIMPipeline without unet/config.json" in early and late == early


def test_a_missing_text_encoder_is_named(folder: Path, tmp_path: Path) -> None:
    latent_diffusion().save_pretrained(tmp_path / "latent")
    (tmp_path / "latent" / "vqvae").rename(tmp_path / "latent" / "vae")
    edit_json(tmp_path / "latent" / "model_index.json", _class_name="StableDiffusionPipeline")
    early, late = refused(tmp_path / "latent")
    assert "conditioned on text but has no text encoder" in early and late == early


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "ScoreSdeVeScheduler"}, "the levels of a ScoreSdeVeScheduler are not those of DDIM"),
        ({"prediction_type": "flow"}, "prediction_type is 'flow'; granu knows epsilon, v_prediction, sample"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'; granu knows linear"),
        ({"num_train_timesteps": 10**12}, "num_train_timesteps is 1000000000000, not a whole number"),
        ({"beta_start": "0.1"}, "beta_start is 0.1, not a number"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas must be 1000 numbers"),
        ({"thresholding": True}, "dynamic thresholding is not supported"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr needs v_prediction or sample"),
        ({"timestep_spacing": "karras"}, "timestep_spacing is 'karras'"),
        ({"steps_offset": 999}, "sampling-steps=5 begins after the last of the 1000 timesteps"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_schedule_that_does_not_fit_is_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    edit_json(folder / "scheduler" / "scheduler_config.json", **changes)
    early, late = refused(folder, GranuError)
    assert said in early and late == early


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "MotionModel"}, "the unet is a MotionModel; granu opens UNet2DModel and"),
        ({"sample_size": 9}, "sample_size 9 x 9 is no multiple of 2"),
        ({"sample_size": 10**6}, "not a height and width of at most 4096"),
        ({"sample_size": None}, "sample_size is None, not a height and width"),
        ({"in_channels": 5, "out_channels": 5}, "images have 5 channels, neither 1 nor 3"),
        ({"out_channels": 7}, "takes 1 channels and gives 7"),
        ({"time_embedding_type": "fourier"}, "continuous noise levels"),
        ({"class_embed_type": "identity"}, "class_embed_type is not supported"),
        ({"block_out_channels": [8] * 40}, "block_out_channels is "),
        ({"num_class_embeds": "ten"}, "num_class_embeds is ten, not a whole number"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_network_that_does_not_fit_is_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    edit_json(folder / "unet" / "config.json", **changes)
    early, late = refused(folder)
    assert said in early and late == early


def test_an_autoencoder_with_other_latents_is_refused(tmp_path: Path) -> None:
    latent_diffusion().save_pretrained(tmp_path)
    edit_json(tmp_path / "vqvae" / "config.json", vq_embed_dim=3)
    early, late = refused(tmp_path)
    assert "latents have 3 channels, the network takes 4" in early and late == early


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"])
def test_damaged_json_is_named(folder: Path, file: str, damage: bytes) -> None:
    (folder / file).write_bytes(damage)
    early, late = refused(folder)
    assert file in early and late == early


def without_one(state: dict[str, Any]) -> None:
    del state["conv_in.weight"]


def with_another(state: dict[str, Any]) -> None:
    state["conv_in.more"] = torch.zeros(1)


def with_another_shape(state: dict[str, Any]) -> None:
    state["conv_in.bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_one, "missing: conv_in.weight"),
        (with_another, "unexpected: conv_in.more"),
        (with_another_shape, "of another shape: conv_in.bias (3,) instead of (8,)"),
    ],
)
def test_tensors_that_do_not_fit_are_listed(folder: Path, change: Callable[..., None], said: str) -> None:
    state = load_file(folder / TENSORS)
    change(state)
    save_file(state, folder / TENSORS)
    assert said in refused_late(folder)


@pytest.mark.parametrize(
    "claims",
    [{"layers_per_block": 10**6}, {"block_out_channels": [1 << 20, 1 << 20]}, {"num_class_embeds": 100_000}],
    ids=str,
)
def test_a_larger_network_than_the_file_holds_is_never_built(folder: Path, claims: dict[str, Any]) -> None:
    edit_json(folder / "unet" / "config.json", **claims)
    message = refused_late(folder)
    assert "more parameters than the file holds" in message or "do not fit its architecture" in message


def test_a_block_that_diffusers_does_not_know_is_refused(folder: Path) -> None:
    edit_json(folder / "unet" / "config.json", down_block_types=["DownBlock2D", "os.system"])
    assert "describes a network that cannot be built" in refused_late(folder)


def test_an_argument_that_diffusers_does_not_know_is_refused(folder: Path) -> None:
    edit_json(folder / "unet" / "config.json", upward_attention="sparse", use_nothing=False)
    assert "knows no upward_attention of a UNet2DModel" in refused_late(folder)


def test_missing_tensors_are_named(folder: Path) -> None:
    (folder / TENSORS).unlink()
    assert "holds no diffusion_pytorch_model.safetensors or .bin" in refused_late(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text("{}")
    assert "in several files" in refused_late(folder)


def test_a_pickle_that_runs_code_is_refused(folder: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch attacked",)

    (folder / TENSORS).unlink()
    torch.save({"conv_in.weight": Attack()}, folder / "unet" / "diffusion_pytorch_model.bin")
    assert "system" in refused_late(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"scheduler": SCHEDULER}, "has neither unet nor transformer"),
        ({"unet": UNET}, "has no scheduler"),
        ({"unet": UNET, "scheduler": SCHEDULER, "code": {}}, "has the part 'code'"),
        ({"unet": 3, "scheduler": SCHEDULER}, "has the part 'unet'"),
    ],
)
def test_a_header_that_describes_no_diffusion_model_is_refused(tmp_path: Path, config: Any, said: str) -> None:
    save_weights(tmp_path / "w.safetensors", {"x": torch.zeros(1)}, WeightsHeader("diffusion", config))
    early, late = refused(tmp_path / "w.safetensors")
    assert said in early and late == early


def test_a_tensor_of_no_part_is_unexpected(tmp_path: Path) -> None:
    file = save_granu(tmp_path / "whole.safetensors")
    state = load_file(file) | {"vae.decoder.weight": torch.zeros(1)}
    save_weights(file, state, WeightsHeader("diffusion", {"unet": UNET, "scheduler": SCHEDULER}))
    assert "unexpected: vae.decoder.weight" in refused_late(file)


def test_classes_that_a_network_does_not_have_are_refused(tmp_path: Path) -> None:
    many = save_granu(tmp_path / "many.safetensors", CLASSES, num_class_embeds=7)
    early, late = refused(many)
    assert "3 classes are named for a network of 7" in early and late == early
    none = save_granu(tmp_path / "none.safetensors", CLASSES)
    early, late = refused(none)
    assert "3 classes are named for an unconditional network" in early and late == early


def test_an_unknown_class_brings_a_suggestion(conditional: Path) -> None:
    early, late = refused(conditional, OptionError, classes=("cat", "dgo"))
    assert "there is no class 'dgo'; did you mean 'dog'?" in early and late == early


def test_an_unconditional_model_has_no_classes_to_choose(folder: Path) -> None:
    early, late = refused(folder, OptionError, classes=("dog",))
    assert "these weights are unconditional" in early and late == early


def test_more_steps_than_timesteps_are_refused(tmp_path: Path) -> None:
    file = save_granu(tmp_path / "short.safetensors", (), SCHEDULER | {"num_train_timesteps": 20})
    early, late = refused(file, OptionError, sampling_steps=21)
    assert "sampling-steps=21 is more than the 20 timesteps of these weights" in early and late == early


def test_guidance_needs_an_empty_class(folder: Path, tmp_path: Path) -> None:
    early, late = refused(folder, OptionError, guidance=2.0)
    assert "since these weights are unconditional" in early and late == early
    full = save_granu(tmp_path / "full.safetensors", CLASSES, num_class_embeds=3)
    early, late = refused(full, OptionError, guidance=2.0)
    assert "these weights have no empty class" in early and late == early


def test_without_diffusers_the_extra_is_named(conditional: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"needs diffusers; install it with pip install 'granu\[diffusion\]'"):
        checked(conditional)

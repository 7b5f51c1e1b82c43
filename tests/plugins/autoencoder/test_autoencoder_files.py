"""Files of an autoencoder are found by folder or name, described without torch, and refused in one sentence."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from granu import BuildContext, GranuError, OptionError, WeightsError, load_catalog

CATALOG = load_catalog()


def check(weights: Path | str, **options: object) -> list[tuple[int, ...]]:
    """Plan a generator and return the shapes of its sites; nothing is built."""
    context = BuildContext(CATALOG)
    rest = "".join(f",{key}={value}" for key, value in options.items())
    resolved = context.resolve("generator", f"autoencoder:weights={weights}{rest}")
    resolved.offer.check(resolved.options, context)
    return [site.shape for site in resolved.offer.sites(resolved.options, context)]


def refused(weights: Path | str, error: type[GranuError] = WeightsError, **options: object) -> str:
    """The message with which weights are refused."""
    with pytest.raises(error) as caught:
        check(weights, **options)
    return str(caught.value)


def said(text: str, message: str) -> bool:
    """True if a message of one line holds a text, which is a regular expression."""
    return re.search(text, message) is not None and "\n" not in message


def edit(file: Path, **fields: Any) -> None:
    """Replace fields of a config.json."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_sites_are_known_without_torch(
    saved: Callable[..., Any], taesd: Callable[..., Any], run_python: Callable[..., Any]
) -> None:
    folders = [saved(kind)[1] for kind in ("AutoencoderKL", "VQModel", "AutoencoderTiny")] + [taesd(ending=".pth")[2]]
    code = (
        "import sys; from granu import BuildContext, load_catalog; context = BuildContext(load_catalog())\n"
        "for folder in sys.argv[1:]:\n"
        "    r = context.resolve('generator', f'autoencoder:weights={folder},size=32x48')\n"
        "    r.offer.check(r.options, context); r.offer.describe(r.options, context)\n"
        "    print([(s.name, s.shape) for s in r.offer.sites(r.options, context)])\n"
        "sys.exit('torch' in sys.modules)"
    )
    answer = run_python(code, *map(str, folders))
    assert answer.returncode == 0, answer.stderr
    kl, vq, tiny, pair = answer.stdout.splitlines()
    assert kl.startswith("[('latent', (4, 16, 24)), ('stage0', (8, 16, 24)), ('stage1', (8, 32, 48)), ('stage2', (4,")
    assert vq.startswith("[('latent', (3, 16, 24)),")
    assert tiny.startswith("[('latent', (4, 8, 12)), ('stage0', (8, 8, 12)), ('stage1', (8, 16, 24)), ('stage2',")
    assert pair.startswith("[('latent', (5, 8, 12)),") and pair.endswith("('image', (3, 32, 48))]")


def test_the_autoencoder_of_a_pipeline_is_found(saved: Callable[..., Any], tmp_path: Path) -> None:
    _, folder = saved("AutoencoderKL")
    (tmp_path / "pipe").mkdir()
    (tmp_path / "pipe" / "model_index.json").write_text('{"_class_name": "LDMPipeline", "unet": ["diffusers", "U"]}')
    assert said("LDMPipeline without an autoencoder; it has unet", refused(tmp_path / "pipe"))
    shutil.copytree(folder, tmp_path / "pipe" / "vae")
    assert check(tmp_path / "pipe") == check(folder) == check(folder / "diffusion_pytorch_model.safetensors")


def test_a_pickled_diffusers_file_is_read_as_data(saved: Callable[..., Any], built: Callable[..., Any]) -> None:
    _, folder = saved("AutoencoderKL")
    fingerprint, whole = built(folder).fingerprint, folder / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(whole), folder / "diffusion_pytorch_model.bin")
    whole.unlink()
    assert built(folder).fingerprint != fingerprint  # another file, with the same sites
    assert len(check(folder)) == 5


def test_a_size_that_the_latent_does_not_divide_is_refused_with_the_nearest(taesd: Callable[..., Any]) -> None:
    folder = taesd()[2]
    assert said(
        "size=30x33 is not a multiple of 4, .* the nearest is size=32$", refused(folder, OptionError, size="30x33")
    )
    assert said("the nearest is size=4x64$", refused(folder, OptionError, size="1x63"))
    assert said("size=big is not a size", refused(folder, OptionError, size="big"))
    assert check(folder, size="32x8")[-1] == (3, 32, 8)


def test_half_of_a_pair_is_refused(taesd: Callable[..., Any]) -> None:
    folder = taesd()[2]
    (folder / "small_decoder.safetensors").rename(folder / "other.safetensors")
    for weights in (folder, folder / "small_encoder.safetensors"):
        assert said(
            "small_encoder.safetensors is half of an autoencoder: .*small_decoder.safetensors is missing",
            refused(weights),
        )
    assert said("other.safetensors is neither half of a TAESD", refused(folder / "other.safetensors"))


def test_the_other_half_may_have_another_ending_and_safetensors_come_first(
    taesd: Callable[..., Any], built: Callable[..., Any]
) -> None:
    encoder, decoder, folder = taesd()
    torch.save(encoder.state_dict(), folder / "small_encoder.pth")
    both = built(folder).fingerprint
    assert built(folder / "small_decoder.safetensors").fingerprint == both
    mixed = built(folder / "small_encoder.pth").fingerprint
    assert mixed != both
    torch.save(decoder.state_dict(), folder / "small_decoder.pth")
    assert built(folder).fingerprint == both
    assert built(folder / "small_encoder.pth").fingerprint not in (both, mixed), "the other of the same ending"
    for part in ("encoder", "decoder"):
        (folder / f"small_{part}.safetensors").unlink()
    assert built(folder).fingerprint == built(folder / "small_encoder.pth").fingerprint


def test_two_halves_of_different_autoencoders_are_refused(taesd: Callable[..., Any], tmp_path: Path) -> None:
    folder = taesd()[2]
    folder.rename(tmp_path / "five")
    wider = taesd(latent=6)[2]
    shutil.copy(tmp_path / "five" / "small_decoder.safetensors", wider)
    assert said("encoder and decoder do not fit together", refused(wider))


def test_several_pairs_in_a_folder_must_be_told_apart(taesd: Callable[..., Any]) -> None:
    folder = taesd()[2]
    for part in ("encoder", "decoder"):
        shutil.copy(folder / f"small_{part}.safetensors", folder / f"large_{part}.safetensors")
    assert said("several autoencoders; name one of the files large_encoder.safetensors, small_encoder", refused(folder))
    assert check(folder / "large_encoder.safetensors")


def test_no_weights_and_unknown_paths_are_refused(taesd: Callable[..., Any], tmp_path: Path) -> None:
    folder = taesd()[2]
    assert said("holds no 'taesd-foldr'; did you mean 'taesd-folder'?", refused(tmp_path / "taesd-foldr"))
    assert said("did you mean 'small_decoder.safetensors'?", refused(folder / "small_decoder.safetensor"))
    assert said("there are no weights", refused("x" * 5000))
    (tmp_path / "empty").mkdir()
    assert said("empty holds no autoencoder", refused(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("AutoencoderKL", {"_class_name": "UNet2DModel"}, "no autoencoder that granu opens but a UNet2DModel"),
        ("AutoencoderKL", {"_class_name": "AutoencoderKl"}, "did you mean 'AutoencoderKL'?"),
        ("AutoencoderKL", {"_class_name": ["os.system"]}, "no autoencoder that granu opens"),
        ("AutoencoderKL", {"latent_channels": 5}, "decoder.conv_in.weight"),
        ("AutoencoderKL", {"latent_channels": 10**9}, "latent_channels is 1000000000, not a whole number"),
        ("AutoencoderKL", {"latent_channels": True}, "latent_channels is True"),
        ("AutoencoderKL", {"block_out_channels": [4, 16]}, "encoder.conv_out.weight"),
        ("AutoencoderKL", {"block_out_channels": [4]}, "different numbers of block_out_channels"),
        ("AutoencoderKL", {"block_out_channels": [4] * 99}, "not a list of 1 to 16"),
        ("AutoencoderKL", {"up_block_types": ["UpDecoderBlock2D", "Any"]}, "up_block_types is Any, not one of"),
        ("AutoencoderKL", {"act_fn": "__import__"}, "act_fn is __import__, not one of silu"),
        ("AutoencoderKL", {"out_channels": 1}, "another number of channels than its reconstructions"),
        ("AutoencoderKL", {"use_quant_conv": "no"}, "use_quant_conv is no, not true or false"),
        ("VQModel", {"num_vq_embeddings": 10**12}, "num_vq_embeddings is 1000000000000"),
        ("VQModel", {"vq_embed_dim": 4}, "quantize.embedding.weight"),
        ("VQModel", {"vq_embed_dim": 4, "norm_type": "spatial"}, "spatial norms read 3 latent channels"),
        ("AutoencoderTiny", {"act_fn": "__import__"}, "other functions than relu"),
        ("AutoencoderTiny", {"upsampling_scaling_factor": 3}, "another upsampling than by 2"),
    ],
)
def test_a_config_that_is_no_autoencoders_is_refused_before_anything_is_built(
    saved: Callable[..., Any], kind: str, fields: dict[str, Any], message: str
) -> None:
    _, folder = saved(kind)
    edit(folder / "config.json", **fields)
    assert said(message, refused(folder))


@pytest.mark.parametrize("layers", [3, 16])
def test_a_config_of_another_depth_is_refused_before_memory_is_used(
    saved: Callable[..., Any], built: Callable[..., Any], layers: int
) -> None:
    _, folder = saved("AutoencoderKL")
    edit(folder / "config.json", layers_per_block=layers)
    with pytest.raises(WeightsError, match=r"do not fit its architecture \(missing: |more parameters than the file"):
        built(folder)


def test_a_group_norm_that_does_not_divide_the_channels_is_refused(
    saved: Callable[..., Any], built: Callable[..., Any]
) -> None:
    _, folder = saved("AutoencoderKL")
    edit(folder / "config.json", norm_num_groups=3)
    with pytest.raises(WeightsError, match="describes a network that cannot be built"):
        built(folder)


@pytest.mark.parametrize("text", ["[]", "{", "\xff", '"AutoencoderKL"'])
def test_a_damaged_config_is_refused(saved: Callable[..., Any], text: str) -> None:
    _, folder = saved("AutoencoderTiny")
    (folder / "config.json").write_text(text, encoding="latin1")
    assert said("config.json", refused(folder))


def test_a_config_without_weights_is_refused(saved: Callable[..., Any]) -> None:
    _, folder = saved("AutoencoderTiny")
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    assert said("has a config.json but none of diffusion_pytorch_model.safetensors", refused(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"1.weight": (8, 5, 1, 1)}, "layer 1 of its decoder is no convolution of 3 x 3"),
        ({"1.weight": (0, 5, 3, 3)}, "layer 1 of its decoder is no convolution of 3 x 3"),
        ({"3.conv.0.weight": (9, 8, 3, 3)}, "do not fit|to 9 channels"),
        ({"6.weight": (7, 8, 3, 3)}, "7 channels meet 8"),
        ({"9999.weight": (8, 8, 3, 3)}, "layers are missing before layer 9999"),
        ({"99999999999.weight": (8, 8, 3, 3)}, "there is a tensor decoder.99999999999.weight"),
        ({"0.weight": (8, 8, 3, 3)}, "its decoder is no TAESD"),
        ({"name": (8, 8, 3, 3)}, "there is a tensor decoder.name"),
    ],
)
def test_tensors_that_are_no_taesds_are_refused(
    taesd: Callable[..., Any], change: dict[str, tuple[int, ...]], message: str
) -> None:
    folder = taesd()[2]
    file = folder / "small_decoder.safetensors"
    save_file({**load_file(file), **{name: torch.zeros(shape) for name, shape in change.items()}}, file)
    assert said(message, refused(folder))


def test_a_further_tensor_in_a_block_is_refused(taesd: Callable[..., Any], built: Callable[..., Any]) -> None:
    folder = taesd()[2]
    file = folder / "small_decoder.safetensors"
    save_file({**load_file(file), "3.skip.weight": torch.zeros(8, 8, 1, 1)}, file)
    with pytest.raises(WeightsError, match=r"unexpected: decoder\.3\.skip\.weight"):
        built(folder)


def test_numbers_that_are_not_finite_are_refused(taesd: Callable[..., Any], built: Callable[..., Any]) -> None:
    folder = taesd()[2]
    file = folder / "small_encoder.safetensors"
    save_file({**load_file(file), "0.bias": torch.full((8,), float("nan"))}, file)
    with pytest.raises(WeightsError, match="NaN"):
        built(folder)


def test_a_pickle_of_anything_else_is_not_run(taesd: Callable[..., Any], tmp_path: Path) -> None:
    folder = taesd(ending=".pth")[2]

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"0.weight": Evil()}, folder / "small_encoder.pth")
    with pytest.raises(WeightsError):
        check(folder)
    assert not (tmp_path / "ran").exists()


def test_a_missing_extra_is_named(
    saved: Callable[..., Any], taesd: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = saved("AutoencoderKL")
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "diffusers" else real(name))
    assert said(r"needs diffusers; install it with pip install 'granu\[diffusion\]'", refused(folder))
    assert check(taesd()[2]), "a TAESD needs no extra"


def test_info_describes_the_files(granu: Callable[..., Any], taesd: Callable[..., Any]) -> None:
    folder = taesd()[2]
    answer = granu("info", f"autoencoder:weights={folder},size=64")
    assert answer.returncode == 0
    for text in ("small_encoder.safetensors, small_decoder", "5 channels at 1/4", "stage2  8 x 64 x 64"):
        assert text in answer.stdout
    assert "ships no weights" in granu("info", "autoencoder").stdout
    wrong = granu("info", f"autoencoder:weights={folder},size=66")
    assert wrong.returncode == 2 and "the nearest is size=64" in wrong.stderr

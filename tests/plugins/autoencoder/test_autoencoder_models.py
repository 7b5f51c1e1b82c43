"""Each kind of autoencoder reconstructs as its own program does, and can be edited at every stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from granu import EncodingGenerator, Streams

CLOSE = {"rtol": 0, "atol": 1e-5}


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2))


def encode(generator: EncodingGenerator, given: Tensor) -> Any:
    count = len(given)
    return generator.encode(given, torch.full((count,), -1), Streams(0, [str(i) for i in range(count)]))


def reconstruct(generator: EncodingGenerator, given: Tensor) -> Tensor:
    return generator.tail(encode(generator, given), ["latent"])({})


def check_sites(generator: EncodingGenerator, given: Tensor) -> None:
    """Every site has the shape that was planned, a zero edit changes nothing, and a gradient arrives."""
    code = encode(generator, given)
    clean = generator.tail(code, ["image"])({})
    for site in generator.sites():
        tail = generator.tail(code, [site.name])
        assert tail.clean[site.name].shape == (len(given), *site.shape)
        edit = torch.zeros_like(tail.clean[site.name]).requires_grad_()
        edited = tail({site.name: edit})
        assert torch.equal(edited, clean), site.name
        (gradient,) = torch.autograd.grad(edited.square().sum(), edit)
        assert gradient.isfinite().all() and gradient.flatten(1).any(dim=1).all(), site.name
        with torch.no_grad():
            moved = tail({site.name: images(*edit.shape)})
        assert not torch.allclose(moved, clean), site.name


@pytest.mark.parametrize("config", [{}, {"use_quant_conv": False, "use_post_quant_conv": False}])
def test_an_autoencoder_kl_decodes_the_mean_of_the_posterior(saved: Any, built: Any, config: dict[str, bool]) -> None:
    vae, folder = saved("AutoencoderKL", **config)
    given, generator = images(2, 3, 16, 24), built(folder, size="16x24")
    with torch.no_grad():
        code = vae.encode(2 * given - 1).latent_dist.mean
        reference = (vae.decode(code).sample + 1) / 2
    torch.testing.assert_close(encode(generator, given).tensors()["latent"], code, **CLOSE)
    torch.testing.assert_close(reconstruct(generator, given), reference, **CLOSE)
    check_sites(generator, given)


@pytest.mark.parametrize("norm", ["group", "spatial"])
def test_a_vq_model_decodes_the_quantized_code(saved: Any, built: Any, norm: str) -> None:
    spatial = {"norm_type": "spatial", "block_out_channels": (32, 64)}  # SpatialNorm has 32 groups
    other = {"vq_embed_dim": 5} if norm == "group" else spatial
    vae, folder = saved("VQModel", num_vq_embeddings=7, **other)
    given, generator = images(2, 3, 16, 16), built(folder)
    with torch.no_grad():
        reference = (vae.decode(vae.encode(2 * given - 1).latents).sample + 1) / 2
    torch.testing.assert_close(reconstruct(generator, given), reference, **CLOSE)
    check_sites(generator, given)
    places = encode(generator, given).tensors()["latent"].movedim(1, -1).flatten(0, 2)
    distance = torch.cdist(places, vae.quantize.embedding.weight.detach()).amin(dim=1)
    assert distance.max() < 1e-5, "every place of the latent is a vector of the codebook"


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_an_autoencoder_tiny_reconstructs_as_in_diffusers(saved: Any, built: Any, activation: str) -> None:
    vae, folder = saved("AutoencoderTiny", act_fn=activation, latent_channels=6)
    given, generator = images(2, 3, 16, 16), built(folder)
    with torch.no_grad():
        reference = (vae.decode(vae.encode(2 * given - 1).latents).sample + 1) / 2
    torch.testing.assert_close(reconstruct(generator, given), reference, **CLOSE)
    check_sites(generator, given)
    assert [site.shape for site in generator.sites()] == [(6, 4, 4), (8, 4, 4), (8, 8, 8), (8, 16, 16), (3, 16, 16)]


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("pool", [False, True])
def test_the_files_of_a_taesd_reconstruct_as_its_program_does(taesd: Any, built: Any, pool: bool, ending: str) -> None:
    encoder, decoder, folder = taesd(pool, ending)
    given, generator = images(2, 3, 16, 16), built(folder)
    with torch.no_grad():
        reference = decoder(encoder(given))
    torch.testing.assert_close(reconstruct(generator, given), reference, **CLOSE)
    check_sites(generator, given)


def test_the_files_of_a_taesd_and_an_autoencoder_tiny_of_the_same_tensors_agree(
    saved: Any, built: Any, tmp_path: Path
) -> None:
    _, folder = saved("AutoencoderTiny")
    state = load_file(folder / "diffusion_pytorch_model.safetensors")
    for part, first in (("encoder", 0), ("decoder", 1)):  # a TAESD counts the clamp as layer 0 of its decoder
        own = {}
        for name, tensor in state.items():
            if name.startswith(f"{part}.layers."):
                number, rest = name.removeprefix(f"{part}.layers.").split(".", 1)
                own[f"{int(number) + first}.{rest}"] = tensor
        save_file(own, tmp_path / f"same_{part}.safetensors")
    given = images(1, 3, 16, 16)
    pair = reconstruct(built(tmp_path / "same_decoder.safetensors"), given)
    assert torch.equal(pair, reconstruct(built(folder), given))


def test_a_taesd_that_halves_the_size_five_times_is_read_from_its_shapes(built: Any, tmp_path: Path) -> None:
    """Source of the layout: `F32Encoder` and `F32Decoder` of madebyollin/taesd."""
    from torch import nn

    def conv(n: int, m: int, **options: Any) -> nn.Conv2d:
        return nn.Conv2d(n, m, 3, padding=1, **options)

    def halve(n: int) -> nn.Conv2d:
        return conv(n, n, stride=2, bias=False)

    def double(n: int, m: int) -> tuple[nn.Module, nn.Module]:
        return nn.Upsample(scale_factor=2), conv(n, m, bias=False)

    encoder = nn.Sequential(
        conv(3, 4, stride=2), nn.ReLU(), conv(4, 6, stride=2), nn.ReLU(), halve(6), halve(6), halve(6), conv(6, 9)
    )
    ups = [*double(12, 8), *double(8, 6), *double(6, 6), *double(6, 6), *double(6, 6)]
    decoder = nn.Sequential(nn.Tanh(), conv(9, 12), nn.ReLU(), *ups, conv(6, 3))
    save_file(encoder.state_dict(), tmp_path / "f32_encoder.safetensors")
    save_file(decoder.state_dict(), tmp_path / "f32_decoder.safetensors")
    generator, given = built(tmp_path, size="32x64"), images(1, 3, 32, 64)
    latent = encode(generator, given).tensors()["latent"]
    with torch.no_grad():
        torch.testing.assert_close(latent, encoder(given), **CLOSE)
        reference = decoder[1:](3 * torch.tanh(latent / 3))
    torch.testing.assert_close(reconstruct(generator, given), reference, **CLOSE)
    assert generator.sites()[1].shape == (12, 1, 2) and generator.sites()[2].shape == (8, 2, 4)


def test_attention_under_its_former_names_is_read(saved: Any, built: Any) -> None:
    vae, folder = saved("AutoencoderKL")
    file = folder / "diffusion_pytorch_model.safetensors"
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(file)
    for today, before in former.items():
        state = {name.replace(f".{today}.", f".{before}."): tensor for name, tensor in state.items()}
    assert any("proj_attn" in name for name in state)
    save_file(state, file)
    given = images(1, 3, 16, 16)
    with torch.no_grad():
        reference = (vae.decode(vae.encode(2 * given - 1).latent_dist.mean).sample + 1) / 2
    torch.testing.assert_close(reconstruct(built(folder), given), reference, **CLOSE)


def test_grey_images_stay_grey(saved: Any, built: Any) -> None:
    _, folder = saved("AutoencoderTiny", in_channels=1, out_channels=1)
    generator = built(folder)
    assert generator.sites()[-1].shape == (1, 16, 16)
    assert reconstruct(generator, images(2, 1, 16, 16)).shape == (2, 1, 16, 16)


@pytest.mark.parametrize("kind", ["AutoencoderKL", "VQModel", "AutoencoderTiny"])
def test_recomputing_activations_changes_neither_images_nor_gradients(saved: Any, built: Any, kind: str) -> None:
    _, folder = saved(kind)
    given, gradients = images(2, 3, 16, 16), []
    for choice in ("no", "yes"):
        generator = built(folder, checkpoint=choice)
        assert any("forward" in vars(block) for block in generator.network.blocks()) == (choice == "yes")
        tail = generator.tail(encode(generator, given), ["latent"])
        edit = torch.zeros_like(tail.clean["latent"]).requires_grad_()
        gradients.append((tail({"latent": edit}), *torch.autograd.grad(tail({"latent": edit}).square().sum(), edit)))
    assert torch.equal(gradients[0][0], gradients[1][0])
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-5, atol=1e-6)


def test_a_stored_encoding_is_restored_and_narrowed(taesd: Any, built: Any) -> None:
    generator, given = built(taesd()[2]), images(3, 3, 16, 16)
    code = encode(generator, given)
    again = generator.restore(code.labels, code.tensors()).select(torch.tensor([2, 0]))
    assert again.labels.tolist() == [-1, -1]
    assert torch.equal(again.tensors()["latent"], code.tensors()["latent"][[2, 0]])
    assert not code.tensors()["latent"].requires_grad


def test_an_encoding_does_not_depend_on_the_batch(saved: Any, built: Any) -> None:
    generator, given = built(saved("VQModel")[1]), images(3, 3, 16, 16)
    together, alone = encode(generator, given).latent, encode(generator, given[1:2]).latent
    torch.testing.assert_close(alone, together[1:2], **CLOSE)


def test_the_fingerprint_tells_size_and_weights_apart(taesd: Any, built: Any, saved: Callable[..., Any]) -> None:
    folder = taesd()[2]
    same = {built(folder).fingerprint, built(folder / "small_encoder.safetensors").fingerprint}
    assert len(same) == 1, "naming a file of the pair means the pair"
    other = {built(folder, size=32).fingerprint, built(saved("AutoencoderTiny")[1]).fingerprint}
    assert len(same | other) == 3

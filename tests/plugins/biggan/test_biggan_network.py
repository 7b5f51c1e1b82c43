"""BigGANs against results of the original implementations, block by block."""

import math

import pytest
import torch
from biggan_golden import TOLERANCE, Golden, difference
from torch import Tensor

from granu_biggan import bigganpytorch, huggingface
from granu_biggan.fold import fold_spectral_norm
from granu_biggan.network import BigGAN
from granu_biggan.statistics import at_truncation


def run_layers(network: BigGAN, z: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
    """Every layer's output, and the image."""
    y = network.embed(labels)
    x, outputs = network.start(z, y), []
    for i, condition in enumerate(network.conditions(z, y)):
        x = network.layer(i, x, condition)
        outputs.append(x)
    return outputs, network.finish(x)


def hugging_face(golden: Golden, state: dict[str, Tensor], truncation: float) -> BigGAN:
    config = huggingface.config_from(golden.config)
    network = BigGAN(config).eval().requires_grad_(False)
    tables = huggingface.translate(fold_spectral_norm(state), config)
    network.load_state_dict(at_truncation(tables, truncation))
    return network


@pytest.mark.parametrize("name", ["bigganpytorch-wide", "bigganpytorch-deep"])
def test_every_block_and_the_image_equal_biggan_pytorch(name: str) -> None:
    golden = Golden(name)
    config = bigganpytorch.config_from(golden.state, depth=None)
    network = BigGAN(config).eval().requires_grad_(False)
    tables = bigganpytorch.translate(fold_spectral_norm(golden.state))
    network.load_state_dict(at_truncation(tables, 1.0))
    outputs, image = run_layers(network, golden["in.z"], golden["in.y"])
    # the golden file holds the block of each stage, without the attention that may follow it
    blocks = [x for x, plan in zip(outputs, config.layers, strict=True) if plan.kind != "attention"]
    for i, x in enumerate(blocks):
        assert difference(x, golden[f"act.blocks.{i}.0"]) < TOLERANCE, f"block {i}"
    assert difference(image, golden["out.image"]) < TOLERANCE


def test_every_layer_and_the_image_equal_hugging_face() -> None:
    golden = Golden("huggingface")
    network = hugging_face(golden, golden.state, 1.0)
    outputs, image = run_layers(network, golden["in.z"], golden["in.class"].argmax(1))
    for i, x in enumerate(outputs):
        assert difference(x, golden[f"act.trunc1.0.layers.{i}"]) < TOLERANCE, f"layer {i}"
    assert difference(image, golden["out.image_trunc1.0"]) < TOLERANCE


def test_singular_vectors_that_have_not_converged_are_used_unchanged() -> None:
    """Weights are then divided by tiny numbers; the original agrees until it overflows."""
    golden = Golden("huggingface")
    network = hugging_face(golden, golden.state | golden.under("overflow.state."), 1.0)
    outputs, _ = run_layers(network, golden["in.z"], golden["in.class"].argmax(1))
    for i in range(4):
        assert difference(outputs[i], golden[f"overflow.act.layers.{i}"]) < TOLERANCE, f"layer {i}"
    assert outputs[3].abs().max() > 1e35


def test_between_grid_points_the_original_swaps_the_rows() -> None:
    golden = Golden("huggingface")
    z, labels, theirs = golden["in.z"], golden["in.class"].argmax(1), golden["out.image_trunc0.43"]
    share, row = math.modf(0.43 * 5)  # this file's tables have six rows
    swapped = (int(row) + (1 - share)) / 5  # the truncation whose right interpolation is the swapped one of 0.43
    assert difference(hugging_face(golden, golden.state, swapped)(z, labels), theirs) < TOLERANCE
    assert difference(hugging_face(golden, golden.state, 0.43)(z, labels), theirs) > 0.01


def test_statistics_are_interpolated_linearly() -> None:
    table = torch.tensor([[0.0, 10.0], [1.0, 20.0], [3.0, 0.0]])
    at = {t: at_truncation({"norm.mean": table}, t)["norm.mean"].tolist() for t in (0.0, 0.25, 0.5, 0.6, 1.0)}
    assert at[0.0] == [0, 10] and at[0.5] == [1, 20] and at[1.0] == [3, 0]
    assert at[0.25] == [0.5, 15]
    assert at[0.6] == pytest.approx([1.4, 16])


def test_images_do_not_depend_on_their_batch() -> None:
    golden = Golden("huggingface")
    network = hugging_face(golden, golden.state, 1.0)
    z, labels = golden["in.z"], golden["in.class"].argmax(1)
    alone = torch.cat([network(z[i : i + 1], labels[i : i + 1]) for i in range(len(z))])
    assert difference(network(z, labels), alone) < 1e-5


def test_half_precision_draws_nearly_the_same_image() -> None:
    golden = Golden("huggingface")
    network = hugging_face(golden, golden.state, 1.0)
    z, labels = golden["in.z"], golden["in.class"].argmax(1)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(z, labels).float()
    assert difference(rough, network(z, labels)) < 0.05


def test_norms_in_training_use_and_store_the_statistics_of_the_batch() -> None:
    golden = Golden("bigganpytorch-wide")
    network = BigGAN(bigganpytorch.config_from(golden.state, depth=None)).requires_grad_(False)
    network.load_state_dict(at_truncation(bigganpytorch.translate(fold_spectral_norm(golden.state)), 1.0))
    norm = network.norm
    norm.momentum = 1.0  # the stored statistics become those of the batch
    for layer in network.layers:
        for inner in getattr(layer, "norms", ()):
            inner.momentum = 1.0
    before = norm.mean.clone()
    trained = network.train()(golden["in.z"], golden["in.y"])
    assert not torch.equal(norm.mean, before)
    # not exactly: what is stored is the unbiased variance, of 48 numbers in the first norm
    assert difference(network.eval()(golden["in.z"], golden["in.y"]), trained) < 0.05

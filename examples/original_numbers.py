"""The largest difference between our generators and numbers that the original implementations computed.

Takes safetensors files with an original's weights (`state.*`), inputs (`in.*`), outputs of layers (`act.*`) and images
(`out.*`), and its configuration in the header. Prints, for each file, the largest difference of any layer and of the
image, as a share of the range of the original's values. Layers whose original values are NaN are only counted.

    python examples/original_numbers.py FILE...
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from granu_biggan import bigganpytorch, huggingface
from granu_biggan.fold import fold_spectral_norm
from granu_biggan.network import BigGAN
from granu_biggan.statistics import at_truncation
from granu_stylegan.arguments import stylegan2_config, stylegan3_config
from granu_stylegan.stylegan2 import StyleGAN2
from granu_stylegan.stylegan3 import StyleGAN3
from granu_stylegan.stylegan3_config import StyleGAN3Config

Tensors = dict[str, Tensor]


@torch.no_grad()
def main() -> None:
    print(f"{'file':28} {'layers':>7} {'of them NaN':>12} {'largest difference':>19} {'of the image':>15}")
    for path in map(Path, sys.argv[1:]):
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
        state = {name.removeprefix("state."): t for name, t in tensors.items() if name.startswith("state.")}
        *layers, image = [difference(ours, tensors[name]) for name, ours in values(config, state, tensors)]
        finite = [number for number in layers if not math.isnan(number)]
        blank = len(layers) - len(finite)
        print(f"{path.stem:28} {len(layers):7} {blank:12} {max(finite):19.1e} {image:15.1e}")


def values(config: dict[str, Any], state: Tensors, given: Tensors) -> Iterator[tuple[str, Tensor]]:
    """Values that our network computes, under the file's names for them; the image last."""
    if "synthesis.b4.const" in state:
        return stylegan2(config, state, given)
    if "synthesis.input.freqs" in state:
        return stylegan3(config, state, given)
    return biggan(config, state, given)


def stylegan2(config: dict[str, Any], state: Tensors, given: Tensors) -> Iterator[tuple[str, Tensor]]:
    network = StyleGAN2(**stylegan2_config(config))
    network.load_state_dict(state)
    w = network.mapping(given["in.z"], given["in.c"], 0.7)
    x = network.start(len(w))
    for i in range(len(network.layers)):
        x = network.layer(i, x, network.affine(i, w), network.noise(i)[None, None])
        yield f"act.b{4 * 2 ** ((i + 1) // 2)}.conv{1 - i % 2}", x
    yield "out.image", network.synthesize(w)


def stylegan3(config: dict[str, Any], state: Tensors, given: Tensors) -> Iterator[tuple[str, Tensor]]:
    network = StyleGAN3(StyleGAN3Config(**stylegan3_config(config)))
    network.load_state_dict(state)
    w = network.mapping(given["in.z"], given.get("in.c"), 0.7)
    x = network.start(w)
    for i, name in enumerate(network.layer_names):
        x = network.layer(i, x, network.affine(i, w))
        yield f"act.{name}", x
    yield "out.image", network.finish(x)


def biggan(config: dict[str, Any], state: Tensors, given: Tensors) -> Iterator[tuple[str, Tensor]]:
    folded = fold_spectral_norm(state)
    if "channel_width" in config:
        shapes = huggingface.config_from(config)
        tables, labels = huggingface.translate(folded, shapes), given["in.class"].argmax(1)
        names = [f"act.trunc1.0.layers.{i}" for i in range(len(shapes.layers))]
        image = "out.image_trunc1.0"
    else:
        shapes = bigganpytorch.config_from(state, depth=None)
        tables, labels, image = bigganpytorch.translate(folded), given["in.y"], "out.image"
        places = sorted({tuple(map(int, n.split(".")[1:3])) for n in state if n.startswith("blocks.")})
        names = [f"act.blocks.{i}.{j}" for i, j in places]
    network = BigGAN(shapes).eval()
    network.load_state_dict(at_truncation(tables, 1.0))
    y = network.embed(labels)
    x = network.start(given["in.z"], y)
    for i, condition in enumerate(network.conditions(given["in.z"], y)):
        x = network.layer(i, x, condition)
        if names[i] in given:
            yield names[i], x
    yield image, network.finish(x)


def difference(ours: Tensor, theirs: Tensor) -> float:
    ours = ours[: len(theirs)]  # some files keep the layers of the first image alone
    return ((ours - theirs).abs().max() / (theirs.max() - theirs.min())).item()


if __name__ == "__main__":
    main()

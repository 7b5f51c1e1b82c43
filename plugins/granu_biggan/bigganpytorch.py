"""The file format of BigGAN-PyTorch: a state dict in a .pth file, wide or deep; its shapes give the configuration.

Source: ajbrock/BigGAN-PyTorch (MIT). Only the layout of its files is taken from there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from granu import WeightsError, reason
from granu_biggan.config import BigGANConfig, Hierarchy, LayerPlan

if TYPE_CHECKING:
    from torch import Tensor

    from granu import StoredTensor

OTHER_NORMS = {"in", "gn", "nonorm"}
EPSILON = 1e-5  # of norms, unless the training set another one; always of the last one
TFHUB_EPSILON = 1e-4  # of the networks that were converted from TensorFlow Hub
TFHUB_EMBEDDING, TFHUB_ROWS = (1000, 128), (16 * 96 * 4 * 4,)  # their class embedding, and rows of their linear layer
MOST_CLASSES = 5000  # of a network without a shared embedding, which gets a matrix of classes x classes
DEFAULT_DEPTH = 2  # blocks per size in BigGAN-deep; the only value that the original supports at all sizes

# their names to ours; an unknown tensor keeps its name and is reported as unexpected
RENAME = [
    (re.compile(pattern), ours)
    for pattern, ours in [
        (r"^shared\.", "embedding."),
        (r"^output_layer\.0\.(?:bn\.)?", "norm."),
        (r"^output_layer\.2\.", "to_rgb."),
        (r"\.(?:bn\.)?(?:stored|running)_mean$", ".mean"),
        (r"\.(?:bn\.)?(?:stored|running)_var$", ".variance"),
        (r"\.theta\.", ".query."),
        (r"\.phi\.", ".key."),
        (r"\.g\.", ".value."),
        (r"\.o\.", ".out."),
        (r"\.gamma$", ".strength"),
        (r"\.conv_sc\.", ".shortcut."),
    ]
]
BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.")
PART = re.compile(r"\.(bn|conv)(\d)\.")
COUNTERS = (".accumulation_counter", ".num_batches_tracked")


def find_average(folder: Path) -> Path:
    """Find the exponential average in a folder of checkpoints. WeightsError if there is none."""
    averages = sorted(folder.glob("G_ema*.pth"))
    if not averages:
        raise WeightsError(f"{folder} holds neither a config.json nor a G_ema.pth; name the weights file itself")
    return averages[0]


def recognises(state: Mapping[str, StoredTensor]) -> bool:
    """Recognise the format by the tensors' names."""
    return any(BLOCK.match(_bare(name)) for name in state)


def depth_from_name(path: Path) -> int | None:
    """Read the blocks per size from the experiment's name, `..._Gd2_...`, in the folder's or the file's name.

    WeightsError if the name states a norm other than batch norm, which has the same shapes.
    """
    words = f"{path.parent.name}_{path.stem}".split("_")
    experiment = any(re.fullmatch(r"Gch\d+", word) for word in words)
    if experiment and (others := OTHER_NORMS.intersection(words)):
        raise WeightsError(f"{path} has the norm '{others.pop()}' by its name; only batch norm is supported")
    return next((int(word[2:]) for word in words if re.fullmatch(r"Gd\d+", word)), None)


def config_from(state: Mapping[str, StoredTensor], depth: int | None, epsilon: float | None = None) -> BigGANConfig:
    """Infer the configuration from shapes, except `depth`, the blocks per size of BigGAN-deep.

    `epsilon` is that of the conditional norms; by default that of the program that wrote the file.
    """
    shapes = {_bare(name): tuple(tensor.shape) for name, tensor in state.items()}
    if epsilon is None:
        epsilon = TFHUB_EPSILON if from_tfhub(shapes) else EPSILON
    try:
        config = dataclasses.replace(_config_from(shapes, depth or DEFAULT_DEPTH), epsilon=epsilon)
        config.check()
    except KeyError as problem:
        raise WeightsError(f"this is not a BigGAN of BigGAN-PyTorch: {problem.args[0]} is missing") from None
    except (ValueError, IndexError, ZeroDivisionError) as problem:
        raise WeightsError(f"this is not a BigGAN of BigGAN-PyTorch: {reason(problem)}") from None
    if "shared.weight" not in shapes and config.classes > MOST_CLASSES:
        raise WeightsError(f"{config.classes:,} classes without a shared embedding are more than {MOST_CLASSES:,}")
    return config


def from_tfhub(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Recognise a network that TFHub/converter.py wrote: DeepMind's sizes, and no singular values.

    Training stores these for its logs, the converter does not.
    """
    sizes = (shapes.get("shared.weight"), shapes.get("linear.weight", ())[:1])
    return sizes == (TFHUB_EMBEDDING, TFHUB_ROWS) and not any(name.endswith(".sv0") for name in shapes)


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights (spectral norm already folded) to our names; statistics become tables of one row."""
    import torch

    state = {_bare(name): tensor for name, tensor in state.items()}
    number = {block: i for i, block in enumerate(_blocks(state))}
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith(COUNTERS):
            continue
        ours_name = _rename(name, number)
        if ours_name.endswith((".mean", ".variance")):
            tensor = _average(tensor, name, state)[None]
        elif "shared.weight" not in state and ours_name.endswith((".gain.weight", ".bias.weight")):
            tensor = tensor.T  # a table by class is a matrix that multiplies one-hot vectors
        ours[ours_name] = tensor
    if "embedding.weight" not in ours:
        ours["embedding.weight"] = torch.eye(_classes({n: tuple(t.shape) for n, t in state.items()}))
    return ours


def _config_from(shapes: Mapping[str, tuple[int, ...]], depth: int) -> BigGANConfig:
    layers: list[LayerPlan] = []
    blocks = 0
    for i, j in _blocks(shapes):
        name = f"blocks.{i}.{j}"
        if f"{name}.theta.weight" in shapes:
            channels = shapes[f"{name}.theta.weight"][1]
            layers.append(LayerPlan("attention", channels, channels))
            continue
        blocks += 1
        n = shapes[f"{name}.conv1.weight"][1]
        if f"{name}.conv4.weight" in shapes:
            layers.append(LayerPlan("bottleneck", n, shapes[f"{name}.conv4.weight"][0], blocks % depth == 0))
        else:
            grow = f"{name}.conv_sc.weight" in shapes
            layers.append(LayerPlan("residual", n, shapes[f"{name}.conv2.weight"][0], grow))
    if not layers:
        raise KeyError("blocks.0.0")
    deep = layers[0].kind == "bottleneck"
    if deep and blocks % depth:
        raise WeightsError(f"{blocks} blocks are not a multiple of {depth} blocks per size; pass the right `depth=`")
    rows, linear_dim = shapes["linear.weight"]
    classes, y_dim = shapes.get("shared.weight", (_classes(shapes),) * 2)
    condition = shapes["blocks.0.0.bn1.gain.weight"][1] if "shared.weight" in shapes else classes
    hierarchy: Hierarchy = "none" if condition == y_dim else "whole" if deep else "chunks"
    z_dim = {"none": linear_dim, "whole": linear_dim - y_dim, "chunks": linear_dim * (blocks + 1)}[hierarchy]
    bottom = math.isqrt(rows // layers[0].channels_in)
    return BigGANConfig(z_dim, y_dim, classes, tuple(layers), hierarchy, bottom, last_epsilon=EPSILON)


def _classes(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The number of classes of a network without a shared embedding: each gain has a row per class."""
    return shapes["blocks.0.0.bn1.gain.weight"][0]


def _blocks(names: Mapping[str, object]) -> list[tuple[int, int]]:
    """The (stage, position) of every layer, in the order in which they run."""
    return sorted({(int(m[1]), int(m[2])) for m in map(BLOCK.match, names) if m})


def _bare(name: str) -> str:
    return name.removeprefix("module.")  # the prefix of networks that were saved from DataParallel


def _rename(name: str, number: Mapping[tuple[int, int], int]) -> str:
    name = BLOCK.sub(lambda m: f"layers.{number[int(m[1]), int(m[2])]}.", name)
    name = PART.sub(lambda m: f".{'norms' if m[1] == 'bn' else 'convs'}.{int(m[2]) - 1}.", name)
    for pattern, ours in RENAME:
        name = pattern.sub(ours, name)
    return name


def _average(statistic: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    """Divide standing statistics, which are sums, by their count of batches; running ones are averages already."""
    count = state.get(f"{name.rpartition('.')[0]}.accumulation_counter")
    return statistic if count is None or not count.any() else statistic / count

"""The form of BigGAN-PyTorch: one state dict in a .pth file, wide or deep; its shapes tell nearly everything.

Source: ajbrock/BigGAN-PyTorch (MIT). Only the layout of its files is taken from there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from granu import WeightsError
from granu_biggan.config import BigGANConfig, Hierarchy, LayerPlan

if TYPE_CHECKING:
    from torch import Tensor

OTHER_NORMS = {"in", "gn", "nonorm"}
USUAL_DEPTH = 2  # blocks per size in BigGAN-deep; the only one that the original builds at all sizes

# their names to ours; what matches nothing keeps its name and is message as unexpected
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


def prefer_average(folder: Path) -> Path:
    """The file in a folder of checkpoints to use: the exponential average, which is the one that is evaluated."""
    averages = sorted(folder.glob("G_ema*.pth"))
    if not averages:
        raise WeightsError(f"{folder} holds neither a config.json nor a G_ema.pth; name the weights file itself")
    return averages[0]


def is_of_this_form(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors bear this form's names."""
    return any(BLOCK.match(_bare(name)) for name in state)


def depth_from_name(path: Path) -> int | None:
    """Blocks per size, where the experiment's name tells: `..._Gd2_...` in the folder's or the file's name.

    WeightsError where the name says that the network has norms which shapes do not tell from batch norm.
    """
    words = f"{path.parent.name}_{path.stem}".split("_")
    experiment = any(re.fullmatch(r"Gch\d+", word) for word in words)
    if experiment and (others := OTHER_NORMS.intersection(words)):
        raise WeightsError(f"{path} has the norm '{others.pop()}' by its name; granu's BigGAN has batch norm alone")
    return next((int(word[2:]) for word in words if re.fullmatch(r"Gd\d+", word)), None)


def config_from(state: Mapping[str, Tensor], depth: int | None) -> BigGANConfig:
    """What the shapes mean. `depth` (blocks per size of BigGAN-deep) is the one thing they cannot tell."""
    shapes = {_bare(name): tuple(tensor.shape) for name, tensor in state.items()}
    try:
        return _config_from(shapes, depth or USUAL_DEPTH)
    except KeyError as problem:
        raise WeightsError(f"this is not a BigGAN of BigGAN-PyTorch: {problem.args[0]} is missing") from None


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights (spectral norm already folded) under our names; statistics as tables of one row."""
    import torch

    state = {_bare(name): tensor for name, tensor in state.items()}
    place = {block: i for i, block in enumerate(_blocks(state))}
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith(COUNTERS):
            continue
        ours_name = _rename(name, place)
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
        raise WeightsError(f"{blocks} blocks do not make sizes of {depth} blocks each; give the right `depth=`")
    rows, linear_dim = shapes["linear.weight"]
    classes, y_dim = shapes.get("shared.weight", (_classes(shapes),) * 2)
    condition = shapes["blocks.0.0.bn1.gain.weight"][1] if "shared.weight" in shapes else classes
    hierarchy: Hierarchy = "none" if condition == y_dim else "whole" if deep else "chunks"
    z_dim = {"none": linear_dim, "whole": linear_dim - y_dim, "chunks": linear_dim * (blocks + 1)}[hierarchy]
    bottom = math.isqrt(rows // layers[0].channels_in)
    return BigGANConfig(z_dim, y_dim, classes, tuple(layers), hierarchy, bottom)


def _classes(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many classes, of a network without a shared embedding: each gain is a table with a row per class."""
    return shapes["blocks.0.0.bn1.gain.weight"][0]


def _blocks(names: Mapping[str, object]) -> list[tuple[int, int]]:
    """The (stage, place) of every layer, in the order in which they run."""
    return sorted({(int(m[1]), int(m[2])) for m in map(BLOCK.match, names) if m})


def _bare(name: str) -> str:
    return name.removeprefix("module.")  # left by networks that were saved while they ran on several GPUs


def _rename(name: str, place: Mapping[tuple[int, int], int]) -> str:
    name = BLOCK.sub(lambda m: f"layers.{place[int(m[1]), int(m[2])]}.", name)
    name = PART.sub(lambda m: f".{'norms' if m[1] == 'bn' else 'convs'}.{int(m[2]) - 1}.", name)
    for pattern, ours in RENAME:
        name = pattern.sub(ours, name)
    return name


def _average(statistic: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    """Standing statistics are sums beside a count of batches; running statistics are already averages."""
    count = state.get(f"{name.rpartition('.')[0]}.accumulation_counter")
    return statistic if count is None or not count.any() else statistic / count

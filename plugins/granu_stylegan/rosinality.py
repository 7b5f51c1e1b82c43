"""The file format of rosinality/stylegan2-pytorch (MIT): a .pt whose `g_ema` is a StyleGAN2 under other names.

Only the layout of its files is taken from there. It scales the weights of convolutions, which demodulation cancels. Its
smoothing filters are scaled by the upsampling that follows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import StoredTensor, WeightsError, read_all, shown

if TYPE_CHECKING:
    from torch import Tensor

MEAN = "latent_avg"  # the mean style in a checkpoint that was converted from TensorFlow
MEAN_OF = 4096  # latents, to compute a mean style that the file lacks
KERNEL_GAIN = 4  # their filters are multiplied by it
KERNEL = (4, 4)

OWNER = re.compile(r"(conv1|to_rgb1|convs\.(\d+)|to_rgbs\.(\d+))\.(.+)")
PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "conv.blur.kernel": "resample_filter",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


@dataclass(frozen=True)
class RosinalityNetwork:
    """A network under NVIDIA's names: the shapes of its tensors, and a function that reads them."""

    shapes: Mapping[str, tuple[int, ...]]
    state: Callable[[], dict[str, Tensor]]


def recognises(names: Mapping[str, object]) -> bool:
    """Recognise the averaged generator by a tensor that only this format has."""
    return "input.input" in names


def read(tensors: Mapping[str, StoredTensor], mean: StoredTensor | None, file: Path) -> RosinalityNetwork:
    """Rename the tensors to NVIDIA's names; unknown ones keep their names. `mean` is the mean style, if it is stored.

    WeightsError if a smoothing filter has another size than StyleGAN2's.
    """
    renamed = {_rename(name): tensor for name, tensor in tensors.items()}
    for name, tensor in renamed.items():
        if name.endswith("resample_filter") and tensor.shape != KERNEL:
            raise WeightsError(f"{file} smooths with a filter of {shown(tensor.shape)}; only {KERNEL} is supported")
    shapes = {name: _shape(name, tensor.shape) for name, tensor in renamed.items()}
    w_dim = shapes.get("mapping.fc0.weight", (0,))[:1]
    shapes |= dict.fromkeys(_filters(shapes), KERNEL)  # the file holds those that matter
    shapes["mapping.w_avg"] = w_dim if mean is None else (mean.numbers,)
    return RosinalityNetwork(shapes, lambda: _translate(renamed, shapes, mean, file))


def _translate(
    renamed: Mapping[str, StoredTensor],
    shapes: Mapping[str, tuple[int, ...]],
    mean: StoredTensor | None,
    file: Path,
) -> dict[str, Tensor]:
    from granu_stylegan.stylegan2 import fir_filter

    ours = {name: t.reshape(shapes[name]) for name, t in read_all(renamed, file).items()}
    for name in shapes:
        if name.endswith("resample_filter"):
            ours[name] = ours[name] / KERNEL_GAIN if name in ours else fir_filter()
    own = read_all({MEAN: mean}, file)[MEAN].flatten() if mean is not None else _mean_style(ours)
    return ours | {"mapping.w_avg": own}


def _rename(name: str) -> str:
    if match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1][:9]) - 1}.{match[2]}"  # style.0 normalises z and has no weights
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"synthesis.{_conv(int(match[1]))}.noise_const"
    if name == "input.input":
        return "synthesis.b4.const"
    if match := re.fullmatch(r"to_rgbs\.(\d{1,2})\.upsample\.kernel", name):
        return f"synthesis.b{8 * 2 ** int(match[1])}.resample_filter"
    if (match := OWNER.fullmatch(name)) and match[4] in PARTS:
        owner, conv, rgb, part = match.groups()
        if len(conv or rgb or "") > 2:
            return name
        if owner.startswith("conv"):
            place = _conv(0 if conv is None else int(conv) + 1)
        else:
            place = f"b{4 if rgb is None else 8 * 2 ** int(rgb)}.torgb"
        return f"synthesis.{place}.{PARTS[part]}"
    return name


def _conv(number: int) -> str:
    """Name convolution `number`, counted from 0: b4.conv1, b8.conv0, b8.conv1, b16.conv0, ..."""
    return f"b{4 * 2 ** ((number + 1) // 2)}.conv{1 - number % 2}"


def _shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Remove axes of length one, which broadcast over the batch."""
    if name.endswith("noise_strength"):
        return () if shape == (1,) else shape
    if name.endswith(".bias") and shape[:1] == (1,) and shape[2:] == (1, 1):
        return shape[1:2]
    if name.endswith("noise_const"):
        return shape[2:] if shape[:2] == (1, 1) else shape
    weights = name.startswith("synthesis.") and ".affine." not in name and name.endswith((".weight", ".const"))
    return shape[1:] if weights and shape[:1] == (1,) else shape


def _filters(names: Mapping[str, object]) -> Iterator[str]:
    """The smoothing filter under all its names in a StyleGAN2, used or not."""
    for name in names:
        if name.endswith((".conv0.weight", ".conv1.weight")):
            layer = name.removesuffix(".weight")
            yield f"{layer}.resample_filter"
            yield f"{layer.rpartition('.')[0]}.resample_filter"


def _mean_style(state: Mapping[str, Tensor]) -> Tensor:
    """Compute the mean style w over a fixed set of latents."""
    import torch

    from granu_stylegan.stylegan2 import Mapping as MappingNetwork

    prefix = "mapping."
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    w_dim, z_dim = own["fc0.weight"].shape
    network = MappingNetwork(z_dim, 0, w_dim, len(own) // 2)
    network.load_state_dict(own, strict=False)  # all but w_avg, which is computed here
    z = torch.randn(MEAN_OF, z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(z).mean(0)

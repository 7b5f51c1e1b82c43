"""The file format of rosinality/stylegan2-pytorch (MIT): a .pt whose `g_ema` is a StyleGAN2 under other names.

Only the layout of its files is taken from there. It scales the weights of convolutions, which demodulation cancels;
its smoothing filter is always that of StyleGAN2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MEAN_OF = 4096  # latents, to compute a mean style that the file lacks

OWNER = re.compile(r"(conv1|to_rgb1|convs\.(\d+)|to_rgbs\.(\d+))\.(.+)")
PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def recognises(content: Any) -> bool:
    """Recognise such a checkpoint in the result of torch.load."""
    return isinstance(content, dict) and isinstance(content.get("g_ema"), dict) and "input.input" in content["g_ema"]


def translate(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the averaged generator's tensors to NVIDIA's names; unknown ones keep their names."""
    ours = {_rename(name): tensor for name, tensor in content["g_ema"].items() if not name.endswith(".kernel")}
    ours = {name: _reshape(name, tensor) for name, tensor in ours.items()}
    ours |= dict(_filters(ours))
    mean = content.get("latent_avg")
    return ours | {"mapping.w_avg": mean.flatten() if mean is not None else _mean_style(ours)}


def _rename(name: str) -> str:
    if match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"  # style.0 normalises z and has no weights
    if match := re.fullmatch(r"noises\.noise_(\d+)", name):
        return f"synthesis.{_conv(int(match[1]))}.noise_const"
    if name == "input.input":
        return "synthesis.b4.const"
    if (match := OWNER.fullmatch(name)) and match[4] in PARTS:
        owner, conv, rgb, part = match.groups()
        if owner.startswith("conv"):
            place = _conv(0 if conv is None else int(conv) + 1)
        else:
            place = f"b{4 if rgb is None else 8 * 2 ** int(rgb)}.torgb"
        return f"synthesis.{place}.{PARTS[part]}"
    return name


def _conv(number: int) -> str:
    """Name convolution `number`, counted from 0: b4.conv1, b8.conv0, b8.conv1, b16.conv0, ..."""
    return f"b{4 * 2 ** ((number + 1) // 2)}.conv{1 - number % 2}"


def _reshape(name: str, tensor: Tensor) -> Tensor:
    """Remove axes of length one, which broadcast over the batch."""
    if name.endswith("noise_strength"):
        return tensor.reshape([])
    if name.endswith(".bias"):
        return tensor.flatten()
    if name.endswith("noise_const"):
        return tensor[0, 0]
    return tensor[0] if name.startswith("synthesis.") and ".affine." not in name else tensor


def _filters(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The smoothing filter under all its names in a StyleGAN2."""
    from granu_stylegan.stylegan2 import fir_filter

    for name in state:
        if name.endswith((".conv0.weight", ".conv1.weight")):
            layer = name.removesuffix(".weight")
            yield f"{layer}.resample_filter", fir_filter()
            yield f"{layer.rpartition('.')[0]}.resample_filter", fir_filter()


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

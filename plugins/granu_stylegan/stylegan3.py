"""StyleGAN3, T and R, in plain PyTorch: the network of "Alias-Free Generative Adversarial Networks" (2021).

Written from the paper (Karras et al., arXiv:2106.12423) and its published file format: parameters carry the names
that NVIDIA's files use, so those files load strictly. Nothing here is NVIDIA's code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from granu_stylegan.filtered import filtered_leaky_relu, lowpass_filter


@dataclass(frozen=True)
class StyleGAN3Config:
    """What fixes the shapes of a StyleGAN3; frequencies in cycles per picture, names as in NVIDIA's files."""

    img_resolution: int
    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    img_channels: int = 3
    mapping_layers: int = 2
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    output_scale: float = 0.25
    conv_kernel: int = 3
    filter_size: int = 6
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False
    conv_clamp: float = 256.0

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, object]) -> StyleGAN3Config:
        """Reads the constructor arguments that NVIDIA's files record; raises ValueError on one that is unknown."""
        given = dict(arguments)
        mapping = given.pop("mapping_kwargs", {})
        if not isinstance(mapping, Mapping):
            raise ValueError(f"mapping_kwargs is {mapping!r}, not a set of named arguments")
        given |= {"mapping_layers": mapping["num_layers"]} if "num_layers" in mapping else {}
        # these steer training and speed, never what a finished network computes
        for name in ("magnitude_ema_beta", "num_fp16_res"):
            given.pop(name, None)
        if unknown := given.keys() - {field.name for field in dataclasses.fields(cls)}:
            raise ValueError(f"StyleGAN3 has no argument {', '.join(sorted(unknown))}")
        return cls(**given)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LayerPlan:
    """What one synthesis layer hands on: a canvas of size² samples whose frequencies end at `cutoff`."""

    channels: int
    size: int
    rate: int
    cutoff: float
    half_width: float
    critical: bool
    to_rgb: bool


def layer_plans(config: StyleGAN3Config) -> list[LayerPlan]:
    """The canvases along the network, coarse to fine, the last one to RGB (section 3.2 and appendix C.1).

    Frequencies grow in equal ratios until `num_critical` layers before the end; the canvas is wider than the
    picture by a margin on each side, until the critically sampled layers crop it away.
    """
    N, last_cutoff = config.num_layers, config.img_resolution / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    plans = []
    for i in range(N + 1):
        t = min(i / (N - config.num_critical), 1.0)
        cutoff = config.first_cutoff * (last_cutoff / config.first_cutoff) ** t
        stopband = config.first_stopband * (last_stopband / config.first_stopband) ** t
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, config.img_resolution)))
        to_rgb = i == N
        plans.append(
            LayerPlan(
                channels=config.img_channels
                if to_rgb
                else round(min(config.channel_base / 2 / cutoff, config.channel_max)),
                size=config.img_resolution if i >= N - 1 else rate + 2 * config.margin_size,
                rate=rate,
                cutoff=cutoff,
                half_width=max(stopband, rate / 2) - cutoff,
                critical=i >= N - config.num_critical,
                to_rgb=to_rgb,
            )
        )
    return plans


class StyleGAN3(nn.Module):
    """z (B, z_dim) and c (B, c_dim) to pictures (B, img_channels, R, R), about [-1, 1], not clamped."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.config = config
        self.synthesis = Synthesis(config)
        self.mapping = MappingNetwork(config, styles=config.num_layers + 2)

    def forward(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0) -> Tensor:
        return self.synthesis(self.mapping(z, c, psi))


class Synthesis(nn.Module):
    """Fourier features, then layers named L0.. on canvases that grow; any of them can be the place to start from."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        plans = layer_plans(config)
        self.output_scale = config.output_scale
        self.input = FourierInput(config.w_dim, plans[0])
        self.layer_names: list[str] = []
        for i, plan in enumerate(plans):
            name = f"L{i}_{plan.size}_{plan.channels}"
            self.add_module(name, SynthesisLayer(config, plans[max(i - 1, 0)], plan))
            self.layer_names.append(name)

    def layers(self) -> Iterator[SynthesisLayer]:
        return (self.get_submodule(name) for name in self.layer_names)  # type: ignore[misc]

    def begin(self, ws: Tensor) -> Tensor:
        """What the first layer receives, from styles ws (B, num_layers + 2, w_dim)."""
        return self.input(ws[:, 0])

    def layer(self, index: int, x: Tensor, ws: Tensor) -> Tensor:
        """Output of layer `index` (B, C, h, w) for its input x; the last layer's needs `finish`."""
        return self.get_submodule(self.layer_names[index])(x, ws[:, index + 1])

    def finish(self, x: Tensor) -> Tensor:
        """The last layer's output as a picture, about [-1, 1]."""
        return x * self.output_scale

    def forward(self, ws: Tensor) -> Tensor:
        x = self.begin(ws)
        for i in range(len(self.layer_names)):
            x = self.layer(i, x, ws)
        return self.finish(x)


class FullyConnected(nn.Module):
    """Linear layer whose weights are stored at unit variance and scaled when used."""

    def __init__(self, inputs: int, outputs: int, learning_rate: float = 1.0, bias: list[float] | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs) if bias is None else torch.tensor(bias))
        self.weight_gain = learning_rate / math.sqrt(inputs)
        self.bias_gain = learning_rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class MappingNetwork(nn.Module):
    """z, and class c if there is one, to one style per layer."""

    w_avg: Tensor

    def __init__(self, config: StyleGAN3Config, styles: int) -> None:
        super().__init__()
        self.styles, self.depth, self.conditional = styles, config.mapping_layers, config.c_dim > 0
        if self.conditional:
            self.embed = FullyConnected(config.c_dim, config.w_dim)
        inputs = config.z_dim + (config.w_dim if self.conditional else 0)
        for i in range(self.depth):
            self.add_module(f"fc{i}", FullyConnected(inputs if i == 0 else config.w_dim, config.w_dim, 0.01))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0) -> Tensor:
        """Styles (B, styles, w_dim), drawn towards the average style by truncation psi in [0, 1]."""
        x = unit_second_moment(z)
        if self.conditional:
            if c is None:
                raise ValueError("this StyleGAN3 is class-conditional: it needs c, one-hot (B, c_dim)")
            x = torch.cat([x, unit_second_moment(self.embed(c))], dim=1)
        for i in range(self.depth):
            x = F.leaky_relu(self.get_submodule(f"fc{i}")(x), 0.2) * math.sqrt(2)
        w = self.w_avg.lerp(x, psi)
        return w[:, None].expand(-1, self.styles, -1)


def unit_second_moment(x: Tensor) -> Tensor:
    """Scales each row of x (B, n) to a mean square of one."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class FourierInput(nn.Module):
    """A picture-independent pattern of sine waves, rotated and shifted as the style asks (section 3.2)."""

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, plan: LayerPlan) -> None:
        super().__init__()
        self.size, self.rate, self.bandwidth = plan.size, plan.rate, plan.cutoff
        self.weight = nn.Parameter(torch.zeros(plan.channels, plan.channels))
        self.affine = FullyConnected(w_dim, 4, bias=[1.0, 0.0, 0.0, 0.0])
        self.register_buffer("transform", torch.eye(3))  # a person's own rotation and shift of the whole picture
        self.register_buffer("freqs", torch.zeros(plan.channels, 2))
        self.register_buffer("phases", torch.zeros(plan.channels))

    def forward(self, w: Tensor) -> Tensor:
        """Features (B, C, size, size) for styles w (B, w_dim)."""
        cosine, sine, shift_x, shift_y = self._motion(w).unbind(1)
        zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
        rotation = _matrices([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]])
        shift = _matrices([[one, zero, -shift_x], [zero, one, -shift_y], [zero, zero, one]])
        motion = rotation @ shift @ self.transform  # (B, 3, 3)

        # moving the picture is turning each wave's frequency and shifting its phase
        phases = self.phases + self.freqs @ motion[:, :2, 2, None].squeeze(-1).mT if False else (
            self.phases + (self.freqs @ motion[:, :2, 2:]).squeeze(2)
        )  # (B, C)
        freqs = self.freqs @ motion[:, :2, :2]  # (B, C, 2)
        # waves that turned or grew beyond what the canvas can hold fade out instead of aliasing
        fade = 1 - (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)  # (B, C)

        at = (torch.arange(self.size, device=w.device) + 0.5 - self.size / 2) / self.rate  # in pictures
        along_x = freqs[:, :, 0, None] * at  # (B, C, size)
        along_y = freqs[:, :, 1, None] * at
        x = along_x[:, :, None, :] + along_y[:, :, :, None] + phases[:, :, None, None]
        x = torch.sin(2 * math.pi * x) * fade.clamp(0, 1)[:, :, None, None]
        return torch.einsum("oc,bchw->bohw", self.weight / math.sqrt(x.shape[1]), x)

    def _motion(self, w: Tensor) -> Tensor:
        """(B, 4): cosine and sine of the rotation, then the shift, both in units of the picture."""
        t = self.affine(w)
        return t / t[:, :2].norm(dim=1, keepdim=True)

"""What lies behind some sites of a BigGAN: its beginning computed once, the rest for every edit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from granu_biggan.network import BigGAN


@dataclass(frozen=True)
class BigGANTail:
    """Starts from canvas number `at`, which is `x` and which no edit before it can change.

    Canvases are counted along the network: 0 after the linear layer, i + 1 after layer i, the image last. `x` is
    None where z or embedding is edited, since both reach everything; after that edit the condition of each block is
    built anew, while an edit further on leaves it as it is.
    """

    network: BigGAN
    z: Tensor
    y: Tensor
    x: Tensor | None
    at: int
    clean: Mapping[str, Tensor]

    def __call__(self, edits: Mapping[str, Tensor]) -> Tensor:
        """Images (B, C, H, W), about [0, 1], with `edits[site]` (B, *site.shape) added to the activation there."""
        if strange := edits.keys() - self.clean.keys():
            known = ", ".join(self.clean)
            raise ValueError(f"this tail was opened for {known}, not for {', '.join(sorted(strange))}")
        z = self.z + edits["z"] if "z" in edits else self.z
        y = self.y + edits["embedding"] if "embedding" in edits else self.y
        # only the last is kept, so that without gradients each canvas is freed as soon as the next one stands
        _, image = deque(canvases(self.network, z, y, self.x, self.at, edits), maxlen=1).pop()
        return image

    def select(self, index: Tensor) -> BigGANTail:
        """The tail for some of the images; nothing is computed again."""
        clean = {site: value[index] for site, value in self.clean.items()}
        x = None if self.x is None else self.x[index]
        return replace(self, z=self.z[index], y=self.y[index], x=x, clean=clean)


def open_tail(network: BigGAN, z: Tensor, y: Tensor, sites: Sequence[str]) -> BigGANTail:
    """Compute up to the last of `sites`, and keep the canvas at the first of them."""
    clean = {site: value for site, value in (("z", z), ("embedding", y)) if site in sites}
    kept: tuple[Tensor | None, int] = (None, 0)
    missing = set(sites) - clean.keys()
    walk = enumerate(canvases(network, z, y, None, 0, {}))
    while missing:
        number, (name, x) = next(walk)
        if name in missing:
            kept = kept if clean else (x, number)
            clean[name] = x
            missing.remove(name)
    return BigGANTail(network, z, y, *kept, clean)


def canvases(
    network: BigGAN, z: Tensor, y: Tensor, x: Tensor | None, at: int, edits: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """The named canvases from number `at` on, each with its edit; the last is the image in about [0, 1]."""
    layers = len(network.layers)
    names = ["linear", *(f"layer{i}" for i in range(layers)), "image"]
    conditions = network.conditions(z, y)
    x = network.start(z, y) if x is None else x
    for number in range(at, len(names)):
        if number > at:
            last = number > layers
            x = (network.finish(x) + 1) / 2 if last else network.layer(number - 1, x, conditions[number - 1])
        if names[number] in edits:
            x = x + edits[names[number]]
        yield names[number], x

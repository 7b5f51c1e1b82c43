"""The architecture of an autoencoder: its sites and the sizes that it takes, known without weights and torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from granu import OptionError, Site, read_size


@dataclass(frozen=True)
class Stage:
    """One stage of a decoder: its output has `channels` and a `scale`-th of the image's height and width."""

    channels: int
    scale: int
    summary: str


@dataclass(frozen=True)
class Architecture:
    """The shapes of an autoencoder. One place of the latent stands for `scale` x `scale` pixels."""

    name: str
    channels: int  # of images
    latent_channels: int
    scale: int
    stages: tuple[Stage, ...]
    latent: str  # what the latent is

    def sites(self, size: tuple[int, int]) -> Sequence[Site]:
        """The sites, coarse to fine, for images of this height and width."""
        height, width = size
        stages = [
            Site(f"stage{i}", (stage.channels, height // stage.scale, width // stage.scale), stage.summary)
            for i, stage in enumerate(self.stages)
        ]
        latent = (self.latent_channels, height // self.scale, width // self.scale)
        image = Site("image", (self.channels, height, width), "the image's pixels", scale="pixel")
        return [Site("latent", latent, self.latent), *stages, image]

    def fit_size(self, text: str) -> tuple[int, int]:
        """Read an image size. OptionError if the latent's scale does not divide it, with the nearest that it does."""
        size = read_size(text, "autoencoder")
        assert size is not None
        if any(side % self.scale for side in size):
            near = [max(1, round(side / self.scale)) * self.scale for side in size]
            nearest = str(near[0]) if near[0] == near[1] else f"{near[0]}x{near[1]}"
            raise OptionError(
                f"`autoencoder`: size={text} is not a multiple of {self.scale}, as this {self.name} needs; the nearest "
                f"is size={nearest}"
            )
        return size

"""The sites of a diffusion model, coarse to fine, from its configuration alone; without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from granu import Site
from granu_diffusion.config import PipelineConfig

SHARES = (900, 800, 700, 600, 500, 400, 300, 200, 100, 50)  # of the schedule, per mille; beside 1000, the first noise
MIDDLE_SHARES = (800, 600, 400, 200)
FIRST, LATENT, IMAGE = "t1000", "latent", "image"


@dataclass(frozen=True)
class Layout:
    """The states of a sampler and the sites among them.

    State i is what the network sees at `timesteps[i]`; the last one, behind all timesteps, is the clean image or its
    latent.
    """

    config: PipelineConfig
    timesteps: Sequence[int]

    @cached_property
    def levels(self) -> dict[int, str]:
        """State -> site `t...` there: the site whose share of the schedule is nearest."""
        return {0: FIRST, **{i: f"t{share}" for i, share in self._nearest(SHARES).items() if i > 0}}

    @cached_property
    def middles(self) -> dict[int, str]:
        """State -> site `h...`: the middle block's output when the network sees that state."""
        if self.config.middle_shape is None:
            return {}
        return {i: f"h{share}" for i, share in self._nearest(MIDDLE_SHARES).items()}

    @property
    def states(self) -> Sequence[str]:
        """The name of each state, a site's where there is one."""
        inner = [self.levels.get(i, f"state{i}") for i in range(len(self.timesteps))]
        return [*inner, LATENT if self.config.autoencoder else "clean"]

    def sites(self) -> Sequence[Site]:
        """Coarse to fine, in the order in which they are computed."""
        found = []
        T = self.config.schedule.length
        for i, t in enumerate(self.timesteps):
            if i in self.levels:
                what = "the noise that images are made from" if i == 0 else f"the noisy image at timestep {t} of {T}"
                found.append(Site(self.levels[i], self.config.state_shape, what))
            if i in self.middles and self.config.middle_shape is not None:
                summary = f"the output of the network's middle block at timestep {t} of {T}"
                found.append(Site(self.middles[i], self.config.middle_shape, summary))
        if self.config.autoencoder:
            found.append(Site(LATENT, self.config.state_shape, "the autoencoder's latent"))
        return [*found, Site(IMAGE, self.config.image_shape, "the image's pixels", scale="pixel")]

    def _nearest(self, shares: Sequence[int]) -> dict[int, int]:
        """State -> share, where each share goes to the nearest state, and a state keeps the nearest of its shares."""
        levels = [1000 * (t + 1) / self.config.schedule.length for t in self.timesteps]
        nearest: dict[int, int] = {}
        for share in shares:
            i = min(range(len(levels)), key=lambda i: (abs(levels[i] - share), i))
            if i not in nearest or abs(levels[i] - share) < abs(levels[i] - nearest[i]):
                nearest[i] = share
        return nearest

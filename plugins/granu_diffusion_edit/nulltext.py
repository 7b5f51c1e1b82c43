"""Null-text inversion with Prompt-to-Prompt refinement, the method of RobuText (Mofayezi and Medghalchi 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from granu import PluginError, TensorStore, image_digest
from granu_diffusion_edit.alignment import align
from granu_diffusion_edit.attention import Control, controlled
from granu_diffusion_edit.calling import memory_in_words
from granu_diffusion_edit.ddim import Steps
from granu_diffusion_edit.engine import Edited, Frame
from granu_diffusion_edit.prompts import Prompt

# constants of RobuText's generate_data.py
GUIDANCE = 7.5
RATE, RATE_FALL = 1e-2, 100  # Adam's learning rate at step i is RATE * (1 - i / RATE_FALL)
ENOUGH, ENOUGH_RISE = 1e-5, 2e-5  # optimisation of step i ends below ENOUGH + ENOUGH_RISE * i


@dataclass(frozen=True)
class Inversion:
    """The noise of an image, and an embedding of the empty prompt for each step that leads back to the image."""

    noise: Tensor  # (1, C, h, w)
    empty: Tensor  # (T, L, D)


@dataclass(frozen=True)
class Shares:
    """The shares of steps at which cross- and self-attention are injected; severity 1 has these, 0 injects always."""

    cross: float
    self_: float

    def at(self, severity: float) -> Shares:
        """The shares at a severity."""
        return Shares(1 - severity * (1 - self.cross), 1 - severity * (1 - self.self_))


class NullText:
    """Edits images one by one: inversion, optimised empty prompts, and attention injected from the source."""

    null_varies = False  # with the same prompt on both sides the edit is the reconstruction, whatever is injected

    def __init__(
        self,
        pipeline: Any,
        steps: Steps,
        frame: Frame,
        store: TensorStore,
        fingerprint: str,
        *,
        shares: Shares,
        inner_steps: int,
        guidance: float | None,
    ) -> None:
        self.pipeline, self.steps, self.frame, self.store = pipeline, steps, frame, store
        self.shares, self.inner_steps = shares, inner_steps
        self.guidance = GUIDANCE if guidance is None else guidance
        self.inverted = f"{fingerprint} nulltext steps {len(steps)} guidance {self.guidance:g} inner {inner_steps}"
        self.description = (
            f"nulltext-p2p steps {len(steps)} guidance {self.guidance:g} inner {inner_steps} "
            f"cross {shares.cross:g} self {shares.self_:g}"
        )
        pipeline.unet.requires_grad_(False)

    def edit(self, images: Tensor, prompts: Sequence[Prompt], seeds: Sequence[int], severity: float) -> Edited:
        """Edit at a severity: the larger it is, the fewer steps take their attention from the source."""
        made, layers = [], []
        for image, prompt in zip(images, prompts, strict=True):
            with memory_in_words(1):
                one, count = self._edit(image, prompt, self.shares.at(severity))
            made.append(one)
            layers.append(float(count))
        return Edited(torch.cat(made), {"controlled_layers": torch.tensor(layers)})

    def _edit(self, image: Tensor, prompt: Prompt, shares: Shares) -> tuple[Tensor, int]:
        """The edited image (1, 3, H, W), and the number of attention layers that were controlled."""
        pair, layers = self.pair(image, prompt, shares)
        return pair[1:], layers

    def pair(self, image: Tensor, prompt: Prompt, shares: Shares) -> tuple[Tensor, int]:
        """The reconstruction of an image and its edit, (2, 3, H, W), and the number of layers that were controlled."""
        inversion = self.invert(image, prompt.source)
        index, aligned = align(self._tokens(prompt.source), self._tokens(prompt.target), self._length)
        control = Control(
            index.to(image.device), aligned.to(image.device), shares.cross * len(self.steps),
            shares.self_ * len(self.steps),
        )  # fmt: skip
        with torch.no_grad(), controlled(self.pipeline.unet, control):
            made = self.decode(self._sample(inversion, [prompt.source, prompt.target], control))
        if not control.layers and (shares.cross or shares.self_):
            raise PluginError(
                "`diffusion-edit`: none of the attention layers of this U-Net could be controlled, so Prompt-to-Prompt "
                "would edit nothing; use engine=sdedit"
            )
        return made, len(control.layers)

    def reconstruct(self, image: Tensor, source: str) -> Tensor:
        """The image (1, 3, H, W) that its inversion leads back to, with plain guidance."""
        return self.plainly(image, source, source)

    def plainly(self, image: Tensor, source: str, target: str) -> Tensor:
        """The image (1, 3, H, W) under a target prompt with plain guidance, from the inversion of a source prompt."""
        with torch.no_grad():
            return self.decode(self._sample(self.invert(image, source), [target]))

    def _sample(self, inversion: Inversion, prompts: Sequence[str], control: Control | None = None) -> Tensor:
        """Latents (P, C, h, w) of as many prompts, from the noise of an inversion."""
        texts = torch.cat([self.embed(prompt) for prompt in prompts])
        x = inversion.noise.expand(len(prompts), -1, -1, -1)
        for i, t in enumerate(self.steps.timesteps):
            if control is not None:
                control.step = i
            empty = inversion.empty[i : i + 1].expand(len(prompts), -1, -1)
            without, given = self._predict(torch.cat([x, x]), t, torch.cat([empty, texts])).chunk(2)
            x = self.steps.towards_image(x, without + self.guidance * (given - without), t)
        return x

    def invert(self, image: Tensor, source: str) -> Inversion:
        """The inversion of an image (3, H, W), made once for each image and source prompt."""
        name = image_digest(image, f"{self.inverted}|{source}")
        known = self.store.read(name)
        if known is None:
            with torch.no_grad():
                states = self._states(image, source)
            made = Inversion(states[-1], self._optimised(states, source))
            known = {"noise": made.noise.cpu(), "empty": made.empty.cpu()}
            self.store.write(name, known)
        return Inversion(known["noise"].to(image.device), known["empty"].to(image.device))

    def _states(self, image: Tensor, source: str) -> list[Tensor]:
        """Latents (1, C, h, w) from the image to noise, by DDIM backwards under the source prompt without guidance."""
        text, x = self.embed(source), self.encode(image[None])
        states = [x]
        for t in reversed(self.steps.timesteps):
            x = self.steps.towards_noise(x, self._predict(x, t, text), t)
            states.append(x)
        return states

    def _optimised(self, states: Sequence[Tensor], source: str) -> Tensor:
        """Embeddings of the empty prompt, (T, L, D), with which guidance leads back along `states` (Mokady et al.)."""
        with torch.no_grad():
            text, empty = self.embed(source), self.embed("")
        x, found = states[-1], []
        for i, t in enumerate(self.steps.timesteps):
            goal = states[len(states) - i - 2]
            with torch.no_grad():
                given = self._predict(x, t, text)
            empty = self._optimise(empty, x, given, goal, i, t)
            found.append(empty)
            with torch.no_grad():
                x = self._guided(x, empty, given, t)
        return torch.cat(found)

    def _optimise(self, empty: Tensor, x: Tensor, given: Tensor, goal: Tensor, i: int, t: int) -> Tensor:
        """The embedding (1, L, D) whose guided step from `x` ends nearest to `goal`, starting at the last one."""
        with torch.enable_grad():
            empty = empty.clone().requires_grad_()
            optimizer = torch.optim.Adam([empty], lr=RATE * max(0.0, 1 - i / RATE_FALL))
            for _ in range(self.inner_steps):
                loss = mse_loss(self._guided(x, empty, given, t), goal)
                (empty.grad,) = torch.autograd.grad(loss, [empty])
                optimizer.step()
                if loss.item() < ENOUGH + ENOUGH_RISE * i:
                    break
        return empty.detach()

    def _guided(self, x: Tensor, empty: Tensor, given: Tensor, t: int) -> Tensor:
        without = self._predict(x, t, empty)
        return self.steps.towards_image(x, without + self.guidance * (given - without), t)

    def _predict(self, x: Tensor, t: int, text: Tensor) -> Tensor:
        return self.pipeline.unet(x, t, encoder_hidden_states=text, return_dict=False)[0]  # type: ignore[no-any-return]

    @property
    def _length(self) -> int:
        return int(self.pipeline.tokenizer.model_max_length)

    def _tokens(self, prompt: str) -> list[int]:
        return list(self.pipeline.tokenizer(prompt, truncation=True, max_length=self._length).input_ids)

    def embed(self, prompt: str) -> Tensor:
        """The embedding (1, L, D) of a prompt."""
        tokens = self.pipeline.tokenizer(
            prompt, padding="max_length", truncation=True, max_length=self._length, return_tensors="pt"
        ).input_ids
        encoder = self.pipeline.text_encoder
        return encoder(tokens.to(encoder.device), return_dict=False)[0]  # type: ignore[no-any-return]

    def encode(self, images: Tensor) -> Tensor:
        """Latents of images in [0, 1]: the mean of the autoencoder's posterior."""
        vae = self.pipeline.vae
        found = vae.encode(images * 2 - 1, return_dict=False)[0]
        return found.mode() * vae.config.scaling_factor  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Images of latents, about [0, 1]."""
        vae = self.pipeline.vae
        return vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0].float() / 2 + 0.5  # type: ignore[no-any-return]

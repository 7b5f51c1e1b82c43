"""A CLIP model of transformers (Radford et al. 2021) from a folder, as the embedder of scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from granu import WeightsError, fit_channels, reason, resize, without_broken_torchvision
from granu_diffusion_edit.progress import without_progress

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of OpenAI's models, where a folder does not say
STD = (0.26862954, 0.26130258, 0.27577711)
PROCESSOR = "preprocessor_config.json"


class Clip:
    """Images are resized to the model's square with bicubic interpolation, without cropping (Brooks et al. 2023)."""

    def __init__(self, model: Any, tokenizer: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.size = int(model.config.vision_config.image_size)
        self.mean, self.std = (torch.tensor(list(of)).view(1, 3, 1, 1).to(model.device) for of in (mean, std))

    @torch.no_grad()
    def images(self, images: Tensor) -> Tensor:
        """(B, D) of images (B, C, H, W) in [0, 1]."""
        images = resize(fit_channels(images.to(self.mean.device), 3), self.size, self.size).clamp(0, 1)
        return _features(self.model.get_image_features(pixel_values=(images - self.mean) / self.std)).cpu()

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) of texts."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.mean.device)
        return _features(self.model.get_text_features(**tokens)).cpu()


def open_clip(folder: Path, device: str) -> Clip:
    """Open the model and tokenizer in a folder. WeightsError if it holds no CLIP model."""
    with without_broken_torchvision(), without_progress():
        try:
            from transformers import CLIPModel, CLIPTokenizer  # type: ignore[import-not-found, unused-ignore]

            if json.loads((folder / "config.json").read_text()).get("model_type") != "clip":
                raise ValueError("its config.json is not of a CLIP model")
            model = CLIPModel.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as problem:  # transformers raises nearly anything for a damaged folder
            raise WeightsError(f"clip={folder} cannot be opened ({reason(problem)})") from problem
    file = folder / PROCESSOR
    about = json.loads(file.read_text()) if file.is_file() else {}
    return Clip(model.to(device), tokenizer, about.get("image_mean", MEAN), about.get("image_std", STD))


def _features(found: Any) -> Tensor:
    """The projected embeddings, which transformers 5 returns inside an output object."""
    return found if isinstance(found, Tensor) else found.pooler_output

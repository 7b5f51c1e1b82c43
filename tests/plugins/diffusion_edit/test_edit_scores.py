"""Scores of edits against vectors worked out by hand, and a CLIP from its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from granu import WeightsError
from granu_diffusion_edit.clip import open_clip
from granu_diffusion_edit.prompts import Prompt
from granu_diffusion_edit.scores import clip_scores, pixel_scores

SNOW = Prompt("weather/snow", "cat", "snow", "make it snow")


class Given:
    """Embeds an image by its first three values and a text by a table."""

    def __init__(self, **texts: Sequence[float]) -> None:
        self.known = texts

    def images(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3]

    def texts(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([list(self.known[text]) for text in texts])


def image(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def test_similarities_are_those_of_unit_vectors() -> None:
    embedder = Given(cat=(2.0, 0.0, 0.0), snow=(0.0, 3.0, 0.0))
    made = clip_scores(embedder, image(1.0, 0.0, 0.0), image(0.6, 0.8, 0.0), [SNOW]).numbers
    assert made["clip_source"].item() == pytest.approx(1) and made["clip_text"].item() == pytest.approx(0.8)
    assert made["clip_image"].item() == pytest.approx(0.6)
    # f(x') - f(x) = (-0.4, 0.8, 0) and g(p') - g(p) = (-1, 1, 0)
    assert made["clip_direction"].item() == pytest.approx(1.2 / (math.sqrt(0.8) * math.sqrt(2)))


def test_a_direction_is_undefined_with_a_reason_where_nothing_changed() -> None:
    embedder = Given(cat=(1.0, 0.0, 0.0), snow=(0.0, 1.0, 0.0))
    prompts = [SNOW, SNOW.unchanged(), SNOW]
    before = torch.cat([image(1.0, 0.0, 0.0)] * 3)
    after = torch.cat([image(1.0, 0.0, 0.0), image(0.0, 1.0, 0.0), image(0.0, 1.0, 0.0)])
    made = clip_scores(embedder, before, after, prompts)
    assert made.numbers["clip_direction"].isnan().tolist() == [True, True, False]
    assert made.reasons["clip_direction"] == (
        "the edit did not change the image", "the captions before and after the edit are the same", None
    )  # fmt: skip
    assert made.numbers["clip_direction"][2].item() == pytest.approx(1)


def test_pixel_scores_compare_the_arms() -> None:
    noise = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0)) / 2
    unchanged = noise + 0.1
    edited = torch.stack([noise[0] + 0.3, noise[1] + 0.05, torch.full((3, 12, 12), 0.9)])
    made = pixel_scores(noise, unchanged, edited).numbers
    assert made["floor"].tolist() == pytest.approx([0.1] * 3, abs=1e-5)
    assert made["change"][:2].tolist() == pytest.approx([0.2, 0.05], abs=1e-5)
    assert made["noop"].tolist() == [0, 1, 0] and made["collapsed"].tolist() == [0, 0, 1]
    assert made["change_ssim"][1] > made["change_ssim"][0] > made["change_ssim"][2]


def test_a_clip_embeds_colour_and_grey_images_of_any_size(folder: Callable[[str], Path]) -> None:
    clip = open_clip(folder("clip"), "cpu")
    assert clip.images(torch.rand(2, 3, 13, 17)).shape == clip.images(torch.rand(2, 1, 9, 9)).shape == (2, 8)
    texts = clip.texts(["a cat", "a photo of a cat in the snow"])
    assert texts.shape == (2, 8) and torch.allclose(clip.texts(["a cat"])[0], texts[0], atol=1e-5)


def test_a_folder_that_is_no_clip_is_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match=r"its config\.json is not of a CLIP model"):
        open_clip(tmp_path, "cpu")

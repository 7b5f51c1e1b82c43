"""Precision and recall of generated images tell implausible images from missing variety."""

from pathlib import Path

import pytest
import torch

from granu import BuildContext, load_catalog
from granu_zoo.train.check import check
from granu_zoo.train.coverage import features, precision_and_recall


@pytest.fixture
def real() -> torch.Tensor:
    """Features of 200 images around two centres."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(200, 4, generator=generator) + torch.tensor([0.0, 100.0]).repeat(100)[:, None]


def test_the_real_images_themselves_are_precise_and_cover_everything(real: torch.Tensor) -> None:
    assert precision_and_recall(real, real) == (1.0, 1.0)


def test_images_of_one_centre_are_precise_but_miss_half(real: torch.Tensor) -> None:
    precision, recall = precision_and_recall(real, real[::2])
    assert precision == 1.0 and recall == 0.5


def test_one_repeated_image_covers_next_to_nothing(real: torch.Tensor) -> None:
    precision, recall = precision_and_recall(real, real[:1].repeat(50, 1))
    assert precision == 1.0 and recall < 0.02


def test_images_that_look_like_none_are_imprecise(real: torch.Tensor) -> None:
    drawn = torch.cat([real[:50], real[:150] + 1000])
    precision, _ = precision_and_recall(real, drawn)
    assert precision == 0.25


def test_features_are_what_the_last_layer_takes() -> None:
    judge = BuildContext(load_catalog()).build("classifier", "zoo:mnist-judge-resnet")
    images = torch.rand(6, 1, 32, 32)
    torch.testing.assert_close(judge.network.head(features(judge, images)), judge(images))
    assert not judge.network.head._forward_pre_hooks


def test_the_check_measures_any_generator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    digits = torch.randint(256, (30, 1, 32, 32), dtype=torch.uint8), torch.arange(30) % 10
    monkeypatch.setattr("granu_zoo.train.check.read_images", lambda folder, data, part: digits)
    check(Path(), generators=["biggan"], samples=20)
    name, titles, *rows, last = capsys.readouterr().out.splitlines()
    assert name == "biggan" and titles.split()[:4] == ["classifier", "agrees", "of", "20"] and len(rows) == 8
    assert last.startswith("precision 0.") and last.endswith("against 20 test images")

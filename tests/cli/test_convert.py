"""`granu convert` and the mistakes one can make with it."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from granu.weights.checkpoints import read_weights_header
from granu_stylegan.stylegan2 import StyleGAN2

Granu = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("default")  # the file of these tests does not state its clamp
CONFIG = {"z_dim": 4, "c_dim": 2, "w_dim": 4, "img_resolution": 8, "mapping_layers": 1, "channel_base": 32}


@pytest.fixture
def state_dict(tmp_path: Path) -> Path:
    """A StyleGAN2 as somebody's training script might have saved it."""
    file = tmp_path / "network.pt"
    torch.save(StyleGAN2(**CONFIG).state_dict(), file)  # type: ignore[arg-type]
    return file


def test_it_writes_what_opens_again_and_says_where_it_came_from(granu: Granu, state_dict: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    result = granu("convert", str(state_dict), str(out), "--classes", "cat, dog")
    assert result.returncode == 0, result.stderr
    assert f"granu info stylegan:weights={out}" in result.stdout
    header = read_weights_header(out, ("stylegan2",))
    assert header.classes == ("cat", "dog") and header.about["converted"] == "network.pt"
    sites = json.loads(granu("info", f"stylegan:weights={out}", "--json").stdout)[0]["sites"]
    assert sites[-1]["shape"] == [3, 8, 8]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.pkl", "out"), "nowhere.pkl does not exist"),
        (("network.pt", "network.pt"), "already exists; name a new file"),
        (("network.pt", "out", "--classes", "cat"), "names 1 classes; the network has 2"),
        (("network.pt", "out", "--as", "biggan"), "not a BigGAN"),
        (("network.pt", "out", "--as", "bigan"), "did you mean 'biggan'?"),
        (("forged.pkl", "out"), "asks to run"),
        (("network.pt", "nowhere/out"), "there is no folder nowhere; make it first"),
        (("network.pt", "out", "--as", "biggan:deep=3"), "did you mean 'depth'?"),
    ],
)
def test_mistakes_are_told(
    granu: Granu, state_dict: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    class Forged:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path / 'canary'}",)

    (tmp_path / "forged.pkl").write_bytes(pickle.dumps({"G_ema": Forged()}))
    result = granu("convert", *words)
    assert result.returncode == 2 and message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists() and not (tmp_path / "canary").exists()


def test_the_file_can_be_read_like_any_other(granu: Granu, state_dict: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert granu("convert", "network.pt", "out", "--as", "stylegan:clamp=256").returncode == 0
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_options_of_the_generator_take_part(granu: Granu, state_dict: Path, tmp_path: Path) -> None:
    done = granu("convert", "network.pt", "out", "--as", "stylegan:clamp=3")
    assert done.returncode == 0 and "note" not in done.stderr
    assert read_weights_header(tmp_path / "out", ("stylegan2",)).config["conv_clamp"] == 3
    done = granu("convert", "network.pt", "again", "--as", "stylegan")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1 and "granu: note: network.pt: the file does not state whether" in done.stderr


def test_info_says_what_a_file_holds(granu: Granu, state_dict: Path, tmp_path: Path) -> None:
    comma = tmp_path / "a,b=c.pt"
    state_dict.rename(comma)
    done = granu("info", f'stylegan:weights="{comma}"')
    assert done.returncode == 0, done.stderr
    for line in (
        "architecture: stylegan2",
        "classes: 0, 1",
        "images: 8 x 8, 3 channels",
        "note: the file does not state",
    ):
        assert f"  {line}" in done.stdout
    assert (
        json.loads(granu("info", f'stylegan:weights="{comma}"', "--json").stdout)[0]["holds"]["architecture"]
        == "stylegan2"
    )


def test_class_names_from_a_file_are_shown_escaped(granu: Granu, state_dict: Path, tmp_path: Path) -> None:
    assert (
        granu("convert", "network.pt", "out", "--as", "stylegan:clamp=1", "--classes", "a\x1b[2J,b\x07").returncode == 0
    )
    done = granu("info", "stylegan:weights=out")
    assert "classes: a\\x1b[2J, b\\x07" in done.stdout and "\x1b" not in done.stdout
    assert read_weights_header(tmp_path / "out", ("stylegan2",)).classes == ("a\\x1b[2J", "b\\x07")

"""Where images lie: names that any file system takes, and no two alike."""

from pathlib import Path

import pytest

from granu.runs.gallery import clean_file, image_file, slug


@pytest.mark.parametrize("plain", ["seed0-17", "zoo_mnist.cnn", "A1"])
def test_a_safe_name_stays_as_it_is(plain: str) -> None:
    assert slug(plain) == plain


@pytest.mark.parametrize(
    "odd", ["stylegan:layer4+layer6", "../../etc/passwd", "", "..", "a b", "ü", "x" * 300, "C:\\val"]
)
def test_an_odd_name_becomes_a_safe_one(odd: str) -> None:
    made = slug(odd)
    assert made and made == slug(odd) and slug(made) == made and "--" not in made
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") and len(made) <= 80


def test_names_that_look_alike_stay_apart() -> None:
    texts = ["a:b", "a/b", "a_b", "a--b", "a-b", "a:b:", "val/cat.png", "val_cat.png", "x" * 300, "x" * 301]
    assert len({slug(text) for text in texts}) == len(texts)


def test_images_lie_beside_their_clean_one(tmp_path: Path) -> None:
    changed = image_file(tmp_path, "val/1.png", "zoo:cnn", "stylegan:layer6")
    assert changed.parent == clean_file(tmp_path, "val/1.png").parent
    assert changed.parent.parent == tmp_path and changed.suffix == ".png"

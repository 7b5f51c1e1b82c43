"""File names of kept images: safe on any file system, and no two alike."""

import pytest

from granu.runs.gallery import changed_name, clean_name, slug


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


def test_similar_names_stay_different() -> None:
    texts = ["a:b", "a/b", "a_b", "a--b", "a-b", "a:b:", "val/cat.png", "val_cat.png", "x" * 300, "x" * 301]
    assert len({slug(text) for text in texts}) == len(texts)


def test_a_changed_image_is_named_in_the_folder_of_its_clean_one() -> None:
    folder = slug("val/1.png")
    assert clean_name("val/1.png") == f"{folder}/clean.png"
    changed = changed_name("val/1.png", "zoo:cnn", "stylegan:layer6")
    assert changed == f"{folder}/{slug('zoo:cnn')}--{slug('stylegan:layer6')}.png" and changed.count("/") == 1

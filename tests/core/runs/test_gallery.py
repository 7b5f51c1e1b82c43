"""File names of kept images: safe on any file system, and no two alike."""

import hashlib

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


def hashed(plain: str, text: str) -> str:
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("stylegan:layer4+layer6", "stylegan_layer4_layer6"), ("a: b", "a_b"), ("a---b", "a-b"), ("_a", "a"),
        (".a-_", "a"), ("x" * 81, "x" * 71), ("a/b" * 100, ("a_b" * 100)[:71]),
    ],
)  # fmt: skip
def test_a_changed_name_keeps_what_is_safe_and_ends_with_the_hash_of_the_text(text: str, plain: str) -> None:
    assert slug(text) == hashed(plain, text)


@pytest.mark.parametrize("safe", ["a", "XaX", "x" * 80, "a-b.c_d"])
def test_a_name_that_is_safe_is_kept_up_to_80_characters(safe: str) -> None:
    assert slug(safe) == safe


def test_a_name_without_any_safe_character_is_its_hash() -> None:
    assert slug("--") == hashlib.sha256(b"--").hexdigest()[:8]

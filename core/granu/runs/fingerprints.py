"""Fingerprints of contents: a retrained classifier or an image changed in place is noticed under the same name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from granu.types import Classifier

SETTINGS = ("classes", "channels", "size", "fit")  # of an ImageClassifier, beside its mean and std, which are buffers
IMAGE_HASH_LENGTH = 16  # hexadecimal digits


def classifier_fingerprint(classifier: Classifier) -> str | None:
    """SHA-256 of a network's parameters, buffers and preprocessing; None where there is nothing to hash.

    A classifier that is not an nn.Module may bring a `fingerprint` of its own.
    """
    if not isinstance(classifier, nn.Module):
        return getattr(classifier, "fingerprint", None)
    digest = hashlib.sha256()
    for name, tensor in sorted([*classifier.named_parameters(), *classifier.named_buffers()], key=lambda item: item[0]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    settings = [getattr(classifier, name, None) for name in SETTINGS]
    if cropping := getattr(classifier, "cropping", None):
        settings.append(cropping)
    digest.update(repr(settings).encode())
    return digest.hexdigest()


def image_hash(image: Tensor, label: str) -> str:
    """A short hash of an image (C, H, W) in [0, 1], as 8-bit pixels, and of its class name."""
    return image_digest(image, label)[:IMAGE_HASH_LENGTH]


def image_digest(image: Tensor, about: str) -> str:
    """SHA-256 of an image (C, H, W) in [0, 1], as 8-bit pixels, and of a text about it."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    digest = hashlib.sha256(f"{tuple(image.shape)} {about}".encode())
    digest.update(_bytes(pixels))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

"""The core's own verdict: on quantized images in float32, with votes in the classifier's own numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from granu import ClassifierError
from granu.runs.judge import classify, judge, vote
from granu.types import ClassifierEvidence, ImageEvidence

CLEAN = torch.full((2, 1, 1, 2), 100 / 255)


class First:
    """Light where the first pixel is above 0.5, in the precision of what it is given."""

    classes: tuple[str, ...] = ("dark", "light")

    def __call__(self, images: Tensor) -> Tensor:
        light = images[:, 0, 0, 0] - 0.5
        return torch.stack([-light, light], dim=1)

    def layers(self) -> Mapping[str, nn.Module]:
        return {}


def classifier(*classes: str) -> First:
    first = First()
    first.classes = classes
    return first


def test_images_are_judged_as_a_png_holds_them() -> None:
    proposed = torch.tensor([[127.4, 300.0], [127.6, -3.0]]).view(2, 1, 1, 2) / 255  # 0.4996 and 0.5004
    judged = judge(ImageEvidence(proposed), First(), CLEAN, "first")
    assert judged.images is not None
    assert torch.equal(judged.images * 255, torch.tensor([[127.0, 255.0], [128.0, 0.0]]).view(2, 1, 1, 2))
    assert judged.verdict.predicted.tolist() == [0, 1]
    assert judged.verdict.margin(torch.tensor([0, 0])).tolist() == pytest.approx([1 / 255, -1 / 255], abs=1e-6)


def test_gradients_and_precision_of_a_proposal_do_not_reach_the_verdict() -> None:
    proposed = CLEAN.double().requires_grad_()
    judged = judge(ImageEvidence(proposed), First(), CLEAN, "first")
    assert judged.images is not None and judged.images.dtype == torch.float32 and not judged.images.requires_grad
    assert judged.verdict.logits.dtype == torch.float32 and not judged.verdict.logits.requires_grad


BAD_IMAGES = [torch.zeros(1, 1, 1, 2), torch.zeros(2, 3, 1, 2), torch.full((2, 1, 1, 2), torch.nan)]


@pytest.mark.parametrize("images", BAD_IMAGES, ids=["too few", "other channels", "not finite"])
def test_images_that_cannot_be_judged_are_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match="it returned images of shape"):
        judge(ImageEvidence(images), First(), CLEAN, "first")


def test_a_change_inside_the_classifier_is_judged_by_logits_computed_anew() -> None:
    asked = []

    def logits() -> Tensor:
        asked.append(1)
        return torch.tensor([[0.0, 1.0], [2.0, 1.0]], dtype=torch.float64, requires_grad=True)

    judged = judge(ClassifierEvidence(logits), First(), CLEAN, "first")
    assert judged.images is None and judged.verdict.predicted.tolist() == [1, 0] and len(asked) == 1
    assert judged.verdict.logits.dtype == torch.float32 and not judged.verdict.logits.requires_grad


@pytest.mark.parametrize("logits", [torch.zeros(1, 2), torch.zeros(2, 3), torch.full((2, 2), torch.inf)])
def test_logits_that_cannot_be_judged_are_refused(logits: Tensor) -> None:
    with pytest.raises(ValueError, match="it returned logits of shape"):
        judge(ClassifierEvidence(lambda: logits), First(), CLEAN, "first")


def test_a_classifier_of_nan_is_refused_with_the_cure() -> None:
    class Nan(First):
        def __call__(self, images: Tensor) -> Tensor:
            return super().__call__(images) * torch.nan

    with pytest.raises(ClassifierError, match=r"'net' gives NaN or infinite logits .*check its weights and its mean="):
        classify(Nan(), CLEAN, "net")


def test_votes_are_numbers_of_the_classifier_and_minus_one_for_classes_that_it_does_not_know() -> None:
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    judges = {
        "same": classifier("dark", "light"),
        "other order": classifier("light", "dark"),
        "other case": classifier("Dark", "LIGHT"),
        "unknown": classifier("elephant", "light"),
    }
    votes = vote(judges, images, classifier("dark", "light"), ("dark", "light"))
    assert {name: of.tolist() for name, of in votes.items()} == {
        "same": [0, 1], "other order": [1, 0], "other case": [0, 1], "unknown": [-1, 1],
    }  # fmt: skip


def test_outputs_without_names_are_the_classes_of_the_images_in_order() -> None:
    judges = {"numbers": classifier("0", "1")}
    judges["numbers"].named = False  # type: ignore[attr-defined]
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    assert vote(judges, images, classifier("light", "dark"), ("dark", "light"))["numbers"].tolist() == [1, 0]
    named = {"numbers": classifier("0", "1")}
    assert vote(named, images, classifier("light", "dark"), ("dark", "light"))["numbers"].tolist() == [-1, -1]


def test_the_sentence_about_nan_names_the_classifier_or_the_judge_that_gave_it() -> None:
    class Nan(First):
        def __call__(self, images: Tensor) -> Tensor:
            return super().__call__(images) * torch.nan

    text = "'{}' gives NaN or infinite logits for images in [0, 1]; check its weights and its mean= and std="
    with pytest.raises(ClassifierError) as raised:
        judge(ImageEvidence(CLEAN), Nan(), CLEAN, "tested")
    assert str(raised.value) == text.format("tested")
    with pytest.raises(ClassifierError) as raised:
        vote({"fine": First(), "third": Nan()}, CLEAN, First(), First.classes)
    assert str(raised.value) == text.format("third")


def test_votes_are_numbers_of_a_classifier_whose_outputs_the_images_name() -> None:
    tested = classifier("0", "1")
    tested.named = False  # type: ignore[attr-defined]
    votes = vote({"named": classifier("light", "dark")}, CLEAN + 0.5, tested, ("dark", "light"))
    assert votes["named"].tolist() == [0, 0], "its output 1 is dark, which is 0 among the images' classes"

"""Changes at fixed sizes beside images that the perturbation's model was asked to leave unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from granu import Arms, Batch, ImageEvidence, Proposal, Streams
from granu.runs.judge import label_margins
from granu.runs.measurement import Measurement
from granu.runs.trials import FOUND, NOT_ENCODED, NOT_FOUND, RECONSTRUCTION_WRONG, Trial

WRONG, RIGHT = 0.75, 0.25  # brightness of images of the class "dark"
SIZES = (0.2, 0.5, 1.0)


class Threshold:
    """Calls an image light whose mean is above one half."""

    classes = ("dark", "light")

    def __init__(self, classes: tuple[str, ...] = ("dark", "light")) -> None:
        self.classes = classes

    def __call__(self, images: Tensor) -> Tensor:
        light = images.flatten(1).mean(dim=1) - 0.5
        return torch.stack([-light, light], dim=1)

    def layers(self) -> dict[str, Any]:
        return {}


class Edited:
    """Proposes one image of the given brightnesses."""

    unit = "severity"

    def __init__(self, edits: Sequence[float], unchanged: Sequence[float], prepared: float, reason: str | None) -> None:
        self.edits, self.unchanged, self.prepared, self.reason = edits, unchanged, prepared, reason

    def perturb(self, classifier: Any, batch: Batch, criterion: Any, noise: Streams) -> Proposal:
        def shown(value: float) -> ImageEvidence:
            return ImageEvidence(torch.full_like(batch.images, value))

        levels = {size: shown(value) for size, value in zip(SIZES, self.edits, strict=True)}
        unchanged = {size: shown(value) for size, value in zip(SIZES, self.unchanged, strict=False)}
        one = torch.ones(len(batch.ids))
        return Proposal(
            levels[1.0], one, one, one.long(), 0 * one.long(), (None,), levels=levels,
            arms=Arms(shown(self.prepared), unchanged, (self.reason,)), extra={"likeness": one / 2},
            texts={"prompt": ("a dark image",), "reason": (None,)},
        )  # fmt: skip


class Selective(Edited):
    """Has no edit of dark images."""

    def unsuitable(self, classifier: Any, labels: Tensor) -> tuple[str | None, ...]:
        return tuple(None if label else "no edit of dark images" for label in labels.tolist())


def measured(
    edits: Sequence[float] = (RIGHT, RIGHT, RIGHT),
    unchanged: Sequence[float] = (RIGHT, RIGHT, RIGHT),
    prepared: float = RIGHT,
    reason: str | None = None,
    judges: Any = None,
    kind: type[Edited] = Edited,
    brightness: float = 0.125,
) -> Trial:
    """The trial of one image of the class dark."""
    planned = SimpleNamespace(key="edit", scope="edit")
    perturbation: Any = kind(edits, unchanged, prepared, reason)
    measurement = Measurement(
        planned, perturbation, "model", Threshold(), judges or {}, ("dark", "light"), torch.arange(2), frozenset(), 0,  # type: ignore[arg-type]
    )  # fmt: skip
    batch = Batch(torch.full((1, 1, 12, 12), brightness), torch.tensor([0]), ("a",), hashes=("h",))
    (trial,) = measurement.trials(batch, {})
    return trial


def test_the_smallest_size_that_fools_counts_while_unchanged_images_are_right() -> None:
    trial = measured(edits=(RIGHT, WRONG, WRONG))
    assert trial.outcome == FOUND and trial.size == pytest.approx(0.5)
    assert trial.levels == {"0.2": 0, "0.5": 1, "1": 1} and trial.unchanged == {"0.2": 0, "0.5": 0, "1": 0}
    assert trial.arms == {"source": 0, "prepared": 0, "reconstruction": 0}


def test_distances_begin_at_the_unchanged_image_of_the_same_size() -> None:
    trial = measured(edits=(RIGHT, WRONG, WRONG), unchanged=(RIGHT, 0.375, RIGHT))
    assert trial.linf == pytest.approx(WRONG - 0.375, abs=1 / 255)


def test_a_failure_behind_a_lost_unchanged_image_is_censored_there() -> None:
    trial = measured(edits=(RIGHT, RIGHT, WRONG), unchanged=(RIGHT, RIGHT, WRONG))
    assert trial.outcome == NOT_FOUND and trial.size is None and trial.tried == pytest.approx(0.5)
    assert trial.predicted == 0 and trial.levels["1"] == 1 and trial.unchanged["1"] == 1


def test_an_unchanged_image_that_recovers_makes_no_later_failure_count() -> None:
    trial = measured(edits=(RIGHT, RIGHT, WRONG), unchanged=(RIGHT, WRONG, RIGHT))
    assert trial.outcome == NOT_FOUND and trial.tried == pytest.approx(0.2)


def test_an_image_that_preparing_loses_is_left_out_and_keeps_what_was_measured() -> None:
    trial = measured(edits=(WRONG, WRONG, WRONG), prepared=WRONG)
    assert trial.outcome == RECONSTRUCTION_WRONG and trial.predicted == 1 and not trial.counts
    assert trial.size is None and trial.tried is None and trial.l2 is None
    assert trial.levels == {"0.2": 1, "0.5": 1, "1": 1} and trial.arms["prepared"] == 1
    assert trial.extra["likeness"] == 0.5 and trial.texts == {"prompt": "a dark image"}


def test_an_image_that_the_model_loses_at_the_smallest_size_is_left_out() -> None:
    trial = measured(edits=(WRONG, WRONG, WRONG), unchanged=(WRONG, RIGHT, RIGHT))
    assert trial.outcome == RECONSTRUCTION_WRONG and trial.arms["reconstruction"] == 1


def test_a_reason_leaves_an_image_out() -> None:
    trial = measured(edits=(WRONG, WRONG, WRONG), reason="no edit applies")
    assert trial.outcome == NOT_ENCODED and trial.note == "no edit applies" and trial.size is None
    assert trial.levels == trial.unchanged == trial.arms == {}, "none of them is of a change"


@pytest.mark.parametrize("brightness", [0.125, 0.875], ids=["classified correctly", "misclassified"])
def test_an_image_without_a_change_is_left_out_whatever_the_classifier_says(brightness: float) -> None:
    trial = measured(kind=Selective, brightness=brightness)
    assert trial.outcome == NOT_ENCODED and trial.note == "no edit of dark images" and trial.levels == {}


def test_unchanged_images_of_other_sizes_are_a_fault() -> None:
    with pytest.raises(ValueError, match="unchanged images at"):
        measured(unchanged=(RIGHT, RIGHT))


def test_the_margin_that_each_judge_gives_the_label_is_stored() -> None:
    judges = {"same": Threshold(), "other": Threshold(("light", "dark")), "stranger": Threshold(("a", "b"))}
    trial = measured(edits=(RIGHT, WRONG, WRONG), judges=judges)
    assert trial.extra["judge_margin same"] == pytest.approx(-0.5, abs=0.02)
    assert trial.extra["judge_margin other"] == pytest.approx(0.5, abs=0.02)
    assert "judge_margin stranger" not in trial.extra


def test_a_margin_of_a_class_that_a_judge_does_not_know_is_nan() -> None:
    images = torch.full((1, 1, 12, 12), 0.125)
    margins = label_margins({"j": Threshold(("a", "b"))}, images, torch.tensor([0]), Threshold(), ("dark", "light"))
    assert margins["j"].isnan().all()

"""Edits with whole tiny pipelines: every engine, batches, the cache, and images of any channels and size."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from edited_images import Bright, images_of, perturbed
from torch import Tensor

from granu import Batch, BuildContext, ClassifierError, ImageEvidence, PluginError, Proposal
from granu.plugins.catalog import Catalog
from granu.testing.contracts import check_import_without_torch, check_perturbation, check_plugin
from granu_diffusion_edit import EditOptions, make
from granu_diffusion_edit.engine import Edited, Frame
from granu_diffusion_edit.families import FAMILIES, KEEP, Call
from granu_diffusion_edit.instruct import Instructed
from granu_diffusion_edit.kept import KeptEdits
from granu_diffusion_edit.perturbation import DiffusionEdit
from granu_diffusion_edit.preparation import back, to_model
from granu_diffusion_edit.prompts import Prompt
from granu_diffusion_edit.tree import own_tree

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

Open = Callable[..., DiffusionEdit]
EDITORS = [("sd", "sdedit"), ("pix2pix", "instruct"), ("xl", "instruct"), ("kontext", "instruct")]
SNOW = Prompt("weather/snow", "a photo of a cat", "a photo of a cat in the snow", "cover the scene with snow")


def levels(proposal: Proposal) -> dict[float, Tensor]:
    """The edited images by severity."""
    assert proposal.levels is not None
    return {size: one.images for size, one in proposal.levels.items() if isinstance(one, ImageEvidence)}


def unchanged(proposal: Proposal) -> dict[float, Tensor]:
    """The images of the null edit by severity."""
    assert proposal.arms is not None
    return {size: one.images for size, one in proposal.arms.unchanged.items() if isinstance(one, ImageEvidence)}


def test_the_plugin_keeps_the_contracts() -> None:
    check_plugin("diffusion-edit")
    check_import_without_torch("granu_diffusion_edit", "granu_diffusion_edit.planning", "granu_diffusion_edit.prompts")


@pytest.mark.parametrize(("name", "engine"), EDITORS)
def test_an_editor_keeps_the_contract_and_changes_images(opened: Open, batch: Batch, name: str, engine: str) -> None:
    edit = opened(name, engine=engine)
    check_perturbation(edit, Bright(), batch)
    proposal = perturbed(edit, batch)
    assert set(levels(proposal)) == set(unchanged(proposal)) == {0.5, 1.0}
    for made in (*levels(proposal).values(), *unchanged(proposal).values()):
        assert made.shape == batch.images.shape and not torch.equal(made, batch.images)
    assert (levels(proposal)[1.0] - unchanged(proposal)[1.0]).abs().amax() > 1 / 255


@pytest.mark.parametrize(("name", "engine"), EDITORS)
def test_an_image_is_edited_alike_in_any_batch_and_order(
    opened: Open, batch: Batch, name: str, engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = levels(perturbed(opened(name, engine=engine, batch=3, severity=(1.0,)), batch))[1.0]
    monkeypatch.setenv("GRANU_CACHE", str(tmp_path / "another"))
    order = torch.tensor([2, 0, 1])
    alone = levels(perturbed(opened(name, engine=engine, batch=1, severity=(1.0,)), batch.select(order)))[1.0]
    assert (whole[order] - alone).abs().amax() <= 1.5 / 255


def test_the_seed_of_the_run_changes_the_edit(opened: Open, batch: Batch) -> None:
    edit = opened("pix2pix")
    one, other = (levels(perturbed(edit, batch, seed=seed))[1.0] for seed in (0, 1))
    assert not torch.equal(one, other)


def test_severity_zero_is_the_prepared_image(opened: Open, batch: Batch) -> None:
    proposal = perturbed(opened("sd", severity=(0.0, 1.0)), batch)
    assert proposal.arms is not None and isinstance(proposal.arms.prepared, ImageEvidence)
    assert torch.equal(levels(proposal)[0.0], proposal.arms.prepared.images)
    assert torch.equal(unchanged(proposal)[0.0], proposal.arms.prepared.images)


def test_severities_of_an_image_lead_away_from_it(opened: Open, batch: Batch) -> None:
    made = levels(perturbed(opened("sd", severity=(0.25, 0.5, 1.0), steps=8), batch))
    away = [(made[size] - made[0.25]).square().mean() for size in (0.5, 1.0)]
    assert 0 < away[0] < away[1]


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 12, 12), (3, 7, 40), (3, 16, 16)])
def test_grey_and_odd_images_come_back_as_they_were(opened: Open, channels: int, height: int, width: int) -> None:
    batch = images_of(2, channels, height, width)
    proposal = perturbed(opened("sd", severity=(1.0,)), batch)
    assert levels(proposal)[1.0].shape == batch.images.shape


@pytest.mark.parametrize(("name", "shorter"), [("sd", 16), ("pix2pix", 16), ("kontext", 1024)])
def test_without_a_size_the_model_has_its_own(opened: Open, name: str, shorter: int) -> None:
    assert opened(name, size=None).engine.frame == Frame(shorter, 4)


def test_preparing_keeps_proportions_and_nothing_is_cropped() -> None:
    frame = Frame(shorter=16, multiple=4)
    assert frame.fit(13, 13) == (16, 16) and frame.fit(10, 20) == (16, 32) and frame.fit(90, 30) == (48, 16)
    assert to_model(images_of(2, 1, 13, 17).images, frame).shape == (2, 3, 16, 20)
    batch = images_of(1, 3, 16, 32)
    assert torch.equal(back(to_model(batch.images, frame), batch.images), batch.images)


def test_a_grey_image_is_three_equal_channels_inside_and_one_again() -> None:
    grey = images_of(1, 1, 16, 16).images
    inside = to_model(grey, Frame(16, 4))
    assert inside.shape == (1, 3, 16, 16) and torch.equal(inside[:, 0], inside[:, 2])
    assert torch.allclose(back(inside, grey), grey, atol=1 / 255)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"unchanged": {}}, "must hold the sizes of `levels`"),
        ({"reasons": ()}, "must hold one reason"),
        ({"prepared": ImageEvidence(torch.zeros(1, 3, 13, 17))}, "changed images must be"),
    ],
    ids=["sizes", "reasons", "prepared"],
)
def test_the_contract_looks_at_the_arms(tmp_path: Path, batch: Batch, wrong: dict[str, Any], said: str) -> None:
    class Wrong(DiffusionEdit):
        def perturb(self, *arguments: Any) -> Proposal:
            proposal = super().perturb(*arguments)
            assert proposal.arms is not None
            return replace(proposal, arms=replace(proposal.arms, **wrong))

    tree = own_tree()
    edit = Wrong(Painter(), tree, tree.find("time"), (1.0,), KeptEdits(tmp_path, "s", "painter"), None)
    with pytest.raises(AssertionError, match=said):
        check_perturbation(edit, Bright(), batch)


# the adapter table


@pytest.mark.parametrize("pipeline", FAMILIES)
def test_each_argument_of_the_table_is_one_of_the_pipeline(pipeline: str) -> None:
    known = inspect.signature(getattr(diffusers, pipeline).__call__).parameters
    given = FAMILIES[pipeline].arguments(Call(2.0, 1.5, 16, 16))
    assert {*given, "prompt", "image", "num_inference_steps", "generator", "output_type"} <= set(known)


class Recorded:
    """A pipeline that gives images back and notes how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        return type("Output", (), {"images": torch.full((len(arguments["prompt"]), 3, 16, 32), 0.5)})


@pytest.mark.parametrize("pipeline", ["FluxKontextPipeline", "QwenImageEditPipeline", "QwenImageEditPlusPipeline"])
def test_editors_of_single_images_are_called_one_by_one(pipeline: str) -> None:
    recorded, family = Recorded(), FAMILIES[pipeline]
    engine = Instructed(recorded, family, Frame(16, 4), steps=2, guidance=None, image_guidance=1.5, batch=4)
    made = engine.edit(torch.rand(2, 3, 16, 32), [SNOW, SNOW.unchanged()], [1, 2], 0.5).images
    assert made.shape == (2, 3, 16, 32)
    assert [call["prompt"] for call in recorded.calls] == [["cover the scene with snow"], [KEEP]]
    assert [call["image"].size for call in recorded.calls] == [(32, 16), (32, 16)]
    assert (recorded.calls[0]["height"], recorded.calls[0]["width"]) == (16, 32)
    scale = recorded.calls[0].get("true_cfg_scale", recorded.calls[0].get("guidance_scale"))
    assert scale == pytest.approx(1 + 0.5 * (family.guidance - 1))


def test_pix2pix_takes_batches_and_both_scales() -> None:
    recorded, family = Recorded(), FAMILIES["StableDiffusionInstructPix2PixPipeline"]
    engine = Instructed(recorded, family, Frame(16, 4), steps=2, guidance=None, image_guidance=1.2, batch=2)
    engine.edit(torch.rand(3, 3, 16, 32), [SNOW] * 3, [1, 2, 3], 1.0)
    assert [len(call["prompt"]) for call in recorded.calls] == [2, 1]
    assert recorded.calls[0]["guidance_scale"] == 7.5 and recorded.calls[0]["image_guidance_scale"] == 1.2
    assert [len(call["generator"]) for call in recorded.calls] == [2, 1]


# the cache


class Painter:
    """Paints images in one shade, counts how many, and may fail."""

    description = "painter"
    frame = Frame(16, 4)
    null_varies = False

    def __init__(self, shade: float = 0.5) -> None:
        self.shade, self.painted = shade, 0

    def edit(self, images: Tensor, prompts: Sequence[Prompt], seeds: Sequence[int], severity: float) -> Edited:
        self.painted += len(images)
        shade = torch.tensor([0.75 if prompt.edit else 0.625 for prompt in prompts]) * (self.shade / 0.5)
        return Edited(shade.view(-1, 1, 1, 1).expand_as(images), {"strokes": torch.full((len(images),), 7.0)})


def painting(painter: Painter, cache: Path, edit: str = "weather/snow", settings: str = "s") -> DiffusionEdit:
    tree = own_tree()
    return DiffusionEdit(painter, tree, tree.find(edit), (0.5, 1.0), KeptEdits(cache, settings, "painter"), None)


def test_an_image_is_made_once(tmp_path: Path, batch: Batch) -> None:
    painter = Painter()
    first = perturbed(painting(painter, tmp_path), batch)
    assert painter.painted == 3 * (2 + 1), "two severities, and a null edit that does not depend on them"
    again = Painter()
    second = perturbed(painting(again, tmp_path), batch)
    assert again.painted == 0 and torch.equal(levels(first)[1.0], levels(second)[1.0])
    assert second.extra is not None and second.extra["strokes@1"].tolist() == [7.0] * 3


def test_other_settings_prompts_images_and_seeds_are_other_images(tmp_path: Path, batch: Batch) -> None:
    perturbed(painting(Painter(), tmp_path), batch)
    for made, seed, images, count in (
        (painting(Painter(), tmp_path, settings="other"), 0, batch, 9),
        (painting(Painter(), tmp_path, edit="time/sunset"), 0, batch, 6),
        (painting(Painter(), tmp_path), 1, batch, 9),
        (painting(Painter(), tmp_path), 0, images_of(3, 3, 12, 12), 9),
    ):
        perturbed(made, images, seed=seed)
        assert isinstance(made.engine, Painter) and made.engine.painted == count


def test_what_a_crash_left_is_made_again(tmp_path: Path, batch: Batch) -> None:
    perturbed(painting(Painter(), tmp_path), batch)
    broken, missing, *_ = sorted(tmp_path.rglob("*.png"))
    broken.write_bytes(b"")
    missing.unlink()
    painter = Painter()
    perturbed(painting(painter, tmp_path), batch)
    assert painter.painted == 2


def test_a_kept_image_says_how_it_was_made(tmp_path: Path, batch: Batch) -> None:
    perturbed(painting(Painter(), tmp_path), batch.select(torch.tensor([0])))
    about = [json.loads(file.read_text()) for file in tmp_path.rglob("*.json")]
    (edit,) = (one for one in about if one["severity"] == 1.0)
    assert edit["edit"] == "weather/snow" and edit["prompt"].startswith("a photo of a cat in")
    assert edit["engine"] == "painter" and edit["facts"] == {"strokes": 7.0} and edit["failure"] is None


def test_a_folder_that_cannot_be_written_keeps_images_in_memory(tmp_path: Path, batch: Batch) -> None:
    (tmp_path / "file").write_text("")
    painter = Painter()
    edit = painting(painter, tmp_path / "file")
    perturbed(edit, batch)
    perturbed(edit, batch)
    assert painter.painted == 9


# what is left out, with its reason


@pytest.mark.parametrize(("shade", "reason"), [(0.0, "black image"), (float("nan"), "values that are not finite")])
def test_a_failed_edit_is_left_out_with_its_reason(tmp_path: Path, batch: Batch, shade: float, reason: str) -> None:
    proposal = perturbed(painting(Painter(shade), tmp_path), batch)
    assert proposal.arms is not None
    assert all(
        f"the editor returned {'a ' if 'black' in reason else ''}{reason}" in str(r) for r in proposal.arms.reasons
    )
    assert "at severity 0.5" in str(proposal.arms.reasons[0]) and levels(proposal)[1.0].isfinite().all()


def test_an_image_without_an_edit_is_left_out_with_its_reason(tmp_path: Path, batch: Batch) -> None:
    painter = Painter()
    proposal = perturbed(painting(painter, tmp_path, edit="texture/metal"), batch)
    assert proposal.arms is not None and proposal.texts is not None
    assert proposal.arms.reasons[:2] == (
        "texture/metal does not apply to the super-class 'animal'",
        "texture/metal does not apply to the super-class 'animal'",
    )
    assert proposal.arms.reasons[2] is None and painter.painted == 3
    assert torch.equal(levels(proposal)[1.0][:2], batch.images[:2])
    assert proposal.texts["prompt"] == (None, None, "a photo of a truck made of polished metal")


def test_a_batch_without_any_edit_is_left_as_it_is(tmp_path: Path, batch: Batch) -> None:
    proposal = perturbed(painting(Painter(), tmp_path, edit="texture/metal"), batch.select(torch.tensor([0, 1])))
    assert proposal.arms is not None and None not in proposal.arms.reasons
    assert torch.equal(levels(proposal)[0.5], batch.images[:2])


def test_a_classifier_without_class_names_is_refused(tmp_path: Path, batch: Batch) -> None:
    with pytest.raises(ClassifierError, match="this classifier has none; give them with classes="):
        perturbed(painting(Painter(), tmp_path), batch, Bright(named=False))


def test_a_domain_draws_an_edit_for_each_image(tmp_path: Path) -> None:
    batch = images_of(12, 3, 12, 12)
    proposal = perturbed(painting(Painter(), tmp_path, edit="weather"), batch)
    assert proposal.texts is not None
    drawn = set(proposal.texts["edit"])
    assert len(drawn) > 2 and all(str(one).startswith("weather/") for one in drawn)


@pytest.mark.parametrize(("batch_size", "said"), [(4, "take batch=1"), (1, "take a smaller size=")])
def test_memory_that_runs_out_is_a_sentence(opened: Open, batch: Batch, batch_size: int, said: str) -> None:
    edit = opened("sd", batch=batch_size)
    edit.engine.pipeline.unet.forward = _out_of_memory  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match=said):
        perturbed(edit, batch)


def _out_of_memory(*arguments: Any, **named: Any) -> Any:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_bfloat16_edits_give_images_in_float32(opened: Open, batch: Batch) -> None:
    edit = opened("sd", dtype="bfloat16", severity=(1.0,))
    made = levels(perturbed(edit, batch))[1.0]
    assert made.dtype == torch.float32 and made.isfinite().all()
    assert next(edit.engine.pipeline.unet.parameters()).dtype == torch.bfloat16  # type: ignore[attr-defined]


def test_scores_of_clip_stand_in_the_proposal(opened: Open, batch: Batch, folder: Callable[[str], Path]) -> None:
    proposal = perturbed(opened("sd", clip=str(folder("clip")), severity=(1.0,)), batch)
    assert proposal.extra is not None
    for name in ("clip_source@1", "clip_text@1", "clip_image@1", "clip_direction@1"):
        assert proposal.extra[name].isfinite().all() and (proposal.extra[name].abs() <= 1.001).all()


def test_the_weights_are_recorded(folder: Callable[[str], Path]) -> None:
    context = BuildContext(Catalog())
    make(EditOptions(edit="weather", weights=str(folder("sd"))), context)
    assert list(context.used_weights) == [str(folder("sd"))]

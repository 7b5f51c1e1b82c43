"""Images that a generator encodes: what is measured, what is left out, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from encoders import (
    CLASSIFIER,
    ENCODERS,
    MODEL,
    SHAPES,
    Planned,
    RunOf,
    builder_of,
    by_image,
    encoded,
)
from torch import nn

import granu as package
from granu import GranuError, RunFolderError
from granu.images.ops import decode_png, psnr
from granu.runs.gallery import changed_name, clean_name, prepared_name, reconstruction_name
from granu.runs.judge import classify
from granu.runs.run import Run
from granu.runs.trials import CLEAN_WRONG, FOUND, NOT_ENCODED, PSNR, RECONSTRUCTION_WRONG
from granu.runs.work import Workbench, WorkItem
from granu.testing.tiny import TinyEncoder, tiny_batch, tiny_linear_classifier
from granu.types import Batch


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world and the encoders."""
    fake_plugin("encoders", ENCODERS)


def test_a_trial_holds_the_classes_of_all_images_before_the_edit(run_of: RunOf) -> None:
    run = run_of("auto:z,steps=20", **SHAPES)
    outcomes = [trial.outcome for trial in run.trials]
    assert (outcomes.count(FOUND), outcomes.count(CLEAN_WRONG)) == (7, 1)
    for trial in run.trials:
        assert set(trial.arms) == {"source", "prepared", "reconstruction"}
        assert (trial.arms["source"] == trial.label) == (trial.outcome == FOUND)
        assert 15 < trial.extra[PSNR] < 40 and 0.8 < trial.extra["reconstruction_ssim"] < 1


def test_the_clean_image_of_a_search_is_the_reconstruction(run_of: RunOf) -> None:
    run = run_of("auto:z,steps=20", **SHAPES)
    trial = next(trial for trial in run.trials if trial.outcome == FOUND)
    source, prepared, reconstruction, changed = (
        decode_png(run.read_image(name) or b"")
        for name in (
            clean_name(trial.image),
            prepared_name(trial.image, "auto"),
            reconstruction_name(trial.image, "auto"),
            changed_name(trial.image, trial.classifier, trial.perturbation),
        )
    )
    assert torch.equal(source, prepared) and not torch.equal(prepared, reconstruction)
    assert trial.l2 == pytest.approx(float((changed - reconstruction).norm()), rel=1e-4)
    labels = torch.tensor([trial.label])
    margin = classify(tiny_linear_classifier(), reconstruction[None], "tiny").margin(labels)
    assert trial.clean_margin == pytest.approx(float(margin), abs=1e-3)
    assert trial.extra[PSNR] == pytest.approx(float(psnr(reconstruction[None], prepared[None])), abs=0.2)


def test_kept_images_have_the_size_of_source_and_generator(run_of: RunOf) -> None:
    run = run_of("auto:z,steps=5", **{**SHAPES, "data": "shapes:side=10", "count": 2})
    image = run.trials[0].image
    assert decode_png(run.read_image(clean_name(image)) or b"").shape == (3, 10, 13)
    assert decode_png(run.read_image(prepared_name(image, "auto")) or b"").shape == (1, 8, 8)
    assert not any(name.count("--") for name in (prepared_name(image, "auto"), reconstruction_name(image, "auto")))


def test_with_the_residual_a_zero_edit_is_the_prepared_image_bit_by_bit(planned: Planned) -> None:
    plan = planned("auto:z,kept=20,residual=yes,psnr=0", "auto:z,kept=20,psnr=0", **SHAPES)
    builder = builder_of(plan)
    (batch,) = builder.source(plan.perturbations[0].source).batches(range(4))
    assert isinstance(batch, Batch)
    made = builder.encoder(plan.perturbations[0]).encode(batch.images, batch.labels)
    ready = replace(batch, images=made.prepared, latent=made.latent)
    exact, plain = (builder.perturbation(p).space_factory for p in plan.perturbations)  # type: ignore[attr-defined]
    for index in (torch.arange(4), torch.tensor([2])):
        space = exact.open(tiny_linear_classifier(), ready, None).select(index)
        assert torch.equal((space.images(space.start()) * 255).round(), (made.prepared[index] * 255).round())
    space = plain.open(tiny_linear_classifier(), ready, None)
    assert (space.images(space.start()) - made.prepared).abs().max() > 0.1


def test_with_the_residual_distances_are_from_the_prepared_image(run_of: RunOf) -> None:
    run = run_of("auto:z,kept=40,residual=yes,steps=20,psnr=0", **SHAPES)
    trial = next(trial for trial in run.trials if trial.outcome == FOUND)
    changed = decode_png(run.read_image(changed_name(trial.image, trial.classifier, trial.perturbation)) or b"")
    prepared = decode_png(run.read_image(prepared_name(trial.image, "auto:kept=40")) or b"")
    assert trial.l2 == pytest.approx(float((changed - prepared).norm()), rel=1e-4)


def test_an_image_that_the_encoding_loses_is_never_found(run_of: RunOf) -> None:
    """With one coefficient every reconstruction is about the same, so most are of another class."""
    plain, exact = (
        by_image(run_of(f"auto:z,kept=1,psnr=0,steps=20{more}", **{**SHAPES, "count": 20}))
        for more in ("", ",residual=yes")
    )
    lost = {image for image, trial in plain.items() if trial.outcome == RECONSTRUCTION_WRONG}
    assert len(lost) > 5
    for image, trial in plain.items():
        right = trial.arms["reconstruction"] == trial.label
        if trial.outcome == RECONSTRUCTION_WRONG:
            assert not right and trial.arms["source"] == trial.label == trial.arms["prepared"]
            assert (trial.size, trial.predicted) == (None, trial.arms["reconstruction"])
            assert trial.clean_margin is not None and trial.clean_margin < 0
            assert exact[image].counts, "with the residual the search begins at the prepared image"
        assert trial.outcome != FOUND or right
    run = Run(trials=list(plain.values()))
    assert sum(trial.counts for trial in run.trials) + len(lost) <= 20


def test_a_reconstruction_below_the_psnr_is_not_measured(run_of: RunOf) -> None:
    known = by_image(run_of("auto:z,steps=3", out="all", **SHAPES))
    limit = sorted(trial.extra[PSNR] for trial in known.values())[4]
    run = run_of(f"auto:z,steps=3,psnr={limit}", out="some", **SHAPES)
    for image, trial in by_image(run).items():
        assert trial.extra[PSNR] == known[image].extra[PSNR]
        left_out = trial.extra[PSNR] < limit and trial.arms["source"] == trial.label
        assert (trial.outcome == NOT_ENCODED) == left_out
        if left_out:
            assert trial.note == f"the PSNR of the reconstruction is below psnr={limit:g}" and not trial.counts


@pytest.mark.parametrize(("fails", "reason"), [("nan", "the encoding is not finite"), ("dark", "it is too dark")])
def test_an_image_that_cannot_be_encoded_is_recorded_with_the_reason(fails: str, reason: str, run_of: RunOf) -> None:
    run = run_of(f"auto:z,steps=3,fails={fails}", **{**SHAPES, "count": 20})
    assert not run.record.failures
    outcomes = [trial.outcome for trial in run.trials]
    assert outcomes.count(NOT_ENCODED) > 2 and outcomes.count(FOUND) > 2
    for trial in run.trials:
        if trial.outcome == NOT_ENCODED:
            assert trial.note == reason and set(trial.arms) == {"source", "prepared"} and not trial.extra
            assert trial.size is None
    assert f"not encoded ({reason})" in run.table()


def test_an_encoding_that_runs_out_of_memory_asks_for_a_smaller_batch(run_of: RunOf) -> None:
    with pytest.raises(GranuError, match=r"memory ran out \(CUDA out of memory.*; use a smaller --batch"):
        run_of("auto:z,fails=memory", **SHAPES)


def test_the_table_says_what_was_left_out_and_how_good_reconstructions_are(run_of: RunOf) -> None:
    table = run_of("auto:z,kept=1,psnr=0,steps=5", **{**SHAPES, "count": 20}).table()
    title = next(line for line in table.splitlines() if line.startswith(CLASSIFIER))
    assert "misclassified as reconstructions" in title
    notes = [line for line in table.splitlines() if line.startswith("note: shapes encoded by auto:kept=1")]
    assert "20 images, reconstructions with a median PSNR of " in notes[0] and " dB and SSIM of " in notes[0]
    assert f", {CLASSIFIER}: accuracy of source 95 %, prepared 95 %, reconstruction " in notes[1]
    assert " misclassified once prepared or reconstructed" in notes[1]
    assert "many images are lost by their encoding" in table


def test_what_is_left_out_is_said_for_each_choice_of_residual_and_psnr(run_of: RunOf) -> None:
    specs = (
        "auto:z,kept=1,psnr=0,steps=3",
        "auto:z,kept=1,psnr=99,steps=3",
        "auto:z,kept=1,psnr=0,residual=yes,steps=3",
    )
    lines = [line for line in run_of(*specs, **SHAPES).table().splitlines() if "encoded by" in line]
    assert len(lines) == 2, "one on the reconstructions, one on the classifier"
    assert "; left out with residual=no, psnr=0: " in lines[1] and "residual=yes" not in lines[1]
    assert "; left out with residual=no, psnr=99: 7 not encoded (the PSNR of" in lines[1]


def test_the_record_names_images_generator_and_options(run_of: RunOf) -> None:
    key = "both:z,residual=yes,steps=3"
    record = run_of(key, "both:image,steps=3", "pixel:l2,steps=3", **SHAPES).record.perturbations[key]
    assert (record.source.spec, record.source.kind) == ("shapes", "dataset")
    assert record.generator is not None and record.edited == "both"
    assert record.generator.fingerprint == "tiny-encoder-60-0"
    assert record.generator.encoding == "version 1; smaller images padded"
    assert record.site_options == {"samples": 15, "residual": True, "psnr": 15.0}


def test_a_drawn_perturbation_records_its_samples_and_no_encoding(run_of: RunOf) -> None:
    record = run_of("both:z,steps=3", **{**MODEL, "count": 2}).record.perturbations["both:z,steps=3"]
    assert (record.generator, record.edited, record.site_options) == (None, "both", {"samples": 15})


def test_drawn_and_encoded_images_are_not_mixed_under_one_key(run_of: RunOf) -> None:
    run_of("both:z,steps=3", **{**MODEL, "count": 2})
    with pytest.raises(RunFolderError, match="images both before, shapes now"):
        run_of("both:z,steps=3", **SHAPES)


def test_another_encoding_is_not_mixed_with_the_earlier_one(run_of: RunOf, monkeypatch: pytest.MonkeyPatch) -> None:
    run_of("auto:z,steps=3", **{**SHAPES, "count": 2})
    monkeypatch.setattr(TinyEncoder, "encoding", property(lambda self: "better", lambda self, value: None))
    with pytest.raises(RunFolderError, match=r"encoding .*version 1.* before, .*better.* now"):
        run_of("auto:z,steps=3", **SHAPES)


def test_images_of_another_generator_are_encoded(run_of: RunOf) -> None:
    run = run_of("auto:z,steps=20", **{**MODEL, "data": "tiny", "count": 6})
    assert {trial.image for trial in run.trials} == {f"tiny#{i}" for i in range(6)}
    assert all(trial.arms for trial in run.trials) and any(trial.outcome == FOUND for trial in run.trials)


def test_the_image_site_changes_pixels_of_the_reconstruction(run_of: RunOf) -> None:
    site = by_image(run_of("auto:image,steps=40", out="site", **SHAPES))
    found = [trial for trial in site.values() if trial.outcome == FOUND]
    assert found and all(trial.unit == "pixel L2" and trial.l2 == pytest.approx(trial.size, rel=0.2) for trial in found)


def test_given_images_are_encoded(planned: Planned) -> None:
    batch = tiny_batch(8, seed=5)
    images = torch.cat([batch.images, batch.images], dim=1).mean(dim=1, keepdim=True)
    result = package.attack(
        tiny_linear_classifier(), images, batch.labels, "auto:z,steps=20", classes=tiny_linear_classifier().classes
    )
    assert result.images.shape == (8, 1, 8, 8) and result.found.sum() == 7 and result.unit == "sigma (RMS)"
    larger = package.resize(images, 10, 10).clamp(0, 1)
    attacked = package.attack(
        tiny_linear_classifier(), larger, batch.labels, "auto:z,steps=20", classes=tiny_linear_classifier().classes
    )
    assert attacked.images.shape == (8, 1, 8, 8) and not attacked.found.all(), "also the one that is misclassified"
    run = package.evaluate("auto:z,steps=20", tiny_linear_classifier(), (images, batch.labels), judges=[])
    assert sum(trial.outcome == FOUND for trial in run.trials) == 7


def test_a_model_of_another_size_than_the_generators_is_refused_before_anything_is_encoded(planned: Planned) -> None:
    images = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(GranuError) as raised:
        package.attack(model, images, [0, 1], "auto:z,steps=3")
    assert str(raised.value) == (
        "'model' fails on images of 1 x 8 x 8 prepared for `auto` (mat1 and mat2 shapes cannot be multiplied (2x64 and "
        "36x3)); if it takes another size, name it so that images are resized: size= of its spec, or in Python "
        "granu.ImageClassifier(model, classes, size=...)"
    )
    assert encoded() == []
    sized = package.ImageClassifier(model, "abc", channels=1, size=(6, 6))
    assert package.attack(sized, images, [0, 1], "auto:z,steps=3,psnr=0").images.shape == (2, 1, 8, 8)


def test_a_work_item_computes_the_same_trials_again(planned: Planned) -> None:
    plan = planned("auto:z,steps=5", **SHAPES)
    item = WorkItem("auto:z,steps=5", CLASSIFIER, (0, 1, 2))
    first, second = (Workbench(plan, builder_of(plan)).run(item) for _ in range(2))
    assert first.failure is None and first.trials == second.trials and first.images == second.images

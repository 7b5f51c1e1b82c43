"""Images that a generator encodes: what is measured, what is left out, and what is kept for the next run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import ENCODERS
from torch import nn

import granu as package
from granu import GranuError, OptionError, RunFolderError
from granu.images.ops import decode_png, psnr
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.build import Builder
from granu.runs.encodings import Encoder
from granu.runs.gallery import changed_name, clean_name, prepared_name, reconstruction_name
from granu.runs.judge import classify
from granu.runs.plan import EvalPlan
from granu.runs.run import Run
from granu.runs.trials import CLEAN_WRONG, FOUND, NOT_ENCODED, PSNR, RECONSTRUCTION_WRONG, Trial
from granu.runs.work import Workbench, WorkItem
from granu.testing.tiny import TinyEncoder, tiny_batch, tiny_linear_classifier
from granu.types import Batch, Site

RunOf = Callable[..., Run]
Planned = Callable[..., EvalPlan]
CLASSIFIER = "tiny-classifier:linear"
MODEL: dict[str, Any] = {"classifiers": (CLASSIFIER,), "judges": ()}
SHAPES: dict[str, Any] = {**MODEL, "data": "shapes", "count": 8}


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world and the encoders."""
    fake_plugin("encoders", ENCODERS)


def encoded() -> list[int]:
    """How many images were encoded together, call by call, since this was last asked."""
    calls = sys.modules["fake_encoders"].CALLS  # type: ignore[attr-defined]
    known = list(calls)
    calls.clear()
    return known


def by_image(run: Run) -> dict[str, Trial]:
    return {trial.image: trial for trial in run.trials}


def _check_close(one: Run, other: Run) -> None:
    """The same outcomes, and sizes but for rounding, which a search of few steps magnifies."""
    expected = by_image(other)
    assert {image: t.outcome for image, t in by_image(one).items()} == {i: t.outcome for i, t in expected.items()}
    for trial in one.trials:
        assert (trial.size or 0) == pytest.approx(expected[trial.image].size or 0, rel=5e-3), trial.image


def builder_of(plan: EvalPlan) -> Builder:
    return Builder(plan, BuildContext(load_catalog()))


def encoder_of(plan: EvalPlan) -> Encoder:
    return builder_of(plan).encoder(plan.perturbations[0])


# planning


@pytest.mark.parametrize(
    ("specs", "data", "images"),
    [
        (("both:z",), None, ["both"]),
        (("both:z",), "shapes", ["shapes"]),
        (("both:z,kept=50,samples=3,steps=4",), "both:kept=50", ["both:kept=50"]),
        (("both:z",), "both:kept=60", ["both"]),
        (("both:z",), "tiny", ["tiny"]),
        (("auto:z",), "both", ["both"]),
        (("auto:z", "pixel:l2", "tiny:z"), "shapes", ["shapes", "shapes", "tiny"]),
        (("both:z", "pixel:l2"), None, ["both", "both"]),
    ],
)
def test_a_generator_encodes_the_images_of_data_unless_it_draws_them(
    specs: tuple[str, ...], data: str | None, images: list[str], planned: Planned
) -> None:
    plan = planned(*specs, classifiers=MODEL["classifiers"], data=data)
    assert [p.source.key for p in plan.perturbations] == images
    for p in plan.perturbations:
        assert p.is_encoded == (p.generator is not None and p.source.key != p.generator.key)


@pytest.mark.parametrize(
    ("specs", "request_", "sentence"),
    [
        (("auto:z",), {}, "`auto:z` draws no images and encodes given ones; name them with --data, for example "
                          "--data folder:val"),
        (("both:z,draws=no",), {}, "`both:z,draws=no` draws no images and encodes given ones; name them with --data, "
                                   "for example --data folder:val"),
        (("pixel:l2",), {"data": "auto"}, "`auto` encodes images and draws none; name a dataset, for example "
                                          "folder:val"),
        (("tiny:z",), {"data": "shapes"}, "--data is for changes to images and for generators that encode them; the "
                                          "sites of `tiny` draw their own"),
        (("both:z,residual=yes",), {}, "`both:z,residual=yes` draws its images, and residual= is for encoded ones; "
                                       "name images with --data"),
        (("tiny:z,psnr=3", "pixel:l2"), {"data": "shapes"}, "`tiny:z,psnr=3` draws its images, and psnr= is for "
                                                            "encoded ones; remove psnr="),
        (("auto:z,psnr=-1",), {"data": "shapes"}, "`auto:z,psnr=-1`: psnr=-1.0 is out of range; it must be "
                                                   "from 0 to 99"),
    ],
)  # fmt: skip
def test_images_that_cannot_be_are_refused_in_a_sentence(
    specs: tuple[str, ...], request_: dict[str, Any], sentence: str, planned: Planned
) -> None:
    with pytest.raises(OptionError) as raised:
        planned(*specs, classifiers=MODEL["classifiers"], **request_)
    assert str(raised.value) == sentence


def test_a_repeated_command_encodes_the_images_that_it_encoded_before(planned: Planned) -> None:
    recorded = {"both:z": "shapes", "auto:z": "both", "tiny:z": "shapes"}
    plan = planned("both:z", "auto:z", "tiny:z", classifiers=MODEL["classifiers"], recorded=recorded)
    assert [p.source.key for p in plan.perturbations] == ["shapes", "both", "tiny"]


def test_the_number_of_samples_is_by_default_the_generators(planned: Planned) -> None:
    plan = planned("both:z", "auto:z", "auto:pixels,samples=9", "tiny:z", **SHAPES)
    assert [p.site_options.samples for p in plan.perturbations] == [15, 12, 9, 1000]


def test_training_refuses_a_generator_that_draws_nothing() -> None:
    sys.path.insert(0, str(Path("made-up-plugins").resolve()))
    try:
        with pytest.raises(OptionError, match="`auto:z,budget=1` draws no images, and training at a generator's sites"):
            package.plan_spaces("auto:z,budget=1", BuildContext(load_catalog()))
    finally:
        del sys.path[0]


# preparing and encoding


def test_images_are_cropped_resized_and_made_grey(planned: Planned) -> None:
    encoder = encoder_of(planned("auto:z", **SHAPES))
    images = torch.zeros(2, 3, 6, 18)
    images[:, :, :, 6:12] = torch.tensor([0.2, 0.4, 0.9]).view(1, 3, 1, 1)
    prepared = encoder.prepare(images)
    assert prepared.shape == (2, 1, 8, 8) and (prepared - 0.5).abs().max() < 1 / 255
    assert torch.equal(prepared, (prepared * 255).round() / 255)
    same = tiny_batch(2).images
    assert torch.equal(encoder.prepare(same), same)


def test_smaller_grey_images_are_padded(planned: Planned) -> None:
    encoder = encoder_of(planned("auto:z", **SHAPES))
    prepared = encoder.prepare(torch.ones(1, 1, 6, 4))
    assert prepared.sum() == 24 and prepared[0, 0, 1:7, 2:6].min() == 1
    assert encoder.prepare(torch.ones(1, 1, 9, 4)).min() == 1, "what does not fit is cropped"


def test_smaller_colour_images_are_resized() -> None:
    encoder = Encoder(ColourEncoder(), None, Path("cache"), "cpu")
    assert encoder.prepare(torch.ones(1, 1, 6, 4)).min() == 1
    assert encoder.parameters == "exact"


class ColourEncoder(TinyEncoder):
    def sites(self) -> Sequence[Site]:
        return (Site("image", (3, 8, 8), scale="pixel"),)


@pytest.mark.parametrize("side", [8, 10])
def test_an_encoding_depends_on_neither_batch_nor_run(side: int, planned: Planned) -> None:
    plan = planned("auto:z", **{**SHAPES, "data": f"shapes:side={side}"})
    (batch,) = builder_of(plan).source(plan.perturbations[0].source).batches(range(4))
    assert isinstance(batch, Batch)
    together = encoder_of(plan).encode(batch.images, batch.labels)
    other = Encoder(TinyEncoderWithNoise(), None, Path("another"), "cpu")
    for i in range(4):
        alone = other.encode(batch.images[[i]], batch.labels[[i]])
        assert torch.allclose(alone.latent.z[0], together.latent.z[i], atol=1e-6)  # type: ignore[union-attr]


class TinyEncoderWithNoise(TinyEncoder):
    """What the offer `auto` makes."""

    encoding = "version 1"

    def encode(self, images, labels, noise):  # type: ignore[no-untyped-def]
        encoding = super().encode(images, labels, noise)
        encoding.z = encoding.z + 1e-3 * noise.normal(64)
        return encoding


def test_encodings_are_made_once_for_all_sites_classifiers_and_later_runs(run_of: RunOf) -> None:
    both = {**SHAPES, "classifiers": (CLASSIFIER, "tiny-classifier:bent"), "batch": 5}
    first = run_of("auto:all,steps=3", out="first", **both)
    assert sum(encoded()) == 12, "8 images are measured, and 12 are the samples of the statistics"
    second = run_of("auto:all,steps=3", out="second", **both)
    assert encoded() == []
    assert [t.line() for t in second.trials] == [t.line() for t in first.trials]


@pytest.mark.parametrize(
    "changed", ["auto:z,steps=3,version=2", "auto:z,steps=3,kept=59", "auto:z,steps=3,by-class=yes"]
)
def test_an_encoding_is_of_one_generator_and_its_parameters(changed: str, run_of: RunOf) -> None:
    run_of("auto:z,steps=3", out="first", **SHAPES)
    encoded()
    run_of(changed, out="second", **SHAPES)
    assert sum(encoded()) == 12


def test_a_truncated_encoding_is_made_again(run_of: RunOf) -> None:
    first = run_of("auto:z,steps=3", out="first", **SHAPES)
    encoded()
    files = sorted((Path("cache") / "encodings").iterdir())
    files[3].write_bytes(files[3].read_bytes()[:-5])
    files[5].write_bytes(b"")
    second = run_of("auto:z,steps=3", out="second", **SHAPES)
    assert sum(encoded()) == 2 and len(files) == 12
    assert [t.line() for t in second.trials] == [t.line() for t in first.trials]


def test_a_folder_that_cannot_be_written_costs_no_second_encoding(run_of: RunOf) -> None:
    Path("cache").mkdir()
    (Path("cache") / "encodings").write_text("a file where the folder would be")
    run_of("auto:all,steps=3", **SHAPES)
    assert sum(encoded()) == 12


def test_an_interrupted_run_goes_on_with_the_encodings_that_were_made(run_of: RunOf) -> None:
    whole = run_of("auto:z,steps=9", out="whole", **SHAPES)
    run_of("auto:z,steps=9", out="part", **{**SHAPES, "count": 3})
    encoded()
    again = run_of("auto:z,steps=9", out="part", **SHAPES)
    assert encoded() == []
    _check_close(again, whole)


def test_the_batch_size_changes_nothing(run_of: RunOf, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for batch in (1, 3, 8):
        monkeypatch.setenv("GRANU_CACHE", f"cache-{batch}")
        runs.append(run_of("auto:z,steps=20", out=f"{batch}", **{**SHAPES, "batch": batch}))
    for other in runs[1:]:
        _check_close(runs[0], other)


def test_the_same_image_twice_is_encoded_once(planned: Planned) -> None:
    encoder = encoder_of(planned("auto:z", **SHAPES))
    image = tiny_batch(1).images
    made = encoder.encode(torch.cat([image, image, 1 - image]), torch.tensor([0, 0, 0]))
    assert encoded() == [2] and made.latent is not None and torch.equal(made.index, torch.arange(3))
    assert torch.equal(made.latent.z[0], made.latent.z[1])  # type: ignore[attr-defined]


# classes


def test_classes_are_matched_by_name(planned: Planned) -> None:
    plan = planned("auto:z,by-class=yes", **SHAPES)
    encoder = encoder_of(plan)
    assert encoder.labels(torch.tensor([2, 0])).tolist() == [2, 0]
    without = encoder_of(planned("auto:z", **SHAPES))
    assert without.labels(torch.tensor([2, 0])).tolist() == [-1, -1]


def test_a_class_that_the_generator_lacks_is_named_with_a_suggestion(run_of: RunOf) -> None:
    with pytest.raises(GranuError) as raised:
        run_of("auto:z,by-class=yes", **{**SHAPES, "data": "shapes:named=other"})
    assert str(raised.value) == (
        "`auto:by-class=yes` cannot encode `shapes:named=other`: its class 'disk' is unknown to the generator; did you "
        "mean 'disc'?"
    )


# the four images


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


# statistics and records


def test_deviations_of_encoded_samples_do_not_depend_on_how_many_images_are_measured(run_of: RunOf) -> None:
    few = run_of("auto:z,steps=20", out="few", **{**SHAPES, "count": 2})
    many = run_of("auto:z,steps=20", out="many", **{**SHAPES, "count": 20})
    known = by_image(many)
    sizes = {image: trial.size for image, trial in by_image(few).items() if trial.outcome == FOUND}
    assert sizes and all(size == pytest.approx(known[image].size, rel=5e-3) for image, size in sizes.items())
    assert [run.record.perturbations["auto:z,steps=20"].sites[0].samples for run in (few, many)] == [12, 12]


def test_deviations_are_those_of_the_first_encoded_images_of_the_source(planned: Planned) -> None:
    plan = planned("auto:z,samples=7", **{**SHAPES, "batch": 3})
    builder = builder_of(plan)
    statistics = builder.statistics(plan.perturbations[0])
    (batch,) = builder.source(plan.perturbations[0].source).batches(range(7))
    assert isinstance(batch, Batch)
    made = builder.encoder(plan.perturbations[0]).encode(batch.images, batch.labels).latent
    expected = made.z.std(dim=0)  # type: ignore[union-attr]
    for label in (-1, 0, 2):
        measured = statistics.of_class(label)
        kept = torch.arange(64) < 60
        assert torch.allclose(measured.deviation["z"][kept], expected[kept], atol=1e-5)
    assert statistics.summary()["z"]["samples"] == 7


def test_fewer_images_than_samples_are_all_taken_and_one_is_refused(run_of: RunOf) -> None:
    run = run_of("auto:z,steps=3", out="few", **{**SHAPES, "data": "shapes:images=5"})
    assert run.record.perturbations["auto:z,steps=3"].sites[0].samples == 5
    with pytest.raises(GranuError, match="only 1 of the 1 images of `shapes:images=1` can be encoded; standard"):
        run_of("auto:z,steps=3", out="one", **{**SHAPES, "data": "shapes:images=1"})


def test_a_generator_that_draws_measures_its_deviations_on_drawn_images(planned: Planned) -> None:
    plan = planned("both:z,by-class=yes", **SHAPES)
    builder = builder_of(plan)
    deviation = builder.statistics(plan.perturbations[0]).of_class(1).deviation["z"]
    assert encoded() == [] and deviation.mean() == pytest.approx(0.2, rel=0.1)


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


# from Python


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


# the command line


def test_info_says_whether_a_generator_draws_or_encodes_with_its_options(granu: Callable[..., Any]) -> None:
    shown = {}
    for name in ("auto", "both", "both:draws=no", "tiny"):
        answer = granu("info", name)
        assert answer.returncode == 0, answer.stderr
        shown[name] = next(line for line in answer.stdout.splitlines() if line.startswith("  images: "))
        options = [option for option in ("samples", "residual", "psnr") if f"\n  {option} " in answer.stdout]
        assert options == (["samples"] if name == "tiny" else ["samples", "residual", "psnr"])
    assert shown == {
        "auto": "  images: encodes those of --data",
        "both": "  images: draws its own and encodes those of --data",
        "both:draws=no": "  images: encodes those of --data",
        "tiny": "  images: draws its own",
    }
    (about,) = json.loads(granu("info", "auto", "--json").stdout)
    assert (about["draws"], about["encodes"]) == (False, True)
    assert {o["name"]: o["default"] for o in about["options"]}["samples"] == "12", "the default of the offer"


def test_a_dry_run_shows_which_images_are_encoded_by_what(granu: Callable[..., Any]) -> None:
    asked = ("eval", "-p", "auto:z,psnr=20", "-p", "pixel:l2", "-c", CLASSIFIER, "--data", "shapes", "--dry-run")
    assert "encoded: shapes by auto" in granu(*asked).stdout.splitlines()
    site, pixel = json.loads(granu(*asked, "--json").stdout)["perturbations"]
    assert (site["images"]["spec"], site["generator"]["spec"], site["encoded"]) == ("shapes", "auto", True)
    assert site["site_options"] == {"samples": 12, "residual": False, "psnr": 20.0}
    assert (pixel["images"]["spec"], pixel["generator"], pixel["encoded"]) == ("shapes", None, False)


def test_a_run_is_resumed_without_naming_the_data_again(granu: Callable[..., Any]) -> None:
    asked = ("eval", "-p", "both:z,steps=3", "-c", CLASSIFIER, "--out", "run", "--quiet", "--json", "--count")
    assert granu(*asked, "2", "--data", "shapes").returncode == 0
    again = granu(*asked, "4")
    assert again.returncode == 0, again.stderr
    assert len((Path("run") / "trials.jsonl").read_text().splitlines()) == 4
    assert "shapes encoded by both: 4 images" in json.loads(again.stdout)["notes"][0]

"""Encodings: images prepared, encoded once and kept, and the deviations measured on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from encoders import (
    CLASSIFIER,
    ENCODERS,
    SHAPES,
    Planned,
    RunOf,
    builder_of,
    by_image,
    encoded,
    encoder_of,
    outcomes,
    sizes,
)

from granu import GranuError
from granu.runs.encodings import Encoder
from granu.runs.trials import FOUND
from granu.testing.tiny import TinyEncoder, tiny_batch
from granu.types import Batch, Site

ROUNDING = 5e-3  # of sizes, which a search of few steps magnifies


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world and the encoders."""
    fake_plugin("encoders", ENCODERS)


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
    """The generator that the offer `auto` makes."""

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
    assert outcomes(again) == outcomes(whole)
    assert sizes(again) == pytest.approx(sizes(whole), rel=ROUNDING)


def test_the_batch_size_changes_nothing(run_of: RunOf, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for batch in (1, 3, 8):
        monkeypatch.setenv("GRANU_CACHE", f"cache-{batch}")
        runs.append(run_of("auto:z,steps=20", out=f"{batch}", **{**SHAPES, "batch": batch}))
    for other in runs[1:]:
        assert outcomes(runs[0]) == outcomes(other)
        assert sizes(runs[0]) == pytest.approx(sizes(other), rel=ROUNDING)


def test_the_same_image_twice_is_encoded_once(planned: Planned) -> None:
    encoder = encoder_of(planned("auto:z", **SHAPES))
    image = tiny_batch(1).images
    made = encoder.encode(torch.cat([image, image, 1 - image]), torch.tensor([0, 0, 0]))
    assert encoded() == [2] and made.latent is not None and torch.equal(made.index, torch.arange(3))
    assert torch.equal(made.latent.z[0], made.latent.z[1])  # type: ignore[attr-defined]


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


# deviations on encoded samples


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

"""`granu.harden`: what helps is kept, what does not is rejected, and an interrupted hardening goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hardenings import CHANGE, arguments, harden, images, images_that_strength_costs, strong, weak

import granu
from granu import ClassifierError, DataError, OptionError, RunFolderError, UnknownName
from granu.hardening.classifiers import Copied
from granu.runs.run import read_run


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> granu.HardenResult:
    """A hardening of one round that helps."""
    return granu.harden(**arguments(out=tmp_path_factory.mktemp("kept") / "h", settings={"rounds": 1}))


def decisions(folder: Path | str) -> Any:
    return json.loads((Path(folder) / "harden.json").read_text())


def test_what_helps_on_other_images_is_kept(kept: granu.HardenResult) -> None:
    (one,) = kept.rounds
    assert one.change == CHANGE and one.weakness.high < 1 and one.gain is not None and one.gain.low > 1
    assert one.kept and kept.helped and kept.file == kept.folder / "hardened.safetensors"
    assert kept.file.read_bytes() == (kept.folder / "round-1.safetensors").read_bytes()
    assert kept.verdict().startswith("it helped; on images used for nothing else")


def test_a_gain_that_the_reports_images_do_not_show_is_not_called_help(kept: granu.HardenResult) -> None:
    cells = tuple(replace(cell, sizes=replace(cell.sizes, low=0.9)) for cell in kept.profile.cells)
    result = replace(kept, profile=replace(kept.profile, cells=cells))
    assert not result.helped and result.verdict().startswith("a gain is not confirmed; on images used for nothing else")


def test_the_size_trained_against_is_the_references_median(kept: granu.HardenResult) -> None:
    (one,) = kept.rounds
    (row,) = [row for row in read_run(kept.folder / "choice").to_dicts() if row["classifier"] == "reference"]
    assert one.budget == float(f"{row['size']:.3g}") and one.share == 1 and one.unit == "pixel L2"
    assert one.defense == f"adversarial:pixel:l2,steps=5,budget={one.budget:g}"


def test_the_report_shows_before_after_and_reference_side_by_side(kept: granu.HardenResult) -> None:
    assert kept.profile.reference == "before" and kept.profile.classifiers == ("after", "reference")
    page = (kept.folder / "report.html").read_text()
    assert all(name in page for name in ("before", "after", "reference"))
    assert "<svg" in (kept.folder / "profile.svg").read_text()


def test_no_image_serves_two_purposes(kept: granu.HardenResult) -> None:
    seen = [
        {trial.image for trial in read_run(kept.folder / phase).trials} for phase in ("choice", "verdict", "report")
    ]
    header = granu.read_trained(kept.folder / "round-1.safetensors")
    trained = header.about["images"]["count"] + header.about["validation-images"]["count"]
    assert [len(one) for one in seen] == [12, 12, 12]
    assert len(set.union(*seen)) == 36 and trained == 140 - 3 * 20


def test_the_record_holds_plan_and_decisions(kept: granu.HardenResult) -> None:
    record = decisions(kept.folder)
    assert record["plan"]["changes"] == {CHANGE: "adversarial:pixel:l2,steps=5,budget={budget}"}
    assert [one["kept"] for one in record["rounds"]] == [True] and record["helped"] is True
    assert record["rounds"][0]["weakness"]["high"] < 1 and record["report"][0]["ratio_low"] > 1


def test_the_given_network_stays_as_it_is() -> None:
    model = weak()
    before = [parameter.clone() for parameter in model.parameters()]
    harden(classifier=model, settings={"rounds": 1, "epochs": 1})
    assert all(torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))


def test_a_training_that_changes_nothing_is_rejected_and_said_to_be_of_no_help() -> None:
    result = harden(training={"lr": 1e-9})
    (one,) = result.rounds  # the only change was tried, so there is no second round
    assert not one.kept and one.because == "no gain is shown there"
    assert result.file is None and not (result.folder / "hardened.safetensors").exists() and not result.helped
    assert result.verdict() == "nothing helped: no training was kept, and the classifier stays as it is"
    assert result.profile.classifiers == ("rejected", "reference")
    assert result.stopped == "at no change that was not tried is model shown to need smaller changes than reference"


def test_lost_clean_accuracy_rejects_and_halves_the_size() -> None:
    pixels, labels = images()
    result = harden(data=(pixels, 1 - labels), val=images(), settings={"clean_loss": 0.5})  # it unlearns the classes
    first, second = result.rounds
    assert first.accuracy < first.accuracy_before - 0.5 and first.gain is None
    assert not first.kept and first.because == "it lost more than 0.5 points of clean accuracy"
    assert second.change == first.change and (first.share, second.share) == (1, 0.5) and second.start == "model"
    assert second.budget == pytest.approx(first.budget / 2, rel=0.01) and "0.5 times the" in second.choosing("b")


def test_a_gain_does_not_pay_for_lost_clean_accuracy() -> None:
    (one,) = harden(val=images_that_strength_costs(), settings={"rounds": 1, "epochs": 12}).rounds
    assert one.gain and one.gain.low > 1 and one.accuracy_before - one.accuracy > 0.05
    assert not one.kept and one.because == "it lost more than 1 point of clean accuracy"


def test_a_defense_without_a_size_is_not_tried_at_half_of_it() -> None:
    pixels, labels = images()
    given = {"defenses": {CHANGE: "standard"}, "settings": {"clean_loss": 0.5}}
    (one,) = harden(data=(pixels, 1 - labels), val=images(), **given).rounds
    assert one.defense == "standard" and one.budget is None and "budget" not in one.choosing("b")


def test_a_loss_of_exactly_what_is_allowed_is_kept() -> None:
    from granu.hardening.harden import _Hardening
    from granu.hardening.settings import HardenSettings

    class Plan:
        settings = HardenSettings(clean_loss=1.0)

    hardening = object.__new__(_Hardening)
    hardening.plan = Plan()  # type: ignore[assignment]
    assert not hardening._lost(1.0, 0.99) and hardening._lost(1.0, 0.989)


def test_a_classifier_that_is_nowhere_weaker_is_left_alone() -> None:
    result = harden(classifier=strong(), reference=weak())
    assert result.rounds == () and result.file is None and result.profile.classifiers == ("reference",)
    assert result.stopped == "at no change is model shown to need smaller changes than reference"


def test_a_second_round_starts_from_what_the_first_one_kept(kept: granu.HardenResult) -> None:
    folder = kept.folder.parent / "more"
    result = harden(out=folder)
    assert [one.start for one in result.rounds] == ["model", "round-1"]
    assert result.rounds[0] == kept.rounds[0]  # the same seed gives the same decisions
    about = granu.read_trained(folder / "round-2.safetensors").about["training"]
    assert about["settings"]["seed"] == 1 and about["classifier"] == "round-1"
    one, other = (granu.read_tensors(where / "round-1.safetensors") for where in (folder, kept.folder))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_finished_hardening_goes_on_with_more_rounds_and_repeats_itself_otherwise(tmp_path: Path) -> None:
    first = harden(settings={"rounds": 1})
    before = {file.name: file.stat().st_mtime_ns for file in Path("h").glob("round-*.safetensors")}
    again = harden(settings={"rounds": 1})
    assert again.rounds == first.rounds and again.profile.cells == first.profile.cells
    more = harden(settings={"rounds": 2})
    assert more.rounds[:1] == first.rounds and len(more.rounds) == 2
    assert before == {"round-1.safetensors": Path("h/round-1.safetensors").stat().st_mtime_ns}
    assert {trial.classifier for trial in more.run.trials} == {"model", "round-2", "reference"}


@pytest.mark.parametrize("stop", ["reading", "epoch", "on round-1", "pixel"])
def test_an_interrupted_hardening_ends_as_an_unbroken_one(stop: str, kept: granu.HardenResult) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if stop in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harden(settings={"rounds": 1}, progress=interrupt)
    assert "rounds" not in decisions("h")
    result = harden(settings={"rounds": 1})
    one, other = decisions("h"), decisions(kept.folder)
    assert one["rounds"] == other["rounds"] and one["report"] == other["report"]
    assert (result.folder / "hardened.safetensors").exists()


def test_no_round_begins_after_the_minutes() -> None:
    result = harden(settings={"minutes": 0})
    assert result.rounds == () and result.stopped.startswith("0 minutes are over")
    assert harden(settings={"minutes": 5, "rounds": 1}).rounds  # and the same folder goes on


def test_another_hardening_in_the_same_folder_is_refused_unless_fresh() -> None:
    harden(settings={"minutes": 0})
    with pytest.raises(RunFolderError, match=r"h holds another hardening \(count 12 there, 15 here\)"):
        harden(settings={"minutes": 0, "count": 15})
    assert harden(settings={"minutes": 0, "count": 15}, fresh=True).run.trials[0].image
    assert len(read_run(Path("h/choice")).trials) == 2 * 15


def test_a_fresh_hardening_leaves_nothing_of_the_trainings_before() -> None:
    assert harden(settings={"rounds": 1}).file == Path("h/hardened.safetensors")
    harden(settings={"minutes": 0}, fresh=True)
    assert not list(Path("h").glob("*.safetensors"))


def test_a_classifier_without_a_network_cannot_be_hardened() -> None:
    class Remote:
        classes, layers, named = ("0", "1"), dict, False

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(1, 2, 3))[:, None].repeat(1, 2)

    with pytest.raises(ClassifierError, match="`model` cannot be trained: its plugin gives no network"):
        harden(classifier=Remote())


def test_random_weights_are_the_same_wherever_the_classifier_is_built() -> None:
    make, state = Copied(lambda options, context: torch.nn.Linear(3, 2), seed=4), torch.get_rng_state()
    one, other = (make(None, None).weight for _ in range(2))  # type: ignore[arg-type]
    assert torch.equal(one, other) and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(one, Copied(make.make, seed=5)(None, None).weight)  # type: ignore[arg-type]


def test_a_folder_of_other_files_is_not_mixed_with() -> None:
    Path("h").mkdir()
    Path("h/thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="holds other files and no hardening"):
        harden(settings={"minutes": 0})


def test_validation_images_are_measured_on_and_all_of_the_data_trains() -> None:
    pixels, labels = images(200)
    val = pixels[140:], labels[140:]
    result = harden(val=val, settings={"rounds": 1, "epochs": 1})
    header = granu.read_trained(result.folder / "round-1.safetensors").about
    assert header["images"]["count"] + header["validation-images"]["count"] == 140
    phases = [{t.image_hash for t in read_run(result.folder / p).trials} for p in ("choice", "verdict", "report")]
    assert len(set.union(*phases)) == 36


def test_too_few_images_are_refused_with_a_count_that_fits() -> None:
    with pytest.raises(DataError, match=r"holds 40 images, and 3 sets of 12 .* need 60; give --count 8 or more"):
        harden(data=images(40))


def test_a_reference_of_other_classes_is_refused() -> None:
    three = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3))
    with pytest.raises(ClassifierError, match="the reference `reference` tells other classes apart"):
        harden(reference=three)


def test_the_reference_must_be_another_classifier() -> None:
    with pytest.raises(OptionError, match="--reference is the classifier itself"):
        harden(classifier="zoo:mnist-lenet", reference="zoo:mnist-lenet", data="biggan")


def test_settings_are_checked() -> None:
    with pytest.raises(OptionError, match="there is no setting 'round'; did you mean 'rounds'"):
        harden(settings={"round": 3})
    with pytest.raises(OptionError, match="count=2 is out of range; it must be at least 5"):
        harden(settings={"count": 2})
    with pytest.raises(OptionError, match="--train epochs= is a setting of `granu harden` itself"):
        harden(training={"epochs": 3})


def test_a_defense_for_an_unknown_change_is_named() -> None:
    with pytest.raises(UnknownName, match="there is no change named 'pixel:l1'"):
        harden(defenses={"pixel:l1": "standard"})


def test_halved_sizes_end_at_a_quarter(kept: granu.HardenResult) -> None:
    from granu.hardening.choice import weakest

    run = read_run(kept.folder / "choice")
    full, quarter = (weakest(run, "model", "reference", {CHANGE: share}, 1.0) for share in (1.0, 0.25))
    assert full and quarter and quarter.budget == pytest.approx(full.budget / 4, rel=0.01)
    assert weakest(run, "model", "reference", {CHANGE: 0.125}, 1.0) is None

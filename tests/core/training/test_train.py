"""Training from plan to file: what is learned, saved, continued and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trainings import Notes, same, weights

from granu.errors import TrainingError
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.training.data import LabelledBatch
from granu.training.loop import Loop
from granu.training.step import TrainingStep
from granu.training.validation import Accuracy, Validation
from granu.weights.trained import load_trained, read_trained

Trained = Callable[..., object]


def test_training_learns_and_writes_a_classifier_that_opens_again(trained: Trained) -> None:
    result = trained(data="shapes:256", epochs="6", lr="0.01")
    before, after = result.about["before"], result.about["after"]
    assert before["clean"] < 0.6 and after["clean"] > 0.9
    classifier = load_trained(result.file, BuildContext(load_catalog()))
    assert classifier.classes == ("left", "right", "top", "bottom")
    assert not Path("out.safetensors.checkpoint").exists() and not Path("out.safetensors.lock").exists()


def test_the_header_tells_how_it_was_trained(trained: Trained) -> None:
    trained(defense=["made-up:noisy,size=0.2"], seed="7")
    about = read_trained(Path("out.safetensors")).about
    assert about["training"]["defenses"] == ["made-up:noisy,size=0.2"]
    assert about["training"]["data"] == "shapes:64"
    assert about["training"]["settings"]["seed"] == 7
    assert about["training"]["settings"]["lr"] == 0.001
    assert about["images"]["count"] == 61 and about["validation-images"]["count"] == 3
    assert about["versions"]["torch"] == torch.__version__
    assert about["start"]["licence"] == "Apache-2.0" and len(about["start"]["fingerprint"]) == 64
    assert about["steps"] == 14 and about["command"] == "granu train"


def test_the_same_seed_gives_the_same_file_and_another_does_not(trained: Trained) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        trained(out=f"{name}.safetensors", seed=seed, defense=["made-up:noisy"], classifier="net:dropout")
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
    assert not same(weights("a.safetensors"), weights("c.safetensors"))


def test_defenses_are_combined_from_left_to_right(trained: Trained) -> None:
    for name, defenses in (("a", ["noisy", "dark"]), ("b", ["dark", "noisy"]), ("c", ["dark"])):
        trained(out=f"{name}.safetensors", defense=[f"made-up:{d}" for d in defenses])
    results = [weights(f"{name}.safetensors") for name in "abc"]
    assert not same(results[0], results[1]) and not same(results[1], results[2])


def test_every_epoch_is_a_line_of_json_beginning_before_training(trained: Trained) -> None:
    trained(defense=["made-up:noisy"])
    records = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert [record["step"] for record in records] == [0, 7, 14]
    assert records[0]["loss"] is None and records[1]["loss"] > 0
    assert all(0 <= record["robust"] <= 1 and 0 <= record["clean"] <= 1 for record in records)
    assert Path("out.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(("accuracies", "kept"), [
    ([(0.9, 0.9), (0.5, 0.1), (0.8, 0.5), (0.9, 0.3), (0.6, 0.6)], 2),  # mean of clean and robust; not before training
    ([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9), (0.9, 0.9), (0.1, 0.1)], 3),  # the later of equals
    ([(0.1, None), (0.5, None), (0.4, None), (0.3, None), (0.2, None)], 1),  # clean alone where nothing is perturbed
], ids=str)  # fmt: skip
def test_the_best_epoch_by_validation_is_kept(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, accuracies: list[tuple[float, float | None]], kept: int
) -> None:
    states = []

    def measured(self: Validation, classifier: ImageClassifier, step: int, progress: float) -> Accuracy:
        states.append({name: tensor.clone() for name, tensor in classifier.network.state_dict().items()})
        return Accuracy(*accuracies[len(states) - 1])

    monkeypatch.setattr(Validation, "measure", measured)
    result = trained(epochs="4")
    assert result.about["after"]["epoch"] == kept
    assert (result.about["after"]["clean"], result.about["after"]["robust"]) == accuracies[kept]
    assert same(weights("out.safetensors"), states[kept])
    records = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if record["best"]][-1] == kept


def test_the_moving_average_is_what_is_measured_and_kept(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    measured, own = [], []

    def measure(self: Validation, classifier: ImageClassifier, step: int, progress: float) -> Accuracy:
        measured.append({name: tensor.clone() for name, tensor in classifier.network.state_dict().items()})
        return Accuracy(0.5)

    save = Loop._save
    monkeypatch.setattr(Validation, "measure", measure)
    monkeypatch.setattr(Loop, "_save", lambda loop: own.append(dict(weights_of(loop))) or save(loop))
    trained(ema="0.99", lr="0.05")
    assert same(weights("out.safetensors"), measured[-1])
    assert not same(measured[-1], own[-1])


def weights_of(loop: Loop) -> dict[str, torch.Tensor]:
    """The network's own weights at present."""
    return {name: tensor.clone() for name, tensor in loop.classifier.network.state_dict().items()}


def test_an_image_has_other_random_numbers_in_each_epoch_wherever_it_stands(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, float]] = [{}, {}]
    make = Loop._step

    def watched(loop: Loop, batch: LabelledBatch) -> TrainingStep:
        step = make(loop, batch)
        numbers = step.streams.scope("test").uniform(1)[:, 0].tolist()
        drawn[loop.epoch].update(zip(batch.ids, numbers, strict=True))
        return step

    monkeypatch.setattr(Loop, "_step", watched)
    trained(hold_out="0")
    first = drawn[0]
    assert len(first) == 64 and all(first[image] != drawn[1][image] for image in first)
    drawn = [{}, {}]
    trained(out="other.safetensors", hold_out="0", batch="32")
    assert drawn[0] == first


def test_without_validation_images_the_last_epoch_is_kept(trained: Trained) -> None:
    result = trained(hold_out="0")
    assert result.about["after"]["epoch"] == 2
    assert result.about["after"]["clean"] is None and result.about["validation-images"] is None


def test_separate_validation_images_leave_all_others_to_training(trained: Trained) -> None:
    result = trained(val="shapes:40,first=1000")
    assert result.about["images"]["count"] == 64 and result.about["validation-images"]["count"] == 40


@pytest.mark.parametrize("order", [("noisy", "dark"), ("dark", "noisy")])
def test_robust_accuracy_is_under_all_defenses_at_once(trained: Trained, order: tuple[str, str]) -> None:
    defenses = [f"made-up:{name}" for name in order]
    result = trained(data="shapes:200", epochs="4", lr="0.02", defense=defenses)
    # black images are all of one class: about a quarter of them is right
    assert result.about["after"]["clean"] > 0.7 and result.about["after"]["robust"] < 0.6


def test_a_frozen_part_is_unchanged_to_the_last_bit(trained: Trained) -> None:
    trained(defense=["made-up:half-frozen"], epochs="3", ema="0.9")
    trained(out="other.safetensors", defense=["made-up:half-frozen"], epochs="1", ema="0.9")
    one, other = weights("out.safetensors"), weights("other.safetensors")
    frozen = [name for name in one if not name.startswith("5.")]
    assert len(frozen) == 7 and all(torch.equal(one[name], other[name]) for name in frozen)
    assert not torch.equal(one["5.weight"], other["5.weight"])


def test_routes_of_a_defense_are_saved_and_open(trained: Trained) -> None:
    result = trained(defense=["made-up:two"], classifier="net:plain")
    header = read_trained(result.file)
    assert header.routes == ("main", "aux")
    context = BuildContext(load_catalog())
    main, aux = (load_trained(result.file, context, route) for route in header.routes)
    images = torch.rand(2, 1, 8, 8)
    assert not torch.equal(main(images), aux(images))


def test_a_finished_training_is_read_not_repeated(trained: Trained) -> None:
    trained()
    written = Path("out.safetensors").stat().st_mtime_ns
    notes = Notes()
    result = trained(notes=notes)
    assert result.about["after"]["epoch"] and notes.lines == []
    assert Path("out.safetensors").stat().st_mtime_ns == written


def test_another_plan_for_a_finished_file_is_refused_unless_fresh(trained: Trained) -> None:
    trained()
    with pytest.raises(TrainingError, match=r"another training \(epochs 2 there, 3 here\)"):
        trained(epochs="3")
    assert trained(epochs="3", fresh=True).about["training"]["settings"]["epochs"] == 3


def test_a_file_of_something_else_is_never_overwritten(trained: Trained) -> None:
    Path("out.safetensors").write_text("my thesis")
    for fresh in (False, True):
        with pytest.raises(TrainingError, match="no result of `granu train`; name another file"):
            trained(fresh=fresh)
    assert Path("out.safetensors").read_text() == "my thesis"


def test_settings_that_change_no_result_may_change(trained: Trained) -> None:
    trained()
    assert trained(readers="1", checkpoint_seconds="5")


@pytest.mark.parametrize("settings", [
    {"optimizer": "sgd"}, {"schedule": "cosine"}, {"schedule": "milestones", "milestones": "1"}, {"ema": "0.5"},
    {"schedule": "constant", "warmup": "0.5"}, {"clip": "0.01"}, {"augment": "jitter"}, {"augment": "shift-flip"},
    {"augment": "resized-crop-flip"}, {"precision": "bfloat16"}, {"cycle_momentum": "yes"}, {"momentum": "0.5"},
    {"weight_decay": "0.5"}, {"optimizer": "sgd", "nesterov": "no"},
], ids=str)  # fmt: skip
def test_every_setting_has_an_effect(trained: Trained, settings: dict[str, str]) -> None:
    base = {"optimizer": "sgd"} if len(settings) == 2 and "nesterov" in settings else {}
    trained(out="plain.safetensors", **base)
    trained(**settings)
    changed, plain = weights("out.safetensors"), weights("plain.safetensors")
    assert not same(changed, plain) and all(tensor.isfinite().all() for tensor in changed.values())

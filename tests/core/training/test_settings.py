"""Settings, the TOML file, schedules, and everything that is refused before training begins."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granu.cli.train import train
from granu.errors import OptionError
from granu.training.divergence import LossWatch
from granu.training.planning import make_request, read_config
from granu.training.schedule import momentum_at, rate_factor
from granu.training.settings import TrainingSettings, setting_names

Granu = Callable[..., Any]
PLAN = ("train", "--classifier", "net", "--data", "shapes:64", "--out", "out.safetensors", "--batch", "8")


@pytest.mark.parametrize(("words", "sentence"), [
    (("--epochs", "0"), "`granu train`: epochs=0 is out of range; it must be at least 1"),
    (("--lr", "fast"), "`granu train`: lr=fast is not a number"),
    (("--schedule", "one-cycel"), "schedule=one-cycel is not one of its values; did you mean 'one-cycle'?"),
    (("--milestones", "3"), "milestones have no effect with schedule=one-cycle; add --schedule milestones"),
    (("--schedule", "milestones"), "schedule=milestones needs the epochs, for example --milestones 30+60"),
    (("--schedule", "milestones", "--milestones", "12"), "milestones must lie between 1 and 9"),
    (("--schedule", "milestones", "--milestones", "5+3"), "milestones must rise, not 5+3"),
    (("--schedule", "constant", "--cycle-momentum", "yes"), "cycle-momentum has no effect with schedule=constant"),
    (("--defense", "made-upp"), "there is no defense named 'made-upp'; did you mean 'made-up'?"),
    (("--classifier", "nett"), "there is no classifier named 'nett'; did you mean 'net'?"),
    (("--data", "shape"), "there is no dataset named 'shape'; did you mean 'shapes'?"),
    (("--out", "out.pt"), "--out out.pt must end with .safetensors; write it like --out out.safetensors"),
    (("--data", "shapes:64,classes=one"), "holds images of one class only (left); training needs at least two"),
    (("--data", "shapes:64,classes=same"), "images of `shapes:64,classes=same` are of one class"),
    (("--data", "shapes:64,classes=other"), "the classes of 'shapes:64,classes=other' (4: cat, dog, cow, ...) are not"),
    (("--data", "shapes:4"), "4 training images are fewer than a batch of 8; lower --batch"),
    (("--data", "shapes:20,broken=15"), "5 training images are fewer than a batch of 8; lower --batch"),
    (("--data", "shapes:20,broken=20"), "none of the 19 images of `shapes:20,broken=20` can be read: shape 0"),
    (("--classifier", "net:fixed", "--data", "shapes:64,sides=10"), "'net' cannot take the images of"),
    (("--classifier", "net:fixed", "--data", "shapes:64,sides=8+10"), "images differ in size (10x10, 8x8)"),
    (("--classifier", "net:function"), "`net:function` cannot be trained: its plugin gives no network"),
    (("--defense", "made-up:all-frozen"), "nothing of `net` is left to train: every part of it is frozen"),
    (("--device", "cuda:7"), "--device cuda:7 cannot be used"),
    (("--config", "none.toml"), "cannot read --config none.toml: No such file or directory"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")  # fmt: skip
def test_mistakes_are_one_sentence(small: Path, granu: Granu, words: tuple[str, ...], sentence: str) -> None:
    answer = granu(*PLAN, *words)
    assert answer.returncode == 2 and answer.stdout == ""
    assert answer.stderr.startswith("granu: ") and sentence in answer.stderr
    assert "Traceback" not in answer.stderr and len(answer.stderr.splitlines()) == 1
    assert not Path("out.safetensors").exists()


@pytest.mark.parametrize(("given", "sentence"), [
    ({"data": "shapes"}, "name the classifier to train with --classifier"),
    ({"classifier": "net"}, "name the training images with --data"),
    ({"classifier": "net", "data": "shapes"}, "name the file to write with --out"),
], ids=str)  # fmt: skip
def test_what_is_missing_is_named(plan_of: Callable[..., Any], given: dict[str, str], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        plan_of(**{"classifier": None, "data": None, "out": None} | given)


def test_without_accelerate_the_extra_is_named(small: Path, granu: Granu, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "accelerate" else find(name, *rest)
    )
    answer = granu(*PLAN)
    assert answer.returncode == 2
    assert answer.stderr == "granu: training needs the package accelerate; install it with pip install 'granu[train]'\n"


@pytest.mark.parametrize(("text", "sentence"), [
    ("epoch = 3", "a.toml has an unknown key 'epoch'; did you mean 'epochs'?"),
    ("epochs = ", "a.toml is not valid TOML"),
    ("defense = [1]", "a.toml: defense must be a text or a list of texts"),
    ("lr = {a = 1}", "a.toml: lr must be a number, a text, or true or false"),
    ("lr = -1", "`granu train --config a.toml`: lr=-1.0 is out of range; it must be at least 0"),
], ids=str)  # fmt: skip
def test_mistakes_in_a_toml_file_are_one_sentence(small: Path, granu: Granu, text: str, sentence: str) -> None:
    Path("a.toml").write_text(text)
    answer = granu(*PLAN, "--config", "a.toml")
    assert answer.returncode == 2 and sentence in answer.stderr


def test_flags_take_precedence_over_the_toml_file() -> None:
    Path("a.toml").write_text(
        'classifier = "net"\ndefense = ["a", "b"]\nepochs = 7\nlr = 1e-5\nweight_decay = 0.25\nnesterov = false\n'
        'schedule = "milestones"\nmilestones = [3, 5]\n'
    )
    request = make_request({"epochs": "9", "lr": None, "defense": None}, Path("a.toml"))
    assert request.classifier == "net" and request.defenses == ("a", "b")
    assert request.settings == {
        "epochs": "9", "lr": "1e-05", "weight-decay": "0.25", "nesterov": "false", "schedule": "milestones",
        "milestones": "3+5",
    }  # fmt: skip
    assert make_request({"defense": ["c"]}, Path("a.toml")).defenses == ("c",)


def test_one_defense_in_a_toml_file_needs_no_list() -> None:
    Path("a.toml").write_text('defense = "a:b,c=1"')
    assert read_config(Path("a.toml"))["defense"] == ["a:b,c=1"]


def test_a_dry_run_prints_every_choice_and_builds_no_classifier(small: Path, granu: Granu) -> None:
    words = (*PLAN, "--defense", "made-up:noisy", "--defense", "made-up:dark", "--epochs", "3", "--dry-run")
    answer = granu(*words, "--json")
    plan = json.loads(answer.stdout)
    assert (plan["images"], plan["validation-images"], plan["steps"]) == (61, 3, 21)
    assert plan["defenses"] == ["made-up:noisy", "made-up:dark"]
    assert plan["settings"]["lr"] == 0.001 and plan["settings"]["weight-decay"] == 0.01
    assert set(plan["settings"]) == {name.replace("_", "-") for name in TrainingSettings.__dataclass_fields__}
    text = granu(*words).stdout
    assert "defenses: made-up:noisy, then made-up:dark" in text and "steps: 21" in text
    assert not Path("out.safetensors").exists() and not Path("out.safetensors.lock").exists()


def test_a_command_prints_lines_for_epochs_and_the_result(small: Path, granu: Granu) -> None:
    answer = granu(*PLAN, "--epochs", "2", "--defense", "made-up:noisy")
    assert answer.returncode == 0
    lines = answer.stderr.splitlines()
    assert len(lines) == 3 and lines[0].startswith("epoch 0/2  clean") and lines[2].startswith("epoch 2/2  loss ")
    assert "accuracy on validation images: " in answer.stdout
    assert granu(*PLAN, "--epochs", "2", "--defense", "made-up:noisy").stdout == answer.stdout
    data = json.loads(granu(*PLAN, "--epochs", "2", "--defense", "made-up:noisy", "--json").stdout)
    assert data["training"]["defenses"] == ["made-up:noisy"]


def test_an_interrupted_command_says_how_to_go_on(small: Path, granu: Granu) -> None:
    words = (*PLAN, "--defense", "made-up:interrupt")
    answer = granu(*words, "--fresh")
    assert answer.returncode == 130
    assert "interrupted; the state so far is in out.safetensors.checkpoint. To go on, run" in answer.stderr
    assert "--fresh" not in answer.stderr
    assert granu(*words).returncode == 0


def test_broken_images_are_skipped_and_named(small: Path, granu: Granu) -> None:
    answer = granu(*PLAN, "--data", "shapes:64,broken=2", "--epochs", "1")
    assert answer.returncode == 0
    assert "skipped shape#0: shape 0 is broken" in answer.stderr and "skipped shape#1" in answer.stderr


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant", "milestones"])
def test_rates_stay_between_zero_and_the_largest(schedule: str) -> None:
    milestones = (1, 3) if schedule == "milestones" else ()
    settings = TrainingSettings(epochs=4, schedule=schedule, milestones=milestones, warmup=0.25)
    rates = [rate_factor(settings, step, 40) for step in range(40)]
    assert rates[0] == pytest.approx(0.04) and max(rates) <= 1 and min(rates) > 0
    assert rates[:10] == sorted(rates[:10])


def test_each_schedule_has_its_course() -> None:
    def rates(**given: Any) -> list[float]:
        settings = TrainingSettings(epochs=4, **given)
        return [rate_factor(settings, step, 40) for step in (0, 10, 12, 20, 30, 39)]

    assert rates(schedule="constant") == [1] * 6
    assert rates(schedule="cosine") == pytest.approx([1, 0.8536, 0.7939, 0.5, 0.1464, 0.0015], abs=1e-4)
    assert rates(schedule="one-cycle") == pytest.approx([0.04, 0.9357, 1, 0.8117, 0.2831, 0.0031], abs=1e-4)
    assert rates(schedule="milestones", milestones=(2, 3)) == pytest.approx([1, 1, 1, 0.1, 0.01, 0.01])


def test_the_momentum_moves_only_where_asked() -> None:
    assert {momentum_at(TrainingSettings(), step, 40) for step in range(40)} == {0.9}
    cycled = [momentum_at(TrainingSettings(cycle_momentum=True), step, 40) for step in (0, 12, 39)]
    assert cycled == pytest.approx([0.95, 0.85, 0.95], abs=1e-3)


def test_a_loss_is_watched_against_its_own_beginning() -> None:
    watch = LossWatch(10)
    assert all(watch.see(loss) is None for loss in [30.0] * 20 + [290.0] * 40)  # a large sum of terms
    assert any(watch.see(301.0) for _ in range(20))
    fine_tuned = LossWatch(10)
    assert all(fine_tuned.see(loss) is None for loss in [0.01] * 20 + [20.0] * 40)  # up to ten times ln(10)
    assert any(fine_tuned.see(24.0) for _ in range(20))
    assert LossWatch(10).see(float("inf")) == "the loss became inf"
    one_bad_step = LossWatch(10)
    assert all(one_bad_step.see(loss) is None for loss in [2.0] * 20 + [400.0] + [2.0] * 20)


def test_every_setting_is_a_flag() -> None:
    flags = {name.replace("_", "-") for name in inspect.signature(train).parameters}
    assert set(setting_names()) <= flags

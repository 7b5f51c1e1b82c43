"""Interrupted trainings: what a checkpoint holds, and that the end is that of an unbroken training, bit for bit."""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import Notes, same, weights

from granu.errors import RunFolderError, TrainingError
from granu.files import write_whole
from granu.training import checkpoint as checkpoints
from granu.training.loop import Loop
from granu.training.validation import Accuracy, Validation

Trained = Callable[..., Any]

# everything that has a state: momentum, statistics, random layers, a moving average, the best epoch, augmentation
EVERYTHING = {
    "classifier": "net:dropout", "ema": "0.9", "augment": "shift-flip", "epochs": "3", "checkpoint_seconds": "0",
    "hold_out": "0.2",
}  # fmt: skip


def flags(settings: dict[str, str]) -> list[str]:
    """Settings as words of a command."""
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]


@pytest.mark.parametrize("at", [0, 9, 17])
def test_interrupted_and_repeated_ends_with_the_same_bytes(trained: Trained, at: int) -> None:
    given = EVERYTHING | {"defense": ["made-up:noisy", f"made-up:interrupt,at={at}"]}
    with pytest.raises(KeyboardInterrupt):
        trained(out="broken.safetensors", **given)
    assert torch.load("broken.safetensors.checkpoint", weights_only=True)["step"] == at + 1
    notes = Notes()
    trained(out="broken.safetensors", notes=notes, **given)
    assert notes.lines[0].startswith(f"continued after step {at + 1} of 18")
    trained(out="whole.safetensors", **given)
    assert Path("broken.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    for file in ("broken.jsonl", "whole.jsonl"):
        assert len(Path(file).read_text().splitlines()) == 4


def stopping_after(step: int) -> Callable[..., bool]:
    """`Loop._train_step` as if Ctrl-C were pressed in the last of these steps."""
    train_step = Loop._train_step
    return lambda loop, *words: train_step(loop, *words) or loop.step == step


def comparable(value: Any) -> Any:
    """A checkpoint's content without times, tensors as lists."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items() if key != "seconds"}
    if isinstance(value, str) and value.startswith("[{"):
        return comparable(json.loads(value))
    return [comparable(one) for one in value] if isinstance(value, list) else value


def test_a_checkpoint_after_an_interruption_is_that_of_an_unbroken_training(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = EVERYTHING | {"defense": ["made-up:noisy"], "data": "shapes:64,broken=2", "memory": "0"}
    states = []
    for name, stops in (("broken", (3, 9, 15)), ("whole", (15,))):
        for stop in stops:
            with monkeypatch.context() as patched:
                patched.setattr(Loop, "_train_step", stopping_after(stop))
                with pytest.raises(KeyboardInterrupt):
                    trained(out=f"{name}.safetensors", **given)
        states.append(comparable(torch.load(f"{name}.safetensors.checkpoint", weights_only=True)))
    assert states[0].keys() == states[1].keys()
    assert all(states[0][key] == states[1][key] for key in states[0]), "the states differ"


def test_the_best_epoch_may_lie_before_an_interruption(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {0: 0.5, 7: 0.9, 14: 0.8, 21: 0.7}
    monkeypatch.setattr(Validation, "measure", lambda self, classifier, step, share: Accuracy(scores[step]))
    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_train_step", stopping_after(10))
        with pytest.raises(KeyboardInterrupt):
            trained(epochs="3")
    state = torch.load("out.safetensors.checkpoint", weights_only=True)
    result = trained(epochs="3")
    assert result.about["after"]["epoch"] == 1
    assert same(weights("out.safetensors"), dict(state["best"]["state"]))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_killed_and_repeated_ends_with_the_same_weights(
    small: Path, granu_process: Callable[..., subprocess.Popen[str]], trained: Trained, optimizer: str
) -> None:
    given = EVERYTHING | {"optimizer": optimizer, "data": "shapes:64", "batch": "8"}
    words = [*flags(given), "--defense", "made-up:kill,at=10"]
    killed = granu_process("train", *words, "--out", "broken.safetensors")
    killed.communicate()
    assert killed.returncode == 9 and not Path("broken.safetensors").exists()
    assert torch.load("broken.safetensors.checkpoint", weights_only=True)["step"] == 10
    trained(out="broken.safetensors", **given, defense=["made-up:kill,at=10"])
    trained(out="whole.safetensors", **given)
    assert same(weights("broken.safetensors"), weights("whole.safetensors"))


def test_an_interruption_in_the_last_step_of_an_epoch_loses_no_validation(trained: Trained) -> None:
    given = {"data": "shapes:80", "hold_out": "0.2", "defense": ["made-up:interrupt,at=7"], "epochs": "2"}
    with pytest.raises(KeyboardInterrupt):
        trained(**given)
    assert len(Path("out.jsonl").read_text().splitlines()) == 1
    trained(**given)
    assert len(Path("out.jsonl").read_text().splitlines()) == 3


def test_a_checkpoint_of_another_plan_is_refused_and_says_what_differs(trained: Trained) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(defense=["made-up:interrupt"])
    with pytest.raises(TrainingError, match=r"another training \(epochs 2 there, 5 here; lr 0.001 there, 0.5 here\)"):
        trained(defense=["made-up:interrupt"], epochs="5", lr="0.5")
    with pytest.raises(TrainingError, match=r"defenses made-up:interrupt there, none here"):
        trained()
    trained(fresh=True)


def test_a_checkpoint_of_other_images_is_refused(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(defense=["made-up:interrupt"])
    # the dataset under the same name now holds other images
    plugin = Path("made-up-plugins/fake_small.py")
    plugin.write_text(plugin.read_text().replace("* 0.7", "* 0.6"))
    import sys

    del sys.modules["fake_small"]
    with pytest.raises(TrainingError, match=r"training images [0-9a-f]{16} there"):
        trained(defense=["made-up:interrupt"])


def test_a_damaged_checkpoint_is_one_sentence(trained: Trained) -> None:
    Path("out.safetensors.checkpoint").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="is not a checkpoint that this granu can read; delete it"):
        trained()


def test_code_in_a_checkpoint_is_not_run(trained: Trained) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (open, ("run", "w"))

    torch.save({"format": 1, "identity": Evil()}, "out.safetensors.checkpoint")
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        trained()
    assert not Path("run").exists()


def test_a_full_disk_leaves_the_old_checkpoint(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def fill(file: Path, data: Any) -> None:
        if file.suffix == ".checkpoint" and len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(file)
        write_whole(file, data)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "write_whole", fill)
        with pytest.raises(RunFolderError, match=r"No space left on device; .* holds the state after step 2; free"):
            trained(checkpoint_seconds="0")
    notes = Notes()
    trained(checkpoint_seconds="0", notes=notes)
    assert notes.lines[0].startswith("continued after step 2 of 14")


def test_two_commands_cannot_train_one_file(
    small: Path, granu_process: Callable[..., subprocess.Popen[str]], trained: Trained
) -> None:
    from granu.training.outputs import Outputs

    with Outputs(Path("out.safetensors")).locked(), pytest.raises(RunFolderError, match="another granu is training"):
        trained()


def test_nan_stops_names_the_step_and_keeps_the_checkpoint(trained: Trained) -> None:
    given = {"defense": ["made-up:nan,at=10"], "checkpoint_seconds": "0"}
    with pytest.raises(TrainingError, match=r"stopped in step 11 of 14 \(epoch 2\): the loss became nan; .* keeps"):
        trained(**given)
    state = torch.load("out.safetensors.checkpoint", weights_only=True)
    assert state["step"] == 10 and all(tensor.isfinite().all() for tensor in state["network"].values())
    assert not Path("out.safetensors").exists()


def test_weights_that_are_not_finite_are_never_saved(trained: Trained) -> None:
    with pytest.raises(TrainingError, match=r"weights are no longer finite|loss became nan"):
        trained(defense=["made-up:nan-gradient,at=10"], checkpoint_seconds="0")
    state = torch.load("out.safetensors.checkpoint", weights_only=True)
    assert state["step"] == 10 and all(tensor.isfinite().all() for tensor in state["network"].values())


def test_a_growing_loss_stops(trained: Trained) -> None:
    with pytest.raises(TrainingError, match=r"the loss diverged to .*, from .* in the first steps"):
        trained(defense=["made-up:growing"], epochs="20", lr="0")

"""`granu harden`: one command from the zoo's classifiers to a report, and one sentence for what it cannot do."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLASSIFIER, REFERENCE = "zoo:mnist-lenet", "zoo:mnist-cnn-l2"
SMALL = (
    "--count", "6", "--clean-images", "30", "--images", "160", "--epochs", "1", "--rounds", "1", "--steps", "2",
    "--train", "batch=32", "--train", "hold-out=0", "--keep", "1",
)  # fmt: skip
GIVEN = ("--classifier", CLASSIFIER, "--reference", REFERENCE, "--data", "biggan", "--out", "h")
CHANGE = "pixel:l2,steps=12"
WORDS = (*GIVEN, "--perturb", CHANGE, *SMALL)


def without(flag: str) -> list[str]:
    """The words of a whole command without a flag and its value."""
    at = WORDS.index(flag)
    return [*WORDS[:at], *WORDS[at + 2 :]]


def test_the_zoo_is_hardened_and_the_decisions_are_printed(granu: Callable[..., Any]) -> None:
    done = granu("harden", *WORDS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"round 1: weakest at {CHANGE}, where its sizes are 0.")
    assert f"training {CLASSIFIER} with adversarial:pixel:l2,steps=2,budget=" in lines[1]
    assert lines[2].startswith(("  kept, it needs", "  not kept, ")) and lines[3].startswith("  clean accuracy ")
    assert "median label-preserving size, relative to before" in done.stdout
    record = json.loads(Path("h/harden.json").read_text())
    assert [one["change"] for one in record["rounds"]] == [CHANGE] and record["stopped"]
    assert (record["kept"] == "h/hardened.safetensors") == Path("h/hardened.safetensors").exists()
    runs = [json.loads(Path("h", phase, "run.json").read_text()) for phase in ("choice", "verdict", "report")]
    assert [run["seed"] for run in runs] == [0, 1, 2]  # the generator draws other images for each purpose
    page = Path("h/report.html").read_text()
    assert "before" in page and "reference" in page and Path("h/profile.svg").exists()


def test_json_is_printed_alone(granu: Callable[..., Any]) -> None:
    done = granu("harden", *WORDS, "--minutes", "0", "--json")
    printed = json.loads(done.stdout)
    assert printed["classifier"] == CLASSIFIER and printed["rounds"] == [] and printed["helped"] is False
    assert printed["verdict"].startswith("nothing helped")


def test_sites_of_a_generator_are_measured_on_what_it_draws_and_images_on_the_data(granu: Callable[..., Any]) -> None:
    sites = ("--perturb", "stylegan:layer6,samples=4,steps=4")
    done = granu("harden", *WORDS, *sites, "--judge", "none", "--minutes", "0")
    assert done.returncode == 0, done.stderr
    recorded = json.loads(Path("h/choice/run.json").read_text())["perturbations"]
    assert {key: record["source"]["spec"] for key, record in recorded.items()} == {
        "stylegan:layer6,samples=4,steps=4": "stylegan", CHANGE: "biggan"
    }  # fmt: skip
    assert all(record["generator"] is None and not record["judges"] for record in recorded.values())


def test_a_killed_hardening_goes_on(granu: Callable[..., Any], granu_process: Callable[..., Any]) -> None:
    words = [*WORDS, "--judge", "none"]
    process = granu_process("harden", *words)
    trials = Path("h/verdict/trials.jsonl")
    until = time.monotonic() + 120
    while not (trials.exists() and trials.stat().st_size) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    trained = Path("h/round-1.safetensors").stat().st_mtime_ns
    done = granu("harden", *words)
    assert done.returncode == 0, done.stderr
    assert Path("h/round-1.safetensors").stat().st_mtime_ns == trained  # it was not trained again
    assert json.loads(Path("h/harden.json").read_text())["stopped"]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(granu: Callable[..., Any]) -> None:
    own = (f"{CHANGE}=prime", "frequency:3=adversarial:frequency:3,budget={budget}|frequency:4,budget={budget}")
    defenses = [word for one in own for word in ("--defense", one)]
    done = granu("harden", *WORDS, "--perturb", "frequency:3", *defenses, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["changes"] == {CHANGE: "prime", "frequency:3": own[1].removeprefix("frequency:3=")}
    assert plan["training"] == {"batch": "32", "hold-out": "0"} and not Path("h").exists()
    shown = granu("harden", *WORDS, "--dry-run").stdout
    assert f"{CHANGE}  adversarial:pixel:l2,steps=2,budget={{budget}}" in shown and "reference: zoo" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (without("--classifier"), "name the classifier to harden with --classifier"),
        (without("--reference"), "name the classifier that holds better with --reference"),
        (without("--data"), "name the training images with --data"),
        (without("--perturb"), "say with --perturb which changes to measure and train against"),
        (without("--out"), "name the folder to write with --out"),
        ([*without("--classifier"), "--classifier", "zoo:mnist-lenett"], "did you mean 'mnist-lenet'?"),
        ([*without("--reference"), "--reference", "zooo:mnist-cnn"], "did you mean 'zoo'?"),
        ([*without("--reference"), "--reference", CLASSIFIER], "--reference is the classifier itself"),
        ([*without("--reference"), "--reference", "zoo:cifar10-resnet"], "tells other classes apart"),
        ([*WORDS, "--perturb", "sparse-pixel"], "opens no space; training needs one that takes search=pgd; or give"),
        ([*WORDS, "--perturb", "pixel:linf,search=pgd,budget=0.1"], "spends a budget, and hardening compares smallest"),
        ([*WORDS, "--perturb", "pixle:l2"], "did you mean 'pixel'?"),
        ([*WORDS, "--defense", "pixel:l1=standard"], "there is no change named 'pixel:l1'"),
        ([*WORDS, "--defense", f"{CHANGE}=standrad"], "did you mean 'standard'?"),
        ([*WORDS, "--judge", "zoo:mnist-judge"], "there are no weights 'mnist-judge'"),
        ([*WORDS, "--train", "lr"], "--train lr must be a setting of `granu train` and its value"),
        ([*WORDS, "--train", "augmnt=none"], "`granu train` has no setting 'augmnt'; did you mean 'augment'?"),
        ([*WORDS, "--train", "seed=1"], "--train seed= is a setting of `granu harden` itself; write --seed"),
        ([*WORDS, "--rounds", "0"], "rounds=0 is out of range"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_exit_code_two(granu: Callable[..., Any], words: list[str], message: str) -> None:
    done = granu("harden", *words)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_a_change_without_a_space_can_have_a_defense_of_its_own(granu: Callable[..., Any]) -> None:
    done = granu("harden", *WORDS, "--perturb", "sparse-pixel", "--defense", "sparse-pixel=prime", "--dry-run")
    assert done.returncode == 0 and "sparse-pixel       prime" in done.stdout

"""`granu train`: train a classifier with defenses against the perturbations that `granu eval` measures."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from granu.cli import complete, show
from granu.plugins.options import describe_options
from granu.training.settings import TrainingSettings

if TYPE_CHECKING:
    from granu.plugins.context import BuildContext
    from granu.training.plan import TrainPlan
    from granu.training.train import TrainingResult

HELP = {
    name: f"{help_} [{default}]" if default else help_ for name, default, help_ in describe_options(TrainingSettings)
}


def _setting(name: str) -> Any:
    """The flag of a setting. Its text is read by the rules of `TrainingSettings`, like a value of a TOML file."""
    return typer.Option(f"--{name}", help=f"{HELP[name]}.", metavar="VALUE")


def train(
    defense: Annotated[
        list[str] | None,
        typer.Option(
            "--defense",
            "-d",
            autocompletion=complete.defenses,
            help="What each step minimises; repeatable: the first gets the images, the next what it makes of them. "
            "Default: plain cross-entropy.",
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            "--classifier",
            "-c",
            autocompletion=complete.classifiers,
            help="Classifier to start from, like zoo:mnist-cnn.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Training images, like folder:train.")] = None,
    val: Annotated[
        str | None,
        typer.Option("--val", help="Validation images, which choose the best epoch. Default: a part of --data."),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File to write, FILE.safetensors; repeated, it goes on.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with any of these flags as keys; flags take precedence.")
    ] = None,
    epochs: Annotated[str | None, _setting("epochs")] = None,
    batch: Annotated[str | None, _setting("batch")] = None,
    lr: Annotated[str | None, _setting("lr")] = None,
    seed: Annotated[str | None, _setting("seed")] = None,
    precision: Annotated[str | None, _setting("precision")] = None,
    device: Annotated[str | None, _setting("device")] = None,
    augment: Annotated[str | None, _setting("augment")] = None,
    optimizer: Annotated[str | None, _setting("optimizer")] = None,
    momentum: Annotated[str | None, _setting("momentum")] = None,
    nesterov: Annotated[str | None, _setting("nesterov")] = None,
    weight_decay: Annotated[str | None, _setting("weight-decay")] = None,
    schedule: Annotated[str | None, _setting("schedule")] = None,
    warmup: Annotated[str | None, _setting("warmup")] = None,
    cycle_momentum: Annotated[str | None, _setting("cycle-momentum")] = None,
    milestones: Annotated[str | None, _setting("milestones")] = None,
    lr_factor: Annotated[str | None, _setting("lr-factor")] = None,
    clip: Annotated[str | None, _setting("clip")] = None,
    ema: Annotated[str | None, _setting("ema")] = None,
    images: Annotated[str | None, _setting("images")] = None,
    hold_out: Annotated[str | None, _setting("hold-out")] = None,
    robust_images: Annotated[str | None, _setting("robust-images")] = None,
    memory: Annotated[str | None, _setting("memory")] = None,
    readers: Annotated[str | None, _setting("readers")] = None,
    checkpoint_seconds: Annotated[str | None, _setting("checkpoint-seconds")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the result and checkpoint of --out first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no line per epoch.")] = False,
) -> None:
    """Train a classifier, with defenses that make it robust, and write it to one file.

    Interrupted and repeated, the command goes on from its checkpoint. `accelerate launch -m granu train ...` trains on
    several GPUs or processes.
    """
    given = {name.replace("_", "-"): value for name, value in locals().items() if name not in NOT_IN_CONFIG}
    from granu.plugins.catalog import load_catalog
    from granu.plugins.context import BuildContext
    from granu.training.planning import make_request, make_train_plan

    catalog = load_catalog()
    context = BuildContext(catalog)
    plan = make_train_plan(catalog, context, make_request(given, config))
    if dry_run:
        _print_plan(plan, context, as_json)
        return
    result = _train(plan, context, fresh, quiet or as_json)
    if not _main_process():
        return
    if as_json:
        show.as_json({"out": str(result.file), **result.about})
    else:
        _print_result(result)


NOT_IN_CONFIG = ("config", "fresh", "dry_run", "as_json", "quiet")


@dataclass(frozen=True)
class _Printer:
    """Tells a person how training goes: by a bar in a terminal, otherwise by lines."""

    bar: Callable[[int, int, str], None]
    silent: bool

    def progress(self, done: int, total: int, what: str) -> None:
        self.bar(done, total, what)

    def line(self, text: str) -> None:
        if not self.silent:
            show.note(text)


def _train(plan: TrainPlan, context: BuildContext, fresh: bool, quiet: bool) -> TrainingResult:
    from granu.training.train import train

    quiet = quiet or not _main_process()
    try:
        with show.progress(quiet) as bar:
            printer = _Printer(bar, quiet or sys.stderr.isatty())
            return train(plan, context, printer, shlex.join(["granu", *sys.argv[1:]]), fresh)
    except KeyboardInterrupt:
        if _main_process():
            words = shlex.join(["granu", *(word for word in sys.argv[1:] if word != "--fresh")])
            show.note(f"granu: interrupted; the state so far is in {plan.out}.checkpoint. To go on, run\n  {words}")
        raise typer.Exit(130) from None


def _main_process() -> bool:
    """True for the one process that prints, of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def _print_result(result: TrainingResult) -> None:
    after, before = result.about["after"], result.about["before"]
    epochs = result.about["training"]["settings"]["epochs"]
    show.say(f"{result.file}: epoch {after['epoch']} of {epochs}")
    for name, what in (("clean", "accuracy"), ("robust", "robust accuracy")):
        if after[name] is not None:
            change = f"{100 * before[name]:.2f} % before, {100 * after[name]:.2f} % after"
            show.say(f"{what} on validation images: {change}")
    show.say(f"log: {result.file.with_suffix('.jsonl')}    figure: {result.file.with_suffix('.svg')}")


def _print_plan(plan: TrainPlan, context: BuildContext, as_json: bool) -> None:
    sizes = _sizes(plan, context)
    if as_json:
        show.as_json(plan.as_json() | {"out": str(plan.out), **sizes})
        return
    shown = plan.as_json()
    show.say(f"classifier: {shown['classifier']}")
    show.say("defenses: " + (", then ".join(shown["defenses"]) or "none; plain cross-entropy"))
    show.say(f"training images: {sizes['images']} of {shown['data']}")
    held_out = shown["val"] or f"{shown['data']}, held out"
    show.say(f"validation images: {sizes['validation-images']} of {held_out}")
    show.say(f"steps: {sizes['steps']}")
    show.say(f"out: {plan.out}")
    show.say("")
    show.columns(("setting", "value"), [(name, _shown(value)) for name, value in shown["settings"].items()])


def _sizes(plan: TrainPlan, context: BuildContext) -> dict[str, int]:
    """Numbers of images and steps; the datasets are opened, but no image is read."""
    from granu.training.drawn import open_dataset
    from granu.training.opening import check_sizes, divide

    sets = [plan.data, *filter(None, [plan.val])]
    counts = [len(open_dataset(one, context, plan.settings.images, plan.settings.seed)) for one in sets]
    parts = divide(plan.settings, counts[0], counts[1] if plan.val else None)
    images = len(parts.training)
    check_sizes(plan.settings, images, 1)
    steps = images // plan.settings.batch * plan.settings.epochs
    return {"images": images, "validation-images": len(parts.validation), "steps": steps}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)

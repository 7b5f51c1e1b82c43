"""`granu harden`: train a classifier against the changes at which it is weakest, and report before and after."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from granu.cli import complete, show
from granu.hardening.settings import HardenSettings
from granu.plugins.options import describe_options

if TYPE_CHECKING:
    from granu.hardening.plan import HardenPlan
    from granu.hardening.rounds import HardenResult
    from granu.plugins.context import BuildContext

HELP = {name: f"{help_} [{default}]" if default else help_ for name, default, help_ in describe_options(HardenSettings)}


def _setting(name: str, *more: str) -> Any:
    """The flag of a setting, whose text is read by the rules of `HardenSettings`."""
    return typer.Option(f"--{name}", *more, help=f"{HELP[name]}.", metavar="VALUE")


def harden(
    classifier: Annotated[
        str | None,
        typer.Option("--classifier", "-c", autocompletion=complete.classifiers, help="Classifier to harden."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Training images, like folder:train; a part is held out to measure on."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            autocompletion=complete.classifiers,
            help="Classifier of the same classes to whose sizes those of the classifier are related.",
        ),
    ] = None,
    perturb: Annotated[
        list[str] | None,
        typer.Option(
            "--perturb",
            "-p",
            autocompletion=complete.perturbations,
            help="Change to measure and train against, as for `granu eval`; repeatable, coarse to fine.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write; repeated, the command goes on.")
    ] = None,
    val: Annotated[str | None, typer.Option("--val", help="Images to measure on. Default: a part of --data.")] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            autocompletion=complete.classifiers,
            help="Classifier that votes on the label; repeatable. 'none' disables. Default: the generator's judges.",
        ),
    ] = None,
    defense: Annotated[
        list[str] | None,
        typer.Option(
            "--defense",
            "-d",
            metavar="CHANGE=DEFENSE",
            help="Defense for one change, in which {budget} stands for the size; repeatable. Default: adversarial "
            "training with this change.",
        ),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option("--train", metavar="KEY=VALUE", help="Setting of `granu train`, like lr=0.001; repeatable."),
    ] = None,
    rounds: Annotated[str | None, _setting("rounds")] = None,
    minutes: Annotated[str | None, _setting("minutes")] = None,
    count: Annotated[str | None, _setting("count", "-n")] = None,
    epochs: Annotated[str | None, _setting("epochs")] = None,
    images: Annotated[str | None, _setting("images")] = None,
    size: Annotated[str | None, _setting("size")] = None,
    steps: Annotated[str | None, _setting("steps")] = None,
    clean_loss: Annotated[str | None, _setting("clean-loss")] = None,
    clean_images: Annotated[str | None, _setting("clean-images")] = None,
    seed: Annotated[str | None, _setting("seed")] = None,
    batch: Annotated[str | None, _setting("batch")] = None,
    keep: Annotated[str | None, _setting("keep")] = None,
    device: Annotated[str | None, _setting("device")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Train a classifier against the changes at which it is weakest, and keep what helps on other images.

    Each round finds the change at which sizes are smallest relative to the reference, trains against it, and measures
    again on images that were used neither to choose nor to train.
    """
    given = {name.replace("_", "-"): value for name, value in locals().items() if name in SETTINGS}
    from granu.hardening.plan import HardenRequest
    from granu.hardening.planning import make_harden_plan, read_training
    from granu.plugins.catalog import load_catalog
    from granu.plugins.context import BuildContext

    catalog = load_catalog()
    context = BuildContext(catalog)
    request = HardenRequest(
        classifier=classifier,
        reference=reference,
        data=data,
        perturbations=tuple(perturb or ()),
        out=out,
        val=val,
        judges=None if judge is None else () if judge == ["none"] else tuple(judge),
        defenses=tuple(defense or ()),
        settings={name: value for name, value in given.items() if value is not None},
        training=read_training(train or ()),
    )
    plan = make_harden_plan(catalog, context, request)
    if dry_run:
        _print_plan(plan, as_json)
        return
    with show.stdout_to_stderr(as_json):
        result, files = _harden(plan, context, fresh, quiet, as_json)
    if as_json:
        show.as_json({**plan.as_json(), "out": str(plan.out), **result.as_json()})
    else:
        _print_result(result, files)


SETTINGS = tuple(name.replace("-", "_") for name in HELP)


@dataclass(frozen=True)
class _Printer:
    """Tells a person how a hardening goes: decisions as lines of the result, the rest as a bar in a terminal."""

    bar: Callable[[int, int, str], None]
    silent: bool

    def progress(self, done: int, total: int, what: str) -> None:
        self.bar(done, total, what)

    def line(self, text: str) -> None:
        if not self.silent:
            show.say(text)


def _harden(
    plan: HardenPlan, context: BuildContext, fresh: bool, quiet: bool, as_json: bool
) -> tuple[HardenResult, tuple[Path, Path]]:
    from granu.hardening.harden import harden as run
    from granu.hardening.outputs import write_report

    try:
        with show.progress(quiet or as_json) as bar:
            result = run(plan, context, _Printer(bar, as_json), shlex.join(["granu", *sys.argv[1:]]), fresh)
            return result, write_report(result)
    except KeyboardInterrupt:
        words = shlex.join(["granu", *(word for word in sys.argv[1:] if word != "--fresh")])
        show.note(f"granu: interrupted; the state so far is in {plan.out}. To go on, run\n  {words}")
        raise typer.Exit(130) from None


def _print_result(result: HardenResult, files: tuple[Path, Path]) -> None:
    for made in result.profile.tables():
        show.table(*made)
    for line in result.profile.lines_below():
        show.say(line)
    show.say(result.verdict())
    if result.file is not None:
        show.say(f"hardened classifier: {result.file}    to use it: --classifier file:{result.file}")
    page, figure = files
    show.say(f"page: {page}    figure: {figure}    decisions: {result.folder}/harden.json")


def _print_plan(plan: HardenPlan, as_json: bool) -> None:
    shown = plan.as_json()
    if as_json:
        show.as_json({**shown, "out": str(plan.out)})
        return
    show.say(f"classifier: {shown['classifier']}")
    show.say(f"reference: {shown['reference']}")
    show.say(f"training images: {shown['data']}")
    show.say(f"measured on: {shown['val'] or shown['data'] + ', other images'}")
    judges = shown["judges"]
    show.say(f"judges: {'those of the generator' if judges is None else ', '.join(judges) or 'none'}")
    show.say(
        f"at most {plan.settings.rounds} rounds: measure, choose the weakest change, train, judge on other images, and "
        "keep what helps"
    )
    show.say(f"out: {plan.out}")
    show.say("")
    show.columns(("change", "trained against with"), list(shown["changes"].items()))
    show.say("")
    settings = {**shown["settings"], **shown["training"]}
    show.columns(("setting", "value"), [(name, "none" if v is None else str(v)) for name, v in settings.items()])

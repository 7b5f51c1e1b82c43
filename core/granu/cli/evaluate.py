"""`granu eval`: find out which changes break a classifier, and how small they can be."""

from __future__ import annotations

import datetime
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from granu.cli import complete, show
from granu.errors import OptionError, suggest
from granu.runs.gallery import DEFAULT_KEEP

if TYPE_CHECKING:
    from granu.plugins.context import BuildContext
    from granu.runs.plan import EvalPlan
    from granu.runs.writer import RunWriter

PRECISIONS = ("float32", "bfloat16")


def evaluate(
    perturb: Annotated[
        list[str] | None,
        typer.Option(
            "--perturb",
            "-p",
            autocompletion=complete.perturbations,
            help="Perturbation to apply, like stylegan:layer6 or stylegan:all; repeatable. Reports call it by its "
            "label=NAME.",
        ),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            "--suite",
            autocompletion=complete.suites,
            help="Perturbations that a suite lists, like corruptions, or a TOML file; repeatable.",
        ),
    ] = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier",
            "-c",
            autocompletion=complete.classifiers,
            help="Classifier to test, like zoo:mnist-cnn; repeatable. Reports call it by its label=NAME.",
        ),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            autocompletion=complete.classifiers,
            help="Classifier that votes on whether the label is still recognisable; repeatable. 'none' disables. "
            "Default: the generator's judges.",
        ),
    ] = None,
    guide: Annotated[
        list[str] | None,
        typer.Option(
            "--guide",
            autocompletion=complete.classifiers,
            help="Classifier that must keep the label in every change that is searched; repeatable. It then judges no "
            "more. preserve=no after a perturbation searches without guides.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="Source of images, like folder:val, for changes to images and generators that encode them."
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Images per classifier and perturbation.")] = 50,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same images and results.")] = 0,
    batch: Annotated[int, typer.Option("--batch", help="Images at a time; affects memory, not results.")] = 50,
    keep: Annotated[int, typer.Option("--keep", help="Save the first KEEP images that are changed.")] = DEFAULT_KEEP,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")] = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="float32 or bfloat16, for the search; verdicts are float32.")
    ] = "float32",
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Local processes that share the work; affects time, not results.")
    ] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Torch threads of each of several workers.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; repeated, it does what is missing.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run in --out first and start over.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure which changes break classifiers, coarse to fine, and how small such a change can be."""
    # imported here, because other commands must start fast without them
    from granu.cli.result import print_result, result_as_json
    from granu.plugins.catalog import load_catalog
    from granu.plugins.context import BuildContext
    from granu.runs.plan import Request
    from granu.runs.planning import make_plan
    from granu.runs.run import recorded_sources
    from granu.runs.suites import suite_perturbations
    from granu.runs.writer import open_run

    if precision not in PRECISIONS:
        raise OptionError(f"--precision {precision} is not offered; {suggest(precision, PRECISIONS)}")
    catalog = load_catalog()
    request = Request(
        perturbations=(*suite_perturbations(catalog, suite or ()), *(perturb or ())),
        classifiers=tuple(classifier or ()),
        judges=_judges(judge),
        guides=tuple(guide or ()),
        data=data,
        count=count,
        seed=seed,
        batch=batch,
        keep=keep,
        device=device,
        precision=precision,
    )
    context = BuildContext(catalog)
    folder = out or Path("runs") / datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    plan = make_plan(catalog, context, request, {} if fresh else recorded_sources(folder))
    if dry_run:
        _print_plan(plan, as_json)
        return
    with open_run(folder, seed, precision, fresh) as writer:
        with show.stdout_to_stderr(as_json):
            _measure(plan, context, writer, workers, threads, quiet or as_json)
        run = writer.run
        if as_json:
            show.as_json(result_as_json(run))
        elif run.trials:
            print_result(run)
            show.say(f"run: {folder}    images and figures: granu report {folder} --html report.html")
    if run.record.failures:
        raise typer.Exit(3)


def _judges(given: list[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return () if given == ["none"] else tuple(given)


def _measure(plan: EvalPlan, context: BuildContext, writer: RunWriter, workers: int, threads: int, quiet: bool) -> None:
    from granu.runs.evaluate import measure

    try:
        with show.progress(quiet) as progress:
            measure(plan, context, writer, shlex.join(["granu", *sys.argv[1:]]), progress, workers, threads)
    except KeyboardInterrupt:
        show.note(f"granu: interrupted; results so far are in {writer.run}. To resume, run")
        show.note(f"  {_resume(writer)}")
        raise typer.Exit(130) from None
    for failure in writer.record.failures:
        details = f"; the traceback is in {writer.run}/run.json" if failure.traceback else ""
        show.note(
            f"granu: {failure.perturbation} on {failure.classifier} failed in plugin '{failure.plugin}' for "
            f"{failure.images} images ({failure.reason}){details}"
        )


def _resume(writer: RunWriter) -> str:
    words = [word for word in sys.argv[1:] if word != "--fresh"]
    if not any(word in ("--out", "-o") or word.startswith("--out=") for word in words):
        words = [*words, "--out", str(writer.run)]
    return shlex.join(["granu", *words])


def _print_plan(plan: EvalPlan, as_json: bool) -> None:
    if as_json:
        show.as_json(plan.as_json())
        return
    results = len(plan.perturbations) * len(plan.classifiers)
    show.say(f"{len(plan.classifiers)} x {len(plan.perturbations)} = {results} results of {plan.request.count} images")
    show.say(f"seed: {plan.request.seed}")
    show.say("classifiers: " + ", ".join(str(c.spec) for c in plan.classifiers))
    show.say("judges: " + (", ".join(str(j.spec) for j in plan.judges) or "none"))
    if plan.guides:
        show.say("guides: " + ", ".join(str(guide.spec) for guide in plan.guides))
    show.say("images: " + ", ".join(dict.fromkeys(p.source.key for p in plan.perturbations)))
    encoded = [f"{p.source.key} by {p.generator.key}" for p in plan.perturbations if p.generator and p.is_encoded]
    if encoded:
        show.say("encoded: " + ", ".join(dict.fromkeys(encoded)))
    show.say("")
    show.columns(
        ("perturbation", "search", "edits", "plugin"),
        [
            (
                p.key,
                p.search.name if p.search else "its own",
                " + ".join(f"{s.name} {'x'.join(map(str, s.shape))}" for s in p.sites),
                p.resolved.entry.plugin,
            )
            for p in plan.perturbations
        ],
    )

"""`granu eval`: which changes break a classifier, and how small they can be."""

from __future__ import annotations

import datetime
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from granu.cli import complete, show
from granu.cli.result import print_result, result_as_json
from granu.errors import OptionError, suggest
from granu.plugins.catalog import Catalog, load_catalog
from granu.plugins.context import BuildContext
from granu.runs.folder import Run, open_run
from granu.runs.plan import EvalPlan, Request, make_plan

PRECISIONS = ("float32", "bfloat16")


def evaluate(
    perturb: Annotated[
        list[str] | None,
        typer.Option(
            "--perturb",
            "-p",
            autocompletion=complete.perturbations,
            help="What to change, like stylegan:layer6 or stylegan:all; give several.",
        ),
    ] = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier",
            "-c",
            autocompletion=complete.classifiers,
            help="What to test, like zoo:mnist-cnn; give several for a matrix.",
        ),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            autocompletion=complete.classifiers,
            help="Who says whether the label survived; 'none' for nobody. Without it, those of the weights.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Where images come from, for changes to images.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Images per cell.")] = 50,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same images and results.")] = 0,
    batch: Annotated[int, typer.Option("--batch", help="Images at a time; changes memory, not results.")] = 50,
    keep: Annotated[int, typer.Option("--keep", help="Write the images of the first KEEP.")] = 8,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")] = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="float32 or bfloat16, for the search; verdicts are float32.")
    ] = "float32",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run's folder; the same one again does what is missing.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure which changes break classifiers, coarse to fine, and how small such a change can be."""
    if precision not in PRECISIONS:
        raise OptionError(f"--precision {precision} is not offered; {suggest(precision, PRECISIONS)}")
    request = Request(
        perturbations=tuple(perturb or ()),
        classifiers=tuple(classifier or ()),
        judges=_judges(judge),
        data=data,
        count=count,
        seed=seed,
        batch=batch,
        keep=keep,
        device=device,
        precision=precision,
    )
    catalog = load_catalog()
    context = BuildContext(catalog)
    plan = make_plan(catalog, context, request)
    if dry_run:
        _print_plan(plan, as_json)
        return
    folder = out or Path("runs") / datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    with open_run(folder, plan.identity()) as run:
        code = _run(plan, context, run, catalog, quiet or as_json)
        if as_json:
            show.as_json(result_as_json(run))
        elif run.trials:
            print_result(run)
            show.say(f"run: {folder}    images and figures: granu report {folder} --html report.html")
    raise typer.Exit(code)


def _judges(given: list[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return () if given == ["none"] else tuple(given)


def _run(plan: EvalPlan, context: BuildContext, run: Run, catalog: Catalog, quiet: bool) -> int:
    from granu.runs.devices import choose_device
    from granu.runs.evaluate import evaluate as loop
    from granu.runs.provenance import describe_machine

    context.device = choose_device(plan.request.device)
    order = list(dict.fromkeys([*run.record.get("order", []), *(p.key for p in plan.perturbations)]))
    run.amend(plan=plan.as_json(), order=order, made=describe_machine(catalog, context.device), command=_command())
    try:
        with show.progress(quiet) as progress:
            failures = loop(plan, context, run, progress)
    except KeyboardInterrupt:
        show.note(f"granu: interrupted; what was measured is in {run.folder}, and this goes on from there:")
        show.note(f"  {_resume(run.folder)}")
        raise typer.Exit(130) from None
    run.amend(failures=[vars(failure) for failure in failures])
    for failure in failures:
        show.note(
            f"granu: {failure.perturbation} on {failure.classifier} failed in plugin '{failure.plugin}' "
            f"({failure.reason}); the traceback is in {run.folder / 'run.json'}"
        )
    return 3 if failures else 0


def _command() -> str:
    return shlex.join(["granu", *sys.argv[1:]])


def _resume(folder: Path) -> str:
    words = sys.argv[1:]
    if not any(word in ("--out", "-o") or word.startswith("--out=") for word in words):
        words = [*words, "--out", str(folder)]
    return shlex.join(["granu", *words])


def _print_plan(plan: EvalPlan, as_json: bool) -> None:
    if as_json:
        show.as_json(plan.as_json())
        return
    cells = len(plan.perturbations) * len(plan.classifiers)
    show.say(f"{cells} {'cell' if cells == 1 else 'cells'} of {plan.request.count} images, seed {plan.request.seed}")
    show.say("classifiers: " + ", ".join(str(c.spec) for c in plan.classifiers))
    show.say("judges: " + (", ".join(str(j.spec) for j in plan.judges) or "none"))
    if plan.data:
        show.say(f"images: {plan.data.spec}")
    show.say("")
    show.columns(
        ("perturbation", "search", "steps", "edits", "plugin"),
        [
            (
                p.key,
                p.search.search if p.search else "its own",
                str(p.search.passes) if p.search else "",
                " + ".join(f"{s.name} {'x'.join(map(str, s.shape))}" for s in p.sites),
                p.resolved.entry.plugin,
            )
            for p in plan.perturbations
        ],
    )

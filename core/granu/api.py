"""The Python API: attack a live model, evaluate without the command line, compare two classifiers.

Everything here runs the code of `granu eval` and `granu compare`: the core quantizes images to 8 bits and judges for
itself, and results depend on seed, image and spec alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from granu.errors import DataError, GranuError, OptionError
from granu.given import Preparation, device_of, given_dataset, resolve_classifiers, resolve_images
from granu.images.ops import decode_png, quantize
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.evaluate import measure
from granu.runs.gallery import DEFAULT_KEEP, changed_name
from granu.runs.plan import EvalPlan, Request
from granu.runs.planning import make_plan
from granu.runs.run import Run, read_run, recorded_sources
from granu.runs.suites import suite_perturbations
from granu.runs.trials import Trial
from granu.runs.writer import open_run
from granu.types import Dataset

if TYPE_CHECKING:
    from granu.report.present import CompareResult
    from granu.types import Classifier

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class AttackResult:
    """The result of `attack`, image by image, in the order given; N images.

    `images` are as judged, quantized to 8 bits; one that was misclassified from the start is unchanged, at the size of
    the generator if one encoded it. `sizes` are in `unit`, NaN where nothing was found; `l2` and `linf` are in [0, 1]
    pixel units, NaN where no image was changed.
    """

    images: Tensor  # (N, C, H, W) in [0, 1]
    sizes: Tensor  # (N,)
    found: Tensor  # (N,) bool
    predicted: Tensor  # (N,) int64
    l2: Tensor  # (N,)
    linf: Tensor  # (N,)
    unit: str
    trials: tuple[Trial, ...]
    run: Run

    def __repr__(self) -> str:
        counted = sum(trial.counts for trial in self.trials)
        return (
            f"AttackResult(found={int(self.found.sum())} of {counted}, images={len(self.trials)}, unit={self.unit!r})"
        )


def attack(
    model: nn.Module | Classifier | Callable[[Tensor], Tensor],
    images: Tensor | Dataset | Iterable[Any],
    labels: Tensor | Sequence[int] | None = None,
    perturb: str = "pixel:l2",
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    batch: int = 50,
    device: str | None = None,
    precision: str = "float32",
) -> AttackResult:
    """Search, for every image, a change that makes the model wrong.

    Args:
        model: network from (B, C, H, W) to logits (B, K). It is copied, so its mode and gradients stay as they are.
        images: (N, C, H, W) in [0, 1] or uint8, with 1 or 3 channels; or a loader of (images, labels); or a dataset.
        labels: class numbers (N,); left out with a loader or a dataset.
        perturb: spec of one perturbation of images, such as "pixel:linf,search=worst,budget=8/255", or of one site of a
            generator that encodes them.
        mean, std: per channel, for a network that wants (image - mean) / std.
        classes: names of the network's outputs; numbers if not given.
        device: by default the model's own.

    Raises GranuError, with the sentence that the command line would print.
    """
    dataset = given_dataset(images, labels)
    _check_one_size(dataset)
    count = len(dataset)
    how = {"count": count, "seed": seed, "batch": batch, "keep": count, "device": device, "precision": precision}
    plan, context = _plan([perturb], {"model": model}, dataset, [], Preparation(mean, std, classes), how)
    if len(plan.perturbations) > 1:
        raise OptionError(f"`{perturb}` means {len(plan.perturbations)} perturbations; attack takes one")
    with open_run(None, seed, precision) as writer:
        builder = measure(plan, context, writer, "granu.attack(...)", _silent)
        run = writer.run
    if run.record.failures:
        raise GranuError(run.record.failures[0].reason)
    (planned,) = plan.perturbations
    return _result(run, dataset, builder.encoder(planned).prepare if planned.is_encoded else quantize)


def evaluate(
    perturb: str | Sequence[str] = (),
    classifiers: Any = None,
    data: Any = None,
    *,
    suite: str | Sequence[str] = (),
    judges: Any = None,
    guides: Any = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    count: int = 50,
    seed: int = 0,
    batch: int = 50,
    keep: int = DEFAULT_KEEP,
    device: str | None = None,
    precision: str = "float32",
    out: str | Path | None = None,
    fresh: bool = False,
    workers: int = 1,
    threads: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Measure perturbations of classifiers, as `granu eval` does; with `out`, into a folder that can be resumed.

    Args:
        perturb: one or several specs.
        suite: one or several suites, by name or as TOML files; their perturbations come first.
        classifiers: a spec, a model, a list of them, or a dict from names to models or specs. By default the classifier
            that comes with the generator.
        data: a spec, (images, labels), a loader of such batches, or a dataset; images as for `attack`.
        judges: as classifiers; an empty list asks nobody. By default the judges that come with the generator.
        guides: as classifiers; they must keep the label in every change that is searched.
        mean, std, classes: as for `attack`, for models given as nn.Module.
        count, seed, batch, keep, device, precision, fresh, workers, threads: as the options of `granu eval`.
        progress: called with (images done, images in all, what is being measured).

    Returns the run; what could not be measured is in `run.record.failures`. Raises GranuError, with the sentence that
    the command line would print.
    """
    folder = None if out is None else Path(out)
    dataset = data if data is None or isinstance(data, str) else given_dataset(data, most=count)
    perturbations = [*suite_perturbations(load_catalog(), _several(suite)), *_several(perturb)]
    how = {"count": count, "seed": seed, "batch": batch, "keep": keep, "device": device, "precision": precision}
    recorded = {} if fresh or folder is None else recorded_sources(folder)
    preparation = Preparation(mean, std, classes)
    plan, context = _plan(perturbations, classifiers, dataset, judges, preparation, how, recorded, guides)
    with open_run(folder, seed, precision, fresh) as writer:
        measure(plan, context, writer, "granu.evaluate(...)", progress or _silent, workers, threads)
        return writer.run


def compare(
    first: Run | str | Path,
    second: Run | str | Path | None = None,
    *,
    classifier: str | None = None,
    versus: str | None = None,
) -> CompareResult:
    """Compare two classifiers image by image, as `granu compare` does: of two runs, or of one."""
    from granu.report.present import compare_runs

    runs = [one if isinstance(one, Run) else read_run(Path(one)) for one in (first, second) if one is not None]
    return compare_runs(runs, classifier, versus)


def _plan(
    perturbations: Sequence[str],
    classifiers: Any,
    data: str | Dataset | None,
    judges: Any,
    preparation: Preparation,
    how: Mapping[str, Any],
    recorded: Mapping[str, str] | None = None,
    guides: Any = None,
) -> tuple[EvalPlan, BuildContext]:
    """The plan of a request; `how` are the further fields of a `Request`, `recorded` as in `make_plan`."""
    catalog = load_catalog()
    sample = None if data is None or isinstance(data, str) else data.read(0)[0]
    request = Request(
        perturbations=tuple(perturbations),
        classifiers=resolve_classifiers(catalog, classifiers, sample, preparation),
        judges=None if judges is None else resolve_classifiers(catalog, judges, sample, preparation),
        guides=() if guides is None else resolve_classifiers(catalog, guides, sample, preparation),
        data=data if data is None or isinstance(data, str) else resolve_images(data),
        **{**how, "device": how["device"] or _device(classifiers)},
    )
    context = BuildContext(catalog)
    return make_plan(catalog, context, request, recorded), context


def _several(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _device(classifiers: Any) -> str:
    models = classifiers.values() if isinstance(classifiers, dict) else [classifiers]
    return next((device for model in models if (device := device_of(model))), "auto")


def _silent(done: int, total: int, what: str) -> None:
    """Report no progress."""


def _check_one_size(dataset: Dataset) -> None:
    """DataError where an image is broken, or images differ in size, since the result is one tensor."""
    shapes = sorted({tuple(dataset.read(index)[0].shape) for index in range(len(dataset))})
    if len(shapes) > 1:
        raise DataError(f"attack takes images of one size, not {shapes[0]} and {shapes[1]}; use granu.evaluate instead")


def _result(run: Run, dataset: Dataset, fit: Callable[[Tensor], Tensor]) -> AttackResult:
    """The result of a run on a dataset; `fit` gives unchanged images the shape of the changed ones."""
    by_image = {trial.image: trial for trial in run.trials}
    trials = tuple(by_image[dataset.image_id(index)] for index in range(len(dataset)))
    images = [_judged_image(run, trial, dataset, index, fit) for index, trial in enumerate(trials)]
    return AttackResult(
        images=torch.stack(images),
        sizes=_numbers([trial.size for trial in trials]),
        found=torch.tensor([trial.outcome == "found" for trial in trials]),
        predicted=torch.tensor([-1 if trial.predicted is None else trial.predicted for trial in trials]),
        l2=_numbers([trial.l2 for trial in trials]),
        linf=_numbers([trial.linf for trial in trials]),
        unit=next((trial.unit for trial in trials if trial.unit), ""),
        trials=trials,
        run=run,
    )


def _judged_image(run: Run, trial: Trial, dataset: Dataset, index: int, fit: Callable[[Tensor], Tensor]) -> Tensor:
    changed = run.read_image(changed_name(trial.image, trial.classifier, trial.perturbation))
    return fit(dataset.read(index)[0][None])[0] if changed is None else decode_png(changed)


def _numbers(values: Sequence[float | None]) -> Tensor:
    return torch.tensor([float("nan") if value is None else value for value in values])

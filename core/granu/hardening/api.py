"""`granu.harden`: hardening from Python, with specs or with models and images that exist already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from granu.given import Preparation, given_dataset, resolve_classifiers, resolve_images
from granu.hardening.harden import harden as run_hardening
from granu.hardening.outputs import write_report
from granu.hardening.plan import HardenPlan, HardenRequest
from granu.hardening.planning import make_harden_plan, settings_as_text
from granu.hardening.rounds import HardenResult
from granu.plugins.catalog import Resolved, load_catalog
from granu.plugins.context import BuildContext
from granu.training.api import SilentListener
from granu.training.planning import check_settings
from granu.types import Dataset

Progress = Callable[[int, int, str], None]


def harden(
    classifier: Any,
    data: Any,
    reference: Any,
    perturb: str | Sequence[str],
    *,
    out: str | Path,
    val: Any = None,
    judges: Any = None,
    defenses: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> HardenResult:
    """Train a classifier against the changes at which it is weakest, as `granu harden` does; repeated, it goes on.

    Args:
        classifier: a spec, or a network from (B, C, H, W) to logits (B, K), which stays as it is.
        data: training images: a spec, (images, labels), a loader of such batches, or a dataset.
        reference: what sizes are related to, like `classifier`.
        perturb: one or several specs.
        out: the folder to write.
        val: images to measure on, like `data`; by default a part of `data`.
        judges: as for `granu.evaluate`.
        defenses: a defense for a change, by the change's spec; `{budget}` in it stands for the size.
        settings: settings of `granu harden` by name, such as {"rounds": 2, "count": 100}.
        training: further settings of `granu train` by name, such as {"lr": 0.01}.
        mean, std, classes: as for `granu.attack`, for networks given as nn.Module.
        fresh: start over.
        progress: called with (done, in all, what is going on).

    Raises GranuError, with the sentence that the command line would print.
    """
    plan, context = plan_hardening(
        classifier,
        data,
        reference,
        perturb,
        out,
        val,
        judges,
        defenses,
        settings,
        training,
        Preparation(mean, std, classes),
    )
    result = run_hardening(plan, context, SilentListener(progress), "granu.harden(...)", fresh)
    write_report(result)
    return result


def plan_hardening(
    classifier: Any,
    data: Any,
    reference: Any,
    perturb: str | Sequence[str],
    out: str | Path,
    val: Any = None,
    judges: Any = None,
    defenses: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    how: Preparation | None = None,
) -> tuple[HardenPlan, BuildContext]:
    """Plan a hardening from the arguments of `harden`; `how` prepares networks given as nn.Module."""
    catalog = load_catalog()
    context = BuildContext(catalog)
    images = _images(data)
    sample = None if isinstance(images, str) else images.read(0)[0]
    how = how or Preparation()
    given = {"model": classifier} if not isinstance(classifier, str) else classifier
    other = {"reference": reference} if not isinstance(reference, str) else reference
    request = HardenRequest(
        classifier=resolve_classifiers(catalog, given, sample, how)[0],
        reference=resolve_classifiers(catalog, other, sample, how)[0],
        data=images if isinstance(images, str) else resolve_images(images),
        perturbations=(perturb,) if isinstance(perturb, str) else tuple(perturb),
        out=Path(out),
        val=None if val is None else _resolved(val),
        judges=None if judges is None else resolve_classifiers(catalog, judges, sample, how),
        defenses=tuple(f"{change}={defense}" for change, defense in (defenses or {}).items()),
        settings=settings_as_text(settings or {}),
        training=check_settings(training or {}),
    )
    return make_harden_plan(catalog, context, request), context


def _images(given: Any) -> str | Dataset:
    return given if isinstance(given, str) else given_dataset(given)


def _resolved(given: Any) -> str | Resolved:
    images = _images(given)
    return images if isinstance(images, str) else resolve_images(images)

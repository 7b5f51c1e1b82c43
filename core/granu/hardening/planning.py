"""Planning of a hardening: everything that can be known before weights load is checked, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from granu.errors import GranuError, OptionError, UnknownName, suggest
from granu.hardening.plan import BUDGET, Grain, HardenPlan, HardenRequest
from granu.hardening.settings import HardenSettings, setting_names
from granu.plugins.catalog import Catalog, Resolved
from granu.plugins.context import BuildContext
from granu.plugins.offers import DefenseOffer
from granu.plugins.options import read_options
from granu.plugins.spec import Spec, parse_spec
from granu.runs.drafts import Draft, draft
from granu.search.options import SEARCH_KEYS
from granu.training.plan import TrainRequest
from granu.training.planning import make_train_plan
from granu.training.settings import setting_names as training_names

ROUND = "round-{}"  # the name of a classifier that a round trained, and of its file
DECIDED = ("epochs", "images", "seed", "device")  # settings of a training that a hardening decides


NO_CLASSIFIER = "name the classifier to harden with --classifier, for example --classifier zoo:mnist-lenet"
NO_REFERENCE = "name the classifier that holds better with --reference, for example --reference zoo:mnist-cnn-l2"


def make_harden_plan(catalog: Catalog, context: BuildContext, request: HardenRequest) -> HardenPlan:
    """Check all that can be known beforehand; raises the GranuError of the first mistake."""
    settings = read_options(HardenSettings, request.settings, "granu harden")
    classifier = _named(catalog, request.classifier, NO_CLASSIFIER)
    reference = _named(catalog, request.reference, NO_REFERENCE)
    if (classifier.entry.name, classifier.options) == (reference.entry.name, reference.options):
        raise OptionError(f"--reference is the classifier itself, `{reference.spec}`; name one that holds better")
    if request.data is None:
        raise OptionError("name the training images with --data, for example --data folder:train")
    plan = HardenPlan(
        classifier,
        reference,
        _images(catalog, request.data),
        None if request.val is None else _images(catalog, request.val),
        request.judges,
        _grains(catalog, context, request, settings),
        settings,
        _training(request.training),
        _checked_out(request.out),
    )
    for one in (plan.classifier, plan.reference, plan.data, *filter(None, [plan.val])):
        if one.offer.check is not None:
            one.offer.check(one.options, context)
    for judge in plan.judges or ():
        if isinstance(judge, str):
            context.check("classifier", judge)
    make_train_plan(catalog, context, train_request(plan, plan.classifier, plan.data, plan.grains[0], 1.0, 1))
    return plan


def train_request(
    plan: HardenPlan, classifier: Resolved, data: Resolved, grain: Grain, budget: float, number: int
) -> TrainRequest:
    """The training of a round: from `classifier`, against one change at one size."""
    settings = plan.settings
    decided = {
        "epochs": str(settings.epochs),
        "images": str(settings.images),
        "seed": str(settings.seed + number - 1),  # each round draws other images in another order
        "device": settings.device,
    }
    return TrainRequest(
        classifier=classifier,
        data=data,
        out=plan.out / f"{ROUND.format(number)}.safetensors",
        defenses=(grain.defense_at(budget),),
        settings={**plan.training, **decided},
        where="granu harden --train",
    )


def settings_as_text(given: Mapping[str, Any]) -> dict[str, str]:
    """Settings from Python, by name, as they would be typed. OptionError for an unknown name."""
    known, read = setting_names(), {}
    for key, value in given.items():
        name = key.replace("_", "-")
        if name not in known:
            raise OptionError(f"there is no setting '{key}'; {suggest(name, known)}")
        read[name] = str(value)
    return read


def read_training(words: Sequence[str]) -> dict[str, str]:
    """Settings of `granu train` from texts like `lr=0.001`."""
    read = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise OptionError(f"--train {word} must be a setting of `granu train` and its value, like --train lr=0.001")
        read[key] = value
    return read


def _training(given: Mapping[str, str]) -> dict[str, str]:
    known = [name for name in training_names() if name not in DECIDED]
    for key in given:
        if key in DECIDED:
            raise OptionError(f"--train {key}= is a setting of `granu harden` itself; write --{key}")
        if key not in known:
            raise OptionError(f"`granu train` has no setting '{key}'; {suggest(key, known)}")
    return dict(given)


def _named(catalog: Catalog, given: str | Resolved | None, otherwise: str) -> Resolved:
    if given is None:
        raise OptionError(otherwise)
    return given if isinstance(given, Resolved) else catalog.resolve("classifier", parse_spec(given))


def _images(catalog: Catalog, given: str | Resolved) -> Resolved:
    return given if isinstance(given, Resolved) else catalog.resolve_images(parse_spec(given))


def _grains(
    catalog: Catalog, context: BuildContext, request: HardenRequest, settings: HardenSettings
) -> tuple[Grain, ...]:
    if not request.perturbations:
        raise OptionError("say with --perturb which changes to measure and train against, like --perturb pixel:l2")
    drafts = {one.key: one for text in request.perturbations for one in draft(catalog, context, text)}
    named = _defenses(request.defenses, list(drafts))
    return tuple(_grain(catalog, context, one, named.get(one.key), settings) for one in drafts.values())


def _defenses(words: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """The defense of each change that has one of its own, from texts CHANGE=DEFENSE; both may hold the sign `=`."""
    named = {}
    for word in words:
        key = max((key for key in keys if word.startswith(f"{key}=")), key=len, default=None)
        if key is None:
            raise UnknownName("change", word.partition("=")[0], keys, f"--defense {word}")
        named[key] = word.removeprefix(f"{key}=")
    return named


def _grain(catalog: Catalog, context: BuildContext, one: Draft, named: str | None, settings: HardenSettings) -> Grain:
    if one.search is not None and one.search.budget is not None:
        raise OptionError(f"`{one.key}` spends a budget, and hardening compares smallest sizes; leave out search=")
    defense = named or _default_defense(catalog, one, settings)
    try:
        context.check("defense", defense.replace(BUDGET, "1"))
    except GranuError as problem:
        if named is not None:
            raise
        raise OptionError(f"{problem}; or give it a defense of its own with --defense '{one.key}=...'") from None
    return Grain(one.key, defense, one.draws)


def _default_defense(catalog: Catalog, one: Draft, settings: HardenSettings) -> str:
    """The first defense that attacks in the space of any perturbation, in that of this one."""
    names = [
        name
        for name, entry in catalog.of_kind("defense").items()
        if isinstance(entry.offer, DefenseOffer) and entry.offer.attacks
    ]
    if not names:
        raise OptionError(f"no installed defense attacks `{one.key}`; name one with --defense '{one.key}=...'")
    spec = one.resolved.spec
    kept = tuple((key, value) for key, value in spec.options if key not in SEARCH_KEYS)
    attacked = Spec(spec.name, spec.target, kept).with_options({**dict(kept), "steps": str(settings.steps)})
    return f"{names[0]}:{attacked},budget={BUDGET}"


def _checked_out(out: Path | None) -> Path:
    if out is None:
        raise OptionError("name the folder to write with --out, for example --out runs/hardened")
    if out.is_file():
        raise OptionError(f"--out {out} is a file; name a folder")
    return out

"""Planning of a training: from flags and a TOML file to a plan in which all that can be known beforehand is checked."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from granu.errors import OptionError, PluginError, suggest
from granu.plugins.catalog import Catalog, Resolved
from granu.plugins.context import BuildContext
from granu.plugins.options import read_options
from granu.plugins.spec import parse_spec
from granu.training.plan import TrainPlan, TrainRequest
from granu.training.settings import TrainingSettings, setting_names

SUFFIX = ".safetensors"
SPECS = ("defense", "classifier", "data", "val", "out")


def read_config(file: Path) -> dict[str, Any]:
    """The values of a TOML file whose keys are the flags of `granu train`. OptionError for any other key or value."""
    try:
        values = tomllib.loads(file.read_text())
    except OSError as problem:
        raise OptionError(f"cannot read --config {file}: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise OptionError(f"{file} is not valid TOML ({problem})") from None
    known = (*SPECS, *setting_names())
    read = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        if name not in known:
            raise OptionError(f"{file} has an unknown key '{key}'; {suggest(name, known)}")
        read[name] = _texts(value, file, key) if name == "defense" else _text(value, str(file), key)
    return read


def check_settings(given: Mapping[str, Any]) -> dict[str, str]:
    """Settings from Python, by name, as texts that `read_options` reads. OptionError for an unknown name."""
    known, read = setting_names(), {}
    for key, value in given.items():
        name = key.replace("_", "-")
        if name not in known:
            raise OptionError(f"there is no setting '{key}'; {suggest(name, known)}")
        read[name] = _text(list(value) if isinstance(value, tuple) else value, "settings", key)
    return read


def make_request(given: Mapping[str, Any], config: Path | None = None) -> TrainRequest:
    """A request from flags by name, None where not given, and a TOML file; flags take precedence."""
    values = {} if config is None else read_config(config)
    values |= {name: value for name, value in given.items() if value is not None}
    settings = {name: str(values[name]) for name in setting_names() if name in values}
    return TrainRequest(
        classifier=values.get("classifier"),
        data=values.get("data"),
        out=Path(values["out"]) if "out" in values else None,
        defenses=tuple(values.get("defense", ())),
        val=values.get("val"),
        settings=settings,
        where="granu train" if config is None else f"granu train --config {config}",
    )


def make_train_plan(catalog: Catalog, context: BuildContext, request: TrainRequest) -> TrainPlan:
    """Check everything that can be known before anything is built; raises the GranuError of the first mistake."""
    settings = read_options(TrainingSettings, request.settings, request.where)
    if request.classifier is None:
        raise OptionError("name the classifier to train with --classifier, for example --classifier zoo:mnist-lenet")
    if request.data is None:
        raise OptionError("name the training images with --data, for example --data folder:train")
    plan = TrainPlan(
        _resolve(catalog, "classifier", request.classifier),
        tuple(_resolve(catalog, "defense", defense) for defense in request.defenses),
        _resolve_images(catalog, request.data),
        None if request.val is None else _resolve_images(catalog, request.val),
        settings,
        _checked_out(request.out),
    )
    for resolved in (plan.classifier, *plan.defenses, plan.data, *filter(None, [plan.val])):
        if resolved.offer.check is not None:
            resolved.offer.check(resolved.options, context)
    if importlib.util.find_spec("accelerate") is None:
        raise PluginError("training needs the package accelerate; install it with pip install 'granu[train]'")
    return plan


def _resolve(catalog: Catalog, kind: str, given: str | Resolved) -> Resolved:
    return given if isinstance(given, Resolved) else catalog.resolve(kind, parse_spec(given))


def _resolve_images(catalog: Catalog, given: str | Resolved) -> Resolved:
    """A dataset, or a generator that draws the images."""
    return given if isinstance(given, Resolved) else catalog.resolve_images(parse_spec(given))


def _checked_out(out: Path | None) -> Path:
    if out is None:
        raise OptionError(f"name the file to write with --out, for example --out trained{SUFFIX}")
    if out.suffix != SUFFIX:
        raise OptionError(f"--out {out} must end with {SUFFIX}; write it like --out {out.with_suffix(SUFFIX)}")
    if out.is_dir():
        raise OptionError(f"--out {out} is a folder; name a file")
    return out


def _texts(value: Any, file: Path, key: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        raise OptionError(f"{file}: {key} must be a text or a list of texts")
    return values


def _text(value: Any, where: str, key: str) -> str:
    """A value as it would be typed, so that one set of rules reads both."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(one, int | float | str) for one in value):
        return "+".join(map(str, value))
    if not isinstance(value, int | float | str):
        raise OptionError(f"{where}: {key} must be a number, a text, or true or false")
    return str(value)

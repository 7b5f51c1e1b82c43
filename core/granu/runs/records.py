"""Records of a run: one typed record per perturbation and per classifier, kept in `run.json`.

Reports read the trials and these records, and nothing else. A later command on the same folder merges its records into
them, and is refused where it would mix incomparable trials under one key.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from granu.errors import RunFolderError

FORMAT = 2  # of run.json


@dataclass(frozen=True)
class SourceRecord:
    """The source of a perturbation's images."""

    spec: str  # `stylegan`, `folder:val`; how images given from Python are named there
    kind: str  # "generator" or "dataset"
    fingerprint: str | None = None  # of a generator; the images of a dataset are hashed one by one, in their trials
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GeneratorRecord:
    """A generator that encoded a perturbation's images."""

    spec: str
    fingerprint: str
    encoding: str  # the parameters of the encoding
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SiteRecord:
    """A site of a generator, and what its sizes were measured in."""

    name: str
    shape: tuple[int, ...]
    scale: str  # "sigma" or "pixel"
    samples: int | None = (
        None  # clean images behind each neuron's standard deviation: per class if drawn, in all if not
    )
    neurons: int | None = None
    clamped: int | None = None  # near-constant neurons whose deviation was raised to the minimum, at most in any class
    across: bool = False  # constant within a class, so that the deviation is the one across classes


@dataclass(frozen=True)
class PerturbationRecord:
    """One perturbation at one target, as resolved; `key` names it in the trials."""

    key: str
    name: str  # of the offer: `stylegan`, `pixel`
    target: str | None
    given: Mapping[str, str]  # the options as typed
    plugin: str
    distribution: str
    options: Mapping[str, Any]  # with all defaults filled in
    source: SourceRecord
    unit: str = ""
    search: str | None = None  # None: the perturbation brings its own search
    search_options: Mapping[str, Any] = field(default_factory=dict)
    budget: float | None = None  # the size spent, by searches that spend one
    sites: tuple[SiteRecord, ...] = ()
    site_options: Mapping[str, Any] = field(default_factory=dict)  # where a generator's sites are edited
    generator: GeneratorRecord | None = None  # where it encoded the images of the source; None where it drew them
    judges: tuple[str, ...] = ()  # classifiers asked to vote on the label; none votes on itself
    guides: tuple[str, ...] = ()  # classifiers that had to keep the label in the search; none guides against itself
    weights: Mapping[str, str] = field(default_factory=dict)  # name -> sha256
    note: str = ""  # what a reader of the results must know about the perturbation
    label: str = ""  # what reports call it, where that was given

    @property
    def edited(self) -> str:
        """The spec of the generator whose sites are edited, or else of what the images come from."""
        return self.generator.spec if self.generator else self.source.spec


@dataclass(frozen=True)
class ClassifierRecord:
    """A classifier under test, a judge or a guide; `name` names it in the trials."""

    name: str
    plugin: str
    distribution: str
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    fingerprint: str | None  # of its weights and preprocessing; None where there is nothing to hash
    weights: Mapping[str, str] = field(default_factory=dict)
    label: str = ""  # what reports call it, where that was given


@dataclass(frozen=True)
class FailureRecord:
    """Images of one classifier and perturbation that could not be measured, and why."""

    classifier: str
    perturbation: str
    plugin: str
    reason: str
    images: int
    traceback: str = ""


@dataclass(frozen=True)
class CommandRecord:
    """One command that wrote to the run, with the machine and versions that it ran on."""

    command: str
    started: str  # ISO 8601, UTC
    made_with: Mapping[str, Any]


@dataclass
class RunRecord:
    """All records of a run. The order of `perturbations` is that of tables and figures, coarse to fine."""

    seed: int = 0
    precision: str = "float32"
    perturbations: dict[str, PerturbationRecord] = field(default_factory=dict)
    classifiers: dict[str, ClassifierRecord] = field(default_factory=dict)
    commands: list[CommandRecord] = field(default_factory=list)
    failures: list[FailureRecord] = field(default_factory=list)
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        return dataclasses.asdict(self)


def read_record(data: Any, where: str) -> RunRecord:
    """The other way round. RunFolderError says which entry of `where` is wrong."""
    if not isinstance(data, dict) or "perturbations" not in data:
        raise RunFolderError(f"{where} is not the record of a run that granu wrote; name another folder")
    if data.get("format") != FORMAT:
        raise RunFolderError(
            f"{where} has format {data.get('format')}, this granu reads format {FORMAT}; measure into another folder, "
            "or use the granu that wrote it"
        )
    record = _value(RunRecord, data, where)
    assert isinstance(record, RunRecord)
    return record


def differences(before: PerturbationRecord, now: PerturbationRecord) -> Iterator[str]:
    """Differences that make trials of a perturbation incomparable with earlier ones, a phrase each."""
    for name, old, new in (
        ("images", before.source.spec, now.source.spec),
        ("generator", before.source.fingerprint, now.source.fingerprint),
        ("judges", sorted(before.judges), sorted(now.judges)),
        ("guides", sorted(before.guides), sorted(now.guides)),
        ("options", dict(before.options), dict(now.options)),
        ("search", _search_options(before, now), dict(now.search_options)),
        # records of earlier versions have none
        ("site options", dict(before.site_options or now.site_options), dict(now.site_options)),
        ("encoding", before.generator, now.generator),
    ):
        if old != new:
            yield f"{name} {_brief(old)} before, {_brief(new)} now"


# options that searches of earlier versions did not have: they preserved nothing and followed gradients
ADDED = {"preserve": False, "gradients": True}


def _search_options(before: PerturbationRecord, now: PerturbationRecord) -> dict[str, Any]:
    """The earlier options of the search, with those that it did not have yet as it acted then."""
    return {name: value for name, value in ADDED.items() if name in now.search_options} | dict(before.search_options)


def names_in(records: Iterable[PerturbationRecord]) -> set[str]:
    """All judges that these perturbations ask."""
    return {judge for record in records for judge in record.judges}


def _brief(value: Any) -> str:
    text = ", ".join(value) or "none" if isinstance(value, list) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."


T = TypeVar("T")


def _value(hint: Any, data: Any, where: str) -> Any:
    """`data` as a value of the annotated type; RunFolderError with the path of what is wrong."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _instance(typing.cast(type, hint), data, where)
    if hint is Any:
        return data
    if arguments and type(None) in arguments:
        return None if data is None else _value(arguments[0], data, where)
    if origin is tuple or origin is list:
        if not isinstance(data, list | tuple):
            raise _wrong(where, "a list", data)
        values = [_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data)]
        return tuple(values) if origin is tuple else values
    if origin in (dict, Mapping):
        if not isinstance(data, dict):
            raise _wrong(where, "an object", data)
        return {key: _value(arguments[1], item, f"{where}.{key}") for key, item in data.items()}
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, hint) or (hint is int and isinstance(data, bool)):
        raise _wrong(where, hint.__name__, data)
    return data


def _instance(cls: type[T], data: Any, where: str) -> T:
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {name: _value(hints[name], value, f"{where}.{name}") for name, value in data.items() if name in known}
    try:
        return cls(**values)
    except TypeError:
        missing = [
            f.name
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]
            if f.name not in values and f.default is f.default_factory is dataclasses.MISSING
        ]
        raise RunFolderError(f"{where} lacks {', '.join(missing)}; it was not written by granu") from None


def _wrong(where: str, wanted: str, data: Any) -> RunFolderError:
    return RunFolderError(f"{where} must be {wanted}, not {str(data)[:50]!r}; it was not written by granu")

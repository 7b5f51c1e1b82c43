"""The averaged generator of NVIDIA's .pkl files, StyleGAN2-ADA and StyleGAN3.

The layout is that of NVlabs/stylegan2-ada-pytorch and NVlabs/stylegan3: a dictionary of networks, each with the
source code of its classes. That code is not run; the architecture is recognised by the names of the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granu import Refused, StandIn, StoredTensor, WeightsError, is_torch_file, read_pickle, shown
from granu_stylegan.arguments import CLAMP

DEEPEST = 8  # nesting of modules; real files have four levels, a forged one may contain itself
POSITIONAL = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
NETWORKS = ("G_ema", "G")  # by preference: the average gives better images


@dataclass(frozen=True)
class ModuleRecord:
    """An object pickled with the source of its class; the source is dropped, the state is kept."""

    state: Mapping[str, Any]


@dataclass(frozen=True)
class NvidiaGenerator:
    """A generator as stored in a .pkl; `arguments` are those of its constructor.

    `stated` are arguments that its layers keep: they hold where the constructor's default applies, which differs
    between StyleGAN2-ADA and the StyleGAN2 of StyleGAN3.
    """

    arguments: Mapping[str, Any]
    stated: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]


def recognises(file: Path) -> bool:
    """Recognise a plain pickle of protocol 2 or later that was not written by torch.save before 1.6."""
    with file.open("rb") as stream:
        return stream.read(1) == b"\x80" and not is_torch_file(file)


def read_generator(file: Path) -> NvidiaGenerator:
    """Read G_ema, or the only network in the file. WeightsError if it is damaged, forged, or of another kind."""
    content = read_pickle(file, NAMES)
    try:
        return _generator(content)
    except Refused as refusal:
        raise WeightsError(f"{file} {refusal}") from None


def _generator(content: Any) -> NvidiaGenerator:
    state = _network(content).state
    given, kwargs = state.get("_init_args", ()), state.get("_init_kwargs", {})
    if not isinstance(given, tuple | list) or not isinstance(kwargs, dict):
        raise Refused("holds a generator without arguments")
    arguments = {**dict(zip(POSITIONAL, given, strict=False)), **kwargs}
    for part in ("mapping_kwargs", "synthesis_kwargs"):
        if not isinstance(arguments.get(part) or {}, dict):
            raise Refused(f"holds a generator whose {part} are no arguments")
    tensors: dict[str, StoredTensor] = {}
    clamps: list[Any] = []
    _collect(_network(content), "", 0, set(), tensors, clamps)
    return NvidiaGenerator(arguments, {CLAMP: clamps[0]} if clamps else {}, tensors)


def _network(content: Any) -> ModuleRecord:
    """The generator: the file's object itself, or one in the dictionary that training writes."""
    networks = content if isinstance(content, dict) else {"G_ema": content}
    for name in NETWORKS:
        if isinstance(networks.get(name), ModuleRecord):
            return networks[name]
    if isinstance(networks.get("G_ema"), dict):
        raise Refused("holds tensors only; write it with torch.save instead of pickle.dump")
    if networks.get("G_ema") is not None:
        raise Refused(f"holds {shown(networks['G_ema'])} for the network G_ema")
    found = f" but {', '.join(map(shown, list(content)[:5]))}" if isinstance(content, dict) and content else ""
    raise Refused(f"holds no G_ema{found}, so it is not a StyleGAN2-ADA or StyleGAN3 of NVIDIA's")


def _collect(
    module: ModuleRecord, prefix: str, depth: int, seen: set[int], tensors: dict[str, StoredTensor], clamps: list[Any]
) -> None:
    """Gather parameters and persistent buffers under the names of a state dict, and the clamps of layers."""
    if depth > DEEPEST or id(module) in seen:
        raise Refused("holds modules nested too deeply, or in themselves")
    seen.add(id(module))
    state = module.state
    kept = state.get("_non_persistent_buffers_set", ())
    temporary = {name for name in kept if isinstance(name, str)} if isinstance(kept, list | tuple) else set()
    if CLAMP in state:
        clamps.append(state[CLAMP])
    for part in ("_parameters", "_buffers"):
        for name, value in _items(state, part):
            if isinstance(value, StoredTensor) and name not in temporary:
                tensors[f"{prefix}{name}"] = value
    for name, child in _items(state, "_modules"):
        if isinstance(child, ModuleRecord):
            _collect(child, f"{prefix}{name}.", depth + 1, seen, tensors, clamps)


def _items(state: Mapping[str, Any], part: str) -> Iterator[tuple[Any, Any]]:
    found = state.get(part, {})
    yield from found.items() if isinstance(found, dict) else ()


def _module(meta: Any = None) -> ModuleRecord:
    state = meta.get("state") if isinstance(meta, dict) else None
    if not isinstance(state, dict):
        raise Refused("holds an object without state")
    return ModuleRecord(state)


def _attributes(items: Any = None, *_more: object) -> dict[Any, Any]:
    """A dictionary whose entries are attributes too."""
    pairs = list(items.items()) if isinstance(items, dict) else items or []
    if not isinstance(pairs, list) or not all(isinstance(p, tuple) and len(p) == 2 for p in pairs):
        raise Refused("holds a dictionary that is none")
    return {str(name): value for name, value in pairs if isinstance(name, str)}


NAMES: Mapping[tuple[str, str], Any] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): StandIn(_module),
    ("dnnlib.util", "EasyDict"): StandIn(_attributes),
    ("dnnlib", "EasyDict"): StandIn(_attributes),
    ("dnnlib.tflib.network", "Network"): Refused("is a TensorFlow pickle; convert it with NVIDIA's legacy.py"),
}

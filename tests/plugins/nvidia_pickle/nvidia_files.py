"""Pickles in the layout of NVIDIA's code: networks with their source, arguments and tensors."""

import collections
import io
import json
import pickle
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

PLUGINS = Path(__file__).parents[1]
GOLDEN = {
    "stylegan2": PLUGINS / "stylegan" / "stylegan2-conditional.safetensors",
    "stylegan3-t": PLUGINS / "stylegan3" / "stylegan3-t.safetensors",
    "stylegan3-r": PLUGINS / "stylegan3" / "stylegan3-r.safetensors",
}
BUFFERS = frozenset(("w_avg", "noise_const", "resample_filter", "magnitude_ema", "up_filter", "down_filter")) | {
    "transform",
    "freqs",
    "phases",
}
SOURCE = "raise SystemExit('the source inside a file was run')\n"


class Golden:
    """Weights, constructor arguments, inputs and outputs of NVIDIA's implementation."""

    def __init__(self, name: str) -> None:
        tensors = load_file(GOLDEN[name])
        with safe_open(GOLDEN[name], "pt") as file:
            self.arguments = json.loads(file.metadata()["config"])
        self.state = {n.removeprefix("state."): t for n, t in tensors.items() if n.startswith("state.")}
        self.z, self.c, self.image = tensors["in.z"], tensors.get("in.c"), tensors["out.image"]


class Named:
    """Pickles as the function or class `module.name`, which need not exist."""

    def __init__(self, module: str, name: str) -> None:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
        self.module, self.name = module, name


class Call:
    """Pickles as a call of `function` with `arguments`; `state` is set on the result."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments, self.state


class Pickler(pickle._Pickler):  # the pure Python one, which can be subclassed for names
    """Writes a `Named` as the bare name."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> Any:
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            return None
        return super().save(obj, save_persistent_id)

    def save_reduce(self, func: Any, args: Any, *rest: Any, **named: Any) -> None:
        if isinstance(func, Named):
            self.save(func)
            self.save(args)
            self.write(pickle.REDUCE)
            state = rest[0] if rest else named.get("state")
            if state is not None:
                self.save(state)
                self.write(pickle.BUILD)
            return
        super().save_reduce(func, args, *rest, **named)


def dump(content: Any, protocol: int = 4) -> bytes:
    stream = io.BytesIO()
    Pickler(stream, protocol).dump(content)
    return stream.getvalue()


def persistent(class_name: str, state: Mapping[str, Any], source: str = SOURCE) -> Call:
    """An object pickled with the source of its class."""
    meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": dict(state)}
    return Call(Named("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)


def module_state(state: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a torch module with these tensors, as old versions of torch kept them."""
    children: dict[str, dict[str, Tensor]] = collections.defaultdict(dict)
    parameters: dict[str, Tensor] = collections.OrderedDict()
    kept: dict[str, Tensor] = collections.OrderedDict()
    for name, tensor in state.items():
        head, dot, rest = name.partition(".")
        if dot:
            children[head][rest] = tensor
        elif head in BUFFERS:
            kept[head] = tensor
        else:
            parameters[head] = nn.Parameter(tensor, requires_grad=False)
    return {
        "training": False,
        "_parameters": parameters,
        "_buffers": collections.OrderedDict(kept, never_saved=torch.zeros(3), absent=None),
        "_non_persistent_buffers_set": {"never_saved"},
        "_backward_hooks": collections.OrderedDict(),
        "_modules": collections.OrderedDict(
            (name, persistent("Layer", module_state(inner, {}))) for name, inner in children.items()
        ),
        # attributes of the real layers: arrays and numpy's numbers among them
        "size": np.broadcast_to(np.asarray(4), [2]),
        "cutoff": np.float64(2.5),
        "_init_args": (),
        "_init_kwargs": dict(arguments),
    }


def network_pickle(golden: Golden, protocol: int = 4, source: str = SOURCE) -> bytes:
    """A whole file: G, D, G_ema and what else the training loop keeps."""
    noise = {name: torch.zeros_like(tensor) for name, tensor in golden.state.items()}
    generators = {
        name: persistent("Generator", module_state(state, easy(golden.arguments)), source)
        for name, state in (("G", noise), ("G_ema", golden.state))
    }
    rest = {"augment_pipe": None, "training_set_kwargs": {"class_name": "training.dataset.ImageFolderDataset"}}
    return dump({**generators, "D": persistent("Discriminator", module_state({}, {})), **rest}, protocol)


def easy(arguments: Mapping[str, Any]) -> Any:
    """Nested dictionaries as the attribute dictionaries that the training script hands to constructors."""
    return {
        name: Call(Named("dnnlib.util", "EasyDict"), list(value.items())) if isinstance(value, dict) else value
        for name, value in arguments.items()
    }

"""Reading a diffusion model from a granu weights file or from a folder of diffusers; without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import (
    StoredTensor,
    WeightsError,
    as_state_dict,
    is_granu_weights,
    is_safetensors,
    read_all,
    read_header,
    read_torch_file,
    read_weights_header,
    shown,
)
from granu_diffusion import folders
from granu_diffusion.config import AUTOENCODERS, NETWORKS, PipelineConfig, read_config

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURE = "diffusion"
# names of attention layers in files before diffusers 0.13
OLD_ATTENTION = re.compile(r"(attentions\.\d+\.)(query|key|value|proj_attn)\.")
NEW_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
COMPUTED = ("pos_embed.pos_embed", "embeddings.position_ids")  # tables that a network computes and old files also hold


@dataclass(frozen=True)
class Source:
    """The files of a diffusion model: its configuration, and the tensors of each part."""

    path: Path
    config: PipelineConfig

    def read(self, part: str) -> tuple[dict[str, Tensor], Path]:
        """The tensors of a part, floats as float32, and their file. WeightsError if they are damaged or missing."""
        if not self.path.is_dir():
            return read_all(self._of_part(part), self.path), self.path
        file = folders.weights_file(self.path / part)
        stored = read_header(file).tensors if is_safetensors(file) else as_state_dict(read_torch_file(file), file)
        return _renamed(read_all(stored, file)), file

    def _of_part(self, part: str) -> dict[str, StoredTensor]:
        """The tensors of a part in a granu weights file."""
        stored, parts = read_header(self.path).tensors, (self.config.network, self.config.autoencoder)
        known = {one.name for one in parts if one is not None}
        if stray := [name for name in stored if name.partition(".")[0] not in known]:
            raise WeightsError(f"the tensors in {self.path} do not fit its parts (unexpected: {shown(stray[0])})")
        prefix = f"{part}."
        return {name.removeprefix(prefix): tensor for name, tensor in stored.items() if name.startswith(prefix)}


def open_source(path: Path) -> Source:
    """Recognise the format and read the configuration alone. WeightsError if it is no diffusion model."""
    if path.is_dir():
        return Source(path, folders.read_folder(path))
    if is_safetensors(path) and not is_granu_weights(path) and (path.parent / "config.json").is_file():
        raise WeightsError(
            f"{path} is one network of a pipeline; name the folder that holds the pipeline's {folders.INDEX}"
        )
    header = read_weights_header(path, (ARCHITECTURE,))
    return Source(path, _read_header(header.config, header.classes, path))


def _read_header(given: Mapping[str, object], classes: tuple[str, ...], file: Path) -> PipelineConfig:
    parts = {}
    for name, config in given.items():
        if name not in (*NETWORKS, *AUTOENCODERS, "scheduler") or not isinstance(config, dict):
            raise WeightsError(f"the header of {file} describes no diffusion model: it has the part '{shown(name)}'")
        parts[name] = config
    if not NETWORKS.keys() & parts.keys():
        raise WeightsError(
            f"the header of {file} describes no diffusion model: it has neither {' nor '.join(NETWORKS)}"
        )
    if "scheduler" not in parts:
        raise WeightsError(f"the header of {file} has no scheduler, so its noise levels are unknown")
    return read_config(parts, {name: f"{name} in the header of {file}" for name in parts}, classes)


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of today's networks for those of older files."""
    return {
        OLD_ATTENTION.sub(lambda m: f"{m[1]}{NEW_ATTENTION[m[2]]}.", name): tensor
        for name, tensor in state.items()
        if not name.endswith(COMPUTED)
    }

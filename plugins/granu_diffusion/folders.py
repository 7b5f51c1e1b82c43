"""The folders that diffusers writes: model_index.json, and a folder for each part; without torch.

Class names in them are compared with a list; nothing in a folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from granu import WeightsError, read_text, shown
from granu_diffusion.config import AUTOENCODERS, NETWORKS, PipelineConfig, read_config

INDEX = "model_index.json"
CONFIG, SCHEDULER = "config.json", "scheduler_config.json"
LONGEST = 5_000_000  # bytes of a JSON file
PIPELINES = {  # pipeline of diffusers -> its parts
    "DDPMPipeline": ("unet", "scheduler"),
    "DDIMPipeline": ("unet", "scheduler"),
    "PNDMPipeline": ("unet", "scheduler"),
    "LDMPipeline": ("unet", "vqvae", "scheduler"),
    "DiTPipeline": ("transformer", "vae", "scheduler"),
    "StableDiffusionPipeline": ("unet", "vae", "text_encoder", "tokenizer", "scheduler"),
}
WEIGHTS = ("diffusion_pytorch_model", "model", "pytorch_model")
ENDINGS = (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin")


def read_folder(folder: Path) -> PipelineConfig:
    """Read the configuration of a pipeline. WeightsError if it is another one, or a part is missing."""
    index = _read_index(folder)
    name = index.get("_class_name")
    if name not in PIPELINES:
        raise WeightsError(f"{folder} holds a {shown(name)}; granu opens {', '.join(PIPELINES)}")
    parts, where = {}, {}
    for part in PIPELINES[name]:
        if part == "tokenizer":
            continue
        file = folder / part / (SCHEDULER if part == "scheduler" else CONFIG)
        if not file.is_file():
            raise WeightsError(_missing(part, folder, name))
        parts[part], where[part] = read_json(file), str(file)
    return read_config(parts, where, _class_names(index, folder))


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object. WeightsError if the file holds anything else."""
    try:
        content = json.loads(read_text(file, LONGEST))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise WeightsError(f"{file} is no JSON object; download it again")
    return content


def weights_file(folder: Path) -> Path:
    """Find the tensors of a part. WeightsError if there are none."""
    for name in WEIGHTS:
        for ending in ENDINGS:
            if (folder / f"{name}{ending}").is_file():
                return folder / f"{name}{ending}"
    if any(folder.glob("*.index.json")):
        raise WeightsError(
            f"{folder} holds its tensors in several files; save them in one, with a larger max_shard_size"
        )
    raise WeightsError(f"{folder} holds no {WEIGHTS[0]}.safetensors or .bin")


def _read_index(folder: Path) -> Mapping[str, Any]:
    if (folder / INDEX).is_file():
        return read_json(folder / INDEX)
    if (folder / CONFIG).is_file():
        kind = read_json(folder / CONFIG).get("_class_name")
        if kind in {kind for kinds in NETWORKS.values() for kind in kinds}:
            raise WeightsError(
                f"{folder} holds a {shown(kind)} alone, a network with a missing scheduler; name the folder of its "
                f"pipeline, with {INDEX} and scheduler/{SCHEDULER}"
            )
        if kind in {kind for kinds in AUTOENCODERS.values() for kind in kinds}:
            raise WeightsError(f"{folder} holds a {shown(kind)}, which denoises nothing; open it with autoencoder:")
    raise WeightsError(f"{folder} has no {INDEX}, so it holds no pipeline of diffusers")


def _missing(part: str, folder: Path, pipeline: str) -> str:
    if part == "scheduler":
        return f"{folder} is missing its scheduler (scheduler/{SCHEDULER}), so its noise levels are unknown"
    if part == "text_encoder":
        return f"{folder} is conditioned on text but has no text encoder; download its folder {part} as well"
    return f"{folder} is a {pipeline} without {part}/{CONFIG}; download the whole folder"


def _class_names(index: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """The names of classes in the index of a DiT, synonyms joined by commas."""
    names = index.get("id2label")
    if not isinstance(names, dict):
        return ()
    try:
        numbered = {int(number): str(name) for number, name in names.items()}
    except ValueError:
        numbered = {}
    if sorted(numbered) != list(range(len(numbered))):
        raise WeightsError(f"id2label in {folder / INDEX} does not name classes from 0 on")
    return tuple(numbered[number] for number in range(len(numbered)))

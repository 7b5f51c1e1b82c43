"""Finding the files of an autoencoder: a folder of diffusers, or the two files of a TAESD."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granu import WeightsError, read_text, shown, suggest

CONFIG, PIPELINE = "config.json", "model_index.json"
WEIGHTS = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.bin",
)
PIPELINE_PARTS = ("vae", "vqvae", "movq", "vqgan")  # the autoencoder's folder in a pipeline's
ENDINGS = (".safetensors", ".pth", ".pt")  # of a TAESD, the safest first
ENCODER, DECODER = "_encoder", "_decoder"
LONGEST_CONFIG = 1_000_000  # bytes


@dataclass(frozen=True)
class Pair:
    """The two files of a TAESD."""

    encoder: Path
    decoder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return self.encoder, self.decoder


@dataclass(frozen=True)
class ModelFolder:
    """The configuration and the weights of a model of diffusers."""

    config: Path
    weights: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return self.config, self.weights


def find_files(path: Path) -> Pair | ModelFolder:
    """Find what `weights=` means: a folder or a file in it. WeightsError if it holds no autoencoder."""
    if not path.is_dir():
        return _beside(path)
    if (path / PIPELINE).is_file() and not (path / CONFIG).is_file():
        path = _part_of_pipeline(path)
    pairs = _pairs(path)
    if not (path / CONFIG).is_file():
        return _only_pair(path, pairs)
    weights = [path / name for name in WEIGHTS if (path / name).is_file()]
    if weights:
        return ModelFolder(path / CONFIG, weights[0])
    if pairs:  # the files of a TAESD often lie beside its diffusers' config.json
        return _only_pair(path, pairs)
    raise WeightsError(f"{path} has a {CONFIG} but none of {', '.join(WEIGHTS)}")


def read_config(file: Path) -> Mapping[str, Any]:
    """Read a config.json. WeightsError if it is no JSON object."""
    try:
        config = json.loads(read_text(file, LONGEST_CONFIG))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise WeightsError(f"{file} is damaged: it holds no JSON object")
    return config


def suggest_path(path: Path) -> str:
    """Suggest what lies in the folder where a missing path ends; "" if it exists or cannot be looked up."""
    try:
        if path.exists():
            return ""
        folder = next(folder for folder in path.parents if folder.is_dir())
        wrong = path.relative_to(folder).parts[0]
        near = suggest(wrong, (entry.name for entry in folder.iterdir()))
    except (OSError, ValueError):  # too long a name, or one with a null character
        return ""
    similar = f"; {near}" if near.startswith("did you mean") else ""
    return f"{folder.absolute()} holds no '{shown(wrong)}'{similar}"


def _beside(file: Path) -> Pair | ModelFolder:
    """The pair or the model that a single file belongs to."""
    for own in (ENCODER, DECODER):
        if file.suffix in ENDINGS and file.stem.endswith(own):
            return _complete(file, own)
    if file.name == CONFIG:
        return find_files(file.parent)
    if (file.parent / CONFIG).is_file():
        return ModelFolder(file.parent / CONFIG, file)
    raise WeightsError(
        f"{file} is neither half of a TAESD, called NAME{ENCODER} or NAME{DECODER}, nor beside the {CONFIG} of a model "
        "of diffusers; a single file of another program must be converted to a folder of diffusers first"
    )


def _complete(file: Path, own: str) -> Pair:
    """A pair of which one file is given: the other has the same ending, or any that is known."""
    other = DECODER if own == ENCODER else ENCODER
    stem = file.stem.removesuffix(own) + other
    endings = (file.suffix, *(ending for ending in ENDINGS if ending != file.suffix))
    for ending in endings:
        found = file.with_name(stem + ending)
        if found.is_file():
            return Pair(file, found) if own == ENCODER else Pair(found, file)
    raise WeightsError(f"{file} is half of an autoencoder: {file.with_name(stem + file.suffix)} is missing")


def _pairs(folder: Path) -> Sequence[Path]:
    """One half of each pair of a TAESD in a folder, of the safest ending."""
    halves: dict[str, Path] = {}
    for ending in ENDINGS:
        for own in (ENCODER, DECODER):
            for file in sorted(folder.glob(f"*{own}{ending}")):
                halves.setdefault(file.stem.removesuffix(own), file)
    return [halves[name] for name in sorted(halves)]


def _only_pair(folder: Path, pairs: Sequence[Path]) -> Pair:
    if not pairs:
        raise WeightsError(
            f"{folder} holds no autoencoder: neither the {CONFIG} of a model of diffusers nor NAME{ENCODER} and "
            f"NAME{DECODER} of the TAESD family"
        )
    if len(pairs) > 1:
        names = ", ".join(file.name for file in pairs)
        raise WeightsError(f"{folder} holds several autoencoders; name one of the files {names}")
    found = _beside(pairs[0])
    assert isinstance(found, Pair)
    return found


def _part_of_pipeline(folder: Path) -> Path:
    for name in PIPELINE_PARTS:
        if (folder / name / CONFIG).is_file():
            return folder / name
    index = read_config(folder / PIPELINE)
    parts = ", ".join(shown(key) for key in index if not key.startswith("_"))
    raise WeightsError(f"{folder} is a {shown(index.get('_class_name'))} without an autoencoder; it has {parts}")

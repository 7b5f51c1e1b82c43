"""Checks before a pipeline is opened: its folder and kind, and whether options suit it; without torch."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import OptionError, PluginError, WeightsError, read_text, shown, suggest
from granu_diffusion_edit.families import INVERTIBLE, Family, family_of
from granu_diffusion_edit.tree import Tree, read_tree

if TYPE_CHECKING:
    from granu import BuildContext
    from granu_diffusion_edit import EditOptions

INDEX = "model_index.json"
LONGEST_INDEX = 1_000_000  # bytes
LIBRARIES = ("diffusers", "transformers")
PACKAGES = ("diffusers", "transformers")
USUAL_STEPS = 50
CLOSED = "granu-prompts.toml"  # in the folder of an editor that knows no other edits than those in this file


@dataclass(frozen=True)
class Chosen:
    """A pipeline's folder and how it is used."""

    folder: Path
    pipeline: str  # its class in diffusers
    index: dict[str, Any]
    engine: str  # sdedit, instruct or nulltext-p2p
    family: Family | None  # of an instruction editor
    steps: int


def check(options: EditOptions, context: BuildContext) -> None:
    """Require an edit, a folder that the engine can use, and values that leave something to do."""
    if not options.edit:
        raise OptionError(
            "`diffusion-edit` names no edit; write it like diffusion-edit:weather/snow or diffusion-edit:weather"
        )
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise PluginError(f"`diffusion-edit` needs {package}; install it with pip install 'granu[diffusion]'")
    chosen = choose(options, context)
    choose_tree(options, chosen.folder).find(options.edit)
    for severity in options.severity:
        if not 0 <= severity <= 1:
            raise OptionError(f"`diffusion-edit`: severity={severity:g} is out of range; it must be 0 to 1")
    if chosen.engine == "sdedit":
        check_strength(options, chosen.steps)
    if chosen.engine == "instruct":
        check_guidance(options, chosen.family)
    if chosen.engine == "nulltext-p2p" and (options.dtype != "float32" or options.offload):
        raise OptionError("`diffusion-edit`: engine=nulltext-p2p optimises in float32 without offload; leave both out")
    if options.offload and context.device == "cpu":
        raise OptionError("`diffusion-edit`: offload=yes needs an accelerator; leave it out, or choose a --device")
    if options.offload and importlib.util.find_spec("accelerate") is None:
        raise PluginError("`diffusion-edit`: offload=yes needs accelerate; install it with pip install accelerate")
    if options.clip is not None and not (Path(options.clip).expanduser() / "config.json").is_file():
        raise WeightsError(f"clip={options.clip} is no folder of a CLIP model: it has no config.json")


def choose(options: EditOptions, context: BuildContext) -> Chosen:
    """The folder, the kind of its pipeline and the engine. WeightsError or OptionError where they do not fit."""
    folder = find_folder(options.weights, context)
    index = read_index(folder)
    pipeline = str(index.get("_class_name"))
    family = family_of(pipeline)
    engine = options.engine if options.engine != "auto" else "instruct" if family else "sdedit"
    if engine == "instruct" and family is None:
        raise WeightsError(f"{folder} holds a {shown(pipeline)}, which follows no instructions; use engine=sdedit")
    if engine == "sdedit" and family is not None:
        raise WeightsError(f"{folder} holds a {shown(pipeline)}, which has no strength; use engine=instruct")
    if engine == "nulltext-p2p" and pipeline not in INVERTIBLE:
        raise WeightsError(f"{folder} holds a {shown(pipeline)}; engine=nulltext-p2p needs a {INVERTIBLE[0]}")
    steps = options.steps or (family.steps if family and engine == "instruct" else USUAL_STEPS)
    return Chosen(folder, pipeline, index, engine, family, steps)


def choose_tree(options: EditOptions, folder: Path | None) -> Tree:
    """The tree of the options; without one that of an editor with a closed list of edits, else the plugin's own.

    OptionError for a tree that asks for more than such an editor knows.
    """
    closed = None if folder is None else folder / CLOSED
    if closed is None or not closed.is_file():
        return read_tree(options.prompts)
    known = read_tree(str(closed))
    if options.prompts is None:
        return known
    tree = read_tree(options.prompts)
    if stray := sorted(tree.instructions - known.instructions):
        raise OptionError(
            f"the editor in {folder} does not know '{shown(stray[0])}'; {suggest(stray[0], sorted(known.instructions))}"
        )
    return replace(tree, keep=known.keep)


def find_folder(weights: str, context: BuildContext) -> Path:
    """The folder of a pipeline, given itself or by its name on the hub, in the local cache; nothing is downloaded."""
    if not weights:
        raise OptionError(
            "`diffusion-edit` names no pipeline; write weights=FOLDER, with a folder that diffusers saved"
        )
    if Path(weights).expanduser().exists() or "/" not in weights or weights.count("/") > 1:
        folder = context.locate(weights)
        if not folder.is_dir():
            raise WeightsError(f"{folder} is a file; name the folder of a pipeline, with its {INDEX}")
        return folder
    from huggingface_hub import snapshot_download  # type: ignore[import-not-found, unused-ignore]

    try:
        return Path(snapshot_download(weights, local_files_only=True))
    except (OSError, ValueError):  # LocalEntryNotFoundError is both, HFValidationError a ValueError
        raise WeightsError(
            f"there is no folder '{shown(weights)}', nor is it in the local cache of the hub; "
            f"download it with: hf download {shown(weights)}"
        ) from None


def read_index(folder: Path) -> dict[str, Any]:
    """Read model_index.json. WeightsError if it is none, or names parts of other libraries than granu loads from."""
    file = folder / INDEX
    if not file.is_file():
        raise WeightsError(f"{folder} has no {INDEX}, so it holds no pipeline of diffusers")
    try:
        index = json.loads(read_text(file, LONGEST_INDEX))
    except (ValueError, RecursionError):
        index = None
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise WeightsError(f"{file} describes no pipeline; download it again")
    for name, part in index.items():
        library = part[0] if isinstance(part, list) and part else None
        if library is not None and not _is_known(library):
            raise WeightsError(f"{file} takes its {shown(name)} from {shown(library)}, whose code granu does not run")
    return index


def _is_known(library: object) -> bool:
    """True for the libraries that diffusers loads from, and for its own folders of pipelines."""
    return library in LIBRARIES or library in ("stable_diffusion", "stable_diffusion_xl")


def check_strength(options: EditOptions, steps: int) -> None:
    """OptionError if a severity above 0 would leave no step."""
    for severity in options.severity:
        if severity and int(severity * options.strength * steps) < 1:
            raise OptionError(
                f"`diffusion-edit`: severity={severity:g} of strength={options.strength:g} leaves none of "
                f"steps={steps}; take more steps, or a larger severity"
            )


def check_guidance(options: EditOptions, family: Family | None) -> None:
    """OptionError where diffusers would silently turn guidance off."""
    assert family is not None
    if family.image_guidance and options.image_guidance < 1:
        raise OptionError(
            f"`diffusion-edit`: image-guidance={options.image_guidance:g} must be at least 1, since diffusers turns "
            "all guidance off below that"
        )
    if options.guidance is not None and options.guidance <= 1:
        raise OptionError(
            f"`diffusion-edit`: guidance={options.guidance:g} must be above 1, since severities lead from 1 to it"
        )

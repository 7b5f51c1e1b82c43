"""Plugin module of granu_diffusion_edit: edits of images by text, with a diffusion model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import PerturbationOffer, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext

ENGINES = ("auto", "sdedit", "instruct", "nulltext-p2p")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class EditOptions:
    """Options of `diffusion-edit`."""

    edit: str = option("", "a domain such as weather, whose edits are drawn image by image, or an edit, weather/snow")
    weights: str = option("", "folder of a pipeline of diffusers, or its name on the hub if it is in the local cache")
    engine: str = option(
        "auto",
        "how images are edited; auto is instruct for an instruction editor, and sdedit for every other pipeline",
        choices=ENGINES,
    )
    severity: tuple[float, ...] = option(
        (0.25, 0.5, 0.75, 1.0),
        "fixed severities from 0, no change, to 1, the engine's full setting, joined by plus",
    )
    prompts: str | None = option(None, "a TOML file with edits of your own, in the form of the plugin's prompts.toml")
    clip: str | None = option(None, "folder of a CLIP model, which scores how well an edit shows what was asked for")
    steps: int | None = option(
        None, "steps of the sampler; by default what is usual for the pipeline", low=1, high=1000
    )
    guidance: float | None = option(
        None, "scale of the text at severity 1; by default what is usual for the pipeline", low=0, high=100
    )
    image_guidance: float = option(1.5, "instruct: scale of the image, of InstructPix2Pix pipelines", low=0, high=100)
    strength: float = option(0.8, "sdedit: the share of the steps that severity 1 runs", low=0.01, high=1)
    cross: float = option(0.8, "nulltext-p2p: share of the steps with injected cross-attention", low=0, high=1)
    self_: float = option(0.4, "nulltext-p2p: share of the steps with injected self-attention", low=0, high=1)
    inner_steps: int = option(10, "nulltext-p2p: most optimisation steps for each step; 0 is no optimisation", low=0)
    size: int | None = option(
        None, "length of the shorter side inside the model; by default the model's own", low=8, high=4096
    )
    batch: int = option(4, "images that the model edits together", low=1, high=1024)
    dtype: str = option("float32", "number format that the model computes in", choices=DTYPES)
    offload: bool = option(False, "keep parts of the model that are not in use in main memory; needs an accelerator")
    safety: bool = option(True, "keep the pipeline's safety checker; images that it blackens are left out")


def check(options: EditOptions, context: BuildContext) -> None:
    """Raise what is wrong with options, prompts and the folder, as far as it is known without torch."""
    from granu_diffusion_edit.planning import check

    check(options, context)


def make(options: EditOptions, context: BuildContext) -> Any:
    from granu_diffusion_edit.loading import make_perturbation

    return make_perturbation(options, context)


def domains(options: EditOptions) -> Sequence[str]:
    """The domains of the tree of prompts, or of the list of an editor that brings one."""
    from granu_diffusion_edit.planning import choose_tree

    return choose_tree(options, Path(options.weights).expanduser() if options.weights else None).domains


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="diffusion-edit",
            summary="edits by text with a diffusion model: weather, time of day, drawing, colour, material, background",
            options=EditOptions,
            target="edit",
            targets=domains,
            searched=False,
            make=make,
            check=check,
            licence="Apache-2.0; that of the weights for the images",
            cite=(
                "Mofayezi, Medghalchi: Benchmarking robustness to text-guided corruptions. CVPR Workshops 2023, "
                "arXiv:2304.02963",
                "Meng et al.: SDEdit. ICLR 2022, arXiv:2108.01073",
                "Brooks, Holynski, Efros: InstructPix2Pix. CVPR 2023, arXiv:2211.09800",
                "Mokady et al.: Null-text inversion. CVPR 2023, arXiv:2211.09794",
                "Hertz et al.: Prompt-to-Prompt. ICLR 2023, arXiv:2208.01626",
                "Radford et al.: CLIP. ICML 2021, arXiv:2103.00020",
            ),
        )
    ]

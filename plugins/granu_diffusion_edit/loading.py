"""Opening a pipeline of diffusers from its folder, and the engine and perturbation around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from granu import OptionError, PluginError, TensorStore, WeightsError, reason, shown, without_broken_torchvision
from granu_diffusion_edit.ddim import Steps
from granu_diffusion_edit.engine import Engine, Frame
from granu_diffusion_edit.instruct import Instructed
from granu_diffusion_edit.kept import KeptEdits
from granu_diffusion_edit.nulltext import NullText, Shares
from granu_diffusion_edit.perturbation import DiffusionEdit
from granu_diffusion_edit.planning import Chosen, check, choose, choose_tree
from granu_diffusion_edit.progress import without_progress
from granu_diffusion_edit.sdedit import ImageToImage

if TYPE_CHECKING:
    from granu import BuildContext
    from granu_diffusion_edit import EditOptions

FOLDER = "edits"  # of the cache
BEFORE_DTYPE = (0, 40)  # diffusers before this version calls the argument torch_dtype
SMALLEST_DEFAULT = 8  # pixels


def make_perturbation(options: EditOptions, context: BuildContext) -> DiffusionEdit:
    """Open the pipeline and everything that the options name."""
    check(options, context)
    chosen = choose(options, context)
    context.weights(str(chosen.folder))
    fingerprint = context.used_weights[str(chosen.folder)]
    pipeline = open_pipeline(chosen, options, context.device)
    tree = choose_tree(options, chosen.folder)
    engine = make_engine(pipeline, chosen, options, context.cache, fingerprint, tree.keep)
    kept = KeptEdits(context.cache / FOLDER, f"{fingerprint} {options.dtype} {engine.description}", engine.description)
    scorer = None
    if options.clip is not None:
        from granu_diffusion_edit.clip import open_clip

        scorer = open_clip(Path(options.clip).expanduser(), context.device)
    return DiffusionEdit(engine, tree, tree.find(options.edit), options.severity, kept, scorer)


def make_engine(
    pipeline: Any, chosen: Chosen, options: EditOptions, cache: Path, fingerprint: str, keep: str | None = None
) -> Engine:
    """The engine of the options around an opened pipeline; `keep` is the instruction to change nothing."""
    frame = frame_of(pipeline, chosen, options)
    if chosen.engine == "sdedit":
        return ImageToImage(
            pipeline, frame, steps=chosen.steps, strength=options.strength, guidance=options.guidance,
            batch=options.batch,
        )  # fmt: skip
    if chosen.engine == "instruct":
        assert chosen.family is not None
        family = chosen.family if keep is None else replace(chosen.family, keep=keep)
        return Instructed(
            pipeline, family, frame, steps=chosen.steps, guidance=options.guidance,
            image_guidance=options.image_guidance, batch=options.batch,
        )  # fmt: skip
    return NullText(
        pipeline, ddim_steps(pipeline, chosen.steps), frame, TensorStore(cache / FOLDER / "inversions"), fingerprint,
        shares=Shares(options.cross, options.self_), inner_steps=options.inner_steps, guidance=options.guidance,
    )  # fmt: skip


def open_pipeline(chosen: Chosen, options: EditOptions, device: str) -> Any:
    """Load a pipeline from its folder alone. WeightsError if it is damaged, or no image-to-image pipeline."""
    with without_broken_torchvision(), without_progress():
        diffusers = import_diffusers()
        name = {"sdedit": "AutoPipelineForImage2Image", "nulltext-p2p": "StableDiffusionPipeline"}
        kind = getattr(diffusers, name.get(chosen.engine, chosen.pipeline), None)
        if kind is None:
            raise PluginError(f"the installed diffusers has no {shown(chosen.pipeline)}; install a newer one")
        try:
            pipeline = kind.from_pretrained(
                str(chosen.folder),
                local_files_only=True,
                **_dtype(diffusers, options.dtype),
                **_safety(chosen, options),
            )
        except Exception as problem:  # diffusers raises nearly anything for a damaged folder
            if chosen.engine == "sdedit" and "find a pipeline linked to" in str(problem):
                raise WeightsError(
                    f"{chosen.folder} holds a {shown(chosen.pipeline)}, which edits no images; name an image-to-image "
                    "pipeline or an instruction editor"
                ) from None
            raise WeightsError(f"the pipeline in {chosen.folder} cannot be opened ({reason(problem)})") from problem
    pipeline.set_progress_bar_config(disable=True)
    if options.offload:
        pipeline.enable_model_cpu_offload(device=device)
        return pipeline
    return pipeline.to(device)


def import_diffusers() -> Any:
    """Import diffusers and the classes that are looked up lazily. PluginError if that fails."""
    try:
        import diffusers  # type: ignore[import-not-found, unused-ignore]

        # diffusers imports lazily; named here so that a broken torchvision is met, and hidden, by now
        for name in ("AutoPipelineForImage2Image", "StableDiffusionPipeline", "DDIMScheduler"):
            getattr(diffusers, name)
    except (ImportError, RuntimeError, AttributeError) as problem:
        raise PluginError(
            f"`diffusion-edit` cannot import diffusers ({reason(problem)}); install it with pip install "
            "'granu[diffusion]'"
        ) from problem
    return diffusers


def _dtype(diffusers: Any, name: str) -> dict[str, Any]:
    version = tuple(int(part) for part in diffusers.__version__.split(".")[:2])
    return {"torch_dtype" if version < BEFORE_DTYPE else "dtype": getattr(torch, name)}


def _safety(chosen: Chosen, options: EditOptions) -> dict[str, Any]:
    """The arguments that leave out a safety checker."""
    has_one = (chosen.index.get("safety_checker") or [None])[0] is not None
    return {"safety_checker": None, "requires_safety_checker": False} if has_one and not options.safety else {}


def frame_of(pipeline: Any, chosen: Chosen, options: EditOptions) -> Frame:
    """The sizes that a pipeline takes; by default those of its U-Net, or of its family."""
    factor = int(getattr(pipeline, "vae_scale_factor", 8))
    unet = getattr(pipeline, "unet", None)
    levels = len(unet.config.block_out_channels) - 1 if unet is not None else 1
    multiple = factor * 2**levels
    own = chosen.family.size if chosen.family is not None else 0
    if not own and unet is not None:
        sample = unet.config.sample_size
        own = factor * int(min(sample) if isinstance(sample, (list, tuple)) else sample)
    shorter = options.size or own or 1024
    return Frame(max(shorter, multiple, SMALLEST_DEFAULT), multiple)


def ddim_steps(pipeline: Any, count: int) -> Steps:
    """The levels of DDIM for a pipeline's schedule. OptionError if it has fewer timesteps."""
    with without_broken_torchvision():
        scheduler = import_diffusers().DDIMScheduler.from_config(
            pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1,
            timestep_spacing="leading",
        )  # fmt: skip
    length = int(scheduler.config.num_train_timesteps)
    if count >= length:
        raise OptionError(f"`diffusion-edit`: steps={count} is too many; this schedule has {length} timesteps")
    kind = scheduler.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise WeightsError(
            f"engine=nulltext-p2p cannot invert a network that predicts '{shown(kind)}'; use engine=sdedit"
        )
    scheduler.set_timesteps(count)
    levels = scheduler.alphas_cumprod.to(pipeline.unet.device)
    return Steps(levels, tuple(int(t) for t in scheduler.timesteps), length // count, kind == "v_prediction")

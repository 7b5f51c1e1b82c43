"""The empty prompt, as the text encoder of a Stable Diffusion folder embeds it; its tokenizer is read as plain data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from granu import WeightsError, build_strictly, shown, without_broken_torchvision
from granu_diffusion import values
from granu_diffusion.folders import CONFIG, read_json
from granu_diffusion.formats import Source
from granu_diffusion.planning import missing_extra

ENCODER, TOKENIZER = "text_encoder", "tokenizer"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
LONGEST_PROMPT = 1024  # tokens
PREFIX = "text_model."  # of all names in files before transformers 5
ARGUMENTS = (
    "vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "hidden_act", "layer_norm_eps", "attention_dropout", "initializer_factor",
    "initializer_range", "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip


def embed_empty_prompt(source: Source) -> Tensor:
    """The text encoder's output for the empty prompt, (1, L, D). WeightsError if it is no CLIP text model."""
    config = read_json(source.path / ENCODER / CONFIG)
    kinds = config.get("architectures") or ["none"]
    if kinds != ["CLIPTextModel"]:
        raise WeightsError(f"{source.path / ENCODER} holds {shown(kinds[0])}; granu reads a CLIPTextModel there")
    tokens = empty_prompt(source.path / TOKENIZER)
    state, file = source.read(ENCODER)
    state = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    arguments = {key: value for key, value in config.items() if key in ARGUMENTS}
    network = build_strictly(partial(_build, arguments), state, file).eval()
    size = values.whole(config, "vocab_size", 49408, 1, 1 << 24, str(file))
    if max(tokens) >= size:
        raise WeightsError(
            f"{source.path / TOKENIZER} numbers tokens up to {max(tokens)}, the text encoder knows {size}"
        )
    with torch.no_grad():
        return network(torch.tensor([tokens]), return_dict=False)[0].float()


def empty_prompt(folder: Path) -> list[int]:
    """The tokens of the empty prompt: begin, end, and padding up to the longest prompt."""
    vocabulary, about = read_json(folder / "vocab.json"), read_json(folder / "tokenizer_config.json")
    padding = about.get("pad_token") or END
    padding = str(padding.get("content") if isinstance(padding, dict) else padding)
    length = values.whole(about, "model_max_length", 77, 2, LONGEST_PROMPT, str(folder / "tokenizer_config.json"))
    file = str(folder / "vocab.json")
    if padding not in vocabulary:
        raise WeightsError(f"{file} does not number the padding {shown(padding)}; download it again")
    begin, end, pad = (values.whole(vocabulary, token, None, 0, 1 << 24, file) for token in (BEGIN, END, padding))
    return [begin, end, *[pad] * (length - 2)]


def _build(arguments: dict[str, Any]) -> nn.Module:
    try:
        with without_broken_torchvision():
            from transformers import CLIPTextConfig, CLIPTextModel  # type: ignore[import-not-found, unused-ignore]
    except ImportError as problem:
        raise missing_extra("transformers") from problem
    network = CLIPTextModel(CLIPTextConfig(**arguments))
    return getattr(network, PREFIX.removesuffix("."), network)

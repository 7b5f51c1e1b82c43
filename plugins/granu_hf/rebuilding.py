"""Networks of transformers by their configuration, as a file of trained weights states it; no code is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from granu import ClassifierError, WeightsError, shown, suggest, without_broken_torchvision

# what a configuration may say beside the network: code or kernels to fetch, another device or precision
OTHER_KEYS = {
    "attn_implementation", "auto_map", "custom_pipelines", "device_map", "dtype", "experts_implementation",
    "kernel_config", "quantization_config", "torch_dtype", "transformers_version", "trust_remote_code", "use_kernels",
}  # fmt: skip
DEEPEST = 20  # levels of a configuration within another
WRAPPER = "timm_wrapper"  # a network of timm, whose configuration names another package's code


def import_transformers(name: str) -> Any:
    """Import transformers, for the classifier `name`. ClassifierError if that fails."""
    try:
        with without_broken_torchvision():
            import transformers  # type: ignore[import-not-found, unused-ignore]
            import transformers.utils  # type: ignore[import-not-found, unused-ignore]

            transformers.AutoModelForImageClassification  # noqa: B018  transformers imports lazily
    except (ImportError, RuntimeError) as problem:
        reason = str(problem).splitlines()[0]
        raise ClassifierError(
            f"`{name}` cannot be used: importing transformers fails ({reason}); install it with pip install 'granu[hf]'"
        ) from problem
    return transformers


def describe_network(network: Any) -> dict[str, Any]:
    """The config from which `build_network` builds a network of transformers again."""
    config = json.loads(network.config.to_json_string(use_diff=False))
    return _without_other_keys({**config, "architectures": [type(network).__name__]})


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """Build an untrained network in float32. WeightsError unless the config is of an image classifier of transformers.

    A config that asks for anything beside a network, such as code from the hub, is refused.
    """
    _refuse_other_keys(config, DEEPEST)
    transformers = import_transformers("hf")
    values = dict(config)
    kind = values.pop("model_type", None)
    known = [one.model_type for one in transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING]
    if kind == WRAPPER:
        raise WeightsError("transformers wraps a network of timm here, which cannot be saved; open it with timm:")
    if not isinstance(kind, str) or kind not in known:
        raise WeightsError(f"transformers has no image classifier '{shown(kind)}'; {suggest(shown(kind), known)}")
    return build_from(transformers, transformers.AutoConfig.for_model(kind, **values))


def build_from(transformers: Any, config: Any) -> nn.Module:
    """An untrained network of a configuration of transformers, in float32."""
    config.dtype = None
    return transformers.AutoModelForImageClassification.from_config(config, trust_remote_code=False).float()


def _without_other_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_other_keys(inner) for key, inner in value.items() if not _is_other(key)}
    return value


def _refuse_other_keys(value: Any, depth: int) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _is_other(key):
                raise WeightsError(f"a network of transformers is not described by '{shown(key)}'; remove it")
            if depth == 0:
                raise WeightsError(f"a network of transformers is described by at most {DEEPEST} levels")
            _refuse_other_keys(inner, depth - 1)


def _is_other(key: str) -> bool:
    return key.startswith("_") or key in OTHER_KEYS

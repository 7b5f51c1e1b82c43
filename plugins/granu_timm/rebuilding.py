"""Networks of timm by name and arguments, as a file of trained weights states them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from granu import ClassifierError, WeightsError, shown

MOST_CLASSES = 100_000
LONGEST_SIDE = 4096  # pixels
KEYS = {"model", "classes", "channels", "size"}


def import_timm(name: str) -> Any:
    """Import timm, for the classifier `name`. ClassifierError if that fails."""
    try:
        import timm  # type: ignore[import-not-found, import-untyped, unused-ignore]
        import timm.data  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except (ImportError, RuntimeError, AttributeError) as problem:  # a torchvision built for another torch
        raise ClassifierError(
            f"`{name}` cannot be used: importing timm fails ({problem}); install timm with pip install 'granu[timm]', "
            "and the torchvision that matches your torch"
        ) from problem
    return timm


def arguments_of(
    timm: Any, model: str, classes: int | None, channels: int, size: tuple[int, int] | None
) -> dict[str, Any]:
    """The arguments of `timm.create_model`; only networks of a fixed input size take one."""
    arguments: dict[str, Any] = {"in_chans": channels}
    if classes is not None:
        arguments["num_classes"] = classes
    if size is not None and ":" not in model:
        settings = timm.get_pretrained_cfg(model)
        if settings is not None and settings.fixed_input_size:
            arguments["img_size"] = size
    return arguments


def describe_network(network: Any, classes: int, channels: int, size: tuple[int, int] | None) -> dict[str, Any]:
    """The config from which `build_network` builds a network of timm again."""
    settings = network.pretrained_cfg
    model = ".".join(filter(None, (settings["architecture"], settings.get("tag"))))
    return {"model": model, "classes": classes, "channels": channels, "size": None if size is None else list(size)}


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """Build a network without weights. WeightsError unless the config names a network of timm and arguments it takes.

    Names with a colon, which timm would look up on the hub or in a folder, are refused.
    """
    model, classes, channels, size = (config.get(key) for key in ("model", "classes", "channels", "size"))
    if set(config) - KEYS or not isinstance(model, str):
        raise WeightsError(
            f"a network of timm is described by {', '.join(sorted(KEYS))}, not by {shown(', '.join(config))}"
        )
    timm = import_timm(f"timm:{model}")
    if ":" in model or "/" in model or not _is_known(timm, model):
        raise WeightsError(
            f"the installed timm {timm.__version__} has no network '{shown(model)}'; install a later one"
        )
    if not _is_number(classes, MOST_CLASSES) or type(channels) is not int or channels not in (1, 3):
        raise WeightsError(f"a network of timm has 1 to {MOST_CLASSES} classes, and 1 or 3 channels")
    if size is not None and not _is_size(size):
        raise WeightsError(f"a network of timm has an input size of 1 to {LONGEST_SIDE} pixels")
    arguments = arguments_of(timm, model, classes, channels, None if size is None else tuple(size))
    return timm.create_model(model, pretrained=False, **arguments)


def _is_known(timm: Any, model: str) -> bool:
    try:
        return timm.is_model(model) and timm.get_pretrained_cfg(model) is not None
    except RuntimeError:  # of a tag that there is not
        return False


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(side, LONGEST_SIDE) for side in value)


def _is_number(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most

"""Classifiers from networks of transformers, with the preprocessing of their image processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from granu import ImageClassifier, WeightsError, read_class_names, read_text, reason
from granu_hf import HfOptions
from granu_hf.processing import read_cropping
from granu_hf.rebuilding import build_from, describe_network, import_transformers

LONGEST_PROCESSOR = 1_000_000  # bytes of preprocessor_config.json


def make_classifier(options: HfOptions) -> ImageClassifier:
    """Load a network with its processor's mean, std, size and crop, and its own class names."""
    name = f"hf:{options.model}"
    transformers = import_transformers(name)
    network = _untrained(transformers, options) if options.init == "random" else _pretrained(transformers, options)
    file = _fetch(
        lambda: transformers.utils.cached_file(
            options.model, "preprocessor_config.json", revision=options.revision or "main"
        ),
        options.model,
    )
    processor = _read_processor(Path(file), name)
    normalises = processor.get("do_normalize", True)
    labels = [str(network.config.id2label[number]) for number in range(network.config.num_labels)]
    return ImageClassifier(
        network,
        labels,
        cropping=read_cropping(processor, name),
        channels=getattr(network.config, "num_channels", 3),
        mean=processor["image_mean"] if normalises else (0.0,),
        std=processor["image_std"] if normalises else (1.0,),
        name=name,
        named=labels != [f"LABEL_{number}" for number in range(len(labels))],  # the labels of a config without names
        architecture="hf",
        config=describe_network(network),
    )


def _pretrained(transformers: Any, options: HfOptions) -> Any:
    network, report = _fetch(
        lambda: transformers.AutoModelForImageClassification.from_pretrained(
            options.model,
            revision=options.revision or "main",
            trust_remote_code=False,
            weights_only=True,
            ignore_mismatched_sizes=options.classes is not None,
            output_loading_info=True,
            **_labels(options),
        ),
        options.model,
    )
    for tensor, stored, own in report["mismatched_keys"]:
        if tuple(stored)[1:] != tuple(own)[1:]:  # a last layer differs in its number of outputs alone
            raise WeightsError(f"the weights of `hf:{options.model}` do not fit its configuration: {tensor}")
    return network


def _untrained(transformers: Any, options: HfOptions) -> Any:
    config = _fetch(
        lambda: transformers.AutoConfig.from_pretrained(
            options.model, revision=options.revision or "main", trust_remote_code=False, **_labels(options)
        ),
        options.model,
    )
    return _fetch(lambda: build_from(transformers, config), options.model)


def _labels(options: HfOptions) -> dict[str, Any]:
    """The classes as values of the configuration."""
    if options.classes is None:
        return {}
    classes = read_class_names(options.classes)
    names = dict(enumerate(classes.names if classes.named else (f"LABEL_{name}" for name in classes.names)))
    return {"num_labels": len(names), "id2label": names, "label2id": {name: number for number, name in names.items()}}


def _read_processor(file: Path, name: str) -> dict[str, Any]:
    try:
        processor = json.loads(read_text(file, LONGEST_PROCESSOR))
    except (ValueError, RecursionError):
        processor = None
    if not isinstance(processor, dict):
        raise WeightsError(f"the preprocessor_config.json of `{name}` is no JSON object; download it again")
    return processor


def _fetch(get: Any, model: str) -> Any:
    try:
        return get()
    except (OSError, ValueError) as problem:
        if "trust_remote_code" in str(problem):
            raise WeightsError(
                f"`hf:{model}` needs code from the hub, which granu does not run; load it in a Python file of your own "
                "and name that with python:"
            ) from problem
        raise WeightsError(
            f"`hf:{model}` cannot be loaded ({reason(problem)}); without network access, download it before with: "
            f"hf download {model}"
        ) from problem
    except Exception as problem:  # a pickle that holds more than tensors, or damaged bytes, which can raise anything
        raise WeightsError(
            f"the weights of `hf:{model}` are refused: they are damaged or hold more than tensors, which granu does not"
            f" run ({reason(problem)})"
        ) from problem

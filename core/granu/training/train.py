"""A training from plan to file: builds what the plan names, runs the loop, and writes the result."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from granu.errors import ClassifierError, DataError, PluginError, TrainingError
from granu.images.classifier import ImageClassifier
from granu.plugins.context import BuildContext
from granu.runs.fingerprints import classifier_fingerprint
from granu.runs.provenance import describe_machine
from granu.runs.sources import DatasetSource, match_classes
from granu.training.augment import CROPS
from granu.training.data import Fit, ImageSet, Selection, one_size, open_images, permutation
from granu.training.defense import Defense
from granu.training.figure import draw_training
from granu.training.journal import EpochRecord
from granu.training.loop import Files, Listener, Loop
from granu.training.machine import Machine, batch_on
from granu.training.plan import TrainPlan, differences
from granu.training.validation import Validation
from granu.types import Dataset
from granu.weights.trained import MAIN, check_saved_as_one, read_trained, save_trained

HASH_LENGTH = 16  # hexadecimal digits of fingerprints in the header
TRIAL = 2  # images that are classified before training begins


@dataclass(frozen=True)
class Outputs:
    """The files of a training: the result, and those beside it."""

    result: Path

    @property
    def checkpoint(self) -> Path:
        return self.result.with_name(self.result.name + ".checkpoint")

    @property
    def lock(self) -> Path:
        return self.result.with_name(self.result.name + ".lock")

    @property
    def journal(self) -> Path:
        return self.result.with_suffix(".jsonl")

    @property
    def figure(self) -> Path:
        return self.result.with_suffix(".svg")

    @property
    def board(self) -> Path:
        return self.result.with_suffix(".tensorboard")

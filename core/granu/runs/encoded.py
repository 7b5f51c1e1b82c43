"""Measurements of images that a generator encoded: source, prepared and reconstruction stand beside the edited image.

Only images that the classifier gets right in all of these are searched, so that what the encoding loses is never
counted as a success of the perturbation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from granu.images.ops import encode_png, psnr, quantize, ssim
from granu.runs.encodings import Encoded, Encoder
from granu.runs.gallery import clean_name, prepared_name, reconstruction_name
from granu.runs.judge import Verdict, classify
from granu.runs.measurement import Measurement, hash_of
from granu.runs.plan import PlannedSource
from granu.runs.sources import Unreadable
from granu.runs.trials import (
    CLEAN_WRONG,
    NOT_ENCODED,
    PREPARED,
    PSNR,
    RECONSTRUCTION,
    RECONSTRUCTION_WRONG,
    SOURCE,
    SSIM,
    Trial,
)
from granu.types import Batch, EncodingGenerator


@dataclass(frozen=True)
class Reconstruction:
    """Images of encodings without an edit; the prepared image stands in where there is no encoding."""

    images: Tensor  # (B, C, H, W), quantized to 8 bits
    quality: tuple[Mapping[str, float], ...]  # PSNR and SSIM, before quantization; empty where there is none
    reasons: tuple[str | None, ...]  # why there is none


@dataclass(frozen=True)
class EncodedMeasurement:
    """One classifier under one perturbation at the sites of a generator that encodes the images."""

    plain: Measurement
    encoder: Encoder

    def trials(self, batch: Batch | Unreadable, images: dict[str, bytes]) -> list[Trial]:
        """A trial for each image; PNGs of those that are kept are added to `images`."""
        plain = self.plain
        if isinstance(batch, Unreadable):
            return plain.trials(batch, images)
        prepared = self.encoder.prepare(batch.images)
        verdicts = {  # before anything is encoded, which takes long, since the classifier may fail on another size
            SOURCE: classify(plain.classifier, batch.images, plain.name),
            PREPARED: classify(plain.classifier, prepared, plain.name, f" prepared for `{self._generator.key}`"),
        }
        encoded = self.encoder.encode(batch.images, batch.labels)
        made = reconstruct(self.encoder.generator, encoded)
        verdicts[RECONSTRUCTION] = classify(plain.classifier, made.images, plain.name)
        labels = plain.labels(batch, verdicts[SOURCE])
        self._keep(batch, encoded, made, images)
        # with the residual, no edit gives the prepared image
        residual = plain.planned.site_options.residual
        begin = verdicts[PREPARED if residual else RECONSTRUCTION]
        left_out = {i: trial for i in range(len(labels)) if (trial := self._left_out(batch, labels, verdicts, made, i))}
        index = torch.tensor([i for i in range(len(labels)) if i not in left_out], dtype=torch.int64)
        trials = list(left_out.values())
        if len(index):
            index = index.to(labels.device)
            start = encoded.prepared if residual else made.images
            ready = Batch(start, labels, batch.ids, None, batch.hashes).select(index)
            ready.latent = encoded.select(index)
            trials += plain.perturbed(ready, begin.margin(labels)[index], images)
        places = {image: i for i, image in enumerate(batch.ids)}
        return [self._described(trial, verdicts, made, places[trial.image]) for trial in trials]

    @property
    def _generator(self) -> PlannedSource:
        """The generator as planned; its key names the files of what it makes."""
        assert self.plain.planned.generator is not None
        return self.plain.planned.generator

    def _left_out(
        self, batch: Batch, labels: Tensor, verdicts: Mapping[str, Verdict], made: Reconstruction, i: int
    ) -> Trial | None:
        """The trial of an image that is not searched; None for one that is."""
        trial = Trial(
            batch.ids[i], self.plain.planned.key, self.plain.name, "", hash_of(batch, i), label=int(labels[i])
        )
        options = self.plain.planned.site_options
        quality = made.quality[i].get(PSNR, 0.0)
        if _is_wrong(verdicts[SOURCE], labels, i):
            return _judged(replace(trial, outcome=CLEAN_WRONG), verdicts[SOURCE], labels, i)
        if made.reasons[i] is not None:
            return replace(trial, outcome=NOT_ENCODED, note=made.reasons[i])
        if quality < options.psnr:
            note = f"the PSNR of the reconstruction is below psnr={options.psnr:g}"
            return replace(trial, outcome=NOT_ENCODED, note=note)
        for arm in (PREPARED,) if options.residual else (PREPARED, RECONSTRUCTION):
            if _is_wrong(verdicts[arm], labels, i):
                return _judged(replace(trial, outcome=RECONSTRUCTION_WRONG), verdicts[arm], labels, i)
        return None

    def _described(self, trial: Trial, verdicts: Mapping[str, Verdict], made: Reconstruction, i: int) -> Trial:
        """The trial with what is known of its image before the edit."""
        arms = {arm: int(verdict.predicted[i]) for arm, verdict in verdicts.items()}
        if made.reasons[i] is not None:
            del arms[RECONSTRUCTION]
        return replace(trial, arms=arms, extra={**trial.extra, **made.quality[i]})

    def _keep(self, batch: Batch, encoded: Encoded, made: Reconstruction, images: dict[str, bytes]) -> None:
        for i, image in enumerate(batch.ids):
            if image in self.plain.kept:
                images[clean_name(image)] = encode_png(batch.images[i])
                images[prepared_name(image, self._generator.key)] = encode_png(encoded.prepared[i])
                if made.reasons[i] is None:
                    images[reconstruction_name(image, self._generator.key)] = encode_png(made.images[i])


def reconstruct(generator: EncodingGenerator, encoded: Encoded) -> Reconstruction:
    """The images of encodings without an edit."""
    images, reasons = encoded.prepared.clone(), list(encoded.reasons)
    quality: list[Mapping[str, float]] = [{} for _ in reasons]
    if encoded.latent is not None:
        with torch.no_grad():
            made = generator.tail(encoded.latent, ["image"])({})
        finite, made = made.isfinite().flatten(1).all(dim=1), made.clamp(0, 1)
        prepared = encoded.prepared[encoded.index]
        likeness = zip(psnr(made, prepared).tolist(), ssim(made, prepared).tolist(), strict=True)
        for row, (i, (signal, structure)) in enumerate(zip(encoded.index.tolist(), likeness, strict=True)):
            if finite[row]:
                images[i], quality[i] = quantize(made[row]), {PSNR: signal, SSIM: structure}
            else:
                reasons[i] = "the reconstruction is not finite"
    return Reconstruction(images, tuple(quality), tuple(reasons))


def _is_wrong(verdict: Verdict, labels: Tensor, i: int) -> bool:
    return bool(verdict.predicted[i] != labels[i])


def _judged(trial: Trial, verdict: Verdict, labels: Tensor, i: int) -> Trial:
    return replace(trial, predicted=int(verdict.predicted[i]), clean_margin=float(verdict.margin(labels)[i]))

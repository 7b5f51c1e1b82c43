"""Measurements: the trials of one classifier under one perturbation, batch by batch, on images as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from granu.errors import OptionError
from granu.images.ops import distances, encode_png
from granu.runs.armed import ArmedLevels, judge_armed
from granu.runs.gallery import changed_name, clean_name
from granu.runs.judge import Judged, Verdict, classify, judge, judge_levels, label_margins, vote
from granu.runs.plan import PlannedPerturbation
from granu.runs.sources import Unreadable
from granu.runs.trials import CLASSIFIER, CLEAN_WRONG, FAILED, FOUND, IMAGES, NOT_ENCODED, NOT_FOUND, UNREADABLE, Trial
from granu.search.guides import Guide, guided, keep_label
from granu.streams import Streams
from granu.types import Batch, Classifier, Criterion, ImageEvidence, Perturbation, Proposal, SelectivePerturbation


@dataclass(frozen=True)
class Result:
    """A judged change: its size (B,), the largest size tried (B,), and the class given at each fixed size (B,)."""

    judged: Judged
    size: Tensor
    tried: Tensor
    levels: Mapping[float, Tensor]


@dataclass(frozen=True)
class Measurement:
    """One classifier under one perturbation, ready to measure batches."""

    planned: PlannedPerturbation
    perturbation: Perturbation
    name: str
    classifier: Classifier
    judges: Mapping[str, Classifier]
    classes: Sequence[str]  # of the source, empty where it has none
    numbers: Tensor | None  # (K,) class number of the source -> of the classifier
    kept: frozenset[str]  # images whose PNGs are kept
    seed: int
    guides: Mapping[str, Guide] = field(default_factory=dict)

    def trials(self, batch: Batch | Unreadable, images: dict[str, bytes]) -> list[Trial]:
        """A trial for each image; PNGs of those that are kept are added to `images`."""
        if isinstance(batch, Unreadable):
            return [Trial(batch.image, self.planned.key, self.name, UNREADABLE, note=batch.reason)]
        clean = classify(self.classifier, batch.images, self.name)
        predicted, labels = clean.predicted, self.labels(batch, clean)
        batch = Batch(batch.images, labels, batch.ids, batch.latent, batch.hashes)
        right, clean_margin = predicted == labels, clean.margin(labels)
        unsuitable = self._unsuitable(labels)
        trials = [
            Trial(
                batch.ids[i], self.planned.key, self.name, CLEAN_WRONG if unsuitable[i] is None else NOT_ENCODED,
                image_hash=hash_of(batch, i), label=int(labels[i]), clean_margin=float(clean_margin[i]),
                predicted=int(predicted[i]), note=unsuitable[i],
            )
            for i in range(len(labels))
            if unsuitable[i] is not None or not right[i]
        ]  # fmt: skip
        suitable = torch.tensor([reason is None for reason in unsuitable], device=labels.device)
        index = (right & suitable).nonzero().squeeze(1)
        if len(index):
            batch = batch.select(index)
            made = self.perturbed(batch, clean_margin[index], images)
            for trial, image in zip(made, batch.images, strict=True):
                if trial.image in self.kept and trial.evidence == IMAGES:
                    images[clean_name(trial.image)] = encode_png(image)
            trials += made
        return trials

    def _unsuitable(self, labels: Tensor) -> tuple[str | None, ...]:
        """The reason why the perturbation has no change for an image of a class; None where it has one."""
        if isinstance(self.perturbation, SelectivePerturbation):
            return self.perturbation.unsuitable(self.classifier, labels)
        return (None,) * len(labels)

    def labels(self, batch: Batch, clean: Verdict) -> Tensor:
        """The classifier's class numbers (B,) of a batch; its own verdicts where the source has no classes."""
        return clean.predicted if self.numbers is None else self.numbers.to(batch.labels.device)[batch.labels]

    def perturbed(self, batch: Batch, clean_margin: Tensor, images: dict[str, bytes]) -> list[Trial]:
        """A trial for each image of a batch that is classified correctly; PNGs of changed images are kept."""
        noise = Streams(self.seed, batch.ids, f"perturb/{self.planned.scope}", str(batch.images.device))
        proposal = self._proposal(batch, noise)
        if proposal.arms is not None and proposal.levels:
            return self._armed(batch, proposal, clean_margin, images)
        judged, size, levels = self._judged(batch, proposal)
        control = self._control(batch, proposal)
        return self._trials(
            batch, proposal, clean_margin, Result(judged, size, proposal.tried, levels), control, images
        )

    def _armed(self, batch: Batch, proposal: Proposal, clean_margin: Tensor, images: dict[str, bytes]) -> list[Trial]:
        """Trials of a change whose images the perturbation's model also returned unchanged."""
        assert proposal.arms is not None and proposal.levels is not None
        armed = judge_armed(proposal.levels, proposal.arms, self.classifier, batch, self.name)
        made = armed.levels
        result = Result(made.judged, made.size, armed.tried, made.predicted)
        begin = replace(batch, images=armed.begin)
        trials = self._trials(begin, proposal, clean_margin, result, None, images)
        margins = {}
        if made.judged.images is not None:
            margins = label_margins(self.judges, made.judged.images, batch.labels, self.classifier, self.classes)
        return [self._described(trial, armed, margins, i) for i, trial in enumerate(trials)]

    def _described(self, trial: Trial, armed: ArmedLevels, margins: Mapping[str, Tensor], i: int) -> Trial:
        """The trial with what is known of its image without the change; one that is left out keeps its levels."""
        known = {f"judge_margin {name}": float(of[i]) for name, of in margins.items() if of[i].isfinite()}
        trial = replace(
            trial,
            arms=dict(armed.arms[i]),
            unchanged={f"{size:g}": int(of[i]) for size, of in armed.unchanged.items()},
            extra={**trial.extra, **known},
        )
        left_out = armed.left_out[i]
        if left_out is None:
            return trial
        if left_out.outcome == NOT_ENCODED:  # there is no change of it that could be right or wrong
            trial = replace(trial, levels={}, unchanged={}, arms={})
        return replace(
            trial, outcome=left_out.outcome, predicted=left_out.predicted, note=left_out.note, margin=None, size=None,
            tried=None, l2=None, linf=None, ssim=None, pixels=None, features=None, votes={}, control=None,
        )  # fmt: skip

    def _trials(
        self,
        batch: Batch,
        proposal: Proposal,
        clean_margin: Tensor,
        result: Result,
        control: Tensor | None,
        images: dict[str, bytes],
    ) -> list[Trial]:
        """A trial for each image; `batch` holds the images that changes are compared with."""
        judged, size, levels = result.judged, result.size, result.levels
        predicted, margin = judged.verdict.predicted, judged.verdict.margin(batch.labels)
        succeeded = self._succeeded(batch, judged)
        seen = self._seen(batch, judged, images)
        trials = []
        for i, image in enumerate(batch.ids):
            note = NOT_FINITE if judged.unusable[i] else proposal.notes[i]
            found = bool(succeeded[i])
            trials.append(
                Trial(
                    image, self.planned.key, self.name,
                    outcome=FOUND if found else FAILED if note else NOT_FOUND,
                    image_hash=hash_of(batch, i),
                    label=int(batch.labels[i]),
                    clean_margin=float(clean_margin[i]),
                    predicted=int(predicted[i]),
                    margin=float(margin[i]),
                    unit=self.perturbation.unit,
                    size=float(size[i]) if found else None,
                    tried=float(result.tried[i]),
                    control=bool(control[i]) if control is not None and found else None,
                    forward=int(proposal.forward[i]), backward=int(proposal.backward[i]),
                    extra={key: float(of[i]) for key, of in (proposal.extra or {}).items() if of[i].isfinite()},
                    texts={key: text for key, of in (proposal.texts or {}).items() if (text := of[i]) is not None},
                    levels={f"{level:g}": int(of[i]) for level, of in levels.items()},
                    note=note or (UNCONDITIONAL if self.numbers is None else None),
                    **seen[i],
                )
            )  # fmt: skip
        return trials

    def _proposal(self, batch: Batch, noise: Streams) -> Proposal:
        """The perturbation's proposal, of a search that the guides take part in where there are any."""
        criterion = Criterion(batch.labels)
        if not self.guides:
            return self.perturbation.perturb(self.classifier, batch, criterion, noise)
        tested, guided_criterion = guided(self.classifier, criterion, tuple(self.guides.values()), batch)
        proposal = self.perturbation.perturb(tested, batch, guided_criterion, noise)
        if not isinstance(proposal.evidence, ImageEvidence):
            raise OptionError(
                f"`{self.planned.key}`: these changes lie inside the classifier, where no guide can see the label; "
                "say preserve=no"
            )
        return proposal

    def _succeeded(self, batch: Batch, judged: Judged) -> Tensor:
        """(B,) bool: true where the classifier is fooled, and every guide that takes part keeps the label."""
        fooled = (judged.verdict.predicted != batch.labels) & ~judged.unusable
        if not self.guides:
            return fooled
        assert judged.images is not None  # `_proposal` refuses others
        return fooled & keep_label(tuple(self.guides.values()), batch, judged.images)

    def _judged(self, batch: Batch, proposal: Proposal) -> tuple[Judged, Tensor, Mapping[float, Tensor]]:
        """The judged evidence, its size (B,), and the class predicted at each fixed size (B,), if there are any."""
        if not proposal.levels:
            return judge(proposal.evidence, self.classifier, batch.images, self.name), proposal.size, {}
        made = judge_levels(proposal.levels, self.classifier, batch.images, batch.labels, self.name)
        return made.judged, made.size, made.predicted

    def _control(self, batch: Batch, proposal: Proposal) -> Tensor | None:
        """(B,) whether the random change of the same size does the same."""
        if proposal.control is None:
            return None
        return self._succeeded(batch, judge(proposal.control, self.classifier, batch.images, self.name))

    def _seen(self, batch: Batch, judged: Judged, images: dict[str, bytes]) -> list[dict[str, Any]]:
        """The entries of each image's trial that compare changed with clean images; keeps PNGs."""
        changed = judged.images
        if changed is None:
            return [{"evidence": CLASSIFIER} for _ in batch.ids]
        distance = distances(batch.images, changed)
        votes = vote(self.judges, changed, self.classifier, self.classes)
        for i, image in enumerate(batch.ids):
            if image in self.kept:
                images[changed_name(image, self.name, self.planned.key)] = encode_png(changed[i])
        return [
            {
                "evidence": IMAGES,
                **{name: float(distance[name][i]) for name in ("l2", "linf", "ssim")},
                **{name: int(distance[name][i]) for name in ("pixels", "features")},
                "height": changed.shape[-2],
                "width": changed.shape[-1],
                "votes": {name: int(votes_[i]) for name, votes_ in votes.items()},
            }
            for i in range(len(batch.ids))
        ]


NOT_FINITE = "the changed image, or the classifier's answer to it, is not finite"
UNCONDITIONAL = "the label is the classifier's own verdict on the clean image"


def hash_of(batch: Batch, i: int) -> str | None:
    """The hash of an image that a dataset gave; None for a drawn one."""
    return None if batch.hashes is None else batch.hashes[i]

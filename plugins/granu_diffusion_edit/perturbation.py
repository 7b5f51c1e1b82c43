"""The perturbation: prompts for a batch, its images without and with the edit at each severity, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from granu import Arms, Batch, Classifier, ClassifierError, Criterion, ImageEvidence, Proposal, Streams, image_digest
from granu_diffusion_edit.engine import Engine
from granu_diffusion_edit.kept import KeptEdit, KeptEdits, Wanted
from granu_diffusion_edit.preparation import back, to_model
from granu_diffusion_edit.prompts import Linter, Prompt
from granu_diffusion_edit.scores import Embedder, Scores, clip_scores, pixel_scores
from granu_diffusion_edit.tree import Edit, Tree

SEEDS = 1 << 62
BLACK = 1 / 255  # the brightest value of an image that a safety checker blackened
FAILED = {True: "the editor returned a black image", False: "the editor returned values that are not finite"}


@dataclass(frozen=True)
class Work:
    """The images of a batch that can be edited."""

    rows: list[int]  # their positions in the batch
    images: Tensor  # (b, C, H, W) as they came
    prepared: Tensor  # (b, 3, h, w) as the model takes them
    digests: list[str]
    prompts: list[Prompt]
    seeds: list[int]


class DiffusionEdit:
    """Edits at fixed severities; the core compares them with the arms that the same engine leaves unchanged."""

    unit = "severity"

    def __init__(
        self,
        engine: Engine,
        tree: Tree,
        edits: Sequence[Edit],
        severities: Sequence[float],
        kept: KeptEdits,
        embedder: Embedder | None,
    ) -> None:
        self.engine, self.tree, self.edits, self.kept, self.embedder = engine, tree, edits, kept, embedder
        self.severities = sorted(set(severities))
        self._linters: dict[tuple[str, ...], Linter] = {}

    def unsuitable(self, classifier: Classifier, labels: Tensor) -> tuple[str | None, ...]:
        """The reason why no edit suits a class."""
        linter = self._linter(classifier)
        return tuple(linter.choose(classifier.classes[label]).reason for label in labels.tolist())

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        """All arms of each image; one that gets no edit, or whose edit failed, has the reason in `arms.reasons`."""
        work, reasons = self._plan(classifier, batch, noise)
        prepared = batch.images.clone()
        prepared[work.rows] = back(work.prepared, batch.images)
        levels, unchanged = {}, {}
        numbers: dict[str, Tensor] = {}
        texts = _texts(work, len(batch.ids))
        for severity in self.severities:
            plain = self._made(work, [prompt.unchanged() for prompt in work.prompts], severity, self._null(severity))
            edits = self._made(work, work.prompts, severity, severity)
            unchanged[severity] = _filled(batch.images, work, [made.image for made in plain])
            levels[severity] = _filled(batch.images, work, [made.image for made in edits])
            for row, *made in zip(work.rows, plain, edits, strict=True):
                failure = next((one.failure for one in made if one.failure), None)
                reasons[row] = reasons[row] or (failure and f"{failure} at severity {severity:g}")
            for score in self._scores(work, prepared, unchanged[severity], levels[severity]):
                numbers |= {
                    f"{name}@{severity:g}": _spread(of, work, len(batch.ids)) for name, of in score.numbers.items()
                }
                texts |= {
                    f"{name}@{severity:g}": _spread_texts(of, work, len(batch.ids))
                    for name, of in score.reasons.items()
                }
            for name in sorted({name for made in edits for name in made.facts}):
                values = torch.tensor([made.facts.get(name, torch.nan) for made in edits])
                numbers[f"{name}@{severity:g}"] = _spread(values, work, len(batch.ids))
        severest = torch.full((len(batch.ids),), self.severities[-1], device=batch.images.device)
        passes = torch.full_like(severest, 2 * len(levels) + 1, dtype=torch.int64)
        return Proposal(
            evidence=ImageEvidence(levels[self.severities[-1]]),
            size=severest,
            tried=severest,
            forward=passes,
            backward=torch.zeros_like(passes),
            notes=(None,) * len(batch.ids),
            extra=numbers,
            levels={severity: ImageEvidence(images) for severity, images in levels.items()},
            arms=Arms(
                ImageEvidence(prepared),
                {severity: ImageEvidence(images) for severity, images in unchanged.items()},
                tuple(reasons),
            ),
            texts=texts,
        )

    def _plan(self, classifier: Classifier, batch: Batch, noise: Streams) -> tuple[Work, list[str | None]]:
        """Prompt and seed of each image, which depend on its pixels and the run's seed alone."""
        linter = self._linter(classifier)
        choices = [linter.choose(classifier.classes[label]) for label in batch.labels.tolist()]
        digests = [image_digest(image, "") for image in batch.images]
        streams = Streams(noise.seed, digests, "diffusion-edit")
        seeds = streams.integers(SEEDS).tolist()
        draws = streams.scope("prompt").uniform(2).tolist()
        rows = [row for row, choice in enumerate(choices) if choice.edits]
        prompts = [_drawn(choices[row].edits, draws[row]) for row in rows]
        images = batch.images[rows]
        work = Work(
            rows, images, to_model(images, self.engine.frame) if rows else images[:, :1].expand(-1, 3, -1, -1),
            [digests[row] for row in rows], prompts, [seeds[row] for row in rows],
        )  # fmt: skip
        return work, [choice.reason for choice in choices]

    def _linter(self, classifier: Classifier) -> Linter:
        classes = tuple(classifier.classes)
        if not getattr(classifier, "named", True):
            raise ClassifierError(
                "`diffusion-edit` writes prompts with the names of classes, and this classifier has none; give them "
                "with classes=, joined by plus"
            )
        if classes not in self._linters:
            self._linters[classes] = Linter(self.tree, self.edits, classes)
        return self._linters[classes]

    def _null(self, severity: float) -> float | None:
        return severity if self.engine.null_varies else None

    def _made(self, work: Work, prompts: Sequence[Prompt], severity: float, named: float | None) -> list[KeptEdit]:
        """The images of prompts at a severity, kept or made now; those of severity 0 are the prepared ones."""
        if not work.rows:
            return []
        if severity == 0:
            return [KeptEdit(image) for image in back(work.prepared, work.images)]
        each = zip(work.digests, prompts, work.seeds, strict=True)
        wanted = [Wanted(digest, prompt, named, seed) for digest, prompt, seed in each]
        found = [self.kept.read(one) for one in wanted]
        missing = [i for i, one in enumerate(found) if one is None]
        if missing:
            for i, edit in zip(missing, self._new(work, prompts, severity, missing), strict=True):
                self.kept.write(wanted[i], edit)
                found[i] = edit
        return [one for one in found if one is not None]

    def _new(self, work: Work, prompts: Sequence[Prompt], severity: float, index: Sequence[int]) -> list[KeptEdit]:
        edited = self.engine.edit(
            work.prepared[index], [prompts[i] for i in index], [work.seeds[i] for i in index], severity
        )
        images = edited.images.to(work.images.device).float()
        finite = images.isfinite().flatten(1).all(dim=1)
        restored = back(images.nan_to_num(), work.images)
        made = []
        for row, i in enumerate(index):
            black = bool(restored[row].amax() <= BLACK < work.images[i].amax())
            failure = FAILED[black and bool(finite[row])] if black or not finite[row] else None
            facts = {name: float(of[row]) for name, of in edited.facts.items()}
            made.append(KeptEdit(restored[row], facts, failure))
        return made

    def _scores(self, work: Work, prepared: Tensor, unchanged: Tensor, edited: Tensor) -> list[Scores]:
        if not work.rows:
            return []
        before, plain, after = (images[work.rows] for images in (prepared, unchanged, edited))
        ask: list[Callable[[], Scores]] = [partial(pixel_scores, before, plain, after)]
        if self.embedder is not None:
            ask.append(partial(clip_scores, self.embedder, before, after, work.prompts))
        return [score() for score in ask]


def _drawn(edits: Sequence[Sequence[Prompt]], draws: Sequence[float]) -> Prompt:
    """One prompt of one edit, by two uniform numbers in [0, 1)."""
    prompts = edits[int(draws[0] * len(edits))]
    return prompts[int(draws[1] * len(prompts))]


def _facts(edits: Sequence[KeptEdit]) -> Scores:
    """Numbers that the engine reports of how images were made."""
    names = sorted({name for made in edits for name in made.facts})
    return Scores({name: torch.tensor([made.facts.get(name, torch.nan) for made in edits]) for name in names}, {})


def _filled(images: Tensor, work: Work, made: Sequence[Tensor]) -> Tensor:
    """The batch's images with those that were edited in their places."""
    if not made:
        return images
    filled = images.clone()
    filled[work.rows] = torch.stack([one.to(images.device) for one in made])
    return filled


def _spread(values: Tensor, work: Work, count: int) -> Tensor:
    """Numbers of the edited images as (B,), NaN for the others."""
    spread = torch.full((count,), torch.nan)
    spread[work.rows] = values.float().cpu()
    return spread


def _spread_texts(texts: Sequence[str | None], work: Work, count: int) -> tuple[str | None, ...]:
    known = dict(zip(work.rows, texts, strict=True))
    return tuple(known.get(row) for row in range(count))


def _texts(work: Work, count: int) -> dict[str, tuple[str | None, ...]]:
    """The prompts of a batch, for its trials."""
    return {
        name: _spread_texts([getattr(prompt, part) for prompt in work.prompts], work, count)
        for name, part in (
            ("edit", "edit"), ("source", "source"), ("prompt", "target"), ("instruction", "instruction")
        )
    }  # fmt: skip

"""Clean samples of a generator that draws none: images of the data, encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property

from granu.errors import DataError
from granu.runs.encodings import Encoder
from granu.runs.sources import Source
from granu.spaces.samples import UNCONDITIONAL
from granu.types import Batch, Latent


class EncodedSamples:
    """The first `count` images of a source in its own order, or all of fewer; images of all classes are one group.

    How many images a run measures takes no part, so that the unit of size does not depend on it.
    """

    def __init__(self, encoder: Encoder, source: Source, name: str, count: int, batch: int) -> None:
        self.encoder, self.source, self.name, self.batch = encoder, source, name, batch
        self.generator, self.device = encoder.generator, encoder.device
        self.positions = range(min(count, len(source)))

    def __len__(self) -> int:
        return len(self._names)

    def group(self, label: int) -> int:
        """One for all classes."""
        return UNCONDITIONAL

    def wider(self) -> int | None:
        """None: the group holds all classes."""
        return None

    def identity(self, group: int) -> str:
        return "encoded|" + hashlib.sha256("|".join(self._names).encode()).hexdigest()

    def latents(self, group: int, at_once: int) -> Iterator[Latent]:
        """The encodings; images that cannot be encoded are left out. DataError where fewer than two can."""
        count = 0
        for batch in self._batches(min(at_once, self.batch)):
            encoded = self.encoder.encode(batch.images, batch.labels)
            if encoded.latent is not None:
                count += len(encoded.index)
                yield encoded.latent
        if count < 2:
            raise DataError(
                f"only {count} of the {len(self.positions)} images of `{self.name}` can be encoded; standard "
                "deviations at sites need at least two"
            )

    @cached_property
    def _names(self) -> Sequence[str]:
        """Names of the encodings, which say all that these depend on."""
        return [name for batch in self._batches(self.batch) for name in self.encoder.names_of(batch)]

    def _batches(self, at_once: int) -> Iterator[Batch]:
        for start in range(0, len(self.positions), at_once):
            for batch in self.source.batches(self.positions[start : start + at_once]):
                if isinstance(batch, Batch):
                    yield batch

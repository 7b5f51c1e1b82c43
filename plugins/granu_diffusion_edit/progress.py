"""Progress bars of other packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_progress() -> Iterator[None]:
    """Hide the progress bars that diffusers and transformers draw while they load, and restore them."""
    from diffusers.utils import logging as of_diffusers  # type: ignore[import-not-found, unused-ignore]
    from transformers.utils import logging as of_transformers  # type: ignore[import-not-found, unused-ignore]

    shown = [one for one in (of_diffusers, of_transformers) if one.is_progress_bar_enabled()]
    for one in shown:
        one.disable_progress_bar()
    try:
        yield
    finally:
        for one in shown:
            one.enable_progress_bar()

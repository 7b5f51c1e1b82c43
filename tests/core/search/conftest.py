"""Nine tiny images that every search is tried on."""

from __future__ import annotations

import pytest
from searching import COUNT

from granu import Batch
from granu.testing import tiny


@pytest.fixture(scope="module")
def batch() -> Batch:
    return tiny.tiny_batch(COUNT)

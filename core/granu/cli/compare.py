"""`granu compare`: is one classifier harder to break than another, on the same pictures?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from granu.errors import GranuError


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="The run to compare with.")],
) -> None:
    """Compare two classifiers on shared pictures."""
    raise GranuError(f"{first} cannot be compared yet")

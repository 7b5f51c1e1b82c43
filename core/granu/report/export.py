"""Rows as plain data: flat records for JSON, CSV and pandas, with numbers at full precision; and writing files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from granu.errors import RunFolderError
from granu.report import formatting
from granu.report.rows import Row
from granu.report.statistics import Median, Rate

if TYPE_CHECKING:
    from granu.report.robustness import Robustness

Value = str | int | float | None


def records(rows: Sequence[Row]) -> list[dict[str, Value]]:
    """A flat record per row. Where a median lies beyond all sizes tried it is None, and `..._beyond` is the largest."""
    return [_record(row) for row in rows]


def write_csv(rows: Sequence[Row], file: Path, over_attacks: Sequence[Robustness] = ()) -> None:
    """Write the records as a CSV file, and below them unions and means of attacks. RunFolderError if that fails."""
    lines, text = records(rows), io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    writer.writerows(line for one in over_attacks for line in _over_attacks(one))
    write_file(file, text.getvalue().encode())


def write_file(file: Path, data: bytes) -> None:
    """Write a file that a report was asked for. RunFolderError if that fails."""
    try:
        file.write_bytes(data)
    except OSError as problem:
        raise RunFolderError(f"cannot write {file}: {problem.strerror}; name another file") from None


def _record(row: Row) -> dict[str, Value]:
    return {
        "classifier": row.classifier,
        "perturbation": row.perturbation,
        "evidence": row.evidence,
        "unit": row.unit,
        "budget": row.budget,
        "counted": row.counted,
        "clean_wrong": row.clean_wrong,
        "unreadable": row.unreadable,
        "reconstruction_wrong": row.reconstruction_wrong,
        "not_encoded": row.not_encoded,
        "failed": row.failed,
        "failed_because": "; ".join(f"{reason} ({times})" for reason, times in row.reasons),
        **_rate("found", row.found),
        **_rate("confirmed", row.confirmed),
        "levels": " ".join(f"{level:g}" for level in row.levels),
        "accuracy": row.accuracy.value if row.accuracy else None,
        "accuracy_low": row.accuracy.low if row.accuracy else None,
        "accuracy_high": row.accuracy.high if row.accuracy else None,
        **_median("size", row.size),
        **_median("confirmed_size", row.confirmed_size),
        "l2": row.l2,
        "linf": row.linf,
        "ssim": row.ssim,
        "pixels": row.pixels,
        "features": row.features,
        **_rate("control", row.control),
        "forward": row.forward,
        "backward": row.backward,
        "image_sizes": formatting.image_sizes(row.image_sizes),
    }


def _over_attacks(one: Robustness) -> list[dict[str, Value]]:
    """Records of the union and the mean, with the accuracy and the number of images it is taken over alone."""
    return [
        {
            "classifier": one.classifier,
            "perturbation": f"{name} of {len(one.by_attack)} attacks",
            "counted": value.images,
            "accuracy": value.value,
            "accuracy_low": value.low,
            "accuracy_high": value.high,
        }
        for name, value in (("union", one.union), ("mean", one.mean))
    ]


def _rate(name: str, rate: Rate | None) -> dict[str, Value]:
    known = rate is not None and rate.total > 0
    return {
        f"{name}_hits": rate.hits if rate else None,
        name: rate.value if rate and known else None,
        f"{name}_low": rate.low if rate and known else None,
        f"{name}_high": rate.high if rate and known else None,
    }


def _median(name: str, median: Median | None) -> dict[str, Value]:
    return {
        name: median.value if median else None,
        f"{name}_low": median.low if median else None,
        f"{name}_high": median.high if median else None,
        f"{name}_beyond": median.largest if median and median.value is None else None,
    }

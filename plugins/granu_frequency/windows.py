"""Windows along the frequencies: those of the paper, and as many for other image sizes."""

from __future__ import annotations

from collections.abc import Sequence

PAPER = {28: (8, 1), 32: (8, 2), 224: (16, 16)}  # side -> width and step of its windows (section 3, code)
COUNT = 13  # windows of a sweep by default; the paper's number at 32 pixels


def width_of(n: int) -> int:
    """Width of a window along an axis of `n` pixels, in frequencies."""
    return PAPER[n][0] if n in PAPER else max(1, round(n / 4 if n <= 64 else n / 14))


def starts_of(n: int) -> list[int]:
    """Starts of the windows along an axis of `n` pixels, low to high: all of the paper, else `COUNT` spread evenly."""
    if n in PAPER:
        return list(range(0, n - width_of(n) + 1, PAPER[n][1]))
    return [nth_start(n, number) for number in range(COUNT)]


def nth_start(n: int, number: int, count: int = COUNT) -> int:
    """Start of window `number` (0 to count - 1) of a sweep of `count`; one of the paper's if it has that many."""
    last = n - width_of(n)
    grid = PAPER[n][1] if n in PAPER and count <= last // PAPER[n][1] + 1 else 1
    return grid * round(number * last / grid / (count - 1))


def all_starts(size: Sequence[int]) -> list[tuple[int, ...]]:
    """The starts of every window of an image of `size` (H, W), along each axis."""
    if len(set(size)) == 1:
        return [(start, start) for start in starts_of(size[0])]
    return [tuple(nth_start(n, number) for n in size) for number in range(COUNT)]

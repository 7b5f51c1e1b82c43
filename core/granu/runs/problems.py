"""Description of exceptions that code of others raises."""

from __future__ import annotations


def is_out_of_memory(problem: BaseException) -> bool:
    """True for an exception that says that memory ran out, on the CPU or on a GPU."""
    text = str(problem)
    return isinstance(problem, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def first_line(problem: BaseException) -> str:
    """The first line of an exception's text; its type where it has none."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]

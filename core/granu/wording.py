"""Text from files and other people's programs, made safe to print: no control characters, and of bounded length."""

from __future__ import annotations

LONGEST = 80  # characters of a name in a message
PLAIN = (int, float, bool, type(None))


def printable(text: str) -> str:
    """Escape everything that is not a visible character or a space: a terminal acts on some of the rest."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def shown(value: object, longest: int = LONGEST) -> str:
    """Describe a value from a file for a message: printable, and cut in the middle if it is longer than `longest`.

    Containers are described by their type: one of 1 KB can refer to itself so often that its text fills a disk.
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, (list, tuple)) and len(value) <= longest and all(isinstance(v, PLAIN) for v in value):
        items = ", ".join(map(_number, value))
        text = f"[{items}]" if isinstance(value, list) else f"({items}{',' if len(value) == 1 else ''})"
    else:
        text = _number(value) if isinstance(value, PLAIN) else f"a {type(value).__name__}"
    if len(text) > longest:
        text = f"{text[: longest // 2]}...{text[-longest // 4 :]}"
    return printable(text)


def reason(problem: BaseException) -> str:
    """The first line of an exception's message, printable; its type if it has none."""
    lines = str(problem).strip().splitlines()
    return shown(lines[0], 200) if lines else type(problem).__name__


def _number(value: object) -> str:
    # Python refuses to write integers of more than 4300 digits
    return f"an integer of {value.bit_length()} bits" if isinstance(value, int) and abs(value) >> 256 else str(value)


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")

"""Reading a pickle as data: a machine for its instructions that calls nothing but a list of harmless functions.

A pickle is a program that looks up functions by name and calls them. Here a name resolves to a `StandIn` from a list,
or the file is refused. No attribute is set or looked up, no method of an object is called, only plain values are
hashed, and the sizes of what is read and the number of instructions are bounded. Long byte strings are not read but
referred to.

The instructions are those that Python's `pickletools` documents.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from granu.weights.stored import EncodedSpan, Refused, Span
from granu.wording import shown

MOST_INSTRUCTIONS = 1_000_000  # real files have fewer than 100,000
MOST_TEXT = 1 << 26  # bytes of strings that are read
LONG = 1 << 12  # bytes; a longer byte string is referred to, not read
LONG_TEXT = 1 << 18
LONGEST_LINE = 1 << 12
CHUNK = 1 << 16  # bytes read ahead
LONGEST_INTEGER = 16  # bytes
PLAIN_KEYS = (str, int, float, bool, bytes, type(None))


class Damaged(Exception):
    """The bytes are not a pickle."""


class StandIn:
    """Replacement of a function or class that a pickle names."""

    __slots__ = ("act",)
    act: Callable[..., Any]

    def __init__(self, act: Callable[..., Any]) -> None:
        object.__setattr__(self, "act", act)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a replacement is shared by all files")


Names = Mapping[tuple[str, str], Any]
"""(module, name) -> what stands for it: a StandIn if it can be called, a Refused if the file is to be refused."""


class Opaque:
    """An object that is not needed."""

    __slots__ = ()


class Budget:
    """Limits of the cost of reading a file, however its parts refer to each other."""

    def __init__(self) -> None:
        self.instructions, self.text = MOST_INSTRUCTIONS, MOST_TEXT

    def spend(self, instructions: int = 0, text: int = 0) -> None:
        """Count instructions, or items and bytes that are copied. Refused if there were too many."""
        self.instructions -= instructions
        self.text -= text
        if self.instructions < 0 or self.text < 0:
            raise Refused("needs more steps to be read than any weights file")


class Window:
    """The part of a stream from `position` to `end`; nothing beyond it is read.

    `file` is the file that the stream reads, None for bytes in memory.
    """

    def __init__(self, stream: BinaryIO, file: Path | None, position: int, end: int) -> None:
        self.stream, self.file, self.position, self.end = stream, file, position, end
        self.chunk, self.chunk_at = b"", position  # bytes read ahead

    def read(self, count: int) -> bytes:
        """The next bytes. Damaged if there are fewer."""
        start = self.position - self.chunk_at
        if start + count > len(self.chunk):
            self._fill(count)
            start = 0
        self.position += count
        return self.chunk[start : start + count]

    def line(self) -> bytes:
        """The bytes up to the end of the line."""
        start = self.position - self.chunk_at
        if (end := self.chunk.find(b"\n", start)) < 0:
            self._fill(0)
            start, end = 0, self.chunk.find(b"\n", 0, LONGEST_LINE)
        if end < 0:
            raise Damaged("it ends within a line")
        self.position += end + 1 - start
        return self.chunk[start:end]

    def skip(self, count: int) -> Span:
        """Pass over `count` bytes and refer to them."""
        if count > self.end - self.position:
            raise Damaged("it ends too early")
        assert self.file is not None
        span = Span(self.file, self.position, count)
        self.position += count
        return span

    def _fill(self, count: int) -> None:
        left = self.end - self.position
        if count > left:
            raise Damaged("it ends too early")
        self.stream.seek(self.position)
        self.chunk, self.chunk_at = self.stream.read(min(max(count, CHUNK), left)), self.position
        if len(self.chunk) < count:
            raise Damaged("it ends too early")


def load(window: Window, names: Names, budget: Budget, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Run a pickle's instructions up to its end. Refused if it needs more than `names` or the budget.

    `persistent` gives the object for a persistent id. Any other exception means that the bytes are damaged.
    """
    return _Machine(window, names, budget, persistent).run()


@dataclass(frozen=True)
class LongText:
    """A long string that was not read."""

    span: Span


def encode(text: Any, encoding: Any = "latin1") -> Any:
    """Encode text as bytes, a byte per character, as pickles of protocol 2 write them."""
    if encoding not in ("latin1", "latin-1"):
        raise Refused("holds bytes in an unknown encoding")
    if isinstance(text, LongText):
        if text.span.length > MOST_TEXT:
            raise Refused("holds too long a text")
        return EncodedSpan(text.span)
    return text.encode("latin1") if isinstance(text, str) else _refuse("holds bytes that are not text")


def mapping(items: Any = (), *_more: object) -> dict[Any, Any]:
    """A dictionary from pairs or from another dictionary."""
    pairs = list(items.items()) if isinstance(items, dict) else items
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise Refused("holds a dictionary that is none")
    return {_key(key): value for key, value in pairs}


def default_mapping(_factory: object = None, items: Any = (), *_more: object) -> dict[Any, Any]:
    return mapping(items)


def opaque(*_arguments: object) -> Opaque:
    return Opaque()


def sequence(items: Any = (), *_more: object) -> tuple[Any, ...]:
    if not isinstance(items, list | tuple):
        raise Refused("holds a list that is none")
    return tuple(items)


# plain containers, and bytes as protocol 2 writes them
PLAIN_NAMES: Names = {
    ("_codecs", "encode"): StandIn(encode),
    ("builtins", "bytes"): StandIn(lambda *_: b""),
    ("builtins", "dict"): StandIn(mapping),
    ("builtins", "frozenset"): StandIn(sequence),
    ("builtins", "list"): StandIn(lambda *items: list(sequence(*items))),
    ("builtins", "set"): StandIn(sequence),
    ("builtins", "tuple"): StandIn(sequence),
    ("collections", "Counter"): StandIn(mapping),
    ("collections", "OrderedDict"): StandIn(mapping),
    ("collections", "defaultdict"): StandIn(default_mapping),
}


def _refuse(text: str) -> Any:
    raise Refused(text)


def _key(key: Any) -> Any:
    """A key that can be hashed in no time: a tuple of tuples that share each other takes forever."""
    if isinstance(key, LongText):
        raise Refused(f"uses a text of {key.span.length:,} bytes as a name")
    plain = isinstance(key, PLAIN_KEYS) or (isinstance(key, tuple) and all(isinstance(k, PLAIN_KEYS) for k in key))
    return key if plain else _refuse(f"uses {shown(key)} as the key of a dictionary")


class _Machine:
    """A stack, a memo and one method per kind of instruction."""

    def __init__(self, window: Window, names: Names, budget: Budget, persistent: Callable[[Any], Any] | None) -> None:
        self.window, self.names, self.budget, self.persistent = window, names, budget, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self.window.read(1)) != b".":
            self.budget.spend(instructions=1)
            if code not in INSTRUCTIONS:
                raise Damaged(f"there is no instruction {code!r}")
            INSTRUCTIONS[code](self)
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """The values above the last mark, which is removed."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.window.read(struct.calcsize(form)))[0]

    def read_text(self, count: int) -> bytes:
        self.budget.spend(text=count)
        return self.window.read(count)

    def push_text(self, count: int) -> None:
        if count > LONG_TEXT and self.window.file is not None:
            self.push(LongText(self.window.skip(count)))
        else:
            self.push(self.read_text(count).decode("utf-8", "surrogatepass"))

    def push_bytes(self, count: int) -> None:
        self.push(self.window.skip(count) if count > LONG and self.window.file is not None else self.read_text(count))

    def push_integer(self, count: int) -> None:
        if not 0 <= count <= LONGEST_INTEGER:
            raise Refused("holds an integer that is too long")
        self.push(int.from_bytes(self.window.read(count), "little", signed=True))

    def push_line_integer(self) -> None:
        line = self.window.line()
        if line in (b"00", b"01"):
            self.push(line == b"01")
        elif len(line) > 2 * LONGEST_INTEGER:
            raise Refused("holds an integer that is too long")
        else:
            self.push(int(line.rstrip(b"L"), 0))

    def push_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise Damaged("its stack is empty")
        self.stack[len(self.stack) - count :] = [tuple(self.stack[len(self.stack) - count :])]

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise Refused("appends to what is no list")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(values) % 2:
            raise Refused("changes an object that was already read")
        target.update((_key(key), value) for key, value in zip(values[::2], values[1::2], strict=True))

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def name(self, module: Any, name: Any) -> None:
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("names a function by something else than a text, or by a very long one")
        if (module, name) not in self.names:
            raise Refused(f"asks to run {shown(f'{module}.{name}')}; granu does not run code from weights files")
        found = self.names[module, name]
        if isinstance(found, Refused):
            raise Refused(str(found))
        self.push(found)

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, StandIn) or not isinstance(arguments, tuple | list):
            raise Refused("calls what is no function")
        # the function may copy its arguments
        self.budget.spend(instructions=sum(len(a) for a in arguments if isinstance(a, list | tuple | dict)))
        self.budget.spend(text=sum(len(a) for a in arguments if isinstance(a, str)))
        self.push(function.act(*arguments))

    def call_with_keywords(self) -> None:
        keywords, arguments, function = self.stack.pop(), self.stack.pop(), self.stack.pop()
        if keywords:
            raise Refused("calls a function with keywords")
        self.call(function, arguments)

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.call(function, arguments)

    def instance(self) -> None:
        arguments = self.marked()
        self.name(self.window.line().decode(), self.window.line().decode())
        self.call(self.stack.pop(), arguments)

    def old_object(self) -> None:
        function, *arguments = self.marked()
        self.call(function, arguments)

    def build(self) -> None:
        """Set an object's state: dropped for containers, whose state is decoration, and for what is not needed."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict | Opaque):
            raise Refused("changes an object that was already read")

    def refer(self, identifier: Any) -> None:
        if self.persistent is None:
            raise Refused("refers to data outside the file")
        self.push(self.persistent(identifier))

    def frame(self) -> None:
        if self.number("<Q") > self.window.end - self.window.position:
            raise Damaged("it ends too early")


def _extension(machine: _Machine) -> None:
    raise Refused("asks to run a function by its number; granu does not run code from weights files")


def _buffer(machine: _Machine) -> None:
    raise Refused("refers to data outside the file")


def _dictionary(machine: _Machine) -> None:
    values = machine.marked()
    machine.push({})
    machine.set_items(values)


INSTRUCTIONS: Mapping[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.window.read(1),  # the protocol
    b"\x95": _Machine.frame,
    # constants
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": _Machine.push_line_integer,
    b"L": _Machine.push_line_integer,
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.push_integer(m.number("<B")),
    b"\x8b": lambda m: m.push_integer(m.number("<i")),
    b"F": lambda m: m.push(float(m.window.line())),
    b"G": lambda m: m.push(m.number(">d")),
    # text and bytes
    b"X": lambda m: m.push_text(m.number("<I")),
    b"\x8c": lambda m: m.push_text(m.number("<B")),
    b"\x8d": lambda m: m.push_text(m.number("<Q")),
    b"V": lambda m: m.push(m.window.line().decode("raw_unicode_escape")),
    b"S": lambda m: m.push(m.window.line().decode("latin1").strip("'\"")),
    b"U": lambda m: m.push(m.read_text(m.number("<B")).decode("latin1")),
    b"T": lambda m: m.push(m.read_text(m.number("<I")).decode("latin1")),
    b"B": lambda m: m.push_bytes(m.number("<I")),
    b"C": lambda m: m.push_bytes(m.number("<B")),
    b"\x8e": lambda m: m.push_bytes(m.number("<Q")),
    b"\x96": lambda m: m.push_bytes(m.number("<Q")),
    # containers
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.marked())),
    b"\x85": lambda m: m.push_tuple(1),
    b"\x86": lambda m: m.push_tuple(2),
    b"\x87": lambda m: m.push_tuple(3),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.marked()),
    b"a": lambda m: m.append([m.stack.pop()]),
    b"e": lambda m: m.append(m.marked()),
    b"}": lambda m: m.push({}),
    b"d": _dictionary,
    b"s": lambda m: m.set_items([*reversed([m.stack.pop(), m.stack.pop()])]),
    b"u": lambda m: m.set_items(m.marked()),
    b"\x8f": lambda m: m.push([]),  # a set, kept as a list
    b"\x90": lambda m: m.append(m.marked()),
    b"\x91": lambda m: m.push(tuple(m.marked())),  # a frozen set
    # the stack and the memo
    b"(": _Machine.mark,
    b"0": lambda m: m.stack.pop(),
    b"1": _Machine.marked,
    b"2": lambda m: m.push(m.stack[-1]),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"p": lambda m: m.remember(int(m.window.line()[:20])),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"g": lambda m: m.push(m.memo[int(m.window.line()[:20])]),
    # names, calls and state
    b"c": lambda m: m.name(m.window.line().decode(), m.window.line().decode()),
    b"\x93": lambda m: m.name(*reversed([m.stack.pop(), m.stack.pop()])),
    b"R": _Machine.reduce,
    b"\x81": _Machine.reduce,  # a new object of a class
    b"\x92": _Machine.call_with_keywords,
    b"i": _Machine.instance,
    b"o": _Machine.old_object,
    b"b": _Machine.build,
    b"Q": lambda m: m.refer(m.stack.pop()),
    b"P": lambda m: m.refer(m.window.line().decode("ascii")),
    b"\x82": _extension,
    b"\x83": _extension,
    b"\x84": _extension,
    b"\x97": _buffer,
    b"\x98": lambda m: None,  # marks a buffer as read-only
}

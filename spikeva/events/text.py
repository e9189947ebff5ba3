"""Text: one event a line, `t x y p`. Reader and formatter."""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit
from spikeva.events.errors import EventFileError
from spikeva.events.reader import EventReader
from spikeva.events.stream import EventStream

_EVENT = rb"[ \t]*(-?\d{1,19}%s)[ \t,]+(\d{1,9})[ \t,]+(\d{1,9})[ \t,]+(-1|\d{1,9})[ \t]*\r?$"
_MICROSECONDS = re.compile(_EVENT % rb"", re.MULTILINE)
_SECONDS = re.compile(_EVENT % rb"(?:\.\d*)?(?:[eE][+-]?\d{1,2})?", re.MULTILINE)
_LINE = re.compile(rb"^[^\n]*[^\s][^\n]*$", re.MULTILINE)
_TWO_NUMBERS = re.compile(rb"[ \t]*(\d{1,9})[ \t,]+(\d{1,9})[ \t]*\r?\n")
_FIRST_LINE = b"# t[us] x y p\n"
_BAD_LINE = "lines that are no event"
_READ_BYTES = 2**22
_TAB, _NEWLINE, _RETURN, _BLANK, _HASH, _COMMA, _MINUS, _POINT, _ZERO, _NINE = b"\t\n\r #,-.09"


class TextReader(EventReader):
    """Reads lines `t x y p` (blanks or commas between): t in whole microseconds, or in seconds if the first line's t
    has a decimal point (rounded to microseconds, a half to the even number); p is 0 or -1 for OFF, 1 for ON.

    Lines with `#` are comments. A first line of two numbers is the sensor's size, as is our own `# size W H`.
    """

    format = "txt"

    def __init__(self, path: Any, size: tuple[int, int] | None, strict: bool) -> None:
        super().__init__(path, size, strict)
        start = self._start()
        if not start.strip():
            raise EventFileError(path, "the file is empty", "Copy it again.", 0)
        self._offset, stated = 0, None
        if first := _TWO_NUMBERS.match(start):
            self._offset, stated = first.end(), (int(first[1]), int(first[2]))
        for key, values in re.findall(rb"^# (size|event_count) ([\d ]{1,30})\r?$", start, re.MULTILINE):
            self.header[key.decode()] = values.decode().strip()
        if re.fullmatch(r"\d+ \d+", self.header.get("size", "")):
            width, _, height = self.header["size"].partition(" ")
            stated = (int(width), int(height))
        lines = [line for line in _LINE.findall(start[self._offset :]) if not line.lstrip().startswith(b"#")]
        cut = not start.endswith(b"\n") or (start.startswith(_FIRST_LINE) and "event_count" not in self.header)
        if cut and not lines:
            raise EventFileError(path, "the file ends within the header", "Copy it again.", len(start))
        if lines and not _SECONDS.match(lines[0]):
            found = f"the first line is {lines[0][:60]!r}"
            raise EventFileError(path, found, "Lines `t x y p` were expected.", start.index(lines[0]))
        self._unit, self._pattern = ("us", _MICROSECONDS)
        if lines and not _MICROSECONDS.match(lines[0]):
            self._unit, self._pattern = ("s", _SECONDS)
        self.size = self._decide_size(stated)

    def _start(self) -> bytes:
        """The file up to its first event: the sensor's size and comments of any length, and that event's whole line."""
        lines: list[bytes] = []
        with open(self.path, "rb") as file:
            while line := file.readline(_READ_BYTES):
                lines.append(line)
                text, is_size = line.strip(), len(lines) == 1 and _TWO_NUMBERS.fullmatch(line)
                if text and not text.startswith(b"#") and not is_size:
                    break
        return b"".join(lines)

    def blocks(self) -> Iterator[EventStream]:
        self._begin()
        last = None
        with open(self.path, "rb") as file:
            offset = file.seek(self._offset)
            while text := file.read(_READ_BYTES):
                text += file.readline(_READ_BYTES)
                block = self.sound(self._parse(text, offset), last, offset, "of the lines from there on")
                last = int(block.t[-1]) if len(block) else last
                offset += len(text)
                yield block
        count = self.header.get("event_count", "")
        self.check_count(int(count) if count.isdecimal() else None)

    def _parse(self, text: bytes, offset: int) -> list[NDArray[np.int64]]:
        """Columns of the lines that are events; any other line but comments and blank ones is a fault."""
        columns = tuple(np.empty(text.count(b"\n") + 1, np.int64) for _ in range(4))
        found = plain_events(np.frombuffer(text + b"\n", np.uint8), self._unit == "s", columns)
        if found >= 0:
            return [column[:found] for column in columns]
        events = [event for line in _LINE.finditer(text) if (event := self._event(line, offset)) is not None]
        return list(np.array(events, np.int64).reshape(-1, 4).T)

    def _event(self, line: re.Match[bytes], offset: int) -> tuple[int, ...] | None:
        """What a line says, None where that is no event."""
        event = self._pattern.fullmatch(line[0])
        if event is None:
            if not line[0].lstrip().startswith(b"#"):
                found = f"a line that is no event `t x y p`, t in {self._unit}: {line[0][:60]!r}"
                self.fault(_BAD_LINE, found, offset + line.start())
            return None
        t = int(event[1]) if self._unit == "us" else round(Fraction(event[1].decode()) * 10**6)
        if not -(2**63) <= t < 2**63:
            found = f"a line whose time is beyond 64 bits of microseconds: {line[0][:60]!r}"
            self.fault(_BAD_LINE, found, offset + line.start())
            return None
        return t, int(event[2]), int(event[3]), int(event[4])


@njit(cache=True, nogil=True)
def plain_events(text, seconds, columns):
    """Number of events in `text` [N] uint8, whole lines; t (us), x, y, p of each into the four int64 `columns` [lines].

    -1, and nothing worth in `columns`, where a line is neither blank nor a comment nor a plain event: one whose time has no
    exponent, and no more digits before the point than 18 (us) or 12 (`seconds`).
    """
    i, one, n = np.uint64(0), np.uint64(1), 0  # unsigned: an index that numba need not test for a count from the end
    while i < len(text):
        i = _behind(text, i, False)
        if text[i] == _HASH:
            while text[i] != _NEWLINE:
                i += one
        elif not _ends(text, i):
            for c in range(4):
                before = i
                i = _behind(text, i, True)
                if (c > 0) == (i == before):
                    return -1
                minus = (c == 0 or c == 3) and text[i] == _MINUS
                value, i = _whole(text, i + one if minus else i, 9 if c else 12 if seconds else 18)
                if value < 0 or (minus and c == 3 and value != 1):
                    return -1
                if c == 0 and seconds:
                    value, i = _microseconds(text, i, value)
                columns[c][n] = -value if minus else value
            n += 1
            i = _behind(text, i, False)
        if not _ends(text, i):
            return -1
        while text[i] != _NEWLINE:
            i += one
        i += one
    return n


@njit(cache=True, nogil=True)
def _behind(text, i, commas):
    """The place behind blanks, tabs (and commas)."""
    while text[i] == _BLANK or text[i] == _TAB or (commas and text[i] == _COMMA):
        i += np.uint64(1)
    return i


@njit(cache=True, nogil=True)
def _ends(text, i):
    """Whether the line ends here."""
    return text[i] == _NEWLINE or (text[i] == _RETURN and text[i + np.uint64(1)] == _NEWLINE)


@njit(cache=True, nogil=True)
def _whole(text, i, most):
    """(number, place behind it) of the digits at `i`; -1 for none, or for more than `most`."""
    value, start, digit = np.int64(0), i, np.uint8(text[i] - _ZERO)  # of what is no digit, a number above 9
    while digit <= 9:
        value = 10 * value + np.int64(digit)
        i += np.uint64(1)
        digit = np.uint8(text[i] - _ZERO)
    return value if np.uint64(0) < i - start <= np.uint64(most) else np.int64(-1), i


@njit(cache=True, nogil=True)
def _microseconds(text, i, value):
    """(microseconds, place behind them) of `value` whole seconds and the fraction that may be at `i`, a half to the even number."""
    value, unit, digit, more = value * 1_000_000, np.int64(1_000_000), np.int64(0), False
    if text[i] == _POINT:
        i += np.uint64(1)
        while _ZERO <= text[i] <= _NINE:
            more |= unit == 0 and text[i] != _ZERO
            if unit:
                unit, digit = unit // 10, np.int64(text[i]) - _ZERO
                value += unit * digit
            i += np.uint64(1)
    # `digit` is the first behind the microseconds where `unit` is 0.
    if unit == 0 and (digit > 5 or (digit == 5 and (more or value % 2 == 1))):
        value += 1
    return value, i


def header(size: tuple[int, int], count: str) -> bytes:
    """The file's start; `count` is a place holder of the right width."""
    return _FIRST_LINE + f"# size {size[0]} {size[1]}\n# event_count {count}\n".encode()


def encode(t: Any, x: Any, y: Any, p: Any) -> bytes:
    """The lines of the events."""
    return b"".join(b"%d %d %d %d\n" % row for row in zip(t.tolist(), x.tolist(), y.tolist(), p.tolist(), strict=True))

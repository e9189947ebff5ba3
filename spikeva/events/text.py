"""Text: one event a line, `t x y p`. Reader and formatter."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


class TextReader(EventReader):
    """Reads lines `t x y p` (blanks or commas between): t in whole microseconds, or in seconds if the first line's t
    has a decimal point (rounded to microseconds); p is 0 or -1 for OFF, 1 for ON.

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
        rows = [match.groups() for line in _LINE.finditer(text) if (match := self._match(line, offset))]
        if not rows:
            return [np.empty(0, np.int64)] * 4
        t, x, y, p = (np.array(column) for column in zip(*rows, strict=True))
        time = t.astype(np.int64) if self._unit == "us" else np.rint(t.astype(np.float64) * 1e6).astype(np.int64)
        return [time, x.astype(np.int64), y.astype(np.int64), p.astype(np.int64)]

    def _match(self, line: re.Match[bytes], offset: int) -> re.Match[bytes] | None:
        event = self._pattern.fullmatch(line[0])
        if event is None and not line[0].lstrip().startswith(b"#"):
            found = f"a line that is no event `t x y p`, t in {self._unit}: {line[0][:60]!r}"
            self.fault(_BAD_LINE, found, offset + line.start())
        elif event is not None and not self._fits(event[1]):
            found = f"a line whose time is beyond 64 bits of microseconds: {line[0][:60]!r}"
            self.fault(_BAD_LINE, found, offset + line.start())
            return None
        return event

    def _fits(self, t: bytes) -> bool:
        """Whether int64 microseconds hold a time."""
        if self._unit == "s":
            return abs(float(t)) * 1e6 < 2.0**63
        return len(t) < 19 or -(2**63) <= int(t) < 2**63


def header(size: tuple[int, int], count: str) -> bytes:
    """The file's start; `count` is a place holder of the right width."""
    return _FIRST_LINE + f"# size {size[0]} {size[1]}\n# event_count {count}\n".encode()


def encode(t: Any, x: Any, y: Any, p: Any) -> bytes:
    """The lines of the events."""
    return b"".join(b"%d %d %d %d\n" % row for row in zip(t.tolist(), x.tolist(), y.tolist(), p.tolist(), strict=True))

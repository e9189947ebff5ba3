"""Prophesee's files: their text header, and the driver that runs a format's decoder over blocks of words.

Sources: the public descriptions of RAW, EVT 2.0, EVT 2.1, EVT 3.0 and DAT at docs.prophesee.ai. Each format is a
numba kernel of one signature (`Words.decode`) over little-endian words; state and counts live in two small arrays.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit
from spikeva.events.errors import EventFileError
from spikeva.events.reader import BAD_POLARITY, BLOCK, OUTSIDE, TIME_BACK, TRUNCATED, EventReader
from spikeva.events.stream import Columns, EventStream, empty_columns

# Slots of a decoder's state; a format may use more of its own from OWN on.
TIME, LAST, BLOCKED, FAULT, FAULT_WORD, TRIGGERS, OWN = range(7)
STATE_LENGTH = 16
# Reasons that an event cannot be taken: the bits of state[BLOCKED].
NO_TIME, NO_ROW, BACK, ROW_OUTSIDE = 1, 2, 4, 8
# Slots of the counts.
C_WORD, C_NO_TIME, C_NO_ROW, C_BACK, C_OUTSIDE, C_POLARITY, C_VENDOR, C_LENGTH = range(8)

_FAULTS = {
    C_WORD: ("words of unknown type", "a word of a type that the format does not know"),
    C_NO_TIME: ("events before the first time", "events before the first time word"),
    C_NO_ROW: ("events before the first row", "events before the word that gives their row or first column"),
    C_BACK: (TIME_BACK, "the time of an event lies before that of its predecessor"),
    C_OUTSIDE: (OUTSIDE, "an event outside the sensor"),
    C_POLARITY: (BAD_POLARITY, "an event of a polarity other than 0 and 1"),
}
_MAX_HEADER = 2**16  # bytes; a header is a dozen short lines


@njit(cache=True, inline="always")
def reason(blocked: int) -> int:
    """The slot of the counts for a set of reasons: the first that applies."""
    if blocked & NO_TIME:
        return C_NO_TIME
    if blocked & NO_ROW:
        return C_NO_ROW
    if blocked & BACK:
        return C_BACK
    return C_OUTSIDE


@dataclass(frozen=True)
class Words:
    """A format: its words and its kernels.

    `decode(words, state, counts, width, height, strict, t, x, y, p, triggers)` returns the number of events written;
    with `strict` it stops at the first fault, described in state[FAULT] (a slot of the counts) and state[FAULT_WORD].
    `bound(words)` is at least the number of events that is written.
    """

    dtype: np.dtype[Any]
    start: int  # state[BLOCKED] at the start of a file
    decode: Callable[..., int]
    bound: Callable[[NDArray[Any]], int]
    swap: bool = False  # the halves of a word stand in the file in the order opposite to the kernel's


def parse_header(path: str | os.PathLike[str], file: BinaryIO) -> tuple[dict[str, str], int]:
    """The `% key value` lines at the start of a file and the offset of the first byte behind them.

    The header ends at `% end`, or where a line does not start with `% `. Raises EventFileError where it never ends.
    """
    start = file.read(_MAX_HEADER)
    if not start:
        raise EventFileError(path, "the file is empty", "Copy it again.", 0)
    header: dict[str, str] = {}
    offset = 0
    while start.startswith(b"% ", offset):
        end = start.find(b"\n", offset)
        if end < 0:
            raise EventFileError(path, "the header does not end", "The file is truncated or damaged.", offset)
        try:
            key, _, value = start[offset + 2 : end].decode("utf-8").strip().partition(" ")
        except UnicodeDecodeError:
            raise EventFileError(path, "the header is not text", "The file is damaged.", offset) from None
        offset = end + 1
        if key == "end":
            break
        header[key] = value.strip()
    return header, offset


class WordReader(EventReader):
    """Reads a file of `words` that begin at byte `offset`, behind a header."""

    words: Words

    def __init__(self, path: Any, size: tuple[int, int] | None, strict: bool) -> None:
        super().__init__(path, size, strict)
        with open(path, "rb") as file:
            self.header, self.offset = parse_header(path, file)
        if not self.header:
            found = "the file does not start with a Prophesee header (lines `% key value`)"
            raise EventFileError(path, found, "Is it really a recording of this kind?", 0)
        self._triggers: list[NDArray[np.int64]] = []

    def _number(self, key: str) -> int | None:
        """The header's whole number under `key`, None where there is none. Raises EventFileError for anything else."""
        value = self.header.get(key)
        if value is None:
            return None
        if not value.isdecimal():
            found = f"header field {key!r} is {value!r}, a whole number was expected"
            raise EventFileError(self.path, found, "The header is damaged.")
        return int(value)

    @property
    def triggers(self) -> NDArray[np.int64]:
        """[N, 3] time in us, channel and level of the external triggers met by the last complete pass."""
        return np.concatenate([np.empty((0, 3), np.int64), *self._triggers])

    def _word_blocks(self) -> Iterator[tuple[NDArray[Any], int, int]]:
        """Whole words, the offset of their first byte, and how many bytes shorter than a word follow them."""
        width = self.words.dtype.itemsize
        buffer = bytearray(BLOCK * width)
        with open(self.path, "rb") as file:
            offset = file.seek(self.offset)
            while filled := file.readinto(buffer):  # all of it but at the end of the file
                whole = filled // width
                words = np.frombuffer(buffer, self.words.dtype, whole)
                yield np.ascontiguousarray(words[:, ::-1]) if self.words.swap else words, offset, filled % width
                offset += filled

    def _decode(self, out: Columns | None) -> Iterator[tuple[int, Columns]]:
        """Decode block by block, into `out` one after the other or into fresh columns each."""
        self._begin()
        self._triggers = []
        state, counts = np.zeros(STATE_LENGTH, np.int64), np.zeros(C_LENGTH, np.int64)
        state[LAST] = -(2**62)  # far before any time
        state[BLOCKED] = self.words.start
        triggers = np.empty((BLOCK, 3), np.int64)
        buffer = out
        for words, offset, rest in self._word_blocks():
            before = counts.copy()
            state[TRIGGERS] = 0
            bound = int(self.words.bound(words))
            if out is None or buffer is None:
                buffer = empty_columns(bound)
            elif bound > len(buffer[0]):
                raise EventFileError(self.path, "the file grew while it was read", "Read it again.", offset)
            n = self.words.decode(words, state, counts, *self.size, self.strict, *buffer, triggers)
            self.report.events += n
            if state[TRIGGERS]:
                self._triggers.append(triggers[: state[TRIGGERS]].copy())
                self.report.triggers += int(state[TRIGGERS])
            if state[FAULT] >= 0:
                self._account(state, counts - before, words, offset)
            if counts[C_VENDOR]:
                self.report.skipped["vendor words"] = int(counts[C_VENDOR])
            yield n, buffer
            if rest:
                found = f"the file ends inside a word ({rest} of {self.words.dtype.itemsize} bytes)"
                self.fault(TRUNCATED, found, offset + words.nbytes, rest)
            if out:
                t, x, y, p = buffer
                buffer = (t[n:], x[n:], y[n:], p[n:])
        self.check_count(self._number("event_count"))

    def _account(self, state: NDArray[np.int64], counts: NDArray[np.int64], words: NDArray[Any], offset: int) -> None:
        """Turn what the kernel met in one block into faults, the first one first."""
        slots = sorted((slot for slot in _FAULTS if counts[slot]), key=lambda slot: slot != state[FAULT])
        for slot in slots:
            kind, found = _FAULTS[slot]
            place = None
            if slot == state[FAULT]:
                word = np.atleast_1d(words[state[FAULT_WORD]])
                place = offset + int(state[FAULT_WORD]) * word.nbytes
                found += f" (word 0x{''.join(f'{part:0{2 * word.itemsize}x}' for part in word)})"
            self.fault(kind, found, place, int(counts[slot]), _REMEDIES.get(slot, ""))

    def blocks(self) -> Iterator[EventStream]:
        for n, buffer in self._decode(None):
            if n:
                t, x, y, p = buffer
                yield EventStream._trusted(t[:n], x[:n], y[:n], p[:n], self.size)

    def read(self) -> EventStream:
        bound = sum(int(self.words.bound(words)) for words, *_ in self._word_blocks())
        columns = empty_columns(bound)
        n = sum(count for count, _ in self._decode(columns))
        return EventStream._trusted(*columns, self.size)[:n]


_REMEDIES = {
    C_NO_TIME: "The recording starts in the middle of a stream: read with strict=False to leave these events out.",
    C_NO_ROW: "The recording starts in the middle of a stream: read with strict=False to leave these events out.",
    C_OUTSIDE: "Give the true size=(width, height), or read with strict=False to leave such events out.",
}

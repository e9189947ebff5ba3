"""DAT: Prophesee's decoded events, 8 bytes each. Decoder and encoder.

32 bits of time (starts again at 0 after 71.6 minutes), then x (14 bits), y (14 bits), polarity (4 bits).
Source: docs.prophesee.ai, "DAT File Format".
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit
from spikeva.events.errors import EventFileError
from spikeva.events.prophesee import (
    C_BACK,
    C_OUTSIDE,
    C_POLARITY,
    FAULT,
    FAULT_WORD,
    LAST,
    OWN,
    WordReader,
    Words,
)

_OVERFLOWS = OWN
_EVENT2D, _EVENT_CD, _EVENT_SIZE = 0x00, 0x0C, 8


@njit(cache=True, nogil=True)
def decode(words, state, counts, width, height, strict, t, x, y, p, triggers):
    """Number of events written; see `prophesee.Words`. A time that falls by half its range or more has overflowed."""
    n, last, high = 0, state[LAST], state[_OVERFLOWS]
    state[FAULT] = -1
    for i in range(len(words)):
        time, place = high + np.int64(words[i, 0]), np.int64(words[i, 1])
        if last - time >= np.int64(1) << 31:
            high += np.int64(1) << 32
            time += np.int64(1) << 32
        column, row, polarity = place & 0x3FFF, (place >> 14) & 0x3FFF, place >> 28
        if time >= last and column < width and row < height and polarity <= 1:
            t[n] = time
            x[n] = column
            y[n] = row
            p[n] = polarity
            n += 1
            last = time
        else:
            fault = C_BACK if time < last else C_POLARITY if polarity > 1 else C_OUTSIDE
            counts[fault] += 1
            if state[FAULT] < 0:
                state[FAULT], state[FAULT_WORD] = fault, i
            if strict:
                break
    state[LAST], state[_OVERFLOWS] = last, high
    return n


DAT = Words(np.dtype(("<u4", 2)), 0, decode, len)


class DatReader(WordReader):
    """Reads a DAT file of change events."""

    format = "dat"

    words = DAT

    def __init__(self, path: Any, size: tuple[int, int] | None, strict: bool) -> None:
        super().__init__(path, size, strict)
        version = self.header.get("Version", "2")
        if version != "2":
            found = f"DAT version {version}, this program reads version 2"
            raise EventFileError(path, found, "Convert the file with the camera maker's tools.", 0)
        with open(path, "rb") as file:
            file.seek(self.offset)
            kind = file.read(2)
        if len(kind) < 2:
            raise EventFileError(path, "the file ends within the header", "Copy the file again.", self.offset)
        if kind[0] not in (_EVENT2D, _EVENT_CD) or kind[1] != _EVENT_SIZE:
            found = f"events of type {kind[0]:#04x} and {kind[1]} bytes, type 0x00 or 0x0c of 8 bytes was expected"
            raise EventFileError(path, found, "Only change events (CD) are read.", self.offset)
        self.offset += len(kind)
        width, height = self._number("Width"), self._number("Height")
        self.size = self._decide_size(None if width is None or height is None else (width, height))


def header(size: tuple[int, int], count: str) -> bytes:
    """The file's start; `count` is a place holder of the right width."""
    text = (
        f"% Data file containing CD events\n% Version 2\n% Width {size[0]}\n% Height {size[1]}\n% event_count {count}\n"
    )
    return text.encode() + b"% end\n" + bytes([_EVENT_CD, _EVENT_SIZE])


def encode(t: NDArray[np.int64], x: Any, y: Any, p: Any) -> NDArray[np.uint32]:
    """[N, 2] words of the events."""
    words = np.empty((len(t), 2), "<u4")
    words[:, 0] = t & 0xFFFFFFFF
    words[:, 1] = x.astype(np.uint32) | (y.astype(np.uint32) << np.uint32(14)) | (p.astype(np.uint32) << np.uint32(28))
    return words

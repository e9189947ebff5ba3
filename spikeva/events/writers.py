"""Writers: an encoder a format, fed block by block, so that a long recording never lies in memory."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spikeva._atomic import whole_file
from spikeva.errors import UserError
from spikeva.events import dat, evt2, evt3, text
from spikeva.events.store import write_clip
from spikeva.events.stream import COLUMNS, EventStream, in_order

_BUFFER = 2**18  # words
_LATEST = 2**44  # us; chosen here: a later start would be spelt out in megabytes of time words


class Encoder(Protocol):
    """One file's worth of a format: the start of the file, then the bytes of block after block.

    Raises UserError for a sensor, and for times, that the format cannot hold.
    """

    def header(self, size: tuple[int, int], count: str) -> bytes: ...

    def encode(self, block: EventStream) -> Iterable[Any]: ...


class _Evt:
    """EVT2 or EVT3: a kernel that fills a buffer of words and remembers where it stopped."""

    def __init__(self, version: str, kernel: Callable[..., tuple[int, int]], word: str, state: Any) -> None:
        self.version, self.kernel, self.words, self.state = version, kernel, np.empty(_BUFFER, word), state.copy()

    def header(self, size: tuple[int, int], count: str) -> bytes:
        if max(size) > 2048:
            raise UserError(f"EVT formats hold sensors of up to 2048 x 2048, found {size}; crop or downsample first")
        lines = [
            f"evt {self.version}",
            f"format EVT{self.version[0]};height={size[1]};width={size[0]}",
            f"geometry {size[0]}x{size[1]}",
            f"event_count {count}",
            "end",
        ]
        return "".join(f"% {line}\n" for line in lines).encode()

    def encode(self, block: EventStream) -> Iterator[Any]:
        if len(block) and (block.t[0] < 0 or block.t[-1] >= _LATEST):
            found = f"times from {block.t[0]} to {block.t[-1]} us"
            raise UserError(
                f"EVT formats are written for times from 0 to 2^44 us, found {found}; subtract an offset first"
            )
        done = 0
        while done < len(block):
            done, n = self.kernel(block.t, block.x, block.y, block.p, done, self.state, self.words)
            yield self.words[:n]


class _Dat:
    def __init__(self) -> None:
        self.last: int | None = None

    def header(self, size: tuple[int, int], count: str) -> bytes:
        if max(size) > 2**14:
            raise UserError(f"DAT holds sensors of up to 16384 x 16384, found {size}; crop or downsample first")
        return dat.header(size, count)

    def encode(self, block: EventStream) -> Iterator[Any]:
        if not len(block):
            return
        previous = np.int64(0 if self.last is None else self.last)
        jumps = np.diff(block.t >> 32, prepend=previous >> 32)
        lost = (jumps < 0) | (jumps > 1) | ((jumps == 1) & (np.diff(block.t, prepend=previous) > 2**31))
        if self.last is None and block.t[0] >> 32 != 0:
            lost[0] = True
        if lost.any():
            at = int(np.argmax(lost))
            found = f"DAT has 32 bits of time and cannot spell event {at} of a block at {block.t[at]} us"
            raise UserError(
                f"{found}: start below 2^32 us, leave no gap of over 2^31 us at an overflow, or choose another format"
            )
        self.last = int(block.t[-1])
        yield dat.encode(block.t, block.x, block.y, block.p)


class _Text:
    header = staticmethod(text.header)

    def encode(self, block: EventStream) -> Iterator[bytes]:
        yield text.encode(block.t, block.x, block.y, block.p)


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "evt2": lambda: _Evt("2.0", evt2.encode, "<u4", evt2.ENCODER_START),
    "evt3": lambda: _Evt("3.0", evt3.encode, "<u2", evt3.ENCODER_START),
    "dat": _Dat,
    "txt": _Text,
}
# The first format of a suffix is its default.
FORMATS = {
    ".raw": ("evt3", "evt2"),
    ".dat": ("dat",),
    ".h5": ("clip",),
    ".hdf5": ("clip",),
    ".npz": ("npz",),
    ".txt": ("txt",),
}


def write_events(path: Any, events: EventStream | Iterable[EventStream], *, format: str | None = None) -> None:
    """Write events to a file, whole or not at all; the suffix says the format, `format="evt2"` overrules for .raw.

    `events` may be blocks in order of time, of which one lies in memory at a time (but for .npz). The files state the
    number of events, so that our readers find a truncated one. Raises UserError for events that the format cannot hold.
    """
    path = Path(path)
    formats = FORMATS.get(path.suffix.lower())
    if formats is None:
        raise UserError(
            f"{path}: no events are written to {path.suffix or 'a file without suffix'}; choose {', '.join(FORMATS)}"
        )
    if format is not None and format not in formats:
        raise UserError(f"{path}: format {format!r} is not written to {path.suffix}; allowed: {', '.join(formats)}")
    name = format or formats[0]
    if name == "clip":
        write_clip(path, events)
        return
    blocks = in_order([events] if isinstance(events, EventStream) else events)
    first = next(blocks, None)
    if first is None:
        raise UserError(f"{path}: no block of events to write; write EventStream.empty(size) for a file without events")
    blocks = chain([first], blocks)
    with whole_file(path) as part:
        if name == "npz":
            whole = EventStream._joined(list(blocks), first.size)
            columns = {name: getattr(whole, name) for name in COLUMNS}
            with open(part, "wb") as file:
                np.savez_compressed(file, **columns, size=np.array(first.size))  # type: ignore[arg-type]  # numpy's stub takes a bool for every keyword
        else:
            _write_encoded(part, first.size, blocks, ENCODERS[name]())


def _write_encoded(part: Path, size: tuple[int, int], blocks: Iterator[EventStream], encoder: Encoder) -> None:
    count = 0
    with open(part, "wb") as file:
        file.write(encoder.header(size, f"{0:020d}"))
        for block in blocks:
            for piece in encoder.encode(block):
                file.write(piece)
            count += len(block)
        file.seek(0)
        file.write(encoder.header(size, f"{count:020d}"))

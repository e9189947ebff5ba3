"""`EventStream`: the events of one recording as four checked columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError

COLUMNS: dict[str, type[np.integer[Any]]] = {"t": np.int64, "x": np.uint16, "y": np.uint16, "p": np.uint8}
Columns = tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint8]]
"""Of events, as `EventStream` has them: t, x, y, p."""
# tonic's own record layout (tonic.io.events_struct), so that its transforms take the array as it is
STRUCTURED = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])


@dataclass(frozen=True, eq=False, repr=False)
class EventStream:
    """Events in order of time: `t` int64 us, non-decreasing; `x`, `y` uint16; `p` uint8 (1 = ON, 0 = OFF).

    `size` is (width, height) of the sensor. Columns of another integer type are converted where every value fits.
    Raises UserError for columns of unequal length, time that steps back, events outside `size`, other polarities.
    Columns may be shared with the arrays given and with slices of the stream: do not write into them.
    """

    t: NDArray[np.int64]
    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    p: NDArray[np.uint8]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", check_size(self.size))
        for name, dtype in COLUMNS.items():
            object.__setattr__(self, name, _column(name, getattr(self, name), dtype))
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            raise UserError(f"events need columns of one length, found {lengths}")
        if len(self.t) == 0:
            return
        if (self.t[1:] < self.t[:-1]).any():
            at = int(np.argmax(self.t[1:] < self.t[:-1])) + 1
            raise UserError(
                f"event time steps back at event {at} ({self.t[at - 1]} us, then {self.t[at]} us); "
                "sort the events by time first (np.argsort(t, kind='stable'))"
            )
        for name, limit in (("x", self.size[0]), ("y", self.size[1])):
            column = getattr(self, name)
            if int(column.max()) >= limit:
                at = int(np.argmax(column >= limit))
                raise UserError(
                    f"event {at} has {name} = {column[at]}, outside a sensor of {self.size[0]} x {self.size[1]}; "
                    "give the true size=(width, height)"
                )
        if int(self.p.max()) > 1:
            at = int(np.argmax(self.p > 1))
            raise UserError(f"event {at} has polarity {self.p[at]}; allowed are 0 (OFF) and 1 (ON)")

    @classmethod
    def _trusted(cls, t: Any, x: Any, y: Any, p: Any, size: tuple[int, int]) -> "EventStream":
        """A stream of columns that are known to be valid, unchecked."""
        stream = object.__new__(cls)
        for name, value in (("t", t), ("x", x), ("y", y), ("p", p), ("size", size)):
            object.__setattr__(stream, name, value)
        return stream

    @classmethod
    def _joined(cls, streams: Sequence["EventStream"], size: tuple[int, int]) -> "EventStream":
        """The events of streams that follow each other in time, or of none."""
        if len(streams) == 1:
            return streams[0]
        none = cls.empty(size)
        columns = {name: np.concatenate([getattr(s, name) for s in (none, *streams)]) for name in COLUMNS}
        return cls._trusted(**columns, size=size)

    @classmethod
    def empty(cls, size: tuple[int, int]) -> "EventStream":
        """A stream without events."""
        return cls(*empty_columns(0), size)

    @classmethod
    def merge(cls, *streams: "EventStream") -> "EventStream":
        """All events of `streams`, in order of time; at equal times, in order of the arguments.

        Raises UserError for no stream at all and for streams of different size.
        """
        sizes = {s.size for s in streams}
        if len(sizes) != 1:
            raise UserError(
                f"merge takes streams of one size, found {sorted(sizes) or 'no stream'}; crop or scale first"
            )
        joined = cls._joined(streams, sizes.pop())
        order = np.argsort(joined.t, kind="stable")
        return cls._trusted(**{name: getattr(joined, name)[order] for name in COLUMNS}, size=joined.size)

    @classmethod
    def from_structured(cls, array: NDArray[np.void], size: tuple[int, int]) -> "EventStream":
        """The stream of a structured array with fields t (us), x, y, p, as tonic makes them.

        Polarities may be bool, {0, 1} or {-1, 1} (-1 is OFF). Raises UserError for missing fields and invalid events.
        """
        names = array.dtype.names or ()
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise UserError(
                f"a structured event array needs the fields t, x, y, p; found {list(names)}, missing {missing}"
            )
        p = array["p"]
        if p.dtype.kind == "i":
            p = np.where(p == -1, 0, p)
        return cls(array["t"], array["x"], array["y"], p, size)

    def to_structured(self) -> NDArray[np.void]:
        """The events as tonic's structured array (fields x int16, y int16, t int64 us, p bool).

        Raises UserError where a coordinate could pass int16.
        """
        if max(self.size) > 2**15:
            raise UserError(f"tonic's int16 coordinates cannot hold a sensor of {self.size}; crop or downsample first")
        array = np.empty(len(self), STRUCTURED)
        for name in COLUMNS:
            array[name] = getattr(self, name)
        return array

    def slice_time(self, start_us: int | None = None, stop_us: int | None = None) -> "EventStream":
        """The events with start_us <= t < stop_us (None: open), as views found by binary search."""
        first = 0 if start_us is None else int(np.searchsorted(self.t, start_us))
        last = len(self) if stop_us is None else int(np.searchsorted(self.t, stop_us))
        return self[first : max(first, last)]

    def crop(self, x0: int, y0: int, width: int, height: int) -> "EventStream":
        """The events inside a rectangle of the sensor, with (x0, y0) as the new origin.

        Raises UserError for a rectangle that is empty or reaches outside the sensor, and for what is no whole number.
        """
        bounds = (x0, y0, width, height)
        if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in bounds):
            raise UserError(f"crop takes whole numbers x0, y0, width, height, found {bounds!r}")
        x0, y0, width, height = map(int, bounds)
        if min(x0, y0) < 0 or min(width, height) < 1 or x0 + width > self.size[0] or y0 + height > self.size[1]:
            raise UserError(
                f"crop of {width} x {height} at ({x0}, {y0}) does not lie inside the sensor of "
                f"{self.size[0]} x {self.size[1]}"
            )
        keep = (self.x >= x0) & (self.x < x0 + width) & (self.y >= y0) & (self.y < y0 + height)
        x, y = self.x[keep] - np.uint16(x0), self.y[keep] - np.uint16(y0)
        return self._trusted(self.t[keep], x, y, self.p[keep], (width, height))

    def downsample(self, factor: int) -> "EventStream":
        """Every event, at coordinates divided by `factor`: factor x factor pixels become one. None is dropped.

        The new size is rounded up. Raises UserError for a factor below 1.
        """
        if not isinstance(factor, int | np.integer) or factor < 1:
            raise UserError(f"downsample takes a whole factor of at least 1, found {factor!r}")
        factor = int(factor)
        size = (-(-self.size[0] // factor), -(-self.size[1] // factor))
        x, y = ((c // np.uint32(min(factor, 2**16))).astype(np.uint16) for c in (self.x, self.y))
        return self._trusted(self.t, x, y, self.p, size)

    def flip_x(self) -> "EventStream":
        """The events mirrored left to right."""
        return self._trusted(self.t, np.uint16(self.size[0] - 1) - self.x, self.y, self.p, self.size)

    def counts(self) -> NDArray[np.int64]:
        """[H, W] number of events at each pixel."""
        width, height = self.size
        place = self.y.astype(np.int64) * width + self.x
        return np.bincount(place, minlength=width * height).reshape(height, width)

    @property
    def duration(self) -> int:
        """Microseconds from the first event to the last; 0 for none."""
        return int(self.t[-1]) - int(self.t[0]) if len(self) else 0

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, events: slice) -> "EventStream":
        """The events of a slice with a positive step, as views."""
        if not isinstance(events, slice) or (events.step or 1) < 1:
            raise UserError(f"a stream is indexed by a slice in order of time, found {events!r}; use .t, .x, .y, .p")
        return self._trusted(self.t[events], self.x[events], self.y[events], self.p[events], self.size)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("an EventStream is not iterated event by event; use its columns .t, .x, .y, .p")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventStream):
            return NotImplemented
        return self.size == other.size and all(np.array_equal(getattr(self, n), getattr(other, n)) for n in COLUMNS)

    __hash__ = None  # type: ignore[assignment]  # arrays cannot be hashed

    def __repr__(self) -> str:
        rate = f", {int(self.t[0])} to {int(self.t[-1])} us" if len(self) else ""
        return f"EventStream({len(self):,} events{rate}, {self.size[0]} x {self.size[1]})"


def empty_columns(count: int) -> Columns:
    """Room for `count` events, uninitialised."""
    return np.empty(count, np.int64), np.empty(count, np.uint16), np.empty(count, np.uint16), np.empty(count, np.uint8)


def in_order(blocks: Iterable[EventStream]) -> Iterator[EventStream]:
    """The same blocks. Raises UserError where one has another size than the first or starts before its predecessor ends, and
    for what is no EventStream."""
    size, last = None, None
    for block in blocks:
        if not isinstance(block, EventStream):
            found = f"found {type(block).__name__}; see EventStream.from_structured"
            raise UserError(f"the blocks of a recording are EventStreams, {found}")
        if block.size != (size := size or block.size):
            raise UserError(f"blocks of one recording have one size, found {size} and {block.size}")
        if len(block) and last is not None and block.t[0] < last:
            raise UserError(f"blocks must follow in time, found one that starts at {block.t[0]} us after {last} us")
        last = int(block.t[-1]) if len(block) else last
        yield block


def check_size(size: Any) -> tuple[int, int]:
    """`size` as (width, height) of Python ints. Raises UserError for anything but two whole numbers in 1..65536."""
    try:
        width, height = size
        ok = all(isinstance(n, int | np.integer) and 1 <= n <= 2**16 for n in (width, height))
    except (TypeError, ValueError):
        ok = False
    if not ok:
        raise UserError(f"size must be (width, height), whole numbers from 1 to 65536, found {size!r}")
    return int(width), int(height)


def _column(name: str, values: Any, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """`values` as a contiguous column of `dtype`. Raises UserError where that would change a value."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise UserError(f"event column {name} must be one-dimensional, found shape {array.shape}")
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    if array.size and array.dtype.kind not in "iub":
        raise UserError(f"event column {name} must hold integers, found {array.dtype}; round it yourself first")
    limits = np.iinfo(dtype)
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        allowed = f"event column {name} must lie in {limits.min}..{limits.max}"
        if name == "p":
            allowed = "event polarity must be 0 (OFF) or 1 (ON; EventStream.from_structured takes -1 for OFF)"
        raise UserError(f"{allowed}, found {array.min()}..{array.max()}")
    return np.ascontiguousarray(array, dtype=dtype)

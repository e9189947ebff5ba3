"""Readers of files that hold plain columns: HDF5 (ours, v2e's, DSEC's) and .npz."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the compression filters that DSEC's and our files use)
import numpy as np

from spikeva.events.errors import EventFileError
from spikeva.events.reader import BLOCK, EventReader
from spikeva.events.store import FORMAT, EventClip
from spikeva.events.stream import COLUMNS, EventStream

_ROWS = 8 * BLOCK  # rows of a block


class Hdf5Reader(EventReader):
    """Reads HDF5: a spikeva clip, v2e's `events` [N, 4] (t us, x, y, p), DSEC's `events/{t,x,y,p}` with `t_offset`."""

    def __init__(self, path: Any, size: tuple[int, int] | None, strict: bool) -> None:
        super().__init__(path, size, strict)
        with _opened(self.path) as file:
            events = file.get("events")
            if file.attrs.get("format", b"") in (FORMAT, FORMAT.encode()):
                self.format, stated = "clip", (int(file.attrs["width"]), int(file.attrs["height"]))
            elif isinstance(events, h5py.Dataset) and events.ndim == 2 and events.shape[1] == 4:
                self.format, stated = "v2e", None
            elif isinstance(events, h5py.Group) and all(isinstance(events.get(n), h5py.Dataset) for n in COLUMNS):
                self.format, stated = "dsec", None
            else:
                found = f"HDF5 with {sorted(file)}, without events in a known layout"
                raise EventFileError(
                    path, found, "Known are spikeva clips, v2e's `events` [N, 4] and DSEC's `events/`."
                )
        self.size = self._decide_size(stated)

    def blocks(self) -> Iterator[EventStream]:
        self._begin()
        if self.format == "clip":
            with EventClip(self.path) as clip:
                self.report.events = clip.event_count
                for first in range(0, clip.event_count, _ROWS):
                    yield clip.rows(first, first + _ROWS)
            return
        with _opened(self.path) as file:
            events, last = file["events"], None
            count = len(events) if self.format == "v2e" else len(events["t"])
            if self.format == "dsec" and any(events[name].shape != (count,) for name in COLUMNS):
                raise EventFileError(self.path, "columns of unequal length", "The file is damaged.")
            shift = self._shift(file["t_offset"][()]) if self.format == "dsec" and "t_offset" in file else 0
            for first in range(0, count, _ROWS):
                rows = slice(first, first + _ROWS)
                columns = events[rows].T if self.format == "v2e" else [events[name][rows] for name in COLUMNS]
                t, x, y, p = columns
                if t.dtype.kind in "iu" and len(t):  # seconds are refused below, not cut to whole ones
                    low, high = int(t.min()) + shift, int(t.max()) + shift
                    if low < -(2**63) or high >= 2**63:
                        found = f"times from {low} to {high} us, which 64 bits do not hold"
                        raise EventFileError(self.path, found, "The file is damaged.")
                    t = t.astype(np.int64) + shift
                block = self.sound((t, x, y, p), last, None, f"after row {first}")
                last = int(block.t[-1]) if len(block) else last
                yield block

    def _shift(self, offset: Any) -> int:
        """DSEC's `t_offset`, one whole number in whatever shape."""
        values = np.asarray(offset)
        if values.size != 1 or values.dtype.kind not in "iu":
            found = f"t_offset is {values.dtype} of shape {values.shape}, one whole number of us was expected"
            raise EventFileError(self.path, found, "The file holds no events in this layout.")
        return int(values.item())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An open HDF5 file whose damage, wherever it shows, is an EventFileError."""
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise EventFileError(path, f"not a readable HDF5 file ({error})", "Copy the file again.") from error
    with file:
        try:
            yield file
        except EventFileError:
            raise
        except Exception as error:
            raise EventFileError(path, f"damaged ({error!r})", "Copy the file again.") from error


class NpzReader(EventReader):
    """Reads .npz with arrays t (us), x, y, p and, where it is there, size; or one structured array `events`."""

    format = "npz"

    def __init__(self, path: Any, size: tuple[int, int] | None, strict: bool) -> None:
        super().__init__(path, size, strict)
        try:
            with open(self.path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (*COLUMNS, "size", "events") if name in file}
                names = list(file)
        except Exception as error:  # a damaged archive fails in whatever layer meets the damage first
            # what is no archive NumPy takes for a pickle, and says how to run its code
            what = "no archive of plain arrays" if isinstance(error, TypeError | ValueError) else repr(error)
            raise EventFileError(path, f"not a readable .npz file ({what})", "Copy the file again.") from error
        if "events" in arrays and arrays["events"].dtype.names:
            arrays |= {name: arrays["events"][name] for name in COLUMNS if name in arrays["events"].dtype.names}
        if any(name not in arrays for name in COLUMNS):
            found = f"arrays {names}; t, x, y, p or a structured `events` were expected"
            raise EventFileError(path, found, "Save the events with write_events.")
        self._arrays = [arrays[name] for name in COLUMNS]
        stated = arrays.get("size")
        self.size = self._decide_size(None if stated is None else tuple(np.ravel(stated).tolist()))

    def blocks(self) -> Iterator[EventStream]:
        self._begin()
        yield self.sound(self._arrays, None, None, "of the file")

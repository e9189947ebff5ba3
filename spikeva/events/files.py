"""Event files by name: which reader a file needs."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikeva.events.aedat4 import Aedat4Reader
from spikeva.events.dat import DatReader
from spikeva.events.errors import EventFileError
from spikeva.events.raw import RawReader
from spikeva.events.reader import EventReader
from spikeva.events.stream import EventStream
from spikeva.events.tables import Hdf5Reader, NpzReader
from spikeva.events.text import TextReader


class EventFileWarning(UserWarning):
    """Something in a file was not sound and was left out, as `strict=False` asked for."""


def open_events(
    path: str | os.PathLike[str], size: tuple[int, int] | None = None, *, strict: bool = True
) -> EventReader:
    """A reader of an event file: `.size`, `.format`, `.blocks()` (one block in memory at a time), `.read()`, `.report`.

    The suffix says the kind of file: .raw (EVT2, EVT2.1, EVT3), .dat, .aedat4, .h5/.hdf5 (spikeva's, v2e's, DSEC's), .npz,
    .txt/.csv. `size` is needed where the file does not state the sensor's (width, height). Raises EventFileError.
    """
    path = Path(path)
    if path.is_dir():
        raise EventFileError(path, "it is a folder", "Give the path of a recording.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        found = f"{path.suffix!r} is not the suffix of a known kind of event file"
        raise EventFileError(path, found, f"Known are {', '.join(_READERS)}.")
    if not path.is_file():
        raise EventFileError(path, "no such file", "Give the path of a recording.")
    try:
        return reader(path, size, strict)
    except OSError as error:
        raise EventFileError(path, f"it cannot be opened ({error})", "Check the file and its permissions.") from error


def read_events(
    path: str | os.PathLike[str], size: tuple[int, int] | None = None, *, strict: bool = True
) -> EventStream:
    """All events of a file; see `open_events` for the kinds of files.

    Anything unsound raises EventFileError. With `strict=False` the sound events are returned, and an EventFileWarning
    counts what was left out. An empty file, and HDF5 or .npz that is cut short or fails its checksums, raise either way:
    such files are found by an index that lies elsewhere in them.
    """
    reader = open_events(path, size, strict=strict)
    events = reader.read()
    if reader.report.faults:
        warnings.warn(f"{path}: {reader.report}", EventFileWarning, stacklevel=2)
    return events


_READERS: dict[str, Callable[[Any, tuple[int, int] | None, bool], EventReader]] = {
    ".raw": RawReader,
    ".dat": DatReader,
    ".aedat4": Aedat4Reader,
    ".h5": Hdf5Reader,
    ".hdf5": Hdf5Reader,
    ".npz": NpzReader,
    ".txt": TextReader,
    ".csv": TextReader,
}

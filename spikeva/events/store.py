"""The clip store: one self-describing HDF5 file a clip, and a manifest of a folder of them.

Layout: `/events/{t,x,y,p}` in chunks (Blosc2 zstd over shuffled bytes, a checksum a chunk), `/ms_to_idx` (entry i: the
first event not before `index_start_us + i * index_step_us`), `/labels/*`, attributes. The index makes any time window
two look-ups and the read of the chunks it touches. A file is written under another name and renamed when whole.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from spikeva._atomic import whole_file
from spikeva.errors import UserError
from spikeva.events._sink import Sink
from spikeva.events.errors import EventFileError
from spikeva.events.stream import COLUMNS, EventStream, check_size, in_order

FORMAT, VERSION = "spikeva-clip", 1
MANIFEST = "manifest.json"
CHUNK = 2**15  # events; chosen here: a 33 ms window of a face clip touches one or two chunks
_INDEX_LENGTH = 2**22  # entries; a recording of more than 70 minutes gets a coarser index than 1 ms
_OWN = ("format", "format_version", "width", "height", "event_count", "index_start_us", "index_step_us")
_OF_MANIFEST = ("file", "events")  # what an entry of the manifest says beside a clip's attributes

Attribute = str | int | float


def write_clip(
    path: str | os.PathLike[str],
    events: EventStream | Iterable[EventStream],
    *,
    labels: Mapping[str, NDArray[Any]] | None = None,
    attributes: Mapping[str, Attribute] | None = None,
) -> None:
    """Write a clip file: the whole of it or nothing.

    `events` may be blocks in order of time (`open_events(...).blocks()`), so that a long recording never lies in memory.
    `labels` are arrays of numbers or strings, `attributes` single values. The same input gives the same bytes.
    Raises UserError for labels or attributes that cannot be stored and for blocks out of order.
    """
    count = len(events) if isinstance(events, EventStream) else None
    blocks = iter([events]) if isinstance(events, EventStream) else iter(events)
    first = next(blocks, None)
    if first is None:
        raise UserError("no block of events to write; a clip without events is written from EventStream.empty(size)")
    checked = {name: _attribute(name, value) for name, value in (attributes or {}).items()}
    arrays = {name: _label(name, values) for name, values in (labels or {}).items()}
    with whole_file(path) as part, Sink(part, path) as sink, _create(sink) as file:
        count, start, step = _write_events(file, sink.watch(in_order(chain([first], blocks))), count)
        for name, array in arrays.items():
            file.create_dataset(f"labels/{name}", data=array, **_storage(array.shape)).flush()
        own = (FORMAT, VERSION, *first.size, count, start, step)
        for key, value in chain(zip(_OWN, own, strict=True), checked.items()):
            file.attrs[key] = _fixed(value) if isinstance(value, str) else value


class EventClip:
    """An open clip file, a context manager. `attributes` and `size` are there at once, events and labels on demand.

    Raises EventFileError for a file that is absent, damaged, or not a clip of a version this program knows.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r", locking=False)  # it is whole, and some disks know no locks
        except (OSError, RuntimeError, ValueError) as error:
            what = "no such file" if not self.path.exists() else f"not a readable HDF5 file ({error})"
            raise EventFileError(self.path, what, "Give the path of a clip that spikeva wrote.") from error
        try:
            with _reading(self):
                self._describe()
        except BaseException:
            self._file.close()
            raise

    def _describe(self) -> None:
        attrs = {key: _plain(value) for key, value in self._file.attrs.items()}
        if attrs.get("format") != FORMAT:
            raise EventFileError(self.path, "HDF5, but not a spikeva clip", "Read it with spikeva.read_events.")
        if attrs["format_version"] != VERSION:
            found = f"clip format version {attrs['format_version']}, this program reads {VERSION}"
            raise EventFileError(self.path, found, "Update spikeva, or prepare the clip again.")
        *_, width, height, self.event_count, self._start, self._step = (attrs.pop(key) for key in _OWN)
        self.size: tuple[int, int] = check_size((width, height))
        if not (isinstance(self._start, int) and isinstance(self._step, int) and self._step > 0):
            found = f"an index that starts at {self._start!r} in steps of {self._step!r} us"
            raise EventFileError(self.path, found, "The file is damaged: write it again.")
        self.attributes: dict[str, Attribute] = attrs
        self._index: NDArray[np.int64] | None = None
        self._columns = {name: self._file["events"][name] for name in COLUMNS}
        lengths = {name: column.shape for name, column in self._columns.items()}
        if set(lengths.values()) != {(self.event_count,)}:
            found = f"{self.event_count} events announced, columns of {lengths}"
            raise EventFileError(self.path, found, "The file is damaged: write it again.")

    def events(self, start_us: int | None = None, stop_us: int | None = None) -> EventStream:
        """The events with start_us <= t < stop_us (None: open). Raises EventFileError where the file is damaged."""
        start_us, stop_us = (None if time is None else int(time) for time in (start_us, stop_us))
        with _reading(self):
            first, last = self._bound(start_us, 0), self._bound(stop_us, 1)
            t = self._columns["t"][first : max(first, last)]
            a = 0 if start_us is None else int(np.searchsorted(t, start_us))
            b = len(t) if stop_us is None else max(a, int(np.searchsorted(t, stop_us)))
            x, y, p = (self._columns[name][first + a : first + b] for name in ("x", "y", "p"))
            return EventStream(t[a:b], x, y, p, self.size)

    def rows(self, first: int, last: int) -> EventStream:
        """The events of a range of indices. Raises EventFileError where the file is damaged."""
        with _reading(self):
            t, x, y, p = (self._columns[name][first:last] for name in COLUMNS)
            return EventStream(t, x, y, p, self.size)

    def _bound(self, time_us: int | None, end: int) -> int:
        """The index's event before (`end` 0) or after (1) a time."""
        if time_us is None:
            return end * int(self.event_count)
        if self._index is None:
            self._index = self._file["ms_to_idx"][:]
        entry = (time_us - self._start) // self._step + end
        if entry < 0:
            return 0
        return int(self._index[entry]) if entry < len(self._index) else self.event_count

    @property
    def labels(self) -> dict[str, NDArray[Any]]:
        """The label arrays by name."""
        with _reading(self):
            read = {name: dataset[()] for name, dataset in self._file.get("labels", {}).items()}
        return {name: np.char.decode(a, "utf-8") if a.dtype.kind == "S" else a for name, a in read.items()}

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "EventClip":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EventClip({str(self.path)!r}, {self.event_count:,} events, {self.size[0]} x {self.size[1]})"


def write_manifest(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Write `manifest.json`: what every clip (`**/*.h5`) of `folder` is, in order of file names; returns its entries.

    An entry holds file (relative), events, width, height and the clip's attributes. Names that start with a dot are
    left out (macOS puts a `._a.h5` beside a.h5 on foreign disks). Raises EventFileError for a damaged clip.
    """
    folder = Path(folder)
    entries = []
    for path in sorted(folder.rglob("[!.]*.h5")):
        with EventClip(path) as clip:
            own = {"file": path.relative_to(folder).as_posix(), "events": clip.event_count}
            entries.append({**clip.attributes, **own, "width": clip.size[0], "height": clip.size[1]})
    with whole_file(folder / MANIFEST) as part:
        part.write_text(json.dumps({"format": FORMAT, "clips": entries}, indent=1, sort_keys=True) + "\n")
    return entries


def read_manifest(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The entries of a folder's manifest. Raises EventFileError where there is none, or another program's."""
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise KeyError("format")
        return list(content["clips"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"no manifest of clips can be read here ({error!r})"
        raise EventFileError(path, found, "Run `spikeva prepare`, or write_manifest on the folder.") from error


def _create(sink: Sink) -> h5py.File:
    """A new HDF5 file without time stamps that guards its own metadata with checksums (the latest format) and keeps all
    attributes in their object's header, which spends least on them."""
    create, access = h5py.h5p.create(h5py.h5p.FILE_CREATE), h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    create.set_obj_track_times(False)
    create.set_attr_phase_change(1000, 0)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, sink)
    return h5py.File(h5py.h5f.create(os.fsencode(sink.part), h5py.h5f.ACC_EXCL, create, access))


def _storage(shape: tuple[int, ...]) -> dict[str, Any]:
    """Dataset options: chunks, compression, a checksum a chunk; nothing where there are no values."""
    if 0 in shape:
        return {}
    chunks = (min(shape[0], CHUNK), *shape[1:])
    blosc = hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE)
    return {"chunks": chunks, "fletcher32": True, **blosc}


def _write_events(file: h5py.File, blocks: Iterator[EventStream], total: int | None) -> tuple[int, int, int]:
    """Append blocks to `/events` and index them; returns (events, time of the index's first entry, its step) in us.

    `total` events are known to come, or None: a column that need not grow takes less of the file.
    """
    shape = {"shape": (total,)} if total is not None else {"shape": (0,), "maxshape": (None,)}
    storage = _storage((CHUNK if total is None else total,))
    columns = {name: file.create_dataset(f"events/{name}", dtype=d, **shape, **storage) for name, d in COLUMNS.items()}
    count, last = 0, None
    times: list[NDArray[np.int64]] = []  # of the first event in each new millisecond
    places: list[NDArray[np.int64]] = []
    for block in blocks:
        if not len(block):
            continue
        for name, dataset in columns.items():
            if total is None:
                dataset.resize((count + len(block),))
            dataset[count : count + len(block)] = getattr(block, name)
        if last is None and block.t[0] < -(2**63) + 1000:  # the index starts with a whole millisecond
            raise UserError(f"a clip holds no time as early as {block.t[0]} us; add an offset first")
        ms = block.t // 1000
        new = np.flatnonzero(np.diff(ms, prepend=ms[0] - 1 if last is None else last // 1000))
        times.append(ms[new])
        places.append(new + count)
        count, last = count + len(block), int(block.t[-1])
    for dataset in columns.values():
        dataset.flush()  # its place in the file must not depend on when Python lets go of it (a profiler may hold it)
    if last is None:
        start, step, index = 0, 1000, np.zeros(1, np.int64)
    else:
        ms, place = np.concatenate(times), np.concatenate(places)
        span = int(ms[-1]) - int(ms[0]) + 1
        coarse = -(-span // _INDEX_LENGTH)
        start, step = int(ms[0]) * 1000, 1000 * coarse
        entries = ms[0] + coarse * np.arange(-(-span // coarse) + 1)
        index = np.append(place, count)[np.searchsorted(ms, entries)]
    file.create_dataset("ms_to_idx", data=index, **_storage(index.shape)).flush()
    return count, start, step


def _attribute(name: str, value: Any) -> Attribute:
    plain, found = _plain(value), ""
    if name in (*_OWN, *_OF_MANIFEST):
        found = "is the store's own"
    elif _nameless(name):
        found = "has no name that HDF5 holds"
    elif not isinstance(plain, str | int | float) or (isinstance(plain, str) and "\0" in plain):
        found = f"is a {type(value).__name__}"
    elif isinstance(plain, int) and not -(2**63) <= plain < 2**64:
        found = f"is {plain}, more than 64 bits hold"
    if found:
        raise UserError(f"clip attribute {name!r} {found}; attributes are str, int or float under a name of your own")
    return plain  # type: ignore[no-any-return]  # one of the three by now


def _label(name: str, values: Any) -> NDArray[Any]:
    array, found = np.asarray(values), ""
    try:
        if array.dtype.kind == "U":
            array = np.char.encode(array, "utf-8")
        elif array.dtype.kind == "S":
            np.char.decode(array, "utf-8")  # as it will be read
    except UnicodeError as error:
        found = f"holds what is no UTF-8 ({error})"
    if array.ndim < 1 or array.dtype.kind not in "biufSU":
        found = f"is {array.dtype} of shape {array.shape}"
    if _nameless(name) or name == "." or "/" in name:
        found = "has no name that HDF5 holds"
    if found:
        raise UserError(f"label {name!r} {found}; labels are arrays of numbers or strings")
    return array


def _nameless(name: Any) -> bool:
    return not isinstance(name, str) or not name or "\0" in name


def _fixed(text: str) -> NDArray[Any]:
    """A string as HDF5 holds it in place; one of free length would cost the file a heap of 4 kB."""
    encoded = text.encode()
    return np.array(encoded, h5py.string_dtype("utf-8", max(1, len(encoded))))


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return plain.decode() if isinstance(plain, bytes) else plain


@contextmanager
def _reading(clip: EventClip) -> Iterator[None]:
    """Turns what h5py and the checks of EventStream raise on a damaged file into an EventFileError."""
    if not clip._file:
        raise UserError(f"{clip.path}: the clip is closed; read inside its `with` block, or open it again")
    try:
        yield
    except EventFileError:
        raise
    except (OSError, RuntimeError, KeyError, IndexError, ValueError, TypeError, AttributeError, MemoryError) as error:
        raise EventFileError(clip.path, f"damaged ({error})", "Write the clip again.") from error

"""The pixel model compiled by numba: strips of the picture on threads, chunks of frames that stay in the cache."""

import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.events.stream import Columns, empty_columns
from spikeva.simulate import draws
from spikeva.simulate.engines import drawing, emission, kernels
from spikeva.simulate.engines.tiles import TILE, frame_steps, make_maps, make_state, make_tables, make_work
from spikeva.simulate.sensor import Sensor
from spikeva.simulate.surround import diffuse, diffusion_steps
from spikeva.simulate.timing import check_slots, microseconds, slot_times

FEW = 16  # tiles of one frame that take as long as handing them to a thread some ten times (measured)
CHUNK = 1 << 25  # pixels x frames worked on at a time: room for records, of which only what is used is touched
Vector = NDArray[Any]


def default_threads() -> int:
    """Number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CompiledEngine:
    """State of one clip. `advance` takes any number of frames at a time; the events do not depend on how many, nor on `threads`."""

    def __init__(self, sensor: Sensor, threads: int | None = None) -> None:
        self.sensor, pixel = sensor, sensor.pixel
        self.n = sensor.on.size
        self.frame, self.time = 0, 0.0
        self.crossing = sensor.timing == "crossing"
        self.surround = pixel.cs_lambda_pixels is not None
        self.wait = pixel.refractory_period_s > 0
        self.maps, self.tables, self.state = make_maps(sensor), make_tables(sensor), make_state(sensor)
        self.tiles = math.ceil(self.n / TILE)
        self.length = 1 if self.wait or self.surround else max(1, CHUNK // self.n)
        self.pool = Pool(self.n, threads, FEW if self.length == 1 else 1)
        self.room = 0  # frames for which there is room

    def advance(self, frames: Vector, seconds: NDArray[np.float64]) -> Columns:
        """Events of `frames` [T, H, W] (luma 0..255) at `seconds` [T] since the clip's first frame."""
        flat = np.ascontiguousarray(frames).reshape(len(frames), -1)
        if self.frame == 0 and len(flat):
            self._strips(kernels.settle_pixels, flat[0], self.surround, self.maps, self.state, self.tables)
            self.frame, self.time = 1, float(seconds[0])
            flat, seconds = flat[1:], seconds[1:]
        self._make_room(min(len(flat), self.length))
        room = Room()
        for start in range(0, len(flat), self.length):
            part = slice(start, start + self.length)
            self._chunk(flat[part], seconds[part].tolist(), room)
        return room.filled()

    def _strips(self, kernel: Callable[..., Any], *args: Any) -> None:
        self.pool.strips(lambda a, b: kernel(a, b, make_work(self.state), *args))

    def _make_room(self, length: int) -> None:
        if length > self.room:
            room, self.room = self.n * length, length
            self.records = np.empty(room, np.int32)
            self.before, self.after = (np.empty(room if self.crossing else 0, np.float64) for _ in range(2))
            self.codes = np.empty(2 * room if self.sensor.pixel.shot_noise_rate_hz > 0 else 0, np.int32)

    def _chunk(self, frames: Vector, seconds: list[float], room: "Room") -> None:
        """Events of a chunk of frames, into `room`; of one frame where pixels wait for each other."""
        steps = frame_steps(self.sensor.pixel, self.frame, self.time, seconds)
        marks = np.empty((self.tiles, len(steps), 6), np.int64)
        fixed = self.wait, self.maps, self.state, self.tables
        out = self.records, self.before, self.after, self.codes, marks
        if self.surround:
            s, shape = self.state, self.sensor.on.shape
            self._strips(kernels.run_pixels, frames, steps, 1, *fixed, *out)
            how = diffusion_steps(self.sensor.pixel, seconds[0] - self.time)
            s.surround[:] = diffuse(s.surround.reshape(shape), s.state.reshape(shape), *how).ravel()
            self._strips(kernels.run_pixels, frames, steps, 2, *fixed, *out)
        else:
            self._strips(kernels.run_pixels, frames, steps, 3, *fixed, *out)
        self.frame, self.time = self.frame + len(steps), seconds[-1]
        signal, shots = marks[:, :, 4].sum(axis=0), (marks[:, :, 3] - marks[:, :, 2]).sum(axis=0)
        most = np.maximum(marks[:, :, 5].max(axis=0), 1)
        for slots, time in zip(most.tolist(), seconds, strict=True):
            check_slots(slots, time)
        ends = np.concatenate([[0], (signal + shots).cumsum()])
        columns = room.more(int(ends[-1]))
        if self.wait:
            room.fill(self._emit(0, marks, steps[0], int(most[0]), int(signal[0]), columns))
            return

        def emit(frames: tuple[int, int]) -> None:
            if not self.crossing:
                width = self.sensor.size[0]
                emission.emit_frames(*frames, marks, self.records, self.codes, steps, most, ends, width, *columns)
                return
            for f in range(*frames):
                self._emit(f, marks, steps[f], int(most[f]), int(signal[f]), _part(columns, ends[f], ends[f + 1]))

        edges = ends.searchsorted(np.linspace(0, ends[-1], self.pool.threads + 1)).tolist()
        self.pool.map(emit, list(itertools.pairwise([0, *edges[1:-1], len(steps)])))
        room.fill(len(columns[0]))

    def _emit(self, f: int, marks: Vector, step: Any, most: int, signal: int, out: Columns) -> int:
        """Events of frame `f` of the chunk into `out`, which has room for `signal` ones and for the shot noise; their number."""
        width, refractory = self.sensor.size[0], self.sensor.pixel.refractory_period_s
        start, stop = float(step["start"]), float(step["stop"])
        if self.crossing:
            keys = np.empty(signal, np.int64)
            pixels = self.maps, self.state
            records = self.records, self.before, self.after
            n = emission.emit_crossings(f, marks, *records, start, stop, refractory, self.wait, *pixels, keys)
            self._decode(keys[:n], start, _part(out, 0, n))
            end = round(stop * 1e6)
        else:
            slots = slot_times(start, stop, most)
            times = microseconds(slots)
            end = int(times[-1])
            rest = refractory if refractory > (stop - start) / most else 0.0
            n = emission.emit_refractory(marks, self.records, slots, times, rest, self.maps, self.state, width, *out)
        shots = len(out[0]) - signal
        if shots:
            emission.emit_shots(f, marks, self.codes, end, width, self.wait, self.state, *_part(out, n, n + shots))
        return int(n) + shots

    def _decode(self, keys: NDArray[np.int64], start: float, out: Columns) -> None:
        """Keys of `emission.emit_crossings` to columns, in order."""
        keys.sort()
        rest, out[3][:] = np.divmod(keys, 2)
        since, pixel = np.divmod(rest, self.n)
        out[0][:] = since + round(start * 1e6)
        out[2][:], out[1][:] = np.divmod(pixel, self.sensor.size[0])


class Room:
    """Columns of events that grow. What is spare is never touched, so that it takes addresses but no memory."""

    def __init__(self) -> None:
        self._columns, self._used = empty_columns(0), 0

    def more(self, n: int) -> Columns:
        """Room for `n` events after those that were filled in."""
        needed, old = self._used + n, self._columns
        if needed > len(old[0]):
            self._columns = empty_columns(max(needed, 2 * len(old[0])))
            pairs: Any = zip(self._columns, old, strict=True)
            for new, column in pairs:
                new[: self._used] = column[: self._used]
        return _part(self._columns, self._used, needed)

    def fill(self, n: int) -> None:
        """`n` more events are there."""
        self._used += n

    def filled(self) -> Columns:
        """The events."""
        return _part(self._columns, 0, self._used)


@cache
def _executor(threads: int) -> ThreadPoolExecutor:
    """Threads that all clips share, beside the caller's: starting them takes as long as some frames."""
    return ThreadPoolExecutor(threads - 1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_executor.cache_clear)  # a forked process has none of them


class Pool:
    """Threads, each with a strip of the `n` pixels, of `least` tiles or more where there are several."""

    def __init__(self, n: int, threads: int | None, least: int = 1) -> None:
        tiles = math.ceil(n / TILE)
        threads = min(threads or default_threads(), max(1, tiles // least))
        edges = [tiles * i // threads * TILE for i in range(threads)] + [n]
        self.threads = threads
        self._strips = list(itertools.pairwise(edges))
        self._pool = _executor(threads) if threads > 1 else None

    def strips(self, kernel: Callable[..., Any], *args: Any) -> None:
        """Run `kernel` on every strip of pixels."""
        self.map(lambda strip: kernel(*strip, *args), self._strips)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        """Call `function` with each of `items`, the first in this thread; one of the exceptions is raised, when all are done."""
        others = [self._pool.submit(function, item) for item in items[1:]] if self._pool else []
        try:
            for item in items[: len(items) - len(others)]:
                function(item)
        finally:
            wait(others)
        for other in others:
            other.result()


def pixel_normals(seed: int, size: tuple[int, int], maps: int = 4, threads: int | None = None) -> NDArray[np.float32]:
    """The first `maps` of `draws.pixel_normals`, compiled."""
    out = np.empty((maps, size[1] * size[0]), np.float32)
    keys = np.array(draws.key_schedule(seed), np.uint64)
    Pool(out.shape[1], threads).strips(drawing.draw_maps, keys, *draws.quantiles(), out)
    return out.reshape(maps, size[1], size[0])


def _part(columns: Columns, start: int, stop: int) -> Columns:
    t, x, y, p = columns
    return t[start:stop], x[start:stop], y[start:stop], p[start:stop]

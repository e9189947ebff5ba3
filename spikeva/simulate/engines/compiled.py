"""The pixel model compiled by numba: strips of the picture on threads, chunks of frames that stay in the cache."""

import itertools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.simulate import draws, exact, luma
from spikeva.simulate.engines import emission, kernels
from spikeva.simulate.engines.kernels import Maps, State, Tables
from spikeva.simulate.noise import filter_step, photoreceptor_vrms
from spikeva.simulate.sensor import SCIDVS_EFOLD, SCIDVS_GAIN, Sensor
from spikeva.simulate.surround import diffuse, diffusion_steps
from spikeva.simulate.timing import Columns, check_slots, join, microseconds, slot_times

CHUNK = 1 << 22  # pixels x frames worked on at a time
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
        self.composed = pixel.photoreceptor_noise or pixel.scidvs or pixel.cs_lambda_pixels is not None
        self.waits = pixel.refractory_period_s > 0 or pixel.cs_lambda_pixels is not None
        self.maps, self.tables, self.state = _maps(sensor), _tables(sensor), _state(sensor, self.composed)
        tiles = math.ceil(self.n / emission.TILE)
        threads = min(threads or default_threads(), tiles)
        edges = [tiles * i // threads * emission.TILE for i in range(threads)] + [self.n]
        self.strips = list(itertools.pairwise(edges))
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.length = 1 if self.waits else max(1, CHUNK // self.n)
        room, cross = self.n * self.length, self.n * self.length if self.crossing else 0
        # Memory is touched only where events are recorded.
        self.pixels, self.counts = np.empty(room, np.int32), np.empty(room, np.int32)
        self.before, self.after = np.empty(cross, np.float64), np.empty(cross, np.float64)
        self.codes = np.empty(2 * room if pixel.shot_noise_rate_hz > 0 else 0, np.int64)
        self.ends = np.zeros((tiles, self.length, 2), np.int64)

    def advance(self, frames: Vector, seconds: NDArray[np.float64]) -> Columns:
        """Events of `frames` [T, H, W] (luma 0..255) at `seconds` [T] since the clip's first frame."""
        flat = np.ascontiguousarray(frames).reshape(len(frames), -1)
        columns = []
        if self.frame == 0 and len(flat):
            surround = self.sensor.pixel.cs_lambda_pixels is not None
            self._each(kernels.settle_pixels, flat[0], surround, self.maps, self.state, self.tables)
            self.frame, self.time = 1, float(seconds[0])
            flat, seconds = flat[1:], seconds[1:]
        for start in range(0, len(flat), self.length):
            part = slice(start, start + self.length)
            columns.append((self._frame if self.waits else self._chunk)(flat[part], seconds[part]))
        return join(columns)

    def _each(self, kernel: Callable[..., Any], *args: Any) -> None:
        """Run `kernel` on every strip of pixels."""
        self._map(lambda strip: kernel(strip[0], strip[1], *args), self.strips)

    def _map(self, function: Callable[[Any], Any], items: Any) -> None:
        if self.pool is None:
            for item in items:
                function(item)
        else:
            for _ in self.pool.map(function, items):
                pass

    def _row(self, stop: float) -> NDArray[np.float64]:
        """The parameters of the frame at `stop`, in the order of `kernels.Step`."""
        pixel, dt = self.sensor.pixel, stop - self.time
        noisy = pixel.photoreceptor_noise and dt > 0
        shot = 0.0 if pixel.photoreceptor_noise else pixel.shot_noise_rate_hz / 2 * dt
        return np.array(
            [
                self.frame,
                self.time,
                stop,
                dt / (1 / (math.pi * 2 * pixel.cutoff_hz)) if pixel.cutoff_hz > 0 else 0.0,
                dt if pixel.leak_rate_hz > 0 else 0.0,
                pixel.leak_jitter_fraction,
                shot,
                filter_step(pixel, dt) if noisy else 0.0,
                photoreceptor_vrms(pixel, dt) if noisy else 0.0,
                pixel.scidvs,
                pixel.cs_lambda_pixels is not None,
                self.crossing,
            ]
        )

    def _chunk(self, frames: Vector, seconds: NDArray[np.float64]) -> Columns:
        """Events of a chunk of frames in which no pixel depends on another one."""
        rows, starts = [], []
        for stop in seconds:
            rows.append(self._row(float(stop)))
            starts.append(self.time)
            self.frame, self.time = self.frame + 1, float(stop)
        records = self.pixels, self.counts, self.before, self.after, self.codes, self.ends
        self._each(
            kernels.run_pixels, frames, np.stack(rows), self.maps, self.state, self.tables, self.composed, *records
        )
        length = len(rows)
        most, totals = np.ones(length, np.int64), np.zeros((length, 2), np.int64)
        emission.tally(length, self.counts, self.ends, most, totals)
        offsets = np.concatenate([[0], totals.sum(axis=1).cumsum()])
        out = _room(int(offsets[-1]))

        def emit(f: int) -> None:
            self._emit(f, length, starts[f], float(seconds[f]), int(most[f]), _part(out, offsets[f], offsets[f + 1]))

        self._map(emit, range(length))
        return out

    def _emit(self, f: int, length: int, start: float, stop: float, most: int, out: Columns) -> None:
        records = self.ends, self.pixels, self.counts
        active = np.empty(self.n, np.int64)
        if self.crossing:
            keys = np.empty(len(out[0]), np.int64)
            n = emission.emit_crossings(
                f,
                self.ends,
                length,
                self.pixels,
                self.counts,
                self.before,
                self.after,
                start,
                stop,
                0.0,
                False,
                active,
                self.maps,
                self.state,
                keys,
            )
            end = round(stop * 1e6)
            self._decode(keys[:n], start, _part(out, 0, n))
        else:
            seconds = slot_times(start, stop, check_slots(most, stop))
            times = microseconds(seconds)
            n = emission.emit_slots(f, length, *records, times, active, self.sensor.size[0], *out)
            end = int(times[-1])
        self._shot_events(f, length, end, _part(out, n, len(out[0])))

    def _decode(self, keys: NDArray[np.int64], start: float, out: Columns) -> None:
        """Keys of `emission.emit_crossings` to columns, in order."""
        keys.sort()
        rest, out[3][:] = np.divmod(keys, 2)
        since, pixel = np.divmod(rest, self.n)
        out[0][:] = since + round(start * 1e6)
        out[2][:], out[1][:] = np.divmod(pixel, self.sensor.size[0])

    def _shot_events(self, f: int, length: int, time: int, out: Columns) -> None:
        at = 0
        if len(out[0]):
            for tile, end in enumerate(self.ends[:, f, 1]):
                first = 2 * tile * emission.TILE * length if f == 0 else self.ends[tile, f - 1, 1]
                codes = self.codes[first:end]
                part = _part(out, at, at + len(codes))
                pixel, part[3][:] = np.divmod(codes, 2)
                part[2][:], part[1][:] = np.divmod(pixel, self.sensor.size[0])
                at += len(codes)
            out[0][:] = time

    def _frame(self, frames: Vector, seconds: NDArray[np.float64]) -> Columns:
        """Events of one frame in which pixels wait for each other: the busiest one sets the times, or a surround is shared."""
        start, stop = self.time, float(seconds[0])
        s, m, row, pixel = self.state, self.maps, self._row(float(seconds[0])), self.sensor.pixel
        self._each(kernels.receive_pixels, frames[0], row, m, s, self.tables)
        if pixel.cs_lambda_pixels is not None:
            shape = self.sensor.on.shape
            steps = diffusion_steps(pixel, stop - start)
            s.surround[:] = diffuse(s.surround.reshape(shape), s.state.reshape(shape), *steps).ravel()
        self._each(
            kernels.detect_pixels,
            row,
            m,
            s,
            self.tables,
            self.composed,
            self.pixels,
            self.counts,
            self.before,
            self.after,
            self.ends,
        )
        most, totals = np.ones(1, np.int64), np.zeros((1, 2), np.int64)
        emission.tally(1, self.counts, self.ends, most, totals)
        active = np.empty(self.n, np.int64)
        out = _room(int(totals[0, 0]))
        if self.crossing:
            keys = np.empty(len(out[0]), np.int64)
            n = emission.emit_crossings(
                0,
                self.ends,
                1,
                self.pixels,
                self.counts,
                self.before,
                self.after,
                start,
                stop,
                pixel.refractory_period_s,
                True,
                active,
                m,
                s,
                keys,
            )
            self._decode(keys[:n], start, _part(out, 0, n))
            end = round(stop * 1e6)
        else:
            slots = slot_times(start, stop, check_slots(int(most[0]), stop))
            times = microseconds(slots)
            blocks = pixel.refractory_period_s > (stop - start) / int(most[0])
            n = emission.emit_refractory(
                self.ends,
                self.pixels,
                self.counts,
                slots,
                times,
                pixel.refractory_period_s if blocks else 0.0,
                active,
                m,
                s,
                self.sensor.size[0],
                *out,
            )
            end = int(times[-1])
        self.frame, self.time = self.frame + 1, stop
        parts = [_part(out, 0, n)]
        if row[6] > 0:
            self._each(kernels.shot_pixels, row, m, s, self.codes, self.ends)
            noise = _room(int((self.ends[:, 0, 1] - 2 * emission.TILE * np.arange(len(self.ends))).sum()))
            self._shot_events(0, 1, end, noise)
            parts.append(noise)
        return join(parts)


def pixel_normals(seed: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """`draws.pixel_normals`, compiled."""
    out = np.empty((4, size[1] * size[0]), np.float32)
    keys = np.array(draws.key_schedule(seed), np.uint64)
    kernels.draw_maps(keys, *draws.quantiles(), np.empty((2, 2 * out.shape[1]), np.uint32), out)
    return out.reshape(4, size[1], size[0])


def _room(n: int) -> Columns:
    return np.empty(n, np.int64), np.empty(n, np.uint16), np.empty(n, np.uint16), np.empty(n, np.uint8)


def _part(columns: Columns, start: int, stop: int) -> Columns:
    t, x, y, p = columns
    return t[start:stop], x[start:stop], y[start:stop], p[start:stop]


def _maps(sensor: Sensor) -> Maps:
    return Maps(
        on=sensor.on.ravel(),
        off=sensor.off.ravel(),
        on_step=sensor.on_step.ravel(),
        off_step=sensor.off_step.ravel(),
        on_ratio=sensor.on_ratio.ravel(),
        off_ratio=sensor.off_ratio.ravel(),
        leak_hz=sensor.leak_hz.ravel(),
        decay_hz=sensor.decay_hz.ravel(),
    )


def _tables(sensor: Sensor) -> Tables:
    quantile, slope = draws.quantiles()
    return Tables(
        scidvs=np.array([SCIDVS_EFOLD, SCIDVS_GAIN], sensor.dtype),
        keys=np.array(draws.key_schedule(sensor.seed), np.uint64),
        quantile=quantile,
        quantile_slope=slope,
        byte_log=luma.LIN_LOG_OF_BYTE,
        byte_intensity=luma.INTENSITY_OF_BYTE,
        inverse=exact.INVERSE,
        log_cell=exact.LOG_CELL,
        power=exact.POWER,
    )


def _state(sensor: Sensor, composed: bool) -> State:
    n, dtype = sensor.on.size, sensor.dtype
    even = n + n % 2
    state = np.zeros(n, dtype)
    return State(
        state=state,
        signal=np.zeros(n, dtype) if composed else state,
        base=np.zeros(n, dtype),
        residue=np.zeros(n, dtype),
        difference=np.zeros(n, dtype),
        surround=np.zeros(n, dtype),
        highpass=np.zeros(n, dtype),
        previous=np.zeros(n, dtype),
        last=np.full(n, -float(sensor.refractory)),
        voltage=np.zeros(n, np.float32),
        log=np.zeros(n, np.float32),
        normal=np.zeros(n, np.float32),
        intensity=np.zeros(n, np.float64),
        events=np.zeros(n, np.int32),
        first=np.zeros(even, np.uint32),
        second=np.zeros(even, np.uint32),
    )

"""The pixel model in plain NumPy, one frame after the other: slow, readable, and what the other engines are held against.

Equations and order of steps: v2e (SensorsINI/v2e, v2ecore/emulator.py; Hu, Liu and Delbruck 2021, "v2e: from video frames to
realistic DVS events"), whose precision is kept step by step, since events hang on the last bit of a difference.
"""

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeva.events.stream import Columns
from spikeva.simulate import draws
from spikeva.simulate.exact import sinh
from spikeva.simulate.luma import lin_log, relative_intensity
from spikeva.simulate.noise import filter_step, photoreceptor_vrms
from spikeva.simulate.sensor import SCIDVS_EFOLD, SCIDVS_GAIN, Sensor
from spikeva.simulate.surround import diffuse, diffusion_steps
from spikeva.simulate.timing import check_slots, join, microseconds, slot_times

Map: TypeAlias = Any  # an array [H, W]


class ReferenceEngine:
    """State of one clip. `advance` takes any number of frames at a time."""

    def __init__(self, sensor: Sensor) -> None:
        self.sensor = sensor
        self.frame, self.time = 0, 0.0
        self.state: Map = None
        self.surround: Map = None
        self.signal: Map = None
        self.base: Map = None

    def advance(self, frames: Map, seconds: NDArray[np.float64]) -> Columns:
        """Events of `frames` [T, H, W] (luma 0..255) at `seconds` [T] since the clip's first frame."""
        columns = []
        for luma, time in zip(frames, seconds, strict=True):
            columns.append(self._step(luma.astype(np.float64), float(time)))
            self.frame, self.time = self.frame + 1, float(time)
        return join(columns)

    def _step(self, luma: Map, time: float) -> Columns:
        s, dt = self.sensor, time - self.time
        log = lin_log(luma)
        if self.frame == 0:
            self._start(log)
            return join([])
        before = self.signal - self.base  # what was left of the last frame's difference

        self.state = self._low_pass(log, luma, dt)
        self.signal = self._signal(dt)
        self._leak(dt)

        difference = self.signal - self.base
        on, off = _count(difference, s.on), _count(-difference, s.off)
        if s.timing == "crossing":
            events, on, off = self._spread(before, difference, on, off, time)
        else:
            events, on, off = self._slots(on, off, time)
        self.base = self.base + on.astype(np.float32) * s.on_step
        self.base = self.base - off.astype(np.float32) * s.off_step
        return join([events, self._shot(luma, dt, time)])

    def _start(self, log: Map) -> None:
        s = self.sensor
        self.state = log.astype(s.dtype)
        self.surround = self.state
        self.voltage = np.zeros(log.shape, np.float32)  # photoreceptor noise
        self.highpass = np.zeros(log.shape, s.dtype)
        self.previous: Map | None = None
        self.last = np.full(log.shape, -s.refractory, np.float64 if s.timing == "crossing" else np.float32)
        self.base = self.state - self.surround if s.pixel.cs_lambda_pixels else self.state
        self.signal = self.base

    def _low_pass(self, log: Map, luma: Map, dt: float) -> Map:
        cutoff = self.sensor.pixel.cutoff_hz
        if cutoff == 0:
            return log
        eps = np.minimum(relative_intensity(luma) * (dt / (1 / (math.pi * 2 * cutoff))), 1)
        return (1 - eps) * self.state + eps * log

    def _words(self, purpose: int) -> Map:
        shape = self.sensor.on.shape
        return draws.words(self.sensor.seed, self.frame, purpose, shape[0] * shape[1]).reshape(shape)

    def _signal(self, dt: float) -> Map:
        """What the change detector sees: photoreceptor, its noise, less the surround."""
        pixel = self.sensor.pixel
        signal = self.state
        if pixel.photoreceptor_noise:
            eps = filter_step(pixel, dt)
            new = np.float32(photoreceptor_vrms(pixel, dt)) * draws.normal(self._words(draws.VOLTAGE))
            self.voltage = np.float32(1 - eps) * self.voltage + np.float32(eps) * new
        if pixel.cs_lambda_pixels:
            self.surround = diffuse(self.surround, self.state, *diffusion_steps(pixel, dt))
        if pixel.scidvs:
            signal = self._scidvs(dt)
        signal = signal + self.voltage
        return signal - self.surround if pixel.cs_lambda_pixels else signal

    def _scidvs(self, dt: float) -> Map:
        """Amplified high-pass with a conductance that grows as sinh.

        As in v2e the high-pass starts at 0 with the second frame, though the memorised brightness is the first frame's: the
        clip begins with a burst of OFF events.
        """
        dtype = self.sensor.dtype
        step = np.zeros_like(self.state) if self.previous is None else self.state - self.previous
        with np.errstate(over="ignore", invalid="ignore"):  # it diverges at long frames, as v2e's does
            growth = sinh((self.highpass / dtype.type(SCIDVS_EFOLD)).astype(np.float64)).astype(dtype)
            self.highpass = self.highpass + (step - dtype.type(dt) * (self.sensor.decay_hz * growth))
        self.previous = self.state
        return dtype.type(SCIDVS_GAIN) * self.highpass

    def _leak(self, dt: float) -> None:
        s = self.sensor
        if s.pixel.leak_rate_hz > 0:
            jitter = draws.jitter(self._words(draws.FRAME))
            rate = s.leak_hz * (np.float32(1) - np.float32(s.pixel.leak_jitter_fraction) * jitter)
            self.base = self.base - np.float32(dt) * rate * s.on_step

    def _slots(self, on: Map, off: Map, time: float) -> tuple[Columns, Map, Map]:
        """Events at v2e's times: every pixel's first at the first of M equal steps, M the busiest pixel's count."""
        most = max(1, int(on.max()), int(off.max()))
        times = slot_times(self.time, time, check_slots(most, time))
        if not self.sensor.pixel.refractory_period_s > (time - self.time) / most:
            return _all_slots(on, off, times), on, off
        passed_on, passed_off = np.zeros_like(on), np.zeros_like(off)
        columns = []
        for k, t in enumerate(times, start=1):
            ready = t - self.last > self.sensor.refractory
            fires_on, fires_off = (on >= k) & ready, (off >= k) & ready
            self.last[fires_on | fires_off] = t
            passed_on, passed_off = passed_on + fires_on, passed_off + fires_off
            columns.append(_columns(fires_on, fires_off, t))
        return join(columns), passed_on, passed_off

    def _spread(self, before: Map, after: Map, on: Map, off: Map, time: float) -> tuple[Columns, Map, Map]:
        """Events where the difference, taken as linear from `before` to `after`, crosses a multiple of the threshold."""
        s, dt = self.sensor, time - self.time
        check_slots(max(int(on.max()), int(off.max())), time)
        passed_on, passed_off = np.zeros_like(on), np.zeros_like(off)
        keys = []
        for count, passed, sign, threshold in ((on, passed_on, 1.0, s.on), (off, passed_off, -1.0, s.off)):
            for y, x in np.argwhere(count > 0):
                e0, e1, theta = sign * float(before[y, x]), sign * float(after[y, x]), float(threshold[y, x])
                for k in range(1, count[y, x] + 1):
                    part = min(max((k * theta - e0) / (e1 - e0), 0.0), 1.0) if e1 > e0 else 0.0
                    t = min(self.time + part * dt, time)
                    if s.pixel.refractory_period_s > 0:
                        if not t - self.last[y, x] > s.pixel.refractory_period_s:
                            continue
                        self.last[y, x] = t
                    passed[y, x] += 1
                    keys.append((round(t * 1e6), y, x, sign > 0))
        t_us, y, x, p = np.array(sorted(keys), np.int64).reshape(-1, 4).T
        return (t_us.copy(), x.astype(np.uint16), y.astype(np.uint16), p.astype(np.uint8)), passed_on, passed_off

    def _shot(self, luma: Map, dt: float, time: float) -> Columns:
        """Independent noise events at the end of the frame; their pixels forget what they had memorised."""
        s = self.sensor
        if s.pixel.photoreceptor_noise or s.pixel.shot_noise_rate_hz == 0:
            return join([])
        rate = (s.pixel.shot_noise_rate_hz / 2 * dt) * ((0.25 - 1) * relative_intensity(luma) + 1)
        u = draws.uniform(self._words(draws.FRAME), self._words(draws.FINE))
        on, off = u > 1 - rate * s.on_ratio, u < rate * s.off_ratio
        self.base = np.where(on | off, self.state, self.base)
        end = np.float32(time) if s.timing == "v2e" else np.float64(time)
        return _columns(on, off, end)


def _count(difference: Map, threshold: Map) -> Map:
    """Whole thresholds in `difference`, exactly. As in v2e's int32, what has overflowed counts 0 (a diverged SCIDVS pixel)."""
    with np.errstate(over="ignore", invalid="ignore"):
        n = np.floor_divide(np.maximum(difference, 0), threshold)
        return np.where(n < 2.0**31, n, 0).astype(np.int64)


def _all_slots(on: Map, off: Map, times: Map) -> Columns:
    """Each pixel's k-th event at `times[k]`: by k, then in raster order."""
    y, x = np.nonzero(on + off)
    counts = (on + off)[y, x]
    slot = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    order = np.argsort(slot, kind="stable")
    slot, y, x = slot[order], np.repeat(y, counts)[order], np.repeat(x, counts)[order]
    return microseconds(times)[slot], x.astype(np.uint16), y.astype(np.uint16), (on[y, x] > 0).astype(np.uint8)


def _columns(on: Map, off: Map, time: "np.floating[Any]") -> Columns:
    """One event a pixel of `on` and of `off`, all at `time`, in raster order; ON before OFF in a pixel that has both."""
    y, x, p = np.nonzero(np.stack([on, off], axis=2))
    t = np.full(len(y), round(float(time) * 1e6), np.int64)
    return t, x.astype(np.uint16), y.astype(np.uint16), (1 - p).astype(np.uint8)

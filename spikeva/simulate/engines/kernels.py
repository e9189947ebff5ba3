"""Compiled steps of the pixel model over a run of pixels [a, b). Each mirrors an equation of the reference engine.

A run is short enough to stay in the cache, and each step is a plain loop that the compiler vectorises. Arrays are flat, [n].
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from spikeva.simulate.draws import BITS
from spikeva.simulate.exact import CELLS, LN2, ROUND, SINH_LIMIT, STEP, STEPS
from spikeva.simulate.luma import GRID, KNEE, SLOPE

BLOCK = 32  # pixels looked at together for events
Vector = NDArray[Any]


class Maps(NamedTuple):
    """What is fixed for the clip (see `Sensor`), and the tables."""

    on: Vector
    off: Vector
    on_step: Vector
    off_step: Vector
    on_ratio: Vector
    off_ratio: Vector
    leak_hz: Vector
    decay_hz: Vector
    scidvs: Vector  # efold and gain, in the state's precision
    keys: Vector  # [10, 2] uint64, Philox's key schedule
    quantile: Vector
    quantile_slope: Vector
    byte_log: Vector
    byte_intensity: Vector
    inverse: Vector
    log_cell: Vector
    power: Vector


class State(NamedTuple):
    """What the pixels remember, and room for intermediate values."""

    state: Vector  # photoreceptor, in the state's precision
    signal: Vector  # what the change detector sees; `state` itself where nothing is added
    base: Vector  # memorised brightness
    residue: Vector  # signal - base at the end of the last frame
    surround: Vector
    highpass: Vector
    previous: Vector
    last: Vector  # time of the last event, s
    voltage: Vector  # photoreceptor noise, float32
    log: Vector  # brightness of the frame, float32
    intensity: Vector  # relative intensity of the frame, float64
    first: Vector  # random words of the frame
    second: Vector


class Step(NamedTuple):
    """Parameters of one frame; 0 switches a mechanism off."""

    frame: int
    start: float  # s since the clip's first frame
    stop: float
    low_pass: float  # dt / tau
    leak: float  # dt
    jitter: float
    shot: float  # rate / 2 * dt
    noise_step: float
    noise_vrms: float
    refractory: float
    scidvs: float
    surround: float
    crossing: float


def compiled(function: Any) -> Any:
    """`function` compiled without the interpreter's lock, once for all processes."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


@compiled
def draw(a, b, frame, keys, first, second):  # type: ignore[no-untyped-def]
    """Philox4x32-10: the frame's two words for each pixel (`draws.frame_words`); `a` is even."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    m0, m1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
    for block in range(a // 2, (b + 1) // 2):
        c0, c1, c2, c3 = np.uint64(block), np.uint64(frame), np.uint64(0), np.uint64(0)
        for r in range(10):
            p, q = c0 * m0, c2 * m1
            c0, c1, c2, c3 = (q >> shift) ^ c1 ^ keys[r, 0], q & mask, (p >> shift) ^ c3 ^ keys[r, 1], p & mask
        first[2 * block] = c0
        second[2 * block] = c1
        first[2 * block + 1] = c2
        second[2 * block + 1] = c3


@compiled
def normals(a, b, words, out, table, slope):  # type: ignore[no-untyped-def]
    """Standard normal numbers of `words` into `out` (float32), as `draws.normal`."""
    for i in range(a, b):
        out[i] = np.float32(np.int32(((words[i] >> np.uint32(9)) << np.uint32(1)) | np.uint32(1)))
    bits = out.view(np.int32)
    for i in range(a, b):
        index = (bits[i] >> (23 - BITS)) - (127 << BITS)
        within = np.float32(bits[i] & ((1 << (23 - BITS)) - 1)) * np.float32(2.0 ** (BITS - 23))
        z = table[index] + within * slope[index]
        out[i] = -z if words[i] & np.uint32(1) else z


def _brightness(a, b, frame, m, s):  # type: ignore[no-untyped-def]
    """`luma.lin_log` of the frame into `log`, and its relative intensity into `intensity`."""


@overload(_brightness)
def _brightness_of(a, b, frame, m, s):  # type: ignore[no-untyped-def]
    def of_bytes(a, b, frame, m, s):  # type: ignore[no-untyped-def]
        for i in range(a, b):
            s.log[i] = m.byte_log[frame[i]]
            s.intensity[i] = m.byte_intensity[frame[i]]

    def of_floats(a, b, frame, m, s):  # type: ignore[no-untyped-def]
        for i in range(a, b):
            s.intensity[i] = max(np.float64(frame[i]), 1.0)
        bits = s.intensity.view(np.int64)
        for i in range(a, b):
            cell = (bits[i] >> 45) & (CELLS - 1)
            exponent = np.float64((bits[i] >> 52) - 1023)
            bits[i] = (bits[i] & ((1 << 52) - 1)) | (1023 << 52)
            r = s.intensity[i] * m.inverse[cell] - 1.0
            series = r * (1.0 + r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5)))))
            y = exponent * LN2 + (m.log_cell[cell] + series)
            luma = np.float64(frame[i])
            y = luma * SLOPE if luma <= KNEE else y
            s.log[i] = np.float32(((y * GRID + ROUND) - ROUND) / GRID)
        for i in range(a, b):
            s.intensity[i] = (np.float64(frame[i]) + 20.0) / 275.0

    return of_bytes if frame.dtype == types.uint8 else of_floats


@compiled
def settle(a, b, frame, m, s, step):  # type: ignore[no-untyped-def]
    """The first frame: every pixel is at rest in it."""
    _brightness(a, b, frame, m, s)  # type: ignore[no-untyped-call]
    for i in range(a, b):
        s.state[i] = s.log[i]
        s.surround[i] = s.state[i]
        s.base[i] = s.state[i] - s.surround[i] if step.surround else s.state[i]
    for i in range(a, b):
        s.signal[i] = s.base[i] if step.surround else s.state[i]


@compiled
def receive(a, b, frame, m, s, step):  # type: ignore[no-untyped-def]
    """Photoreceptor: lin-log, low-pass and its noise; random words and what is left of the last frame are kept."""
    if step.crossing:
        for i in range(a, b):
            s.residue[i] = s.signal[i] - s.base[i]
    if step.leak or step.shot or step.noise_vrms:
        draw(a, b, step.frame, m.keys, s.first, s.second)
    _brightness(a, b, frame, m, s)  # type: ignore[no-untyped-call]
    if step.low_pass:
        for i in range(a, b):
            eps = min(s.intensity[i] * step.low_pass, 1.0)
            s.state[i] = (1 - eps) * s.state[i] + eps * s.log[i]
    else:
        for i in range(a, b):
            s.state[i] = s.log[i]
    if step.noise_vrms:
        normals(a, b, s.first, s.log, m.quantile, m.quantile_slope)
        keep, take, vrms = np.float32(1 - step.noise_step), np.float32(step.noise_step), np.float32(step.noise_vrms)
        for i in range(a, b):
            s.voltage[i] = keep * s.voltage[i] + take * (vrms * s.log[i])
    if step.scidvs:
        for i in range(a, b):
            _high_pass(i, m, s, step)


@compiled
def _high_pass(i, m, s, step):  # type: ignore[no-untyped-def]
    """SCIDVS: high-pass of pixel `i` with a conductance that grows as sinh (`exact.sinh`)."""
    change = s.state[i] - s.previous[i] if step.frame > 1 else s.state[i] - s.state[i]
    x = np.float64(s.highpass[i] / m.scidvs[0])
    y = min(abs(x), SINH_LIMIT) if x == x else x
    k = (y / STEP + ROUND) - ROUND
    part = y - k * STEP
    series = 1.0 + part * (1.0 + part * (1 / 2 + part * (1 / 6 + part * (1 / 24 + part * (1 / 120)))))
    whole = np.int64(k) if k == k else 0
    e = m.power[whole & (STEPS - 1)] * series * 2.0 ** (whole >> 6)
    half = 0.5 * (e - 1.0 / e)
    s.signal[i] = math.copysign(half, x)  # stored, to round to the state's precision
    growth = s.signal[i]
    s.signal[i] = step.stop - step.start
    s.highpass[i] = s.highpass[i] + (change - s.signal[i] * (m.decay_hz[i] * growth))
    s.previous[i] = s.state[i]


@compiled
def compose(a, b, m, s, step):  # type: ignore[no-untyped-def]
    """What the change detector sees, where more than the photoreceptor makes it."""
    for i in range(a, b):
        value = m.scidvs[1] * s.highpass[i] if step.scidvs else s.state[i]
        value = value + s.voltage[i]
        s.signal[i] = value - s.surround[i] if step.surround else value


@compiled
def leak(a, b, m, s, step):  # type: ignore[no-untyped-def]
    """Leak of the memorised brightness."""
    normals(a, b, s.second, s.log, m.quantile, m.quantile_slope)
    dt, jitter, one = np.float32(step.leak), np.float32(step.jitter), np.float32(1)
    for i in range(a, b):
        s.base[i] = s.base[i] - dt * (m.leak_hz[i] * (one - jitter * s.log[i])) * m.on_step[i]


@compiled
def whole_thresholds(difference, threshold):  # type: ignore[no-untyped-def]
    """floor(difference / threshold) without rounding error, 0 where it has overflowed."""
    ratio = difference / threshold
    if not ratio < 2.0**31:
        return 0
    n = math.floor(ratio)
    if ratio - n < 1e-6 or ratio - n > 1 - 1e-6:
        n = np.rint((difference - np.fmod(difference, threshold)) / threshold)
    return int(n)


@compiled
def detect(a, b, m, s, pixels, counts, n):  # type: ignore[no-untyped-def]
    """Records of the pixels that passed a threshold, from `n` on: pixel and signed number of events. Returns the new `n`."""
    signal, base, on, off = s.signal, s.base, m.on, m.off
    for low in range(a, b, BLOCK):
        high = min(low + BLOCK, b)
        hits = 0
        for i in range(low, high):
            d = signal[i] - base[i]
            hits += int(d >= on[i]) | int(-d >= off[i])
        if hits == 0:
            continue
        for i in range(low, high):
            d = signal[i] - base[i]
            count = 0
            if d >= on[i]:
                count = whole_thresholds(np.float64(d), np.float64(on[i]))
            elif -d >= off[i]:
                count = -whole_thresholds(np.float64(-d), np.float64(off[i]))
            if count != 0:
                pixels[n], counts[n] = i, count
                n += 1
    return n


@compiled
def memorise(i, count, m, s):  # type: ignore[no-untyped-def]
    """Move the memorised brightness of pixel `i` by `count` events."""
    if count > 0:
        s.base[i] = s.base[i] + np.float32(count) * m.on_step[i]
    else:
        s.base[i] = s.base[i] - np.float32(-count) * m.off_step[i]


@compiled
def shot(a, b, m, s, step, codes, n):  # type: ignore[no-untyped-def]
    """Shot-noise events, as 2 * pixel + polarity, from `n` on; returns the new `n`. Their pixels memorise the present."""
    for low in range(a, b, BLOCK):
        high = min(low + BLOCK, b)
        hits = 0
        for i in range(low, high):
            u = np.float64(s.first[i]) * 2.0**-32
            rate = step.shot * ((0.25 - 1) * s.intensity[i] + 1)
            hits += int(u > 1 - rate * m.on_ratio[i]) | int(u < rate * m.off_ratio[i])
        if hits == 0:
            continue
        for i in range(low, high):
            u = np.float64(s.first[i]) * 2.0**-32
            rate = step.shot * ((0.25 - 1) * s.intensity[i] + 1)
            on, off = u > 1 - rate * m.on_ratio[i], u < rate * m.off_ratio[i]
            if on:
                codes[n] = 2 * i + 1
                n += 1
            if off:
                codes[n] = 2 * i
                n += 1
            if on or off:
                s.base[i] = s.state[i]
    return n

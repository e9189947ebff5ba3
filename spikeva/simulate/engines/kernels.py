"""Compiled steps of the pixel model over a tile of pixels. Each mirrors an equation of the reference engine.

A tile stays in the cache while all steps, and where possible all frames of a chunk, go over it. Steps are plain loops over few
arrays, so that the compiler vectorises them. `s` is the tile's `State`, `m` its `Maps`, `k` the `Tables`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from spikeva.simulate.draws import BITS, FRAME, MAPS
from spikeva.simulate.engines.emission import TILE, compiled
from spikeva.simulate.exact import CELLS, LN2, ROUND, SINH_LIMIT, STEP, STEPS
from spikeva.simulate.luma import GRID, KNEE, SLOPE

BLOCK = 32  # pixels looked at together for events
Vector = NDArray[Any]


class Maps(NamedTuple):
    """What is fixed for the clip, flat [n] (see `Sensor`)."""

    on: Vector
    off: Vector
    on_step: Vector
    off_step: Vector
    on_ratio: Vector
    off_ratio: Vector
    leak_hz: Vector
    decay_hz: Vector


class Tables(NamedTuple):
    """Look-up tables."""

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
    """What the pixels remember, and room for intermediate values, flat [n]."""

    state: Vector  # photoreceptor, in the state's precision
    signal: Vector  # what the change detector sees; `state` itself where nothing is added
    base: Vector  # memorised brightness
    residue: Vector  # signal - base at the end of the last frame
    difference: Vector  # signal - base now
    surround: Vector
    highpass: Vector
    previous: Vector
    last: Vector  # time of the last event, s
    voltage: Vector  # photoreceptor noise, float32
    log: Vector  # brightness of the frame, float32
    normal: Vector  # float32
    intensity: Vector  # relative intensity of the frame, float64
    events: Vector  # their signed number, int32
    first: Vector  # random words of the frame, [n rounded up to even]
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
    scidvs: float
    surround: float
    crossing: float


@compiled
def _step(row):  # type: ignore[no-untyped-def]
    return Step(
        int(row[0]),
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
    )


@compiled
def _tile(m, s, a, b):  # type: ignore[no-untyped-def]
    """Maps and state of the pixels [a, b)."""
    even = b + (b - a) % 2
    maps = Maps(
        m.on[a:b],
        m.off[a:b],
        m.on_step[a:b],
        m.off_step[a:b],
        m.on_ratio[a:b],
        m.off_ratio[a:b],
        m.leak_hz[a:b],
        m.decay_hz[a:b],
    )
    state = State(
        s.state[a:b],
        s.signal[a:b],
        s.base[a:b],
        s.residue[a:b],
        s.difference[a:b],
        s.surround[a:b],
        s.highpass[a:b],
        s.previous[a:b],
        s.last[a:b],
        s.voltage[a:b],
        s.log[a:b],
        s.normal[a:b],
        s.intensity[a:b],
        s.events[a:b],
        s.first[a:even],
        s.second[a:even],
    )
    return maps, state


@compiled
def draw(counter, frame, purpose, keys, a, b):  # type: ignore[no-untyped-def]
    """Philox4x32-10 (`draws.philox`) of the counters `counter`, `counter` + 1, ...: words 0 and 2 into `a`, 1 and 3 into `b`.

    Both are uint64, the lower half first: as uint32 they are `draws.frame_words` on every machine numba runs on.
    """
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    m0, m1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
    for i in range(len(a)):
        c0, c1, c2, c3 = np.uint64(counter + i), np.uint64(frame), np.uint64(purpose), np.uint64(0)
        for r in range(10):
            p, q = c0 * m0, c2 * m1
            c0, c1, c2, c3 = (q >> shift) ^ c1 ^ keys[r, 0], q & mask, (p >> shift) ^ c3 ^ keys[r, 1], p & mask
        a[i] = c0 | (c2 << shift)
        b[i] = c1 | (c3 << shift)


@compiled
def draw_maps(keys, table, slope, words, out):  # type: ignore[no-untyped-def]
    """Normal numbers of the maps into `out` [4, n] float32, as `draws.pixel_normals`; `words` [2, 2 n] uint32 is room."""
    draw(0, 0, MAPS, keys, words[0].view(np.uint64), words[1].view(np.uint64))
    for j in range(4):
        normals(words[j % 2, j // 2 :: 2].copy(), out[j], table, slope)


@compiled
def normals(words, out, table, slope):  # type: ignore[no-untyped-def]
    """Standard normal numbers of `words` into `out` (float32), as `draws.normal`."""
    for i in range(len(out)):
        out[i] = np.float32(np.int32(((words[i] >> np.uint32(9)) << np.uint32(1)) | np.uint32(1)))
    bits = out.view(np.uint32)
    for i in range(len(out)):
        b = bits[i]
        index = np.uint32((b >> np.uint32(23 - BITS)) - np.uint32(127 << BITS))
        within = np.float32(np.int32(b & np.uint32((1 << (23 - BITS)) - 1))) * np.float32(2.0 ** (BITS - 23))
        z = table[index] + within * slope[index]
        out[i] = -z if words[i] & np.uint32(1) else z


def _brightness(frame, s, k, shine):  # type: ignore[no-untyped-def]
    """`luma.lin_log` of the frame into `log` and, where `shine`, its relative intensity into `intensity`."""


@overload(_brightness)
def _brightness_of(frame, s, k, shine):  # type: ignore[no-untyped-def]
    def of_bytes(frame, s, k, shine):  # type: ignore[no-untyped-def]
        for i in range(len(frame)):
            s.log[i] = k.byte_log[frame[i]]
        if shine:
            for i in range(len(frame)):
                s.intensity[i] = k.byte_intensity[frame[i]]

    def of_floats(frame, s, k, shine):  # type: ignore[no-untyped-def]
        for i in range(len(frame)):
            s.intensity[i] = max(np.float64(frame[i]), 1.0)
        bits = s.intensity.view(np.uint64)
        fraction, one = np.uint64((1 << 52) - 1), np.uint64(1023 << 52)
        for i in range(len(frame)):
            b = bits[i]
            cell = (b >> np.uint64(45)) & np.uint64(CELLS - 1)
            exponent = np.float64(np.int64(b >> np.uint64(52)) - 1023)
            bits[i] = (b & fraction) | one
            r = s.intensity[i] * k.inverse[cell] - 1.0
            series = r * (1.0 + r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5)))))
            y = exponent * LN2 + (k.log_cell[cell] + series)
            luma = np.float64(frame[i])
            y = luma * SLOPE if luma <= KNEE else y
            s.log[i] = np.float32(((y * GRID + ROUND) - ROUND) / GRID)
        if shine:
            for i in range(len(frame)):
                s.intensity[i] = (np.float64(frame[i]) + 20.0) / 275.0

    return of_bytes if frame.dtype == types.uint8 else of_floats


@compiled
def settle(frame, s, k, surround):  # type: ignore[no-untyped-def]
    """The first frame: every pixel is at rest in it."""
    _brightness(frame, s, k, False)  # type: ignore[no-untyped-call]
    for i in range(len(frame)):
        s.state[i] = s.log[i]
        s.surround[i] = s.state[i]
        s.base[i] = s.state[i] - s.surround[i] if surround else s.state[i]
    if surround:
        s.signal[:] = s.base
    else:
        s.signal[:] = s.state


@compiled
def receive(low, frame, s, k, step):  # type: ignore[no-untyped-def]
    """Photoreceptor: lin-log, low-pass and its noise. Draws the frame's random words; keeps what is left of the last frame."""
    n = len(frame)
    if step.crossing:
        for i in range(n):
            s.residue[i] = s.signal[i] - s.base[i]
    if step.leak or step.shot or step.noise_vrms:
        draw(low // 2, step.frame, FRAME, k.keys, s.first.view(np.uint64), s.second.view(np.uint64))
    _brightness(frame, s, k, step.low_pass > 0 or step.shot > 0)  # type: ignore[no-untyped-call]
    if step.low_pass:
        for i in range(n):
            eps = min(s.intensity[i] * step.low_pass, 1.0)
            s.state[i] = (1 - eps) * s.state[i] + eps * s.log[i]
    else:
        for i in range(n):
            s.state[i] = s.log[i]
    if step.noise_vrms:
        normals(s.first, s.normal, k.quantile, k.quantile_slope)
        keep, take, vrms = np.float32(1 - step.noise_step), np.float32(step.noise_step), np.float32(step.noise_vrms)
        for i in range(n):
            s.voltage[i] = keep * s.voltage[i] + take * (vrms * s.normal[i])


@compiled
def _high_pass(m, s, k, step):  # type: ignore[no-untyped-def]
    """SCIDVS: high-pass with a conductance that grows as sinh (`exact.sinh`)."""
    for i in range(len(s.state)):
        change = s.state[i] - s.previous[i] if step.frame > 1 else s.state[i] - s.state[i]
        x = np.float64(s.highpass[i] / k.scidvs[0])
        y = min(abs(x), SINH_LIMIT) if x == x else x
        whole = (y / STEP + ROUND) - ROUND
        part = y - whole * STEP
        series = 1.0 + part * (1.0 + part * (1 / 2 + part * (1 / 6 + part * (1 / 24 + part * (1 / 120)))))
        power = np.int64(whole) if whole == whole else 0
        e = k.power[power & (STEPS - 1)] * series * 2.0 ** (power >> 6)
        s.signal[i] = math.copysign(0.5 * (e - 1.0 / e), x)  # stored, to round to the state's precision
        growth = s.signal[i]
        s.signal[i] = step.stop - step.start
        s.highpass[i] = s.highpass[i] + (change - s.signal[i] * (m.decay_hz[i] * growth))
        s.previous[i] = s.state[i]


@compiled
def compose(m, s, k, step):  # type: ignore[no-untyped-def]
    """What the change detector sees, where more than the photoreceptor makes it."""
    if step.scidvs:
        _high_pass(m, s, k, step)
    for i in range(len(s.state)):
        value = k.scidvs[1] * s.highpass[i] if step.scidvs else s.state[i]
        value = value + s.voltage[i]
        s.signal[i] = value - s.surround[i] if step.surround else value


@compiled
def leak(m, s, k, step):  # type: ignore[no-untyped-def]
    """Leak of the memorised brightness."""
    normals(s.second[: len(s.base)], s.normal, k.quantile, k.quantile_slope)
    dt, jitter, one = np.float32(step.leak), np.float32(step.jitter), np.float32(1)
    for i in range(len(s.base)):
        s.base[i] = s.base[i] - dt * (m.leak_hz[i] * (one - jitter * s.normal[i])) * m.on_step[i]


@compiled
def count_events(m, s):  # type: ignore[no-untyped-def]
    """Whole thresholds in signal - base: `difference` and, signed, `events`, exactly. 0 where they pass int32."""
    for i in range(len(s.base)):
        s.difference[i] = s.signal[i] - s.base[i]
    doubtful = np.int32(0)
    for i in range(len(s.base)):
        d = s.difference[i]
        ratio = d / (m.on[i] if d >= 0 else m.off[i])
        whole = np.int32(ratio) if abs(ratio) < 2.0**31 else np.int32(0)
        s.events[i] = whole
        doubtful |= np.int32(whole == ratio) & np.int32(whole != 0)
    if doubtful:  # a quotient just below a whole number may have been rounded to it
        for i in range(len(s.base)):
            d = np.float64(s.difference[i])
            threshold = np.float64(m.on[i] if d >= 0 else m.off[i])
            if s.events[i] != 0 and s.events[i] == s.difference[i] / (m.on[i] if d >= 0 else m.off[i]):
                s.events[i] = int(np.rint((d - np.fmod(d, threshold)) / threshold))


@compiled
def memorise_all(m, s):  # type: ignore[no-untyped-def]
    """Move the memorised brightness by the events."""
    for i in range(len(s.base)):
        count = np.float32(s.events[i])
        s.base[i] = s.base[i] + count * (m.on_step[i] if count > 0 else m.off_step[i])


@compiled
def record(low, s, crossing, pixels, counts, before, after, n):  # type: ignore[no-untyped-def]
    """Records of the pixels with events, from `n` on; returns the new `n`. Crossing times need the differences, too."""
    size = len(s.events)
    for block in range(0, size, BLOCK):
        end = min(block + BLOCK, size)
        some = np.int32(0)
        for i in range(block, end):
            some |= s.events[i]
        if some:
            for i in range(block, end):
                pixels[n], counts[n] = low + i, s.events[i]
                if crossing:
                    before[n], after[n] = s.residue[i], s.difference[i]
                n += s.events[i] != 0
    return n


@compiled
def _largest(m):  # type: ignore[no-untyped-def]
    return max(m.on_ratio.max(), m.off_ratio.max())


@compiled
def shot(low, m, s, step, ratio, codes, n):  # type: ignore[no-untyped-def]
    """Shot-noise events, as 2 * pixel + polarity, from `n` on; returns the new `n`. Their pixels memorise the present.

    `ratio` is the largest of the tile's `on_ratio` and `off_ratio`.
    """
    size = len(s.base)
    bound = np.uint32(min(step.shot * ratio, 0.5) * 2.0**32)  # no word in [bound, 2**32 - bound] can make an event
    span = np.uint32(2**32 - 2 * np.int64(bound))
    for block in range(0, size, BLOCK):
        end = min(block + BLOCK, size)
        some = np.uint32(0)
        for i in range(block, end):
            some |= np.uint32(np.uint32(s.first[i] - bound) > span)
        if some == 0:
            continue
        for i in range(block, end):
            if np.uint32(s.first[i] - bound) <= span:
                continue
            u = np.float64(s.first[i]) * 2.0**-32
            rate = step.shot * ((0.25 - 1) * s.intensity[i] + 1)
            on, off = u > 1 - rate * m.on_ratio[i], u < rate * m.off_ratio[i]
            if on:
                codes[n] = 2 * (low + i) + 1
                n += 1
            if off:
                codes[n] = 2 * (low + i)
                n += 1
            if on or off:
                s.base[i] = s.state[i]
    return n


@compiled
def _detect(low, m, s, k, step, composed, pixels, counts, before, after, n):  # type: ignore[no-untyped-def]
    if composed:
        compose(m, s, k, step)
    if step.leak:
        leak(m, s, k, step)
    count_events(m, s)
    return record(low, s, step.crossing > 0, pixels, counts, before, after, n)


@compiled
def settle_pixels(a, b, frame, surround, m, s, k):  # type: ignore[no-untyped-def]
    """The first frame."""
    _, tile = _tile(m, s, a, b)
    settle(frame[a:b], tile, k, surround)


@compiled
def receive_pixels(a, b, frame, row, m, s, k):  # type: ignore[no-untyped-def]
    """The photoreceptors' part of a frame, where pixels wait for each other before they make events."""
    step = _step(row)
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        _, tile = _tile(m, s, low, high)
        receive(low, frame[low:high], tile, k, step)


@compiled
def detect_pixels(a, b, row, m, s, k, composed, pixels, counts, before, after, ends):  # type: ignore[no-untyped-def]
    """The change detectors' part of a frame (T = 1), up to the records."""
    step = _step(row)
    for low in range(a, b, TILE):
        maps, tile = _tile(m, s, low, min(low + TILE, b))
        n = _detect(low, maps, tile, k, step, composed, pixels, counts, before, after, low)
        ends[low // TILE, 0, 0], ends[low // TILE, 0, 1] = n, 2 * low


@compiled
def shot_pixels(a, b, row, m, s, codes, ends):  # type: ignore[no-untyped-def]
    """The shot noise of a frame (T = 1)."""
    step = _step(row)
    for low in range(a, b, TILE):
        maps, tile = _tile(m, s, low, min(low + TILE, b))
        ends[low // TILE, 0, 1] = shot(low, maps, tile, step, _largest(maps), codes, 2 * low)


@compiled
def run_pixels(a, b, frames, rows, m, s, k, composed, pixels, counts, before, after, codes, ends):  # type: ignore[no-untyped-def]
    """Several frames of the pixels [a, b), where no pixel depends on another: a tile goes through all of them at once."""
    length = len(rows)
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        maps, tile = _tile(m, s, low, high)
        n, c, ratio = low * length, 2 * low * length, _largest(maps)
        for f in range(length):
            step = _step(rows[f])
            receive(low, frames[f, low:high], tile, k, step)
            n = _detect(low, maps, tile, k, step, composed, pixels, counts, before, after, n)
            memorise_all(maps, tile)
            if step.shot:
                c = shot(low, maps, tile, step, ratio, codes, c)
            ends[low // TILE, f, 0], ends[low // TILE, f, 1] = n, c

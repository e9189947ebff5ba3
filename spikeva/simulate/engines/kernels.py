"""Compiled steps of the pixel model over a tile of pixels. Each mirrors an equation of the reference engine.

A tile stays in the cache while all steps, and where possible all frames of a chunk, go over it. Steps are plain loops over few
arrays that read all they may need before they choose, so that the compiler makes vector code of them; what only the few pixels
with events need is done after these have been picked out. `s` is the tile's `State`, `m` its `Maps`, `k` the `Tables`.

A record is one int32: the signed number of events and, in the lower PLACE bits, the place in the tile.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from spikeva.simulate.draws import DIGITS, FINE, FRAME, VOLTAGE
from spikeva.simulate.engines.drawing import draw, normals, word
from spikeva.simulate.engines.tiles import PLACE, TILE, Maps, State, Vector, compiled
from spikeva.simulate.exact import CELLS, LN2, ROUND, SINH_LIMIT, STEP, STEPS
from spikeva.simulate.luma import GRID, KNEE, SLOPE

SHIFT, WITHIN = np.int32(PLACE), np.int32(TILE - 1)
MAIN = math.floor(2.0**48 / 275) * 2.0**-48
REST = float(Fraction(1, 275) - Fraction(MAIN))
"""1 / 275 in two parts: times 20..275 the first one is exact."""
DOUBT = np.int32(-(1 << 31))
CLIP = float((1 << (31 - PLACE)) - 1)  # above `timing.MOST_SLOTS`


@compiled
def _tile(m, s, a, b):
    """Maps and state of the pixels [a, b)."""
    maps = Maps(m.on[a:b], m.off[a:b], m.on_step[a:b], m.off_step[a:b], m.leak_hz[a:b], m.decay_hz[a:b])
    state = State(
        s.state[a:b],
        s.signal[a:b],
        s.base[a:b],
        s.residue[a:b],
        s.surround[a:b],
        s.highpass[a:b],
        s.previous[a:b],
        s.last[a:b],
        s.voltage[a:b],
    )
    return maps, state


class Work(NamedTuple):
    """Room for what a tile needs within a frame, [pixels] unless said."""

    log: Vector  # brightness, float32
    normal: Vector
    leakage: Vector
    difference: Vector  # signal - base, where crossing times are wanted
    events: Vector
    words: Vector  # random ones, up to a multiple of 4
    flags: Vector  # bytes, up to a multiple of 8 (0 there)
    room: Vector
    places: Vector


@compiled
def _work(n, s):
    return Work(
        np.empty(n, np.float32),
        np.empty(n, np.float32),
        np.zeros(n, np.float32),
        np.empty(n if len(s.residue) else 0, s.base.dtype),
        np.empty(n, np.int32),
        np.empty((n + 3) // 4 * 4, np.uint32),
        np.zeros((n + 7) // 8 * 8, np.uint8),
        np.empty((n + 7) // 8, np.int32),
        np.empty(n + 8, np.int32),
    )


def _receive(frame, s, k, w, low_pass):
    """Lin-log (`luma.lin_log`) and, where `low_pass`, the low-pass filter, into `state`."""


@overload(_receive)
def _receive_of(frame, s, k, w, low_pass):
    def of_bytes(frame, s, k, w, low_pass):
        if low_pass:
            for i in range(len(frame)):
                w.log[i] = k.byte_log[frame[i]]
            for i in range(len(frame)):
                x = np.float64(np.int32(frame[i])) + 20.0
                take = (x * REST + x * MAIN) * low_pass  # x / 275, rounded alike
                take = take if take < 1.0 else 1.0
                s.state[i] = (1 - take) * s.state[i] + take * w.log[i]
        else:
            for i in range(len(frame)):
                s.state[i] = k.byte_log[frame[i]]

    def of_floats(frame, s, k, w, low_pass):
        _log(frame, k, w.log)
        if low_pass:
            for i in range(len(frame)):
                take = (np.float64(frame[i]) + 20.0) / 275.0 * low_pass
                take = take if take < 1.0 else 1.0
                s.state[i] = (1 - take) * s.state[i] + take * w.log[i]
        else:
            for i in range(len(frame)):
                s.state[i] = w.log[i]

    return of_bytes if frame.dtype == types.uint8 else of_floats


@compiled
def _log(luma, k, out):
    """`luma.lin_log` of floats into `out`."""
    mantissa = np.empty(len(luma), np.float64)
    for i in range(len(luma)):
        x = np.float64(luma[i])
        mantissa[i] = x if x > 1.0 else 1.0
    bits = mantissa.view(np.uint64)
    fraction, one = np.uint64((1 << 52) - 1), np.uint64(1023 << 52)
    for i in range(len(luma)):
        b = bits[i]
        cell = (b >> np.uint64(45)) & np.uint64(CELLS - 1)
        exponent = np.float64(np.int64(b >> np.uint64(52)) - 1023)
        bits[i] = (b & fraction) | one
        r = mantissa[i] * k.inverse[cell] - 1.0
        series = r * (1.0 + r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5)))))
        y = exponent * LN2 + (k.log_cell[cell] + series)
        x = np.float64(luma[i])
        y = x * SLOPE if x <= KNEE else y
        out[i] = np.float32(((y * GRID + ROUND) - ROUND) / GRID)


@compiled
def settle_pixels(a, b, frame, surround, m, s, k):
    """The first frame: every pixel in [a, b) is at rest in it."""
    _, s = _tile(m, s, a, b)
    _receive(frame[a:b], s, k, _work(b - a, s), 0.0)
    if surround:
        s.surround[:] = s.state
        s.base[:] = 0
        s.signal[:] = s.base
    else:
        s.base[:] = s.state
        s.signal[:] = s.state


@compiled
def _add_noise(low, s, k, w, step):
    """Noise of the photoreceptor: white noise, low-passed."""
    draw(low // 4, step.frame, VOLTAGE, k.keys, w.words.view(np.uint64))
    normals(w.words, w.normal, k.quantile, k.quantile_slope)
    keep, take, vrms = np.float32(1 - step.noise_step), np.float32(step.noise_step), np.float32(step.noise_vrms)
    for i in range(len(s.voltage)):
        s.voltage[i] = keep * s.voltage[i] + take * (vrms * w.normal[i])


@compiled
def _high_pass(m, s, k, step):
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
def _compose(m, s, k, step):
    """What the change detector sees, where more than the photoreceptor makes it."""
    if len(s.highpass):
        _high_pass(m, s, k, step)
    for i in range(len(s.state)):
        s.signal[i] = k.scidvs[1] * s.highpass[i] if len(s.highpass) else s.state[i]
    if len(s.voltage):
        for i in range(len(s.state)):
            s.signal[i] = s.signal[i] + s.voltage[i]
    if len(s.surround):
        for i in range(len(s.state)):
            s.signal[i] = s.signal[i] - s.surround[i]


@compiled
def _leak(m, words, dt, jitter, leakage):
    """What leaks from the memorised brightness in a frame, with `draws.jitter`."""
    one, middle, digits = np.float32(1), np.float32(30), np.float32(DIGITS)
    for i in range(len(leakage)):
        w, hz, on = words[i], m.leak_hz[i], m.on_step[i]
        pairs = np.uint32((w & np.uint32(0x0F0F)) + ((w >> np.uint32(4)) & np.uint32(0x0F0F)))
        total = np.int32(np.uint32((pairs & np.uint32(0xFF)) + (pairs >> np.uint32(8))))
        normal = (np.float32(total) - middle) * digits
        leakage[i] = dt * (hz * (one - jitter * normal)) * on


@compiled
def _count(m, s, leakage, wait, events):
    """Leak and count the events: whole thresholds in signal - base, signed, exactly. The memorised brightness moves by them,
    unless pixels `wait`.

    The quotient of float32 numbers tells the count, unless it lies so near a whole number that its rounding matters.
    """
    zero, half, large, margin = np.float32(0), np.float32(0.5), np.float32(2**16), np.float32(2.0**-20)
    move = zero if wait else np.float32(1)
    doubtful = np.int32(0)
    for i in range(len(events)):
        on, off = m.on_step[i], m.off_step[i]
        base = s.base[i] - leakage[i]
        d = np.float32(s.signal[i] - base)
        threshold = on if d >= zero else off
        ratio = d / threshold
        size = abs(ratio)
        clear = (size <= half) | ((abs(ratio - np.rint(ratio)) > margin * size) & (size < large))
        count = np.int32(ratio if clear else zero)
        doubtful = np.int32(doubtful | np.int32(not clear))
        s.base[i] = base + np.float32(count) * (threshold * move)
        events[i] = count if clear else DOUBT
    if doubtful:
        _count_doubtful(m, s, move, events)


@compiled
def _count_doubtful(m, s, move, events):
    """As `_count` where `events` are DOUBT."""
    zero, large, left = np.float32(0), np.float64(2**16), np.int32(0)
    if (
        m.on[0] == m.on_step[0] and m.off[0] == m.off_step[0]
    ):  # else, thresholds are no float32 numbers, and the same for all
        for i in range(len(events)):
            v, on, off, base = events[i], m.on_step[i], m.off_step[i], s.base[i]
            d = s.signal[i] - base
            threshold = on if d >= zero else off
            near = np.rint(np.float32(d) / threshold)
            size, whole = abs(np.float64(d)), abs(np.float64(near))
            whole = whole - 1.0 if whole * np.float64(threshold) > size else whole  # an exact product
            sure = (v == DOUBT) & (whole < large)
            count = np.int32(whole) if sure else np.int32(0)
            count = count if d >= zero else np.int32(-count)
            s.base[i] = base + np.float32(count) * (threshold * move)
            events[i] = count if sure else v
            left = np.int32(left | np.int32((v == DOUBT) & (not sure)))
    else:
        left = np.int32(1)
    for i in range(len(events) if left else 0):
        if events[i] == DOUBT:
            on, off = m.on_step[i], m.off_step[i]
            events[i] = count = _whole(s.signal[i] - s.base[i], m.on[i], m.off[i])
            s.base[i] = s.base[i] + np.float32(count) * ((on if count > 0 else off) * move)


@compiled
def _whole(d, on, off):
    """Whole thresholds in the difference `d`, signed, exactly. 0 where they pass int32, CLIP where they are out of all reason."""
    threshold = on if d >= 0 else off
    ratio = d / threshold
    if not abs(ratio) < 2.0**31:
        return np.int32(0)
    count = np.int32(min(max(ratio, -CLIP), CLIP))
    if count == ratio:  # a quotient just below a whole number may have been rounded to it
        d, threshold = np.float64(d), np.float64(threshold)
        count = np.int32(np.rint((d - np.fmod(d, threshold)) / threshold))
    return count


@compiled
def _places(flags, room, places):
    """Places of the ones among the bytes `flags`, in order, into `places`; returns their number."""
    eights = flags.view(np.uint64)
    some, n = np.uint64(0), np.uint64(0)
    for e in range(len(eights)):
        room[some] = e
        some += np.uint64(eights[e] != np.uint64(0))
    for q in range(some):
        bits, first = eights[room[q]], np.int32(8 * room[q])
        for j in range(8):
            places[n] = first + np.int32(j)
            n += (bits >> np.uint64(8 * j)) & np.uint64(1)
    return np.int64(n)


@compiled
def _record(events, spare, records, n):
    """Records of the pixels with events, in order, from `n` on; returns the new `n`.

    Both halves go at once, since each step waits for the one before it.
    """
    half = len(events) // 2
    a, b = np.uint64(n), np.uint64(0)
    for i in range(len(events)):
        events[i] = np.int32(np.int32(events[i] << SHIFT) | np.int32(i))
    for i in range(half):
        v, w = events[i], events[i + half]
        records[a], spare[b] = v, w
        a += np.uint64((v >> SHIFT) != 0)
        b += np.uint64((w >> SHIFT) != 0)
    for i in range(b):
        records[a + np.uint64(i)] = spare[i]
    a += b
    for i in range(2 * half, len(events)):
        records[a] = events[i]
        a += np.uint64((events[i] >> SHIFT) != 0)
    return np.int64(a)


@compiled
def _shoot(low, frame, m, s, k, w, step, wait, codes, c):
    """Shot noise, as 2 * pixel + polarity, into `codes` from `c` on; returns the new `c`.

    Pixels with noise memorise the present, those that `wait` later. There may be noise where the coarse random number lies near
    either end; `step.reach` is the end's width for a threshold of 1. The fine one is drawn where the coarse one leaves a doubt.
    """
    last, words = np.float32(2**16 - 1), w.words
    for i in range(len(s.base)):
        coarse = np.float32(np.int32(words[i] >> np.uint32(16)))
        w.flags[i] = min(coarse, last - coarse) * min(m.on_step[i], m.off_step[i]) <= step.reach
    for q in range(_places(w.flags, w.room, w.places)):
        i = w.places[q]
        rate = step.shot * ((0.25 - 1) * ((np.float64(frame[i]) + 20.0) / 275.0) + 1)
        above, below = 1 - rate * (k.nominal[0] / m.on_step[i]), rate * (k.nominal[1] / m.off_step[i])
        coarse = words[i] & np.uint32(0xFFFF0000)
        u, most = np.float64(coarse) * 2.0**-32, np.float64(coarse | np.uint32(0xFFFF)) * 2.0**-32
        if ((u > above) != (most > above)) | ((u < below) != (most < below)):
            fine = word(low + i, step.frame, FINE, k.keys) >> np.uint64(16)
            u = np.float64(np.uint64(coarse) | fine) * 2.0**-32
        on, off = u > above, u < below
        codes[c] = 2 * (low + i) + 1
        c += on
        codes[c] = 2 * (low + i)
        c += off
        base, state = s.base[i], s.state[i]
        s.base[i] = state if (on | off) & (not wait) else base
    return c


@compiled
def _tally(records):
    """Number of events of the records, and the largest of one."""
    total, most = np.int32(0), np.int32(0)
    for i in range(len(records)):
        count = np.int32(abs(records[i] >> SHIFT))
        total = np.int32(total + count)
        most = max(most, count)
    return total, most


@compiled
def run_pixels(a, b, frames, steps, part, wait, m, s, k, records, before, after, codes, marks):
    """Several frames of the pixels [a, b): a tile goes through all of them at once.

    `part` 1: the photoreceptors alone, 2: the rest, 3: both. Where the frame's other pixels decide what passes, `wait` leaves
    memorising to those who know. `marks` [tiles, T, 6] says, for each tile and frame, where its records begin and end, where its
    shot-noise events do, its number of events, and the largest number in one pixel.
    """
    n, c = np.int64(a * len(steps)), np.int64(2 * a * len(steps))
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        maps, tile = _tile(m, s, low, high)
        w = _work(high - low, s)
        for f in range(len(steps)):
            step, frame = steps[f], frames[f, low:high]
            if part & 1:
                for i in range(len(tile.residue)):
                    tile.residue[i] = tile.signal[i] - tile.base[i]
                _receive(frame, tile, k, w, step.low_pass)
                if step.noise_vrms:
                    _add_noise(low, tile, k, w, step)
            if part == 1:
                continue
            if len(tile.voltage) or len(tile.highpass) or len(tile.surround):
                _compose(maps, tile, k, step)
            if step.leak or step.shot:
                draw(low // 4, step.frame, FRAME, k.keys, w.words.view(np.uint64))
            if step.leak:
                _leak(maps, w.words, step.leak, step.jitter, w.leakage)
            for i in range(len(tile.residue)):
                w.difference[i] = tile.signal[i] - (tile.base[i] - w.leakage[i])
            first, noise = n, c
            _count(maps, tile, w.leakage, wait, w.events)
            n = _record(w.events, w.places, records, n)
            for q in range(first, n if len(tile.residue) else first):
                i = records[q] & WITHIN
                before[q], after[q] = tile.residue[i], w.difference[i]
            if step.shot:
                c = _shoot(low, frame, maps, tile, k, w, step, wait, codes, c)
            total, most = _tally(records[first:n])
            mark = marks[low // TILE, f]
            mark[0], mark[1], mark[2], mark[3], mark[4], mark[5] = first, n, noise, c, total, most

"""Compiled steps of the pixel model over a tile of pixels. Each mirrors an equation of the reference engine.

A tile stays in the cache while all steps, and where possible all frames of a chunk, go over it. Steps are plain loops over few
arrays that read all they may need before they choose, so that the compiler makes vector code of them; what only the few pixels
with events need is done after these have been picked out. `s` is the tile's `State`, `m` its `Maps`, `k` the `Tables`.

A record is one int32: signed number of events, flag of a candidate for shot noise, place in the tile.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from spikeva.simulate.draws import BITS, DIGITS, FINE, FRAME, MAPS, VOLTAGE
from spikeva.simulate.engines.tiles import PLACE, TILE, Maps, State, compiled
from spikeva.simulate.exact import CELLS, LN2, ROUND, SINH_LIMIT, STEP, STEPS
from spikeva.simulate.luma import GRID, KNEE, SLOPE

FLAG = np.int32(1 << PLACE)
SHIFT = np.int32(PLACE + 1)
CLIP = float((1 << (31 - SHIFT)) - 1)  # above `timing.MOST_SLOTS`


@compiled
def _tile(m, s, a, b):  # type: ignore[no-untyped-def]
    """Maps and state of the pixels [a, b)."""
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
        s.surround[a:b],
        s.highpass[a:b],
        s.previous[a:b],
        s.last[a:b],
        s.voltage[a:b],
    )
    return maps, state


@compiled
def draw(counter, frame, purpose, keys, out):  # type: ignore[no-untyped-def]
    """Philox4x32-10 (`draws.philox`) of the counters `counter`, `counter` + 1, ... into `out`, two uint64 a counter.

    The lower half is the earlier word: as uint32 they are `draws.words` on every machine numba runs on.
    """
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    m0, m1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
    for i in range(len(out) // 2):
        c0, c1, c2, c3 = np.uint64(counter + i), np.uint64(frame), np.uint64(purpose), np.uint64(0)
        for r in range(10):
            p, q = c0 * m0, c2 * m1
            c0, c1, c2, c3 = (q >> shift) ^ c1 ^ keys[r, 0], q & mask, (p >> shift) ^ c3 ^ keys[r, 1], p & mask
        out[2 * i] = c0 | (c1 << shift)
        out[2 * i + 1] = c2 | (c3 << shift)


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


@compiled
def draw_maps(a, b, keys, table, slope, out):  # type: ignore[no-untyped-def]
    """Normal numbers of the maps of the pixels [a, b) into `out` [maps, n] float32, as `draws.pixel_normals`."""
    words = np.empty(4 * TILE, np.uint32)
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        draw(low, 0, MAPS, keys, words[: 4 * (high - low)].view(np.uint64))
        for j in range(len(out)):
            normals(words[j::4][: high - low].copy(), out[j, low:high], table, slope)


def _receive(frame, s, k, low_pass, filter_of_byte):  # type: ignore[no-untyped-def]
    """Lin-log (`luma.lin_log`) and, where `low_pass`, the low-pass filter, into `state`."""


@overload(_receive)
def _receive_of(frame, s, k, low_pass, filter_of_byte):  # type: ignore[no-untyped-def]
    def of_bytes(frame, s, k, low_pass, filter_of_byte):  # type: ignore[no-untyped-def]
        if low_pass:
            keep, add = filter_of_byte[0], filter_of_byte[1]
            for i in range(len(frame)):
                s.state[i] = keep[frame[i]] * s.state[i] + add[frame[i]]
        else:
            for i in range(len(frame)):
                s.state[i] = k.byte_log[frame[i]]

    def of_floats(frame, s, k, low_pass, filter_of_byte):  # type: ignore[no-untyped-def]
        log = np.empty(len(frame), np.float32)
        mantissa = np.empty(len(frame), np.float64)
        for i in range(len(frame)):
            mantissa[i] = max(np.float64(frame[i]), 1.0)
        bits = mantissa.view(np.uint64)
        fraction, one = np.uint64((1 << 52) - 1), np.uint64(1023 << 52)
        for i in range(len(frame)):
            b = bits[i]
            cell = (b >> np.uint64(45)) & np.uint64(CELLS - 1)
            exponent = np.float64(np.int64(b >> np.uint64(52)) - 1023)
            bits[i] = (b & fraction) | one
            r = mantissa[i] * k.inverse[cell] - 1.0
            series = r * (1.0 + r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5)))))
            y = exponent * LN2 + (k.log_cell[cell] + series)
            luma = np.float64(frame[i])
            y = luma * SLOPE if luma <= KNEE else y
            log[i] = np.float32(((y * GRID + ROUND) - ROUND) / GRID)
        if low_pass:
            for i in range(len(frame)):
                take = min((np.float64(frame[i]) + 20.0) / 275.0 * low_pass, 1.0)
                s.state[i] = (1 - take) * s.state[i] + take * log[i]
        else:
            for i in range(len(frame)):
                s.state[i] = log[i]

    return of_bytes if frame.dtype == types.uint8 else of_floats


@compiled
def settle_pixels(a, b, frame, surround, m, s, k):  # type: ignore[no-untyped-def]
    """The first frame: every pixel in [a, b) is at rest in it."""
    _, s = _tile(m, s, a, b)
    _receive(frame[a:b], s, k, 0.0, np.empty((2, 256)))  # type: ignore[no-untyped-call]
    if surround:
        s.surround[:] = s.state
        s.base[:] = 0
        s.signal[:] = s.base
    else:
        s.base[:] = s.state
        s.signal[:] = s.state


@compiled
def _add_noise(low, s, k, step):  # type: ignore[no-untyped-def]
    """Noise of the photoreceptor: white noise, low-passed."""
    n = len(s.voltage)
    words, normal = np.empty(4 * ((n + 3) // 4), np.uint32), np.empty(n, np.float32)
    draw(low // 4, step.frame, VOLTAGE, k.keys, words.view(np.uint64))
    normals(words, normal, k.quantile, k.quantile_slope)
    keep, take, vrms = np.float32(1 - step.noise_step), np.float32(step.noise_step), np.float32(step.noise_vrms)
    for i in range(n):
        s.voltage[i] = keep * s.voltage[i] + take * (vrms * normal[i])


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
def _compose(m, s, k, step):  # type: ignore[no-untyped-def]
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
def _leak(m, s, words, dt, jitter):  # type: ignore[no-untyped-def]
    """Leak of the memorised brightness, with `draws.jitter`."""
    one, middle, digits = np.float32(1), np.float32(30), np.float32(DIGITS)
    for i in range(len(s.base)):
        w = words[i]
        pairs = np.uint32((w & np.uint32(0x0F0F)) + ((w >> np.uint32(4)) & np.uint32(0x0F0F)))
        total = np.int32((pairs & np.uint32(0xFF)) + (pairs >> np.uint32(8)))
        normal = (np.float32(total) - middle) * digits
        s.base[i] = s.base[i] - dt * (m.leak_hz[i] * (one - jitter * normal)) * m.on_step[i]


@compiled
def _count(m, s, events):  # type: ignore[no-untyped-def]
    """Whole thresholds in signal - base, signed, exactly. 0 where they pass int32, CLIP where they are out of all reason."""
    zero, far, clip = m.on.dtype.type(0), m.on.dtype.type(2.0**31), m.on.dtype.type(CLIP)
    doubtful = np.int32(0)
    for i in range(len(events)):
        on, off = m.on[i], m.off[i]
        d = s.signal[i] - s.base[i]
        ratio = d / (on if d >= zero else off)
        ratio = ratio if abs(ratio) < far else zero
        ratio = min(max(ratio, -clip), clip)
        whole = np.int32(ratio)
        events[i] = whole
        doubtful = np.int32(doubtful | np.int32((m.on.dtype.type(whole) == ratio) & (whole != 0)))
    if doubtful:  # a quotient just below a whole number may have been rounded to it
        for i in range(len(events)):
            d = np.float64(s.signal[i] - s.base[i])
            threshold = np.float64(m.on[i] if d >= 0 else m.off[i])
            if events[i] != 0 and events[i] == (s.signal[i] - s.base[i]) / (m.on[i] if d >= 0 else m.off[i]):
                events[i] = int(np.rint((d - np.fmod(d, threshold)) / threshold))


@compiled
def _memorise(m, s, events):  # type: ignore[no-untyped-def]
    """Move the memorised brightness by the events."""
    for i in range(len(events)):
        on, off = m.on_step[i], m.off_step[i]
        count = np.float32(events[i])
        s.base[i] = s.base[i] + count * (on if count > np.float32(0) else off)


@compiled
def _pick(events, spare, records, n):  # type: ignore[no-untyped-def]
    """Records of the pixels with an event or a flag, in order, from `n` on; returns the new `n`.

    Both halves go at once, since each step waits for the one before it.
    """
    half = len(events) // 2
    a, b = np.uint64(n), np.uint64(0)
    for i in range(half):
        v, w = events[i], events[i + half]
        records[a], spare[b] = v, w
        a += np.uint64((v >> np.int32(PLACE)) != 0)
        b += np.uint64((w >> np.int32(PLACE)) != 0)
    for i in range(b):
        records[a + np.uint64(i)] = spare[i]
    a += b
    for i in range(2 * half, len(events)):
        records[a] = events[i]
        a += np.uint64((events[i] >> np.int32(PLACE)) != 0)
    return np.int64(a)


@compiled
def _flag(words, bound, events):  # type: ignore[no-untyped-def]
    """Flag the pixels whose coarse random number lies within `bound` of either end."""
    low, span = np.uint32(bound << 16), np.uint32((2**16 - 2 * bound) << 16)
    for i in range(len(events)):
        events[i] |= FLAG if np.uint32(words[i] - low) >= span else np.int32(0)


@compiled
def _shoot(low, frame, m, s, k, step, words, wait, records, first, n, codes, c):  # type: ignore[no-untyped-def]
    """Shot-noise events of the flagged records [first, n), as 2 * pixel + polarity, from `c` on; takes their flags away.

    Where pixels do not wait, those with noise memorise the present. Returns the new `n` and `c`.
    """
    block = np.empty(2, np.uint64)
    fine = block.view(np.uint32)
    kept = first
    for q in range(first, n):
        v = records[q]
        if v & FLAG:
            i = v & (FLAG - 1)
            rate = step.shot * ((0.25 - 1) * ((np.float64(frame[i]) + 20.0) / 275.0) + 1)
            on, off = 1 - rate * m.on_ratio[i], rate * m.off_ratio[i]
            coarse = words[i] & np.uint32(0xFFFF0000)
            if np.float64(coarse) * 2.0**-32 < off or np.float64(coarse + 2.0**16) * 2.0**-32 > on:
                draw((low + i) // 4, step.frame, FINE, k.keys, block)
                u = np.float64(np.uint32(coarse | (fine[(low + i) % 4] >> np.uint32(16)))) * 2.0**-32
                if u > on:
                    codes[c] = 2 * (low + i) + 1
                    c += 1
                if u < off:
                    codes[c] = 2 * (low + i)
                    c += 1
                if (u > on or u < off) and not wait:
                    s.base[i] = s.state[i]
            v ^= FLAG
        records[kept] = v
        kept += (v >> PLACE) != 0
    return kept, c


@compiled
def _tally(records):  # type: ignore[no-untyped-def]
    """Number of events of the records, and the largest of one."""
    total, most = np.int32(0), np.int32(0)
    for i in range(len(records)):
        count = np.int32(abs(records[i] >> SHIFT))
        total = np.int32(total + count)
        most = max(most, count)
    return total, most


@compiled
def run_pixels(a, b, frames, steps, filters, part, wait, m, s, k, records, before, after, codes, marks):  # type: ignore[no-untyped-def]
    """Several frames of the pixels [a, b): a tile goes through all of them at once.

    `part` 1: the photoreceptors alone, 2: the rest, 3: both. Where the frame's other pixels decide what passes, `wait` leaves
    memorising to those who know. `marks` [tiles, T, 6] says, for each tile and frame, where its records begin and end, where its
    shot-noise events do, its number of events, and the largest number in one pixel.
    """
    events, spare, words = np.empty(TILE, np.int32), np.empty(TILE, np.int32), np.empty(TILE, np.uint32)
    difference = np.empty(TILE if len(s.residue) else 0, np.float64)
    n, c = np.int64(a * len(steps)), np.int64(2 * a * len(steps))
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        size = high - low
        maps, tile = _tile(m, s, low, high)
        ratio = max(maps.on_ratio.max(), maps.off_ratio.max())
        for f in range(len(steps)):
            step, frame, event = steps[f], frames[f, low:high], events[:size]
            if part & 1:
                for i in range(len(tile.residue)):
                    tile.residue[i] = tile.signal[i] - tile.base[i]
                _receive(frame, tile, k, step.low_pass, filters[step.filter])  # type: ignore[no-untyped-call]
                if step.noise_vrms:
                    _add_noise(low, tile, k, step)
            if part == 1:
                continue
            if len(tile.voltage) or len(tile.highpass) or len(tile.surround):
                _compose(maps, tile, k, step)
            if step.leak or step.shot:
                draw(low // 4, step.frame, FRAME, k.keys, words[: 4 * ((size + 3) // 4)].view(np.uint64))
            if step.leak:
                _leak(maps, tile, words, step.leak, step.jitter)
            _count(maps, tile, event)
            for i in range(len(tile.residue)):
                difference[i] = tile.signal[i] - tile.base[i]
            if not wait:
                _memorise(maps, tile, event)
            for i in range(size):
                event[i] = np.int32(np.int32(event[i] << SHIFT) | np.int32(i))
            if step.shot:
                bound = min(int(step.shot * ratio * 2.0**16) + 1, 2**15)
                _flag(words, bound, event)
            first, noise = n, c
            n = _pick(event, spare, records, n)
            if step.shot:
                n, c = _shoot(low, frame, maps, tile, k, step, words, wait, records, first, n, codes, c)
            for q in range(first, n if len(tile.residue) else first):
                i = records[q] & (FLAG - 1)
                before[q], after[q] = tile.residue[i], difference[i]
            total, most = _tally(records[first:n])
            mark = marks[low // TILE, f]
            mark[0], mark[1], mark[2], mark[3], mark[4], mark[5] = first, n, noise, c, total, most

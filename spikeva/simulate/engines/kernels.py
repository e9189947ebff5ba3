"""Compiled steps of the pixel model over a tile of pixels. Each mirrors an equation of the reference engine.

A tile stays in the cache while all steps, and where possible all frames of a chunk, go over it. Steps are plain loops over few
arrays that read all they may need before they choose, so that the compiler makes vector code of them; what only the few pixels
with events need is done after these have been picked out. `s` is the tile's `State`, `m` its `Maps`, `w` its `Work`, `k` the
`Tables`.

A record is one int32: the signed number of events and, in the lower PLACE bits, the place in the tile; `record >> SHIFT` and
`record & WITHIN`.
"""

import numpy as np
from numba import types
from numba.extending import overload

from spikeva._compiled import njit
from spikeva.simulate.draws import DIGITS, FINE, FRAME
from spikeva.simulate.engines.calm import MANY, bound, bound_all, stirred
from spikeva.simulate.engines.drawing import draw, word
from spikeva.simulate.engines.receptor import add_noise, brightness, compose, receive
from spikeva.simulate.engines.tiles import LEAN, PLACE, SHIFT, TILE, WITHIN, Maps, State, Work, lean

DOUBT = np.int32(-(1 << 31))
CLIP = float((1 << (31 - PLACE)) - 1)  # above `timing.MOST_SLOTS`


@lean
def _tile(m, s, w, a, b):
    """Maps and state of the pixels [a, b), and as much room to work in."""
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
        s.low[a:b],
        s.high[a:b],
    )
    n = b - a
    w.flags[n:] = 0  # `_places` reads eight at a time
    work = Work(
        w.log[:n],
        w.luma[:n],
        w.mantissa[:n],
        w.inverse[:n],
        w.log_cell[:n],
        w.normal[:n],
        w.leakage[:n],
        w.change[:n],
        w.difference[:n],
        w.events[:n],
        w.words[: (n + 3) // 4 * 4],
        w.flags[: (n + 7) // 8 * 8],
        w.room,
        w.places,
    )
    return maps, state, work


@njit(cache=True, **LEAN)
def settle_pixels(a, b, room, frame, surround, maps, state, k):
    """The first frame: every pixel in [a, b) is at rest in it."""
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        m, s, w = _tile(maps, state, room, low, high)
        receive(frame[low:high], s, k, w, 0.0)
        for i in range(len(s.surround)):
            s.surround[i] = s.state[i]
        for i in range(len(s.base)):
            s.base[i] = 0.0 if surround else s.state[i]
        for i in range(len(s.base)):
            s.signal[i] = s.base[i]
        if len(s.low):
            bound_all(m, s, k, 0)


@lean
def _leak(m, words, dt, jitter, leakage):
    """What leaks from the memorised brightness in a frame, with `draws.jitter`."""
    one, middle, digits = np.float32(1), np.float32(30), np.float32(DIGITS)
    for i in range(len(leakage)):
        w, hz, on = words[i], m.leak_hz[i], m.on_step[i]
        pairs = np.uint32((w & np.uint32(0x0F0F)) + ((w >> np.uint32(4)) & np.uint32(0x0F0F)))
        total = np.int32(np.uint32((pairs & np.uint32(0xFF)) + (pairs >> np.uint32(8))))
        normal = (np.float32(total) - middle) * digits
        leakage[i] = dt * (hz * (one - jitter * normal)) * on


@lean
def _likely(d, on, off):
    """Whole thresholds in the difference `d` (float32), signed, the threshold, and whether that count is sure.

    The quotient of float32 numbers tells it, unless it lies so near a whole number that its rounding matters.
    """
    zero, margin = np.float32(0), np.float32(2.0**-18)  # from 2**17 on every quotient is near
    threshold = on if d >= zero else off
    ratio = d / threshold
    near = np.rint(ratio)
    sure = abs(ratio - near) >= margin * abs(near)
    return np.int32(ratio if sure else zero), threshold, sure


def _count(m, s, w, move):
    """Leak and count the events: whole thresholds in signal - base, signed, exactly. The memorised brightness moves by them, times
    `move`."""


@overload(_count, jit_options=LEAN)
def _count_of(m, s, w, move):
    def of_single(m, s, w, move):
        doubtful = np.int32(0)
        for i in range(len(s.base)):
            base = s.base[i] - w.leakage[i]
            count, threshold, sure = _likely(s.signal[i] - base, m.on_step[i], m.off_step[i])
            doubtful = np.int32(doubtful | np.int32(not sure))
            s.base[i] = base + np.float32(count) * (threshold * move)
            w.events[i] = count if sure else DOUBT
        if doubtful:
            _count_doubtful(m, s, move, w.events)

    def of_double(m, s, w, move):  # loops keep to numbers of one width, so that vectors are as long as the processor's
        doubtful = np.int32(0)
        for i in range(len(s.base)):
            base = s.base[i] - w.leakage[i]
            s.base[i] = base
            w.change[i] = np.float32(s.signal[i] - base)
        for i in range(len(s.base)):
            count, threshold, sure = _likely(w.change[i], m.on_step[i], m.off_step[i])
            doubtful = np.int32(doubtful | np.int32(not sure))
            w.change[i] = np.float32(count) * (threshold * move)
            w.events[i] = count if sure else DOUBT
        for i in range(len(s.base)):
            s.base[i] = s.base[i] + w.change[i]
        if doubtful:
            _count_doubtful(m, s, move, w.events)

    return of_single if s.types[State._fields.index("base")].dtype == types.float32 else of_double


@lean
def _count_doubtful(m, s, move, events):
    """As `_count` where `events` are DOUBT."""
    zero, large, left = np.float32(0), np.float64(2**16), np.int32(0)
    # Thresholds that are no float32 numbers are the same for all pixels: the first tells.
    if m.on[0] == m.on_step[0] and m.off[0] == m.off_step[0]:
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


@lean
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


@lean
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


@lean
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


@lean
def _wake(frame, m, s, k, w, records, n):
    """Records of the few pixels that `stirred` flags, from `n` on; returns the new `n`. As `receive`, `_count` and `_record` of all."""
    some = _places(w.flags, w.room, w.places)
    brightness(frame, w.places[:some], k, w)
    for q in range(some):
        i = w.places[q]
        count = _whole(w.log[q] - s.base[i], m.on[i], m.off[i])
        s.base[i] = s.base[i] + np.float32(count) * (m.on_step[i] if count > 0 else m.off_step[i])
        records[n] = np.int32(count << SHIFT) | i
        if count:
            n += 1
            bound(i, m, s, k)
    return n


@lean
def _shoot(low, frame, m, s, k, w, step, wait, codes, c):
    """Shot noise, as 2 * pixel + polarity, into `codes` from `c` on; returns the new `c`.

    Pixels with noise memorise the present, those that `wait` later. float32 numbers and the coarse half of the random one leave few in
    doubt; the exact rate and the fine half are for these. Chances are in units of the coarse half's last place, times the threshold.
    """
    words, last, more, less = w.words, np.float32(2**16 - 1), np.float32(1 + 2.0**-18), np.float32(1 - 2.0**-18)
    dim, fall = np.float32(1 - 0.75 * 20 / 275), np.float32(0.75 / 275)
    most_on, most_off = step.shot_on * more, step.shot_off * more
    least_on, least_off = step.shot_on * less, step.shot_off * less
    for i in range(len(s.base)):
        coarse, chance = np.float32(np.int32(words[i] >> np.uint32(16))), dim - fall * np.float32(frame[i])
        maybe = (last - coarse) * m.on_step[i] <= chance * most_on
        w.flags[i] = maybe | (coarse * m.off_step[i] <= chance * most_off)
    some = _places(w.flags, w.room, w.places)
    for q in range(some):  # what they are by a loop without branches, which could not be foretold
        i = w.places[q]
        on_step, off_step = m.on_step[i], m.off_step[i]
        coarse, chance = np.float32(np.int32(words[i] >> np.uint32(16))), dim - fall * np.float32(frame[i])
        at_on, at_off = (last - coarse) * on_step, coarse * off_step
        on, off = np.int32(at_on + on_step <= chance * least_on), np.int32(at_off + off_step <= chance * least_off)
        maybe = np.int32(at_on <= chance * most_on) + np.int32(at_off <= chance * most_off)
        w.events[q] = on + 2 * off + 4 * (maybe - on - off)
    for q in range(some):
        i, kind = w.places[q], w.events[q]
        on, off = kind & 1, (kind >> 1) & 1
        if kind >= 4:
            rate = step.shot * ((0.25 - 1) * ((np.float64(frame[i]) + 20.0) / 275.0) + 1)
            fine = word(low + i, step.frame, FINE, k.keys) >> np.uint64(16)
            u = np.float64(np.uint64(words[i] & np.uint32(0xFFFF0000)) | fine) * 2.0**-32
            on = np.int32(u > 1 - rate * (k.nominal[0] / m.on_step[i]))
            off = np.int32(u < rate * (k.nominal[1] / m.off_step[i]))
        codes[c] = 2 * (low + i) + 1
        c += on
        codes[c] = 2 * (low + i)
        c += off
        base, state = s.base[i], s.state[i]
        s.base[i] = state if (on | off) & (not wait) else base
    return c


@lean
def _tally(records):
    """Number of events of the records, and the largest of one."""
    total, most = np.int32(0), np.int32(0)
    for i in range(len(records)):
        count = np.int32(abs(records[i] >> SHIFT))
        total = np.int32(total + count)
        most = max(most, count)
    return total, most


@njit(cache=True, **LEAN)
def run_pixels(a, b, room, frames, steps, part, wait, maps, state, k, records, before, after, codes, marks):
    """Several frames of the pixels [a, b): a tile goes through all of them at once.

    `part` 1: the photoreceptors alone, 2: the rest, 3: both. Where the frame's other pixels decide what passes, `wait` leaves
    memorising to those who know. `marks` [tiles, T, 6] says, for each tile and frame, where its records begin and end, where its
    shot-noise events do, its number of events, and the largest number in one pixel.
    """
    n, c = np.int64(a * len(steps)), np.int64(2 * a * len(steps))
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        m, s, w = _tile(maps, state, room, low, high)
        for f in range(len(steps)):
            step, frame, mark = steps[f], frames[f, low:high], marks[low // TILE, f]
            first, noise = n, c
            if len(s.low) and MANY * stirred(frame, s, w.flags) <= len(frame):
                n = _wake(frame, m, s, k, w, records, n)
            else:
                if part & 1:
                    for i in range(len(s.residue)):
                        s.residue[i] = s.signal[i] - s.base[i]
                    receive(frame, s, k, w, step.low_pass)
                    if step.noise_vrms:
                        add_noise(low, s, k, w, step)
                if part == 1:
                    continue
                if len(s.voltage) or len(s.highpass) or len(s.surround):
                    compose(m, s, k, step)
                if step.leak or step.shot:
                    draw(low // 4, step.frame, FRAME, k.keys, w.words.view(np.uint64))
                if step.leak:
                    _leak(m, w.words, step.leak, step.jitter, w.leakage)
                for i in range(len(w.difference)):
                    w.difference[i] = s.signal[i] - (s.base[i] - w.leakage[i])
                _count(m, s, w, np.float32(0 if wait else 1))
                n = _record(w.events, w.places, records, n)
                for q in range(first, n if len(s.residue) else first):
                    i = records[q] & WITHIN
                    before[q], after[q] = s.residue[i], w.difference[i]
                if step.shot:
                    c = _shoot(low, frame, m, s, k, w, step, wait, codes, c)
                if len(s.low):
                    bound_all(m, s, k, n - first)
            total, most = _tally(records[first:n])
            mark[0], mark[1], mark[2], mark[3], mark[4], mark[5] = first, n, noise, c, total, most

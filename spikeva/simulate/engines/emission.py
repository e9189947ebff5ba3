"""Compiled: passes over tiles that record (pixel, signed number of events), and from the records to events in order of time.

Records of a chunk of T frames lie tile by tile: those of the tile that starts at pixel `low` begin at low * T, frame after frame,
and `ends` [tiles, T, 2] says where each frame's records and its shot-noise codes (which begin at 2 * low * T) end.
"""

import numpy as np

from spikeva.simulate.engines.kernels import Step, compiled, compose, detect, leak, memorise, receive, settle, shot

TILE = 2048  # pixels; even


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
        row[12],
    )


@compiled
def settle_pixels(a, b, frame, row, m, s):  # type: ignore[no-untyped-def]
    """The first frame."""
    settle(a, b, frame, m, s, _step(row))


@compiled
def receive_pixels(a, b, frame, row, m, s):  # type: ignore[no-untyped-def]
    """The photoreceptors' part of a frame, where pixels wait for each other before they make events."""
    step = _step(row)
    for low in range(a, b, TILE):
        receive(low, min(low + TILE, b), frame, m, s, step)


@compiled
def _detect_tile(low, high, m, s, step, composed, pixels, counts, before, after, n):  # type: ignore[no-untyped-def]
    if composed:
        compose(low, high, m, s, step)
    if step.leak:
        leak(low, high, m, s, step)
    end = detect(low, high, m, s, pixels, counts, n)
    if step.crossing:
        for j in range(n, end):
            i = pixels[j]
            before[j], after[j] = s.residue[i], s.signal[i] - s.base[i]
    return end


@compiled
def detect_pixels(a, b, row, m, s, composed, pixels, counts, before, after, ends):  # type: ignore[no-untyped-def]
    """The change detectors' part of a frame (T = 1), up to the records."""
    step = _step(row)
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        ends[low // TILE, 0, 0] = _detect_tile(low, high, m, s, step, composed, pixels, counts, before, after, low)
        ends[low // TILE, 0, 1] = 2 * low


@compiled
def shot_pixels(a, b, row, m, s, codes, ends):  # type: ignore[no-untyped-def]
    """The shot noise of a frame (T = 1)."""
    step = _step(row)
    for low in range(a, b, TILE):
        ends[low // TILE, 0, 1] = shot(low, min(low + TILE, b), m, s, step, codes, 2 * low)


@compiled
def run_pixels(a, b, frames, rows, m, s, composed, pixels, counts, before, after, codes, ends):  # type: ignore[no-untyped-def]
    """Several frames of the pixels [a, b), where no pixel depends on another: a tile goes through all of them at once."""
    length = len(rows)
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        n, c = low * length, 2 * low * length
        for f in range(length):
            step = _step(rows[f])
            receive(low, high, frames[f], m, s, step)
            first = n
            n = _detect_tile(low, high, m, s, step, composed, pixels, counts, before, after, n)
            for j in range(first, n):
                memorise(pixels[j], counts[j], m, s)
            if step.shot:
                c = shot(low, high, m, s, step, codes, c)
            ends[low // TILE, f, 0], ends[low // TILE, f, 1] = n, c


@compiled
def tally(length, counts, ends, most, totals):  # type: ignore[no-untyped-def]
    """Each frame's largest count (`most`), and its numbers of events and of shot-noise events (`totals` [T, 2])."""
    for tile in range(len(ends)):
        n, c = tile * TILE * length, 2 * tile * TILE * length
        for f in range(length):
            for j in range(n, ends[tile, f, 0]):
                count = abs(counts[j])
                most[f] = max(most[f], count)
                totals[f, 0] += count
            totals[f, 1] += ends[tile, f, 1] - c
            n, c = ends[tile, f, 0], ends[tile, f, 1]


@compiled
def gather(f, length, ends, active):  # type: ignore[no-untyped-def]
    """The records of frame `f` in raster order into `active`; returns their number."""
    n = 0
    for tile in range(len(ends)):
        start = tile * TILE * length if f == 0 else ends[tile, f - 1, 0]
        for j in range(start, ends[tile, f, 0]):
            active[n] = j
            n += 1
    return n


@compiled
def emit_slots(f, length, ends, pixels, counts, times, active, width, t, x, y, p):  # type: ignore[no-untyped-def]
    """Events of frame `f` into t, x, y, p: every record's k-th event at `times[k]`, k by k, in raster order; returns their number."""
    n = gather(f, length, ends, active)
    at = 0
    for k in range(len(times)):
        left = 0
        for q in range(n):
            j = active[q]
            pixel, count = pixels[j], counts[j]
            t[at], y[at], x[at], p[at] = times[k], pixel // width, pixel % width, count > 0
            at += 1
            if abs(count) > k + 1:
                active[left] = j
                left += 1
        n = left
    return at


@compiled
def emit_refractory(ends, pixels, counts, seconds, times, refractory, active, m, s, width, t, x, y, p):  # type: ignore[no-untyped-def]
    """As `emit_slots` for one frame, without the events of pixels that still rest; memorises what passed.

    Returns the number of events. `seconds` are the slots' float32 times, which v2e compares in float32.
    """
    n = gather(0, 1, ends, active)
    passed = np.zeros(n, np.int64)
    rank = np.arange(n)
    left, at = n, 0
    for k in range(len(times)):
        still = 0
        for q in range(left):
            j = active[rank[q]]
            pixel, count = pixels[j], counts[j]
            if refractory == 0 or seconds[k] - np.float32(s.last[pixel]) > np.float32(refractory):
                if refractory > 0:
                    s.last[pixel] = seconds[k]
                passed[rank[q]] += 1
                t[at], y[at], x[at], p[at] = times[k], pixel // width, pixel % width, count > 0
                at += 1
            if abs(count) > k + 1:
                rank[still] = rank[q]
                still += 1
        left = still
    for q in range(n):
        j = active[q]
        memorise(pixels[j], passed[q] if counts[j] > 0 else -passed[q], m, s)
    return at


@compiled
def emit_crossings(f, ends, length, pixels, counts, before, after, start, stop, refractory, waits, active, m, s, keys):  # type: ignore[no-untyped-def]
    """Sorted keys ((us since the frame's start) * n + pixel) * 2 + polarity of frame `f`; returns their number.

    The difference is taken as linear over the frame from `before` to `after`. Where pixels wait (`waits`), events in the
    refractory period fall away and what passed is memorised here.
    """
    n = gather(f, length, ends, active)
    origin, size, at = np.rint(start * 1e6), len(s.base), 0
    for q in range(n):
        j = active[q]
        i, count = pixels[j], counts[j]
        sign, threshold = (1.0, np.float64(m.on[i])) if count > 0 else (-1.0, np.float64(m.off[i]))
        e0, e1 = sign * before[j], sign * after[j]
        passed = 0
        for k in range(1, abs(count) + 1):
            part = min(max((k * threshold - e0) / (e1 - e0), 0.0), 1.0) if e1 > e0 else 0.0
            time = min(start + part * (stop - start), stop)
            if refractory > 0:
                if not time - s.last[i] > refractory:
                    continue
                s.last[i] = time
            passed += 1
            keys[at] = (np.int64(np.rint(time * 1e6) - origin) * size + i) * 2 + (count > 0)
            at += 1
        if waits:
            memorise(i, passed if count > 0 else -passed, m, s)
    return at

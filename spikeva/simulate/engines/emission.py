"""Compiled: from records (pixel, signed number of events) to events in order of time.

Records of a chunk of T frames lie tile by tile: those of the tile that starts at pixel `low` begin at low * T, frame after frame,
and `ends` [tiles, T, 2] says where each frame's records and its shot-noise codes (which begin at 2 * low * T) end.

numba's cache of a function follows changes of its own file only; what the functions here call stands here.
"""

from typing import Any

import numpy as np
from numba import njit

TILE = 2048  # pixels; even


def compiled(function: Any) -> Any:
    """`function` compiled without the interpreter's lock, once for all processes."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


@compiled
def memorise(i, count, m, s):  # type: ignore[no-untyped-def]
    """Move the memorised brightness of pixel `i` by `count` events."""
    if count > 0:
        s.base[i] = s.base[i] + np.float32(count) * m.on_step[i]
    else:
        s.base[i] = s.base[i] - np.float32(-count) * m.off_step[i]


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
    """Events of frame `f` into t, x, y, p: every record's k-th event at `times[k]`, k by k, in raster order.

    Returns their number.
    """
    at, left, row, start = 0, 0, 0, 0
    for tile in range(len(ends)):
        first = tile * TILE * length if f == 0 else ends[tile, f - 1, 0]
        for j in range(first, ends[tile, f, 0]):
            pixel, count = pixels[j], counts[j]
            while pixel >= start + width:
                row, start = row + 1, start + width
            x[at], y[at], p[at] = pixel - start, row, count > 0
            at += 1
            active[left] = j
            left += abs(count) > 1
    t[:at] = times[0]
    for k in range(1, len(times)):
        n, left, first, row, start = left, 0, at, 0, 0
        for q in range(n):
            j = active[q]
            pixel, count = pixels[j], counts[j]
            while pixel >= start + width:
                row, start = row + 1, start + width
            x[at], y[at], p[at] = pixel - start, row, count > 0
            at += 1
            active[left] = j
            left += abs(count) > k + 1
        t[first:at] = times[k]
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

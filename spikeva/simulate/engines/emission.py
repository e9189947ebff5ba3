"""Compiled: from records (see `kernels`) to events in order of time.

`marks` [tiles, T, 6] says where the records and shot-noise events of each tile and frame lie, and how many events they make.
"""

import numpy as np

from spikeva.simulate.engines.tiles import SHIFT, TILE, WITHIN, compiled

SIGN, COUNT = np.uint64(32), np.uint64(33)


@compiled
def _open(v, row, column, width, inverse):
    """Column, row and signed number of events of record `v` in the tile that starts at (column, row)."""
    along = np.int32(column + (v & WITHIN))
    down = np.int32((np.float64(along) + 0.5) * inverse)  # a whole number and a half is far from the next whole one
    return np.int32(along - down * width), np.int32(row + down), np.int32(v >> SHIFT)


@compiled
def _slots(start, stop, out):
    """`timing.slot_times` in microseconds."""
    slots = len(out)
    first, last = np.float32(start + (stop - start) / slots), np.float32(stop)
    step = (last - first) / np.float32(max(slots - 1, 1))
    for i in range(slots):
        early = i < slots // 2 or slots == 1
        time = first + step * np.float32(i) if early else last - step * np.float32(slots - 1 - i)
        out[i] = np.int64(np.rint(np.float64(time) * 1e6))


@compiled
def emit_frames(first, last, marks, records, codes, steps, most, ends, width, t, x, y, p):
    """Events of the frames [first, last), those of frame f in [ends[f], ends[f + 1]), where pixels do not wait."""
    times = np.empty(most[first:last].max() if last > first else 0, np.int64)
    for f in range(first, last):
        _slots(steps[f].start, steps[f].stop, times[: most[f]])
        a, b = ends[f], ends[f + 1]
        n = a + _emit_slots(f, marks, records, times[: most[f]], width, t[a:b], x[a:b], y[a:b], p[a:b])
        _emit_shots(f, marks, codes, times[most[f] - 1], width, t[n:b], x[n:b], y[n:b], p[n:b])


@compiled
def _emit_slots(f, marks, records, times, width, t, x, y, p):
    """Events of frame `f` into t, x, y, p: every record's k-th event at `times[k]`, k by k, in raster order.

    Returns their number.
    """
    n = 0
    for tile in range(len(marks)):
        n += marks[tile, f, 1] - marks[tile, f, 0]
    work = np.empty(n, np.uint64)
    inverse, width = 1.0 / width, np.int32(width)
    at = 0
    for tile in range(len(marks)):
        part = records[marks[tile, f, 0] : marks[tile, f, 1]]
        low = tile * TILE
        row = np.int32(low // width)
        column = np.int32(low - row * width)
        left, xs, ys, ps = work[at : at + len(part)], x[at:], y[at:], p[at:]
        for q in range(len(part)):
            across, down, count = _open(part[q], row, column, width, inverse)
            on = np.uint64(count > 0)
            xs[q], ys[q], ps[q] = across, down, on
            left[q] = (
                (np.uint64(abs(count)) << COUNT) | (on << SIGN) | (np.uint64(down) << np.uint64(16)) | np.uint64(across)
            )
        at += len(part)
    t[:at] = times[0]
    bound = np.uint64(at)
    for k in range(1, len(times)):
        kept, needed = np.uint64(0), np.uint64(k)
        for q in range(bound):
            v = work[q]
            work[kept] = v
            kept += np.uint64((v >> COUNT) > needed)
        bound = kept
        end = at + int(kept)
        xs, ys, ps = x[at:end], y[at:end], p[at:end]
        for q in range(len(xs)):
            xs[q] = np.uint16(work[q])
        for q in range(len(ys)):
            ys[q] = np.uint16(work[q] >> np.uint64(16))
        for q in range(len(ps)):
            ps[q] = np.uint8((work[q] >> SIGN) & np.uint64(1))
        t[at:end] = times[k]
        at = end
    return at


@compiled
def _memorise(i, count, m, s):
    """Move the memorised brightness of pixel `i` by `count` events."""
    on, off = m.on_step[i], m.off_step[i]
    s.base[i] = s.base[i] + np.float32(count) * (on if count > 0 else off)


@compiled
def emit_refractory(marks, records, seconds, times, refractory, m, s, width, t, x, y, p):
    """As `_emit_slots` for one frame, without the events of pixels that still rest; memorises what passed.

    Returns the number of events. `seconds` are the slots' float32 times, which v2e compares in float32. Which slots pass is followed
    pixel by pixel: of many crossings few do.
    """
    if refractory == 0:
        for tile in range(len(marks)):
            for j in range(marks[tile, 0, 0], marks[tile, 0, 1]):
                _memorise(tile * TILE + (records[j] & WITHIN), records[j] >> SHIFT, m, s)
        return _emit_slots(0, marks, records, times, width, t, x, y, p)
    slots, wait = len(times), np.float32(refractory)
    following = np.empty(slots, np.int32)  # the first slot that passes after one that did
    k = 0
    for j in range(slots):
        while k < slots and not seconds[k] - seconds[j] > wait:
            k += 1
        following[j] = k
    first = np.empty((marks[:, 0, 1] - marks[:, 0, 0]).sum(), np.int32)
    ends = np.zeros(slots + 1, np.int64)  # of each slot's events, from its number on
    q = 0
    for tile in range(len(marks)):
        for j in range(marks[tile, 0, 0], marks[tile, 0, 1]):
            i, count = tile * TILE + (records[j] & WITHIN), records[j] >> SHIFT
            last, crossings, passed, k = np.float32(s.last[i]), abs(count), 0, 0
            while k < crossings and not seconds[k] - last > wait:
                k += 1
            first[q] = k
            while k < crossings:
                ends[k + 1] += 1
                last, passed, k = seconds[k], passed + 1, following[k]
            s.last[i] = last
            _memorise(i, passed if count > 0 else -passed, m, s)
            q += 1
    for k in range(slots):
        ends[k + 1] += ends[k]
        t[ends[k] : ends[k + 1]] = times[k]
    n, inverse, width, q = ends[slots], 1.0 / width, np.int32(width), 0
    for tile in range(len(marks)):
        row = np.int32(tile * TILE // width)
        column = np.int32(tile * TILE - row * width)
        for j in range(marks[tile, 0, 0], marks[tile, 0, 1]):
            across, down, count = _open(records[j], row, column, width, inverse)
            k = first[q]
            while k < abs(count):
                at = ends[k]
                x[at], y[at], p[at] = across, down, count > 0
                ends[k], k = at + 1, following[k]
            q += 1
    return n


@compiled
def emit_crossings(f, marks, records, before, after, start, stop, refractory, wait, m, s, keys):
    """Keys ((us since the frame's start) * n + pixel) * 2 + polarity of frame `f`; returns their number.

    The difference is taken as linear over the frame from `before` to `after`. Where pixels wait (`wait`), events in the
    refractory period fall away and what passed is memorised here.
    """
    origin, size, at = np.rint(start * 1e6), len(s.base), 0
    for tile in range(len(marks)):
        for j in range(marks[tile, f, 0], marks[tile, f, 1]):
            i, count = tile * TILE + (records[j] & WITHIN), records[j] >> SHIFT
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
            if wait:
                _memorise(i, passed if count > 0 else -passed, m, s)
    return at


@compiled
def _emit_shots(f, marks, codes, time, width, t, x, y, p):
    """Shot-noise events of frame `f`, all at `time`."""
    at, inverse, width = 0, 1.0 / width, np.int32(width)
    for tile in range(len(marks)):
        part = codes[marks[tile, f, 2] : marks[tile, f, 3]]
        ts, xs, ys, ps = t[at:], x[at:], y[at:], p[at:]
        for j in range(len(part)):
            pixel = part[j] >> np.int32(1)
            row = np.int32((np.float64(pixel) + 0.5) * inverse)  # exact, as in `_open`
            ts[j], xs[j], ys[j], ps[j] = time, pixel - row * width, row, part[j] & np.int32(1)
        at += len(part)


@compiled
def emit_shots(f, marks, codes, time, width, wait, s, t, x, y, p):
    """Shot-noise events of frame `f`, all at `time`; where pixels wait (`wait`), they memorise the present here."""
    _emit_shots(f, marks, codes, time, width, t, x, y, p)
    if wait:
        for tile in range(len(marks)):
            for j in range(marks[tile, f, 2], marks[tile, f, 3]):
                s.base[codes[j] >> 1] = s.state[codes[j] >> 1]

"""The pixel model's steps and the order of its events in Triton: one program a block of a clip's pixels, time inside the program.

Each function mirrors equations of the reference engine, in its order and precision. Nothing may be fused (`enable_fp_fusion=False`
at each launch), float32 is divided by `tl.div_rn`, and float64 by `/`, which is exact; so a GPU rounds as a CPU does.

A record is one int32 a pixel and frame: the signed number of thresholds crossed, shifted by 2, and two bits of shot noise, ON and
OFF. Records are [N, F, n]: clips, frames of the chunk, pixels.
"""

import triton
import triton.language as tl

from spikeva.simulate import draws, exact, luma

BLOCK = 512  # pixels a program

# Columns of the frames' parameters, float64: times (s), dt / tau of the low-pass, rate / 2 * dt of the shot noise, dead time (s)
COLUMNS = tl.constexpr(5)
START, STOP, LOW_PASS_STEP, SHOT_RATE, PERIOD = (tl.constexpr(i) for i in range(5))

MOST = tl.constexpr(1 << 20)  # above `timing.MOST_SLOTS`, and small enough to have its products exact
FRAME, FINE, DIGITS = tl.constexpr(draws.FRAME), tl.constexpr(draws.FINE), tl.constexpr(float(draws.DIGITS))
LN2, ROUND, CELLS = tl.constexpr(exact.LN2), tl.constexpr(exact.ROUND), tl.constexpr(exact.CELLS)
KNEE, SLOPE, GRID = tl.constexpr(luma.KNEE), tl.constexpr(luma.SLOPE), tl.constexpr(luma.GRID)
MANTISSA, ONE = tl.constexpr((1 << 52) - 1), tl.constexpr(1023 << 52)
UPPER = tl.constexpr(-(1 << 27))  # a float64's upper half: sign, exponent and 26 bits
UNIT = tl.constexpr(2.0**-32)
THIRD, FIFTH = tl.constexpr(1 / 3), tl.constexpr(1 / 5)


@triton.jit
def _brightness(value, byte_log, byte_intensity, inverse, log_cell, BYTES: tl.constexpr):
    """`luma.lin_log` (float32) and relative intensity (float64)."""
    if BYTES:
        index = value.to(tl.int32)
        log = tl.load(byte_log + index)
        intensity = tl.load(byte_intensity + index)
    else:
        x = value.to(tl.float64)
        bits = tl.maximum(x, 1.0).to(tl.int64, bitcast=True)
        cell = (bits >> 45) & (CELLS - 1)
        mantissa = ((bits & MANTISSA) | ONE).to(tl.float64, bitcast=True)
        r = mantissa * tl.load(inverse + cell) - 1.0
        series = r * (1.0 + r * (-0.5 + r * (THIRD + r * (-0.25 + r * FIFTH))))
        y = ((bits >> 52) - 1023).to(tl.float64) * LN2 + (tl.load(log_cell + cell) + series)
        y = tl.where(x <= KNEE, x * SLOPE, y)
        log = (((y * GRID + ROUND) - ROUND) / GRID).to(tl.float32)
        intensity = (x + 20.0) / 275.0
    return log, intensity


@triton.jit
def _words(seed, first, frame, purpose, BLOCK: tl.constexpr):
    """`draws.words` of the pixels from `first` on."""
    quad = (first // 4 + tl.arange(0, BLOCK // 4)).to(tl.uint32)
    nought = quad * 0
    a, b, c, d = tl.philox(seed, quad, nought + frame, nought + purpose, nought)
    return tl.interleave(tl.interleave(a, c), tl.interleave(b, d))


@triton.jit
def _jitter(words):
    """`draws.jitter`."""
    pairs = (words & 0x0F0F) + ((words >> 4) & 0x0F0F)
    total = (pairs & 0xFF) + (pairs >> 8)
    return (total.to(tl.float32) - 30.0) * DIGITS


@triton.jit
def _count(difference, on, off):
    """Whole thresholds in `difference`, signed, exactly."""
    size = tl.abs(difference).to(tl.float64)
    threshold = tl.where(difference >= 0, on, off).to(tl.float64)
    ratio = size / threshold
    k = tl.where(ratio < 2147483648.0, tl.minimum(ratio, MOST), 0.0).to(tl.int32)
    whole = k.to(tl.float64)
    upper = (threshold.to(tl.int64, bitcast=True) & UPPER).to(tl.float64, bitcast=True)
    # A quotient just below a whole number may have been rounded to it. The products of the threshold's halves are exact.
    k -= (size - whole * upper < whole * (threshold - upper)).to(tl.int32)
    return tl.where(difference >= 0, k, -k)


@triton.jit
def _shot(coarse, fine, rate, intensity, on_step, off_step, pos_thres, neg_thres):
    """The two bits of shot noise."""
    chance = rate * (-0.75 * intensity + 1.0)
    u = ((coarse & 0xFFFF0000) | (fine >> 16)).to(tl.float64) * UNIT
    on = u > 1.0 - chance * tl.div_rn(pos_thres, on_step).to(tl.float64)
    off = u < chance * tl.div_rn(neg_thres, off_step).to(tl.float64)
    return on.to(tl.int32) | (off.to(tl.int32) << 1)


@triton.jit
def _slot_time(k, slots, start, stop):
    """The k-th of `timing.slot_times`, float32."""
    first, last = (start + (stop - start) / slots.to(tl.float64)).to(tl.float32), stop.to(tl.float32)
    step = tl.div_rn(last - first, tl.maximum(slots - 1, 1).to(tl.float32))
    early = (k < slots // 2) | (slots == 1)
    return tl.where(early, first + step * k, last - step * (slots - 1 - k))


@triton.jit
def _crossing_time(k, threshold, e0, e1, start, stop):
    """When a difference that goes from `e0` to `e1` (towards its threshold) crosses threshold number k, from 0 on."""
    rises = e1 > e0
    part = ((k + 1) * threshold - e0) / tl.where(rises, e1 - e0, 1.0)
    part = tl.where(rises, tl.minimum(tl.maximum(part, 0.0), 1.0), 0.0)
    return tl.minimum(start + part * (stop - start), stop)


@triton.jit
def _pass(k, size, time, last, period, WAIT: tl.constexpr):
    """Which pixels fire for the k-th time, and the time of their last event."""
    fires = size > k
    if WAIT:
        fires = fires & (time - last > period)
        last = tl.where(fires, time, last)
    return fires, last


@triton.jit
def _dead_time(step, slots):
    """v2e's dead time in a frame, float32; where it is shorter than a slot nobody rests, and no time is noted: below 0."""
    start, stop, period = tl.load(step + START), tl.load(step + STOP), tl.load(step + PERIOD)
    return tl.where(period > (stop - start) / slots.to(tl.float64), period, -1e30).to(tl.float32)


@triton.jit
def _memorise(base, passed, on_step, off_step):
    """The memorised brightness, moved by `passed` events."""
    return base + passed.to(tl.float32) * tl.where(passed > 0, on_step, off_step)


@triton.jit(do_not_specialize=["begin", "end", "number", "F"])
def expose(
    luma, records, lasts, befores, afters, steps, most, byte_log, byte_intensity, inverse, log_cell, seeds,
    on, off, on_step, off_step, leak_hz, state, base, last,
    begin, end, number, F, n, jitter, pos_thres, neg_thres,
    BYTES: tl.constexpr, LOW_PASS: tl.constexpr, LEAK: tl.constexpr, SHOT: tl.constexpr,
    CROSSING: tl.constexpr, WAIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Records of the frames [begin, end) of `luma` [N, F, n], and the largest number of events of a pixel in `most` [N, F].

    The chunk's first frame is number `number` of the clip. For crossing times, `befores` and `afters` take the difference at the
    frame's start and end, and `lasts` the time of the last event before it. Where v2e's times make pixels wait, `memorise` must
    follow frame by frame.
    """
    clip = tl.program_id(1)
    first = tl.program_id(0) * BLOCK
    pixel = first + tl.arange(0, BLOCK)
    inside = pixel < n
    at = clip * n + pixel
    theta_on, theta_off = tl.load(on + at, inside, 1.0), tl.load(off + at, inside, 1.0)
    up, down = tl.load(on_step + at, inside, 1.0), tl.load(off_step + at, inside, 1.0)
    now, memory = tl.load(state + at, inside, 0.0), tl.load(base + at, inside, 0.0)
    seed = tl.load(seeds + clip)
    rests = memory
    if WAIT and CROSSING:
        rests = tl.load(last + at, inside, 0.0)
    leak = up
    if LEAK:
        leak = tl.load(leak_hz + at, inside, 0.0)
    for f in range(begin, end):
        record = (clip * F + f).to(tl.int64) * n + pixel
        step = steps + f * COLUMNS
        start, stop = tl.load(step + START), tl.load(step + STOP)
        before = now - memory
        value = tl.load(luma + record, inside, 0)
        log, intensity = _brightness(value, byte_log, byte_intensity, inverse, log_cell, BYTES)
        if LOW_PASS:
            eps = tl.minimum(intensity * tl.load(step + LOW_PASS_STEP), 1.0)
            now = (1.0 - eps) * now + eps * log.to(tl.float64)
        else:
            now = log
        coarse = tl.zeros([BLOCK], tl.uint32)
        if LEAK or SHOT:
            coarse = _words(seed, first, number + f, FRAME, BLOCK)
        if LEAK:
            rate = leak * (1.0 - jitter * _jitter(coarse))
            memory = memory - (stop - start).to(tl.float32) * rate * up
        difference = now - memory
        count = tl.where(inside, _count(difference, theta_on, theta_off), 0)
        size = tl.abs(count)
        top = tl.max(size)
        tl.atomic_max(most + clip * F + f, top)
        if CROSSING:
            tl.store(befores + record, before, inside)
            tl.store(afters + record, difference, inside)
        if WAIT and CROSSING:
            tl.store(lasts + record, rests, inside)
            sign = tl.where(count > 0, 1.0, -1.0).to(tl.float64)
            threshold = tl.where(count > 0, theta_on, theta_off).to(tl.float64)
            e0, e1 = sign * before.to(tl.float64), sign * difference.to(tl.float64)
            passed = count * 0
            for k in range(top):
                time = _crossing_time(k, threshold, e0, e1, start, stop)
                fires, rests = _pass(k, size, time, rests, tl.load(step + PERIOD), WAIT)
                passed += fires.to(tl.int32)
            memory = _memorise(memory, tl.where(count > 0, passed, -passed), up, down)
        elif not WAIT:
            memory = _memorise(memory, count, up, down)
        noise = count * 0
        if SHOT:
            fine = _words(seed, first, number + f, FINE, BLOCK)
            noise = _shot(coarse, fine, tl.load(step + SHOT_RATE), intensity, up, down, pos_thres, neg_thres)
            memory = tl.where(noise > 0, now, memory)
        tl.store(records + record, (count << 2) | noise, inside)
    tl.store(state + at, now, inside)
    tl.store(base + at, memory, inside)
    if WAIT and CROSSING:
        tl.store(last + at, rests, inside)


@triton.jit(do_not_specialize=["f", "F"])
def memorise(records, lasts, steps, most, on_step, off_step, state, base, last, f, F, n, BLOCK: tl.constexpr):
    """What `expose` leaves to do of frame `f` where v2e's times make pixels wait: all clips' busiest pixels must be known."""
    clip = tl.program_id(1)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < n
    at, record = clip * n + pixel, (clip * F + f).to(tl.int64) * n + pixel
    step, slots = steps + f * COLUMNS, tl.load(most + clip * F + f)
    start, stop = tl.load(step + START), tl.load(step + STOP)
    period = _dead_time(step, slots)
    packed = tl.load(records + record, inside, 0)
    count = packed >> 2
    size = tl.abs(count)
    rests = tl.load(last + at, inside, 0.0).to(tl.float32)
    tl.store(lasts + record, rests, inside)
    passed = count * 0
    for k in range(tl.max(size)):
        time = _slot_time(k, slots, start, stop)
        fires, rests = _pass(k, size, time, rests, period, True)
        passed += fires.to(tl.int32)
    if period > 0:
        tl.store(last + at, rests.to(tl.float64), inside)
    up, down = tl.load(on_step + at, inside, 0.0), tl.load(off_step + at, inside, 0.0)
    memory = _memorise(tl.load(base + at, inside, 0.0), tl.where(count > 0, passed, -passed), up, down)
    memory = tl.where((packed & 3) > 0, tl.load(state + at, inside, 0.0), memory)
    tl.store(base + at, memory, inside)


@triton.jit(do_not_specialize=["begin", "F", "width", "blocks"])
def replay(
    records, lasts, befores, afters, steps, most, on, off, rows, table, starts, t, x, y, p, keys,
    begin, F, n, width, blocks,
    CROSSING: tl.constexpr, WAIT: tl.constexpr, SHOT: tl.constexpr, EMIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count the events of the frames from `begin` on into `table` [rows, blocks], or write them from `starts` [rows, blocks] on.

    A clip's frame has a row for each slot, the k-th events of its pixels, from `rows` [N, frames] on, and one for shot noise. Events
    with crossing times have yet to be sorted by `keys`: frame, time and pixel.
    """
    block, clip = tl.program_id(0), tl.program_id(2)
    f = begin + tl.program_id(1)
    pixel = block * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < n
    at, record = clip * n + pixel, (clip * F + f).to(tl.int64) * n + pixel
    step, slots = steps + f * COLUMNS, tl.load(most + clip * F + f)
    start, stop = tl.load(step + START), tl.load(step + STOP)
    row = tl.load(rows + clip * tl.num_programs(1) + tl.program_id(1)) * blocks + block
    packed = tl.load(records + record, inside, 0)
    count = packed >> 2
    size = tl.abs(count)
    column, line = pixel % width, pixel // width
    if CROSSING:
        end, period = stop, tl.load(step + PERIOD)
        time = start + tl.zeros([BLOCK], tl.float64)
        sign = tl.where(count > 0, 1.0, -1.0).to(tl.float64)
        e0 = sign * tl.load(befores + record, inside, 0.0).to(tl.float64)
        e1 = sign * tl.load(afters + record, inside, 0.0).to(tl.float64)
        threshold = tl.where(count > 0, tl.load(on + at, inside, 1.0), tl.load(off + at, inside, 1.0)).to(tl.float64)
    else:
        end, period = stop.to(tl.float32), _dead_time(step, slots)
        time = end * 0.0
    rests = time
    if WAIT:
        rests = tl.load(lasts + record, inside, 0.0)
    for k in range(tl.max(size)):
        if CROSSING:
            time = _crossing_time(k, threshold, e0, e1, start, stop)
        else:
            time = _slot_time(k, slots, start, stop)
        fires, rests = _pass(k, size, time, rests, period, WAIT)
        fired = fires.to(tl.int32)
        if EMIT:
            place = tl.load(starts + row + k * blocks) + tl.cumsum(fired) - 1
            us = _microseconds(time)
            _write(t, x, y, p, place, us, column, line, count > 0, fires)
            if CROSSING:
                tl.store(keys + place, (us + 2 * f) * n + pixel, fires)
        else:
            tl.store(table + row + k * blocks, tl.sum(fired))
    if SHOT:
        row += slots * blocks
        shot_on, shot_off = packed & 1, (packed >> 1) & 1
        shots = shot_on + shot_off
        if EMIT:
            place = tl.load(starts + row) + tl.cumsum(shots) - shots
            us = _microseconds(end)
            _write(t, x, y, p, place, us, column, line, shot_on, shots > 0)
            _write(t, x, y, p, place + 1, us, column, line, shot_on * 0, shots > 1)
            if CROSSING:
                key = (us + 2 * f + 1) * n + pixel
                tl.store(keys + place, key, shots > 0)
                tl.store(keys + place + 1, key, shots > 1)
        else:
            tl.store(table + row, tl.sum(shots))


@triton.jit
def _microseconds(seconds):
    return ((seconds.to(tl.float64) * 1e6 + ROUND) - ROUND).to(tl.int64)


@triton.jit
def _write(t, x, y, p, place, us, column, line, polarity, mask):
    tl.store(t + place, us + place * 0, mask)
    tl.store(x + place, column.to(tl.int16), mask)
    tl.store(y + place, line.to(tl.int16), mask)
    tl.store(p + place, polarity.to(tl.uint8), mask)

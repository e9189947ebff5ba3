"""Compiled: from the frame to what the change detector sees. Each function mirrors an equation of the reference engine.

`s` is a tile's `State`, `m` its `Maps`, `w` its `Work`, `k` the `Tables`.
"""

import math
from fractions import Fraction

import numpy as np
from numba import types
from numba.extending import overload

from spikeva.simulate.draws import VOLTAGE
from spikeva.simulate.engines.drawing import draw, normals
from spikeva.simulate.engines.tiles import LEAN, lean
from spikeva.simulate.exact import CELLS, LN2, ROUND, SINH_LIMIT, STEP, STEPS
from spikeva.simulate.luma import GRID, KNEE, SLOPE

MAIN = math.floor(2.0**48 / 275) * 2.0**-48
REST = float(Fraction(1, 275) - Fraction(MAIN))
"""1 / 275 in two parts: times 20..275 the first one is exact."""


def receive(frame, s, k, w, low_pass):
    """Lin-log (`luma.lin_log`) and, where `low_pass`, the low-pass filter, into `state`."""


@overload(receive, jit_options=LEAN)
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
        _log(frame, k, w.mantissa, w.inverse, w.log_cell, w.log)
        if low_pass:
            for i in range(len(frame)):
                take = (np.float64(frame[i]) + 20.0) / 275.0 * low_pass
                take = take if take < 1.0 else 1.0
                s.state[i] = (1 - take) * s.state[i] + take * w.log[i]
        else:
            for i in range(len(frame)):
                s.state[i] = w.log[i]

    return of_bytes if frame.dtype == types.uint8 else of_floats


def brightness(frame, places, k, w):
    """Lin-log of the pixels at `places`, into the first of `log`."""


@overload(brightness, jit_options=LEAN)
def _brightness_of(frame, places, k, w):
    def of_bytes(frame, places, k, w):
        for q in range(len(places)):
            w.log[q] = k.byte_log[frame[places[q]]]

    def of_floats(frame, places, k, w):
        some = len(places)
        for q in range(some):
            w.luma[q] = frame[places[q]]
        _log(w.luma[:some], k, w.mantissa[:some], w.inverse[:some], w.log_cell[:some], w.log[:some])

    return of_bytes if frame.dtype == types.uint8 else of_floats


@lean
def _log(luma, k, mantissa, inverse, log_cell, out):
    """`luma.lin_log` of floats into `out`. The tables are read in a loop of their own: it is the one that does not become vectors."""
    for i in range(len(luma)):
        x = np.float64(luma[i])
        mantissa[i] = x if x > 1.0 else 1.0
    bits = mantissa.view(np.uint64)
    fraction, one = np.uint64((1 << 52) - 1), np.uint64(1023 << 52)
    for i in range(len(luma)):
        cell = (bits[i] >> np.uint64(45)) & np.uint64(CELLS - 1)
        inverse[i], log_cell[i] = k.inverse[cell], k.log_cell[cell]
    for i in range(len(luma)):
        b = bits[i]
        exponent = np.float64(np.int64(b >> np.uint64(52)) - 1023)
        bits[i] = (b & fraction) | one
        r = mantissa[i] * inverse[i] - 1.0
        series = r * (1.0 + r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5)))))
        y = exponent * LN2 + (log_cell[i] + series)
        x = np.float64(luma[i])
        y = x * SLOPE if x <= KNEE else y
        out[i] = np.float32(((y * GRID + ROUND) - ROUND) / GRID)


@lean
def add_noise(low, s, k, w, step):
    """Noise of the photoreceptor: white noise, low-passed."""
    draw(low // 4, step.frame, VOLTAGE, k.keys, w.words.view(np.uint64))
    normals(w.words, w.normal, k.quantile, k.quantile_slope)
    keep, take, vrms = np.float32(1 - step.noise_step), np.float32(step.noise_step), np.float32(step.noise_vrms)
    for i in range(len(s.voltage)):
        s.voltage[i] = keep * s.voltage[i] + take * (vrms * w.normal[i])


@lean
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


@lean
def compose(m, s, k, step):
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

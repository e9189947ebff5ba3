"""Logarithm and hyperbolic sine from tables and operations that IEEE 754 rounds exactly.

libm's differ in the last bit from one processor, compiler and device to the next; these give the same bits everywhere, so that
every engine makes the same events. They agree with the true values to about 1e-15 (log), and 1e-13 of it or 1e-15 (sinh).
"""

import math

import numpy as np
from numpy.typing import NDArray

CELLS = 128
INVERSE = 1.0 / (1.0 + (np.arange(CELLS) + 0.5) / CELLS)
"""About 1 / m at the middle of each cell of the mantissa m in [1, 2)."""
LOG_CELL = -np.log(INVERSE)
LN2 = math.log(2.0)

STEPS = 64
POWER = 2.0 ** (np.arange(STEPS) / STEPS)
STEP = LN2 / STEPS
SINH_LIMIT = 700.0  # larger arguments give this one's value, finite in float64

ROUND = 2.0**52  # x + ROUND - ROUND is x rounded half to even, for 0 <= x < 2**51


def log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of x >= 1."""
    bits = x.view(np.int64)
    cell = (bits >> 45) & (CELLS - 1)
    mantissa = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(np.float64)
    r = mantissa * INVERSE[cell] - 1.0
    series = r * (1.0 + r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5)))))
    y: NDArray[np.float64] = ((bits >> 52) - 1023).astype(np.float64) * LN2 + (LOG_CELL[cell] + series)
    return y


def sinh(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hyperbolic sine; not a number where x is none."""
    y = np.minimum(np.abs(x), SINH_LIMIT)
    k = (y / STEP + ROUND) - ROUND
    r = y - k * STEP
    series = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120)))))
    whole = np.where(np.isnan(k), 0.0, k).astype(np.int64)
    e = POWER[whole & (STEPS - 1)] * series * (((whole >> 6) + 1023) << 52).view(np.float64)
    result: NDArray[np.float64] = np.copysign(0.5 * (e - 1.0 / e), x)
    return result

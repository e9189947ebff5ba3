"""Luma to v2e's lin-log brightness."""

import math

import numpy as np
from numpy.typing import NDArray

from spikeva.simulate.exact import ROUND, log

KNEE = 20.0
SLOPE = (1.0 / KNEE) * math.log(KNEE)
GRID = 1e8  # v2e rounds the brightness, so that a threshold added and taken away again leaves it as it was


def lin_log(luma: NDArray[np.float64]) -> NDArray[np.float32]:
    """Brightness in ln units of luma 0..255: linear up to 20, logarithmic above, rounded to 1e-8 (v2e's lin_log)."""
    y = np.where(luma <= KNEE, luma * SLOPE, log(np.maximum(luma, 1.0)))
    return (((y * GRID + ROUND) - ROUND) / GRID).astype(np.float32)


def relative_intensity(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """v2e's intensity for filter and noise: never 0, about 1 in white."""
    return (luma + 20.0) / 275.0


LUMA_STEPS = 512  # a ln unit
_BRIGHTNESS = np.arange(math.ceil(math.log(255) * LUMA_STEPS) + 1) / LUMA_STEPS
LUMA_AT = np.where(math.log(KNEE) >= _BRIGHTNESS, _BRIGHTNESS / SLOPE, np.exp(_BRIGHTNESS)).astype(np.float32)
"""Luma at brightness 0, 1 / LUMA_STEPS, 2 / LUMA_STEPS ...; the last one is above white."""

BYTES = np.arange(256, dtype=np.float64)
LIN_LOG_OF_BYTE = lin_log(BYTES)
INTENSITY_OF_BYTE = relative_intensity(BYTES)

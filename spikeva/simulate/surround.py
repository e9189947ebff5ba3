"""The center-surround pixel's surround: a resistive grid that the photoreceptors drive."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.simulate.pixel import DVSPixel

STEPS_PER_TAU = 5
SETTLED = 1e-5  # largest change (ln units) at which v2e stops stepping within a frame
INSTANT = 1e-9  # s, v2e's time constant of a surround that follows at once


def diffusion_steps(pixel: DVSPixel, dt: float) -> tuple[int, float, float]:
    """Number of Euler steps in a frame and their weights (drive, neighbours), as in v2e's `_update_csdvs`."""
    assert pixel.cs_lambda_pixels is not None
    tau_drive = pixel.cs_tau_p_ms * 1e-3 if pixel.cs_tau_p_ms else INSTANT
    tau_grid = tau_drive / pixel.cs_lambda_pixels**2
    steps = max(1, math.ceil(dt / min(tau_drive, tau_grid) * STEPS_PER_TAU))
    return steps, dt / steps / tau_drive, dt / steps / tau_grid


def diffuse(surround: NDArray[Any], center: NDArray[Any], steps: int, drive: float, grid: float) -> NDArray[Any]:
    """The surround [H, W] after `steps` Euler steps towards `center`, or fewer once it has settled."""
    for _ in range(steps):
        s = np.pad(surround.astype(np.float32), 1, mode="edge")
        neighbours = ((s[:-2, 1:-1] + s[1:-1, :-2]) + (s[1:-1, 2:] + s[2:, 1:-1])) - np.float32(4) * s[1:-1, 1:-1]
        change = drive * (center - surround) + np.float32(grid) * neighbours
        surround = surround + change
        if not np.abs(change).max() > SETTLED:
            break
    return surround

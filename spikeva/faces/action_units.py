"""FACS action units: their order, and the lobes by which each one moves the skin.

A lobe is a Gaussian of the canonical face plane with a displacement: centre (cx, cy), widths (sx, sy), shift (dx, dy,
dz), given for the right half of the picture and mirrored for the left. The numbers were found by eye (chosen here)
after the descriptions of the FACS manual (Ekman and Friesen 1978).
"""

import numpy as np
from numpy.typing import NDArray

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 25, 26, 43)
INDEX = {unit: i for i, unit in enumerate(ACTION_UNITS)}
JAW_DROP = (-0.34, -0.07)  # dy, dz of the lower jaw at full AU26

# unit: (cx, cy, sx, sy, dx, dy, dz), ...
LOBES: dict[int, tuple[tuple[float, ...], ...]] = {
    1: ((0.16, 0.34, 0.17, 0.20, 0, 0.135, 0.01), (0.14, 0.62, 0.25, 0.20, 0, 0.06, 0)),
    2: ((0.58, 0.34, 0.20, 0.20, 0, 0.135, 0.01), (0.55, 0.62, 0.25, 0.20, 0, 0.05, 0)),
    4: ((0.17, 0.30, 0.17, 0.17, -0.065, -0.10, 0.02), (0.48, 0.33, 0.22, 0.15, -0.035, -0.065, 0.01)),
    6: ((0.52, -0.30, 0.24, 0.17, 0, 0.07, 0.06), (0.74, 0.02, 0.12, 0.12, -0.03, -0.01, 0)),
    7: ((0.45, -0.14, 0.20, 0.08, 0, 0.02, 0.01),),
    9: (
        (0.10, -0.30, 0.12, 0.16, 0, 0.07, 0.03),
        (0.22, -0.57, 0.12, 0.12, 0.01, 0.085, 0.01),
        (0.12, 0.26, 0.15, 0.13, -0.025, -0.06, 0.01),
        (0.16, -0.86, 0.15, 0.12, 0, 0.07, 0),
    ),
    10: (
        (0.17, -0.86, 0.17, 0.13, 0, 0.11, 0.02),
        (0.26, -0.60, 0.12, 0.12, 0.02, 0.05, 0),
        (0.42, -0.50, 0.20, 0.18, 0, 0.05, 0.04),
    ),
    12: ((0.39, -1.0, 0.17, 0.17, 0.115, 0.135, -0.05), (0.54, -0.60, 0.22, 0.20, 0.03, 0.07, 0.09)),
    14: ((0.39, -1.0, 0.10, 0.12, 0.06, 0.035, -0.06),),
    15: ((0.37, -1.02, 0.14, 0.13, 0.015, -0.115, 0), (0.40, -1.22, 0.15, 0.15, 0, -0.05, 0)),
    16: ((0.12, -1.12, 0.20, 0.09, 0, -0.075, 0),),
    17: ((0.05, -1.40, 0.25, 0.16, 0, 0.085, 0.05), (0.06, -1.10, 0.20, 0.09, 0, 0.075, 0.03)),
    18: ((0.37, -1.0, 0.16, 0.16, -0.135, 0, 0.05), (0.05, -1.0, 0.20, 0.20, 0, 0, 0.07)),
    20: ((0.39, -1.01, 0.19, 0.17, 0.125, -0.03, -0.03), (0.42, -1.25, 0.20, 0.15, 0.04, -0.04, 0)),
    26: ((0.60, -1.30, 0.28, 0.28, -0.10, 0, 0),),
}

Array = NDArray[np.float64]


def jittered_lobes(amount: float, rng: np.random.Generator) -> dict[int, Array]:
    """The lobes [n, 7] of each unit with centre, widths, size and direction perturbed by `amount` (0 = as they are)."""
    lobes = {}
    for unit, rows in LOBES.items():
        table = np.array(rows, dtype=np.float64)
        z = np.clip(rng.normal(size=(len(table), 6)), -2, 2) * amount
        table[:, :2] += 0.02 * z[:, :2]
        table[:, 2:4] *= np.exp(0.12 * z[:, 2:4])
        turn = 0.12 * z[:, 5]
        dx, dy = table[:, 4].copy(), table[:, 5].copy()
        table[:, 4] = np.cos(turn) * dx - np.sin(turn) * dy
        table[:, 5] = np.sin(turn) * dx + np.cos(turn) * dy
        table[:, 4:] *= np.exp(0.12 * z[:, 4:5])
        lobes[unit] = table
    return lobes


def displacements(lobes: dict[int, Array], points: Array, scale_y: tuple[Array, Array]) -> Array:
    """[A, 2, n, 3] shift of `points` [n, 2] (canonical x, y) at full activation of each unit on each side, without
    the jaw.

    `scale_y` maps the y of the average face to this person's (two rising arrays for interpolation): lobes are written
    for the average.
    """
    x, y = points[:, 0], np.interp(points[:, 1], scale_y[1], scale_y[0])
    out = np.zeros((len(ACTION_UNITS), 2, len(points), 3))
    for unit, table in lobes.items():
        for side, sign in enumerate((-1.0, 1.0)):
            for cx, cy, sx, sy, dx, dy, dz in table:
                bump = np.exp(-0.5 * (((x - sign * cx) / sx) ** 2 + ((y - cy) / sy) ** 2))
                out[INDEX[unit], side] += bump[:, None] * np.array([sign * dx, dy, dz])
    return out


def drop_jaw(move: Array, share: Array) -> None:
    """Add to the shifts `move` [A, 2, n, 3] what AU26 lets the jaw drop, half by each side, at the points' `share` [n] of it."""
    move[INDEX[26], ..., 1:] += 0.5 * share[:, None] * JAW_DROP


def jaw_weight(points: Array, mouth_y: float) -> Array:
    """[n] share of the jaw's drop at `points` [n, 2]: a step at the mouth line that widens toward the cheek."""
    width = 0.03 + 0.20 * np.clip((np.abs(points[:, 0]) - 0.25) / 0.55, 0, 1)
    return np.asarray(1 / (1 + np.exp(-np.clip((mouth_y - points[:, 1]) / width, -40, 40))))

"""Eyes, mouth and landmarks: curves in the frame of the deformed head, for all times of a clip at once.

The mesh stays closed: lids and lips are curves, and the shader decides per pixel on which side of them it is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit
from spikeva.faces.action_units import INDEX, JAW_DROP, displacements, drop_jaw
from spikeva.faces.identity import Identity
from spikeva.faces.mesh import half_width, surface

Array = NDArray[np.float64]
CURVE_SAMPLES = 33
# Columns of the eye table.
EYE_X, EYE_Y, EYE_WIDTH, EYE_TILT, LID_UP, LID_LOW, GAZE_X, GAZE_Y, CREASE, CREASE_DEPTH, EYE_SIGN = range(11)
# Jaw's share of the 20 mouth landmarks (48-67).
_MOUTH_JAW = np.array([0.42, 0.12, 0, 0, 0, 0.12, 0.42, 0.85, 1, 1, 1, 0.85, 0.42, 0, 0, 0, 0.42, 0.85, 1, 0.85])


@dataclass(frozen=True)
class Features:
    """`eyes` [T, 2, 11] (columns above), `mouth` [T, 4, 33] heights of outer/inner upper, inner/outer lower lip
    between the corners `corners` [T, 2], `teeth` [T, 2] edges of upper and lower teeth, `landmarks` [T, 68, 3] in the
    head frame. `contour` [T, 17, 6, 3]: places that landmarks 0-16 may take, since the outline of a face depends on
    the view.
    """

    eyes: Array
    mouth: Array
    corners: Array
    teeth: Array
    landmarks: Array
    contour: Array


@njit(cache=True)
def lid_shapes(u, up, low, sign):
    """Heights of the upper and the lower lid at u in -1..1 across the eye (sign: +1 where u grows outward)."""
    v = np.maximum(1.0 - u * u, 0.0)
    return up * v**0.72 * (1.0 - 0.16 * sign * u), -low * v**0.85 * (1.0 + 0.12 * sign * u)


def mouth_points(who: Identity) -> Array:
    """[20, 2] canonical mouth landmarks 48-67."""
    mw, my, up, low = who.mouth_width, who.mouth_y, who.upper_lip, who.lower_lip
    x = mw * np.array(
        [-1, -0.60, -0.24, 0, 0.24, 0.60, 1, 0.60, 0.28, 0, -0.28, -0.60, -0.88, -0.32, 0, 0.32, 0.88, 0.32, 0, -0.32]
    )
    y = np.zeros(20)
    y[[1, 5]], y[[2, 4]], y[3] = 0.60 * up, up, 0.80 * up
    y[[7, 11]], y[[8, 10]], y[9] = -0.72 * low, -low, -1.04 * low
    y[[0, 6]] = -0.006
    return np.stack([x, my + y], -1)


def brow_line(who: Identity, x: Array) -> Array:
    """Canonical height of the brow's centre line at |x|."""
    ax = np.abs(x)
    return np.asarray(
        who.brow_y
        - 0.02
        + who.brow_arch * (1 - ((ax - 0.60) / 0.60) ** 2)
        - who.brow_drop * np.clip((ax - 0.6) / 0.2, 0, 1) ** 2
    )


def canonical_landmarks(who: Identity) -> Array:
    """[68, 2] of the neutral face in iBUG order; the eyes (36-47) are placed by the lid curves."""
    p = np.zeros((68, 2))
    c = who.chin
    y = np.array([0.02, -0.28, -0.58, -0.88, -1.14, c + 0.30, c + 0.14, c + 0.045, c + 0.01])
    w = half_width(who, y)
    share = np.array([0.97, 0.97, 0.97, 0.97, 0.96, 0.93, 0.82, 0.62, 0])
    p[:9, 0], p[:9, 1] = -share * w, y
    p[9:17] = p[7::-1] * [-1, 1]
    for i, x in enumerate((0.78, 0.66, 0.50, 0.33, 0.17)):
        p[17 + i] = -x, brow_line(who, np.array(x))
        p[26 - i] = x, p[17 + i, 1]
    nb = who.nose_base
    p[27:31, 1] = np.linspace(0.06, nb + 0.12, 4)
    nw = who.nose_width
    p[31:36, 0] = nw * np.array([-0.72, -0.36, 0, 0.36, 0.72])
    p[31:36, 1] = nb + np.array([0.03, 0.005, -0.015, 0.005, 0.03])
    p[48:68] = mouth_points(who)
    return p


def _contour(who: Identity) -> Array:
    """[17 * 6, 2] canonical points at the heights of landmarks 0-16, from the cheek to the side: the outline runs
    through one of each six.
    """
    jaw = canonical_landmarks(who)[:17]
    w = np.maximum(half_width(who, jaw[:, 1]), 1e-6)
    share = np.clip(jaw[:, :1] / w[:, None] * np.linspace(0.75, 1.25, 6), -0.995, 0.995)
    return np.stack([share * w[:, None], np.repeat(jaw[:, 1:], 6, 1)], -1).reshape(-1, 2)


@njit(cache=True)
def _curve(xs, ys, x):
    """Value at x of the C1 cubic through rising knots, slopes by finite differences."""
    n = len(xs)
    i = 0
    while i < n - 2 and x > xs[i + 1]:
        i += 1
    h = xs[i + 1] - xs[i]
    t = min(max((x - xs[i]) / h, 0.0), 1.0)
    d = (ys[i + 1] - ys[i]) / h
    m0 = d if i == 0 else 0.5 * (d + (ys[i] - ys[i - 1]) / (xs[i] - xs[i - 1]))
    m1 = d if i == n - 2 else 0.5 * (d + (ys[i + 2] - ys[i + 1]) / (xs[i + 2] - xs[i + 1]))
    a = ys[i] * (1 + 2 * t) * (1 - t) ** 2 + ys[i + 1] * t * t * (3 - 2 * t)
    return a + h * (m0 * t * (1 - t) ** 2 + m1 * t * t * (t - 1))


_KNOTS = np.array(
    [[0, 1, 2, 3, 4, 5, 6], [0, 12, 13, 14, 15, 16, 6], [0, 12, 19, 18, 17, 16, 6], [0, 11, 10, 9, 8, 7, 6]]
)


@njit(cache=True)
def _mouth_curves(points, knots, out):
    """Fill out [T, 4, 33] from mouth landmarks [T, 20, 2]; lips never cross."""
    n = out.shape[2]
    xs, ys = np.empty(7), np.empty(7)
    for t in range(points.shape[0]):
        left, right = points[t, 0, 0], points[t, 6, 0]
        for k in range(4):
            for j in range(7):
                xs[j], ys[j] = points[t, knots[k, j], 0], points[t, knots[k, j], 1]
            for j in range(1, 7):
                xs[j] = max(xs[j], xs[j - 1] + 1e-3)
            for i in range(n):
                out[t, k, i] = _curve(xs, ys, left + (right - left) * i / (n - 1))
        for i in range(n):
            if out[t, 1, i] < out[t, 2, i]:
                out[t, 1, i] = out[t, 2, i] = 0.5 * (out[t, 1, i] + out[t, 2, i])
            out[t, 0, i] = max(out[t, 0, i], out[t, 1, i])
            out[t, 3, i] = min(out[t, 3, i], out[t, 2, i])


class FeatureRig:
    """Turns action units [T, A, 2] and gaze [T, 2] of one person into `Features`."""

    def __init__(self, who: Identity, lobes: dict[int, Array], scale_y: tuple[Array, Array]) -> None:
        self.who = who
        plane = np.concatenate([canonical_landmarks(who), _contour(who)])
        self._base = surface(who, plane[:, 0], plane[:, 1])
        move = displacements(lobes, plane, scale_y)
        jaw = 1 / (1 + np.exp(-np.clip((who.mouth_y - plane[:, 1]) / 0.12, -40, 40)))
        jaw[17:48] = 0
        jaw[48:68] = _MOUTH_JAW
        drop_jaw(move, jaw)
        move[:, :, 36:48] = 0
        self._move = move

    def __call__(self, units: Array, gaze: Array) -> Features:
        """Features for action units [T, A, 2] in 0..1 and gaze [T, 2] in -1..1 (right and up in the picture)."""
        who = self.who

        def both(unit: int) -> Array:
            return np.asarray(units[:, INDEX[unit]].mean(1)[:, None])

        marks = self._base + np.einsum("tas,asnk->tnk", units, self._move)
        contour = marks[:, 68:].reshape(len(units), 17, -1, 3)
        mouth = marks[:, 48:68]
        my = who.mouth_y
        # thinning acts about the line between the lips
        lip_line = mouth[:, [13, 14, 15, 17, 18, 19], 1].mean(1)[:, None]
        thin = np.clip(1 - 0.62 * both(23) - 0.25 * both(12) * (1 - both(26)), 0.2, 1)
        outer = np.r_[1:6, 7:12]
        mouth[:, outer, 1] = lip_line + (mouth[:, outer, 1] - lip_line) * thin
        mouth[:, [0, 6], 1] -= 0.04 * units[:, INDEX[23]]
        part, pucker = both(25), both(18)
        mouth[:, 13:16, 1] += 0.030 * part + 0.03 * both(10) + 0.02 * both(9) + 0.012 * both(12)
        mouth[:, 17:20, 1] += -0.058 * part - 0.03 * both(16)
        mouth[:, 1:6, 1] += 0.014 * part + 0.03 * pucker - 0.008 * both(12)
        mouth[:, 7:12, 1] += -0.034 * part - 0.03 * pucker
        curves = np.empty((len(units), 4, CURVE_SAMPLES))
        _mouth_curves(mouth[..., :2], _KNOTS, curves)
        drop = JAW_DROP[0] * both(26)[:, 0]
        teeth = np.stack([np.full(len(units), my - 0.045), my - 0.085 + drop], -1)
        eyes = self._eyes(units, gaze)
        for side in range(2):
            u = np.array([-1, -0.36, 0.36, 1, 0.36, -0.36])
            e = eyes[:, side, :, None]
            up, low = lid_shapes(u[None, :], e[:, LID_UP], e[:, LID_LOW], e[:, EYE_SIGN])
            y = np.where([[0, 1, 1, 0, 0, 0]], up, low) + e[:, EYE_TILT] * u * e[:, EYE_SIGN]
            x = e[:, EYE_X] + u * e[:, EYE_WIDTH]
            at = slice(36 + 6 * side, 42 + 6 * side)
            marks[:, at, 0], marks[:, at, 1] = x, e[:, EYE_Y] + y
            marks[:, at, 2] = surface(who, x[0], np.zeros(6))[:, 2]
        return Features(eyes, curves, mouth[:, [0, 6], 0].copy(), teeth, marks[:, :68], contour)

    def _eyes(self, units: Array, gaze: Array) -> Array:
        who = self.who

        def au(unit: int) -> Array:
            return np.clip(units[:, INDEX[unit]], 0, 1.2)

        up = (
            who.eye_height
            * (1 + 0.55 * au(5) - 0.28 * au(7) - 0.18 * au(6) - 0.12 * au(9) - 0.10 * au(4) - 0.08 * au(12))
            * (1 + 0.25 * gaze[:, 1:2])
        )
        low = 0.62 * who.eye_height * (1 - 0.38 * au(7) - 0.38 * au(6) - 0.20 * au(9) - 0.10 * au(12) + 0.12 * au(5))
        shut = np.clip(au(43), 0, 1)
        meet = 0.036
        sign = np.array([[-1.0, 1.0]])
        table = np.empty((*up.shape, 11))
        table[..., EYE_X] = sign * who.eye_x
        table[..., EYE_Y] = 0.0
        table[..., EYE_WIDTH] = who.eye_width
        table[..., EYE_TILT] = who.eye_tilt
        table[..., LID_UP] = up * (1 - shut) - meet * shut
        table[..., LID_LOW] = low * (1 - shut) + meet * shut
        table[..., GAZE_X] = 0.085 * gaze[:, :1]
        table[..., GAZE_Y] = 0.05 * gaze[:, 1:2] + 0.004
        table[..., CREASE] = 0.052 - 0.022 * au(5) - 0.020 * au(4) + 0.035 * au(1) + 0.02 * au(2) + 0.02 * shut
        table[..., CREASE_DEPTH] = 0.34 + 0.25 * au(5) + 0.12 * who.age
        table[..., EYE_SIGN] = sign
        return table

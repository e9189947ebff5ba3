"""Who -> surface: head, hair, neck with torso, and ears as regular grids of one vertex array.

Head frame: x right in the picture, y up, z to the camera; unit = half a face width; pupils at y = 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeva.faces.identity import Identity

Array = NDArray[np.float64]
HEAD, HAIR, TORSO, EAR = range(4)
CROWN = 1.68
EXPONENT = 2.25  # of the superellipse a horizontal section is


@dataclass(frozen=True)
class Mesh:
    """`vertices` [n, 3]; `chart` [n, 2] canonical (x, y), for hair (azimuth, y); `aux` [n] hair mask or shade;
    `turn` [n] share of the head's rotation; `triangles` [m, 3]; `material` [m]; `grids` [g, 3] first vertex, rows,
    columns; the last column repeats the first.
    """

    vertices: NDArray[np.float32]
    chart: NDArray[np.float32]
    aux: NDArray[np.float32]
    turn: NDArray[np.float32]
    triangles: NDArray[np.int32]
    material: NDArray[np.int32]
    grids: NDArray[np.int64]


def smooth(low: float, high: float, x: Array) -> Array:
    """Hermite step from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def monotone_cubic(x: Array, xs: Array, ys: Array) -> Array:
    """Values at `x` of the monotone cubic through rising knots (Fritsch and Butland 1984: harmonic mean slopes)."""
    h, d = np.diff(xs), np.diff(ys) / np.diff(xs)
    m = np.empty(len(xs))
    m[0], m[-1] = d[0], d[-1]
    product = d[:-1] * d[1:]
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        m[1:-1] = np.where(product > 0, (w1 + w2) / (w1 / d[:-1] + w2 / d[1:]), 0.0)
    x = np.clip(x, xs[0], xs[-1])
    i = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(h) - 1)
    t = (x - xs[i]) / h[i]
    a, b = ys[i], ys[i + 1]
    return np.asarray(
        a * (1 + 2 * t) * (1 - t) ** 2
        + b * t * t * (3 - 2 * t)
        + h[i] * (m[i] * t * (1 - t) ** 2 + m[i + 1] * t * t * (t - 1))
    )


def half_width(who: Identity, y: Array) -> Array:
    """[n] half width of the head at height `y`."""
    c, cw, jaw = who.chin, who.chin_width, who.jaw
    ys = [c - 0.02, c + 0.035, c + 0.14, c + 0.33, -1.0, -0.5, 0, 0.5, 0.95, 1.28, CROWN - 0.14, CROWN - 0.03, CROWN]
    ws = [0, 0.75 * cw, cw + 0.16, (cw + 0.2 + jaw) / 2, jaw, 0.945, 1.0, 1.0, 0.955, 0.81, 0.56, 0.25, 0]
    return monotone_cubic(y, np.array(ys), np.array(ws)) * who.face_width


def half_depth(who: Identity, y: Array) -> Array:
    """[n] half depth of the head at height `y`."""
    c = who.chin
    ys = [c - 0.02, c + 0.06, c + 0.16, -1.25, -0.9, -0.5, 0, 0.3, 0.7, 1.1, 1.4, CROWN - 0.05, CROWN]
    ds = [0.35, 0.72, 0.82, 0.84, 0.90, 0.93, 0.95, 1.0, 0.99, 0.88, 0.66, 0.32, 0]
    return monotone_cubic(y, np.array(ys), np.array(ds))


def _section(who: Identity, y: Array, theta: Array) -> Array:
    """[..., 3] points of the smooth skull at heights `y` and azimuths `theta`."""
    s, c = np.sin(theta), np.cos(theta)
    x = half_width(who, y) * np.sign(s) * np.abs(s) ** (2 / EXPONENT)
    z = half_depth(who, y) * np.sign(c) * np.abs(c) ** (2 / EXPONENT)
    z = np.where(z < 0, 1.12 * z, z) + 0.22 * smooth(-0.3, -1.6, y)
    return np.stack([x, y + 0 * x, z], -1)


def relief(who: Identity, x: Array, y: Array) -> Array:
    """[...] what brow, eyes, nose, lips, chin and cheeks add to z at canonical (x, y)."""
    ax = np.abs(x)

    def bump(amp: float, cx: float, cy: float, sx: float, sy: float) -> Array:
        return np.asarray(amp * np.exp(-0.5 * (((ax - cx) / sx) ** 2 + ((y - cy) / sy) ** 2)))

    nb, nw, my = who.nose_base, who.nose_width / 0.235, who.mouth_y
    tip = nb + 0.10
    t = np.clip((0.14 - y) / (0.14 - tip), 0, 1)
    width = 0.095 * (0.75 + 0.55 * t) * (0.6 + 0.4 * nw)
    ridge = (
        (0.14 * t + 0.22 * t**2.2)
        * np.exp(-0.5 * (x / width) ** 2)
        * smooth(0.30, 0.05, y)
        * smooth(tip - 0.16, tip + 0.03, y)
    )
    return np.asarray(
        bump(who.brow_ridge, 0.40, who.brow_y - 0.03, 0.22, 0.085)
        + bump(-0.115, who.eye_x - 0.04, 0.01, 0.19, 0.12)
        + bump(0.075, who.eye_x, 0, 0.13, 0.085)
        + bump(-0.05, 0.17, 0.06, 0.08, 0.12)
        + bump(0.05, 0.62, -0.26, 0.20, 0.20)
        + ridge
        + bump(0.075, 0, tip, 0.095, 0.085)
        + bump(0.135, 0.74 * who.nose_width, nb + 0.06, 0.30 * who.nose_width, 0.075)
        + bump(0.10, 0, my + 0.02, 0.34, 0.26)
        + bump(-0.022, 0, (my + nb) / 2 + 0.03, 0.04, 0.10)
        + bump(0.05, 0, my + 0.055, 0.20, 0.05)
        + bump(0.06, 0, my - 0.075, 0.18, 0.055)
        + bump(-0.05, 0, my - 0.005, 0.30, 0.025)
        + bump(-0.065, 0, my - 0.27, 0.24, 0.07)
        + bump(0.085, 0, who.chin + 0.18, 0.20, 0.12)
        + bump(-0.03 - 0.03 * who.age, 0.46, -0.88, 0.16, 0.22)
    )


def surface(who: Identity, x: Array, y: Array) -> Array:
    """[n, 3] points of the face above canonical (x, y)."""
    w = np.maximum(half_width(who, y), 1e-6)
    share = np.clip(np.abs(x) / w, 0, 0.999)
    s = share ** (EXPONENT / 2)
    z = half_depth(who, y) * np.sqrt(1 - s * s) ** (2 / EXPONENT) + 0.22 * smooth(-0.3, -1.6, y)
    return np.stack([x, y, z + relief(who, x, y)], -1)


def _levels(low: float, high: float, n: int, centres: tuple[float, ...]) -> Array:
    """[n] falling heights from `high` to `low`, denser near `centres`."""
    fine = np.linspace(low, high, 2000)
    density = 0.55 + sum(np.exp(-0.5 * ((fine - c) / 0.16) ** 2) for c in centres)
    density += 2.5 * np.exp(-0.5 * ((fine - low) / 0.05) ** 2) + 2.0 * np.exp(-0.5 * ((fine - high) / 0.06) ** 2)
    total = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(np.linspace(total[-1], 0, n), total, fine)


def _azimuths(n: int) -> Array:
    """[n] azimuths from -pi to pi, dense in front."""
    u = np.linspace(-1, 1, n)
    return np.pi * (0.55 * u + 0.45 * u**3)


def hairline(who: Identity, theta: Array) -> tuple[Array, Array]:
    """[n] lowest and highest height of hair at azimuth `theta`."""
    a = np.abs(theta) * 180 / np.pi
    front = {"fringe": 0.50, "bob": 0.80, "receding": 1.32, "bald": 1.32}.get(who.hair_style, 0.0) or who.hairline
    if who.hair_style == "fringe":
        front += 0.10 * (who.hairline - 0.98)
    temple = {"fringe": 0.40, "bob": 0.55, "receding": 1.05}.get(who.hair_style, 0.82)
    side, ear, nape = {
        "long": (-0.6, -2.6, -2.75),
        "bob": (-0.9, -1.35, -1.40),
    }.get(who.hair_style, (0.10 if who.female else 0.02, 0.20, -0.72))
    low = np.interp(
        a,
        [0, 30, 52, 66, 82, 100, 125, 180],
        [front, front - 0.03, temple, side + 0.45 * (temple - side), side, ear, nape, nape],
    )
    if who.hair_style == "side-part":
        low = low - 0.20 * np.exp(-0.5 * ((theta - 0.35) / 0.35) ** 2)
    high = np.full_like(theta, 9.0)
    if who.hair_style == "bald":
        low = np.interp(a, [0, 60, 74, 90, 110, 130, 180], [9, 9, 0.3, 0.05, 0.2, -0.6, -0.7])
        high = np.interp(a, [0, 60, 90, 180], [-9, 0.2, 0.62, 0.75])
    return low, high


def _hair_grid(who: Identity, rows: int, cols: int) -> tuple[Array, Array, Array]:
    """Vertices [r, c, 3], chart [r, c, 2] and mask [r, c] of the hair shell."""
    bottom = {"long": -2.8, "bob": -1.55}.get(who.hair_style, -1.0)
    y = np.linspace(CROWN, bottom, rows - 6)
    y = np.concatenate([CROWN - np.array([0, 0.008, 0.03, 0.06, 0.10, 0.16]), y[y < CROWN - 0.2]])
    y = np.interp(np.linspace(0, 1, rows), np.linspace(0, 1, len(y)), y)[:, None]
    theta = _azimuths(cols)[None, :]
    hang = {"long": -0.05, "bob": -0.25}.get(who.hair_style, -9.0)
    p = _section(who, np.maximum(y, hang) + 0 * theta, theta + 0 * y)
    p[..., 1] = y
    face_side = smooth(1.15, 0.45, np.abs(theta)) * smooth(0.95, 0.35, y)
    volume = who.hair_volume * {"receding": 0.5, "bald": 0.1, "long": 1.25, "bob": 1.3, "fringe": 1.1}.get(
        who.hair_style, 1.0
    )
    push = volume * (1 - 0.6 * face_side) + 0.02
    if who.hair_style in ("long", "bob"):
        push = push + 0.10 * smooth(0.3, -1.2, y) + 0 * theta
    if who.hair_style in ("short", "side-part", "fringe"):
        push = push * (0.55 + 0.45 * smooth(-0.5, 0.9, y))
    direction = np.stack([np.sin(theta) + 0 * y, 1.5 * smooth(0.7, 1.68, y) + 0 * theta, np.cos(theta) + 0 * y], -1)
    p = p + push[..., None] * direction
    low, high = hairline(who, theta + 0 * y)
    mask = np.minimum(y - low, high - y)
    return p, np.stack([theta + 0 * y, y + 0 * theta], -1), mask


def _torso_grid(who: Identity, rows: int, cols: int) -> tuple[Array, Array]:
    """Vertices and chart of neck, shoulders and chest."""
    y = np.linspace(-0.9, -5.2, rows)
    neck = 0.50 if who.female else 0.60
    broad = 0.9 if who.female else 1.0
    half = monotone_cubic(
        y,
        np.array([-5.2, -3.6, -2.75, -2.35, -2.05, -1.7, -0.9]),
        np.array([2.5, 2.35, 1.95, 1.15, neck + 0.16, neck, neck]),
    )
    half = np.where(y < -2.05, half * broad, half)
    deep = monotone_cubic(y, np.array([-5.2, -3.2, -2.3, -1.9, -0.9]), np.array([1.0, 0.85, 0.62, 0.50, 0.48]))
    theta = _azimuths(cols)[None, :]
    s, c = np.sin(theta), np.cos(theta)
    x = half[:, None] * np.sign(s) * np.abs(s) ** 0.95
    z = deep[:, None] * np.sign(c) * np.abs(c) ** 0.95 - 0.32
    yy = y[:, None] + 0 * x
    return np.stack([x, yy, z], -1), np.stack([x, yy], -1)


def _ear_grid(who: Identity, sign: float, rows: int, cols: int) -> Array:
    """Vertices of one ear: a flattened, tilted ellipsoid."""
    polar = np.linspace(0, np.pi, rows)[:, None]
    around = np.linspace(-np.pi, np.pi, cols)[None, :]
    x = 0.075 * np.sin(polar) * np.sin(around)
    y = 0.27 * np.cos(polar) + 0 * around
    z = 0.17 * np.sin(polar) * np.cos(around) * (1 + 0.25 * np.cos(polar))
    lean = 0.55
    x, z = x * np.cos(lean) - sign * z * np.sin(lean), z * np.cos(lean) + sign * x * np.sin(lean)
    return np.stack([sign * (half_width(who, np.zeros(1))[0] + 0.035) + x, y - 0.16, z - 0.16 - 0.10 * y / 0.27], -1)


def build_mesh(who: Identity, detail: float = 1.0) -> Mesh:
    """The whole surface of a person; `detail` scales the number of rows and columns of the head."""
    rows, cols = int(76 * detail), 2 * int(40 * detail) + 1
    y = _levels(who.chin - 0.02, CROWN, rows, (0.0, who.brow_y, who.nose_base, who.mouth_y))[:, None]
    theta = _azimuths(cols)[None, :]
    head = _section(who, y + 0 * theta, theta + 0 * y)
    flat = head[..., 0], head[..., 1]
    head[..., 2] += relief(who, *flat) * np.clip(np.cos(theta) * 1.6, 0, 1)
    chart = np.stack([flat[0], flat[1]], -1)
    beneath = smooth(who.chin + 0.02, who.chin - 0.02, y) + 0 * theta
    parts = [(HEAD, head, chart, 1 - 0.3 * beneath, np.ones((rows, cols)))]

    hair, hair_chart, mask = _hair_grid(who, int(40 * detail), 2 * int(26 * detail) + 1)
    parts.append((HAIR, hair, hair_chart, mask, smooth(-3.4, -1.0, hair[..., 1])))
    torso, torso_chart = _torso_grid(who, 26, 37)
    under = 0.42 + 0.58 * smooth(-1.55, -2.15, torso[..., 1] - 0.25 * torso[..., 2])
    parts.append((TORSO, torso, torso_chart, under, smooth(-2.2, -1.0, torso[..., 1])))
    for sign in () if who.hair_style in ("long", "bob") else (-1.0, 1.0):  # hidden under the hair
        ear = _ear_grid(who, sign, 9, 11)
        parts.append((EAR, ear, ear[..., :2], np.ones(ear.shape[:2]), np.ones(ear.shape[:2])))

    triangles, material, grids, first = [], [], [], 0
    for kind, points, *_ in parts:
        r, c = points.shape[:2]
        index = first + np.arange(r * c).reshape(r, c)
        a, b, d, e = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
        cells = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([d, b, e], -1).reshape(-1, 3)])
        if kind == HAIR:  # cells without hair are not drawn at all
            cells = cells[(mask.ravel()[cells - first] > -0.25).any(1)]
        triangles.append(cells)
        material.append(np.full(len(cells), kind))
        grids.append((first, r, c))
        first += r * c

    def join(i: int, width: int) -> Array:
        return np.concatenate([np.reshape(p[i], (-1, width)) for p in parts])

    return Mesh(
        join(1, 3).astype(np.float32),
        join(2, 2).astype(np.float32),
        join(3, 1)[:, 0].astype(np.float32),
        join(4, 1)[:, 0].astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        np.concatenate(material).astype(np.int32),
        np.array(grids, np.int64),
    )

"""What is painted on the skin in canonical coordinates: tone, brows, beard, shade, and the wrinkle patterns of the
action units.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spikeva.faces.action_units import INDEX
from spikeva.faces.features import brow_line
from spikeva.faces.identity import Identity
from spikeva.faces.mesh import EXPONENT, hairline, half_width, smooth

Array = NDArray[np.float64]
LEFT, RIGHT, BOTTOM, TOP = -1.2, 1.2, -1.85, 1.75
_DENSITY = 100  # texels per unit while painting; reduced to what the picture resolves


@dataclass(frozen=True)
class Wrinkle:
    """One pattern [h, w] at rows `y0` and columns `x0` of the chart, and the weight [A, 2] of each unit in its
    depth.
    """

    y0: int
    x0: int
    pattern: NDArray[np.float32]
    weight: Array
    offset: float


@dataclass(frozen=True)
class SkinTexture:
    """`albedo` [h, w, 3] float32 linear RGB, `wrinkles`, and the chart: texel = ((x - LEFT), (TOP - y)) * density."""

    albedo: NDArray[np.float32]
    wrinkles: tuple[Wrinkle, ...]
    density: float


def value_noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> Array:
    """Smooth noise [h, w] of standard deviation about 1 with features `cell` (rows, columns) texels large."""
    rows, cols = (max(2, round(n / c) + 2) for n, c in zip(shape, cell, strict=True))
    coarse = rng.normal(size=(rows, cols))
    return np.asarray(1.6 * cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))


def paint(who: Identity, density: float) -> SkinTexture:
    """The skin of a person at about `density` texels per unit."""
    h, w = int((TOP - BOTTOM) * _DENSITY), int((RIGHT - LEFT) * _DENSITY)
    x = (LEFT + (np.arange(w) + 0.5) / _DENSITY)[None, :]
    y = (TOP - (np.arange(h) + 0.5) / _DENSITY)[:, None]
    factor = min(1.0, density / _DENSITY)
    small = (round(w * factor), round(h * factor))

    def reduce(a: Array) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(a.astype(np.float32), small, interpolation=cv2.INTER_AREA))

    albedo = _albedo(who, x, y)
    wrinkles = []
    for pattern, weight, offset in _wrinkles(who, x, y):
        p = reduce(pattern)
        rows, cols = np.flatnonzero(np.abs(p).max(1) > 0.01), np.flatnonzero(np.abs(p).max(0) > 0.01)
        if len(rows) == 0:
            continue
        cut = p[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        wrinkles.append(Wrinkle(int(rows[0]), int(cols[0]), np.ascontiguousarray(cut), weight, offset))
    return SkinTexture(np.ascontiguousarray(reduce(albedo)), tuple(wrinkles), small[0] / (RIGHT - LEFT))


def _bump(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    """Gaussian of |x|, y."""
    return np.asarray(np.exp(-0.5 * (((np.abs(x) - cx) / sx) ** 2 + ((y - cy) / sy) ** 2)))


def _albedo(who: Identity, x: Array, y: Array) -> Array:
    rng = who.rng(21)
    shape = (y.size, x.size)
    ax = np.abs(x)
    tone = (
        1
        + 0.035 * value_noise(rng, shape, (30, 30))
        + 0.03 * value_noise(rng, shape, (9, 9))
        + 0.02 * value_noise(rng, shape, (4, 4))
    )
    red = 0.30 * _bump(x, y, 0.55, -0.38, 0.22, 0.18) + 0.25 * _bump(x, y, 0, who.nose_base + 0.1, 0.16, 0.13)
    rgb = who.skin * (tone[..., None] + red[..., None] * np.array([0.15, -0.28, -0.22]))
    spots = value_noise(rng, shape, (5, 5))
    freckles = (
        who.freckles * smooth(1.3, 2.2, spots) * (_bump(x, y, 0.45, -0.28, 0.3, 0.2) + _bump(x, y, 0, -0.3, 0.2, 0.2))
    )
    age_spots = who.age * smooth(1.6, 2.6, value_noise(rng, shape, (11, 11))) * 0.5
    rgb = rgb * (1 - np.clip(0.45 * freckles + 0.35 * age_spots, 0, 0.6))[..., None]
    # shade that does not depend on the light: sockets, nose, lips, chin
    nb, nw, my = who.nose_base, who.nose_width, who.mouth_y
    shade = (
        0.30 * _bump(x, y, who.eye_x - 0.21, 0.05, 0.09, 0.10)
        + 0.14 * _bump(x, y, who.eye_x, 0.12, 0.20, 0.07)
        + (0.10 + 0.16 * who.age) * _bump(x, y, who.eye_x - 0.03, -0.15, 0.17, 0.05)
        + 0.10 * _bump(x, y, 0, nb - 0.05, 0.60 * nw, 0.035)
        + 0.16 * _bump(x, y, 0.155, nb + 0.30, 0.045, 0.20)
        + 0.20 * _bump(x, y, 1.06 * nw, nb + 0.06, 0.028, 0.07)
        + 0.10 * _bump(x, y, 0, my - who.lower_lip - 0.08, 0.22, 0.045)
        + 0.08 * _bump(x, y, 0, (my + nb) / 2 + 0.03, 0.035, 0.09)
        + 0.25 * smooth(0.80, 1.02, ax / np.maximum(half_width(who, y), 0.05)) * smooth(0.4, -0.6, y)
        + 0.28 * smooth(who.hairline - 0.20, who.hairline + 0.02, y) * (who.hair_style not in ("bald", "receding"))
    )
    nostril = np.exp(
        -0.5 * (((ax - 0.40 * nw) / (0.20 * nw)) ** 2 + ((y - nb - 0.012 - 0.12 * (ax - 0.4 * nw)) / 0.020) ** 2)
    )
    rgb = rgb * (1 - np.clip(shade, 0, 0.7))[..., None] * (1 - 0.82 * np.clip(nostril, 0, 1))[..., None]
    rgb = _scalp(who, rng, rgb, x, y)
    if not who.female:
        rgb = _beard(who, rng, rgb, x, y)
    return _brows(who, rng, rgb, x, y)


def _scalp(who: Identity, rng: np.random.Generator, rgb: Array, x: Array, y: Array) -> Array:
    """Roots below the hairline, so that hair does not end like a cap."""
    share = np.clip(np.abs(x) / np.maximum(half_width(who, y), 0.05), 0, 1)
    low, high = hairline(who, np.arcsin(share ** (EXPONENT / 2)))
    middle = smooth(0.95, 0.7, share)  # the chart is squeezed at the side
    grain = 1 + 0.12 * value_noise(rng, low.shape, (8, 2)) * middle
    alpha = np.clip(0.62 * smooth(-0.13, 0.05, np.minimum(y - low, high - y)) * grain, 0, 0.9)[..., None]
    return np.asarray(rgb * (1 - alpha) + alpha * 0.8 * who.hair)


def _beard(who: Identity, rng: np.random.Generator, rgb: Array, x: Array, y: Array) -> Array:
    ax, nb, my = np.abs(x), who.nose_base, who.mouth_y
    side = smooth(-0.50, -0.95, y - 0.55 * np.clip(ax - 0.45, 0, 1) ** 1.2 * 1.4) * smooth(
        0.28, 0.42, ax + 0.35 * smooth(my - 0.05, my - 0.25, y)
    )
    moustache = smooth(nb - 0.07, nb - 0.13, y) * smooth(0.50, 0.36, ax) * smooth(my - 0.12, my, y)
    region = np.clip(np.maximum(side, moustache), 0, 1)
    stubble = 0.12 + 0.78 * smooth(0.55, 0.95, np.array(who.beard))
    grain = np.clip(0.92 + 0.13 * value_noise(rng, region.shape, (3, 3)), 0, 1.2)
    alpha = np.clip(region * stubble * grain, 0, 0.93)[..., None]
    return np.asarray(rgb * (1 - alpha) + alpha * (0.5 * who.hair + 0.12 * who.skin * np.array([0.6, 0.7, 0.8])))


def _brows(who: Identity, rng: np.random.Generator, rgb: Array, x: Array, y: Array) -> Array:
    ax = np.abs(x)
    t = np.clip((ax - 0.13) / (0.80 - 0.13), 0, 1)
    thick = who.brow_thickness * (0.80 + 0.45 * np.sin(np.pi * np.clip(t * 1.15, 0, 1)) - 0.62 * t**1.6)
    d = (y - brow_line(who, x)) / thick
    ends = smooth(0.10, 0.19, ax) * smooth(0.84, 0.74, ax)
    grain = 0.93 + 0.09 * value_noise(rng, d.shape, (2, 4))
    alpha = np.clip(smooth(1.15, 0.35, np.abs(d)) * ends * grain, 0, 0.94)[..., None]
    colour = np.clip(who.hair * 0.65, 0, 0.5 * who.skin + 0.004)
    return np.asarray(rgb * (1 - alpha) + alpha * colour)


def _wrinkles(who: Identity, x: Array, y: Array) -> list[tuple[Array, Array, float]]:
    """(pattern [h, w], weight [A, 2], standing depth): how much darker the skin gets per unit of activation."""
    ax, nb, nw, my, by = np.abs(x), who.nose_base, who.nose_width, who.mouth_y, who.brow_y
    out: list[tuple[Array, Array, float]] = []

    def add(pattern: Array, units: dict[int, float], standing: float = 0.0, halves: bool = True) -> None:
        for side, sign in enumerate((-1.0, 1.0)):
            weight = np.zeros((len(INDEX), 2))
            for unit, k in units.items():
                weight[INDEX[unit], side] = k
            out.append((pattern * smooth(-0.04, 0.04, sign * x) if halves else pattern * 0.5, weight, standing))

    forehead = np.clip(np.sin(52 * (y + 0.05 * np.cos(3 * x))), 0, 1) ** 3
    forehead = forehead * smooth(by + 0.17, by + 0.27, y) * smooth(who.hairline - 0.02, who.hairline - 0.18, y)
    inner = smooth(0.70, 0.30, ax)
    add(forehead * inner, {1: 0.34, 2: 0.14}, 0.13 * who.age)
    add(forehead * (1 - inner) * smooth(0.95, 0.7, ax), {2: 0.30}, 0.08 * who.age)
    furrow = np.exp(-0.5 * ((ax - 0.078 - 0.05 * np.clip(y - 0.26, -0.2, 0.3)) / 0.020) ** 2)
    add(furrow * np.exp(-0.5 * ((y - 0.27) / 0.095) ** 2), {4: 0.55, 9: 0.15}, 0.14 * who.age)
    root = np.clip(np.cos(46 * (y + 0.35 * ax)), 0, 1) ** 2 * _bump(x, y, 0.04, 0.10, 0.10, 0.11)
    side_nose = np.clip(np.cos(40 * (0.75 * y - ax)), 0, 1) ** 2 * _bump(x, y, 0.15, -0.16, 0.06, 0.12)
    add(root + side_nose, {9: 0.55, 4: 0.08})
    dx, dy = ax - who.eye_x - who.eye_width * 0.95, y - 0.0
    r, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    crow = (
        np.clip(np.cos(17 * angle), 0, 1) ** 2
        * smooth(0.05, 0.11, r)
        * smooth(0.34, 0.20, r)
        * smooth(1.0, 0.6, np.abs(angle))
    )
    add(crow, {6: 0.34, 12: 0.05}, 0.14 * who.age)
    under = y + 0.155 + 0.10 * ((ax - who.eye_x) / 0.25) ** 2 * -0.6
    bag = np.exp(-0.5 * (under / 0.018) ** 2) * smooth(0.30, 0.16, np.abs(ax - who.eye_x))
    puff = -0.35 * np.exp(-0.5 * ((under - 0.045) / 0.020) ** 2) * smooth(0.24, 0.12, np.abs(ax - who.eye_x))
    add(bag + puff, {6: 0.34, 7: 0.24, 9: 0.08, 12: 0.05}, 0.10 * who.age)
    t = np.clip(nb + 0.08 - y, 0, 0.70)
    curve = nw + 0.03 + 0.23 * t / 0.55 * (who.mouth_width / 0.375) - 0.02 * (t / 0.55) ** 2
    d = ax - curve
    reach = smooth(nb + 0.12, nb + 0.02, y) * smooth(my - 0.14, my + 0.03, y)
    fold = np.exp(-0.5 * (d / 0.026) ** 2) - 0.42 * np.exp(-0.5 * ((d - 0.085) / 0.055) ** 2)
    add(fold * reach, {12: 0.44, 10: 0.34, 9: 0.28, 14: 0.10}, 0.05 + 0.20 * who.age)
    dimple = np.exp(-0.5 * (((ax - who.mouth_width - 0.055) / 0.022) ** 2 + ((y - my + 0.01) / 0.06) ** 2))
    add(dimple, {14: 0.62, 12: 0.24, 20: 0.15})
    marionette = np.exp(-0.5 * ((ax - who.mouth_width - 0.02 - 0.10 * (my - y)) / 0.022) ** 2) * np.exp(
        -0.5 * ((y - my + 0.15) / 0.09) ** 2
    )
    add(marionette, {15: 0.50, 20: 0.10}, 0.12 * who.age)
    cobbles = (0.5 + 0.5 * np.sin(60 * ax + 9 * np.sin(20 * y))) * (0.5 + 0.5 * np.sin(55 * y + 5 * np.sin(23 * ax)))
    chin = cobbles * _bump(x, y, 0.0, who.chin + 0.20, 0.17, 0.09) + 0.6 * _bump(x, y, 0, my - 0.24, 0.16, 0.03)
    add(chin, {17: 0.26}, halves=False)
    stretch = np.exp(-0.5 * ((ax - who.mouth_width - 0.10 - 0.05 * (my - y)) / 0.03) ** 2) * np.exp(
        -0.5 * ((y - my + 0.06) / 0.16) ** 2
    )
    add(stretch, {20: 0.28, 26: 0.12})
    return out

"""Light, lens and background of the two domains."""

import cv2
import numpy as np
from numpy.typing import NDArray

from spikeva.faces.identity import Identity
from spikeva.faces.render import Scene

Array = NDArray[np.float64]


def _lamp(azimuth: float, elevation: float, colour: Array) -> Array:
    """[6] direction to a lamp and its colour; angles in radians, azimuth to the right of the picture."""
    c = np.cos(elevation)
    return np.array([c * np.sin(azimuth), np.sin(elevation), c * np.cos(azimuth), *colour])


def exposure(who: Identity) -> float:
    """Gain of the light in a picture of `who`: higher for darker skin (chosen here)."""
    luminance = float(who.skin @ [0.299, 0.587, 0.114])
    return (0.34 / (1.1 * luminance)) ** 0.6


def draw_scene(who: Identity, domain: str, rng: np.random.Generator) -> Scene:
    """A scene for one clip: films have any light and a busy background, the nefer-like studio a desk lamp and a grey
    wall.
    """
    if domain == "afew-va-like":
        side = rng.choice([-1.0, 1.0])
        warm = np.array([1.0, 0.95, 0.88]) * np.exp(rng.normal(0, 0.05, 3))
        key = _lamp(side * rng.uniform(0.15, 1.0), rng.uniform(0.15, 0.85), rng.uniform(0.7, 1.1) * warm)
        fill = _lamp(-side * rng.uniform(0.6, 1.3), rng.uniform(-0.1, 0.4), rng.uniform(0.10, 0.35) * warm[::-1])
        ambient = rng.uniform(0.14, 0.32) * np.exp(rng.normal(0, 0.05, 3))
        background = np.zeros((64, 64, 3))
        for cell, amount in ((9, 0.7), (20, 0.5), (40, 0.35)):
            grain = rng.normal(size=(cell, cell, 3)) * 0.35 + rng.normal(size=(cell, cell, 1))
            background += amount * cv2.resize(grain, (64, 64), interpolation=cv2.INTER_CUBIC)
        background = rng.uniform(0.06, 0.22) * np.exp(0.7 * cv2.GaussianBlur(background, (0, 0), 1.2))
        lens = rng.uniform(0.5, 0.7)
    else:
        key = _lamp(rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.8), 1.0 * np.array([1.0, 0.92, 0.80]))
        fill = _lamp(-0.9, 0.2, 0.16 * np.ones(3))
        ambient = np.full(3, 0.22)
        grey = np.linspace(0.34, 0.20, 64)[:, None] * np.linspace(0.9, 1.1, 64)[None, :]
        background = np.repeat(grey[:, :, None], 3, 2)
        lens = 0.75
    gain = exposure(who)
    return Scene(np.stack([key, fill]), ambient, np.ascontiguousarray(background / gain, np.float32), float(lens), gain)

"""The augmentation of a sample: one affine map and one flip for all its frames, the same for every encoding.

It moves whole pixels (nearest neighbour), so that codes, bits and counts stay what they are: no TBR code is averaged
with its neighbour's. Chosen here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Augmentation:
    """Largest changes, drawn uniformly: rotation in degrees, scale as a fraction, shift as a fraction of the side."""

    rotation: float = 10.0
    scale: float = 0.12
    shift: float = 0.08
    flip: bool = True

    def __call__(self, frames: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.generic]:
        """`frames` [..., H, W] moved by one drawn map; pixels that come from outside are 0."""
        height, width = frames.shape[-2:]
        angle, scale, shift_x, shift_y, flip = rng.uniform(-1, 1, 5)
        angle = np.deg2rad(self.rotation * angle)
        scale = 1.0 + self.scale * scale
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        x = np.arange(width) - centre_x - self.shift * shift_x * width
        y = (np.arange(height) - centre_y - self.shift * shift_y * height)[:, None]
        source_x = (np.cos(angle) * x + np.sin(angle) * y) / scale + centre_x
        source_y = (-np.sin(angle) * x + np.cos(angle) * y) / scale + centre_y
        if self.flip and flip > 0:
            source_x = width - 1 - source_x
        column, row = np.rint(source_x).astype(np.intp), np.rint(source_y).astype(np.intp)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        moved = frames[..., np.where(inside, row, 0), np.where(inside, column, 0)]
        moved[..., ~inside] = 0
        return moved

"""Square face crops that stand still for a whole clip: a box that moved would make events of its own."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN = 1.25  # side of the crop over the larger side of the landmarks' box; chosen here: chin and brows well inside


@dataclass(frozen=True)
class Square:
    """A square of pixels; it may reach over the picture's edge."""

    x: int
    y: int
    side: int

    def iou(self, other: "Square") -> float:
        """Intersection over union with another square."""
        width = min(self.x + self.side, other.x + other.side) - max(self.x, other.x)
        height = min(self.y + self.side, other.y + other.side) - max(self.y, other.y)
        inside = max(0, width) * max(0, height)
        return inside / (self.side**2 + other.side**2 - inside)


def square_around(box: tuple[float, float, float, float], margin: float = MARGIN) -> Square:
    """The square about the middle of a box (x0, y0, x1, y1), `margin` times its larger side."""
    x0, y0, x1, y1 = box
    side = max(2, round(margin * max(x1 - x0, y1 - y0)))
    return Square(round((x0 + x1) / 2 - side / 2), round((y0 + y1) / 2 - side / 2), side)


def square_of_landmarks(landmarks: NDArray[np.float32], margin: float = MARGIN) -> Square:
    """One square for a clip: about the union of its landmarks [L, N, 2]; points that are NaN do not count."""
    low, high = np.nanmin(landmarks, axis=(0, 1)), np.nanmax(landmarks, axis=(0, 1))
    return square_around((float(low[0]), float(low[1]), float(high[0]), float(high[1])), margin)


def cut(image: NDArray[np.uint8], square: Square, size: int) -> NDArray[np.uint8]:
    """The square of an image [H, W] at `size` x `size`; beyond the image's edge its border pixels repeat."""
    height, width = image.shape[:2]
    left, top = max(0, -square.x), max(0, -square.y)
    right, bottom = max(0, square.x + square.side - width), max(0, square.y + square.side - height)
    if left or top or right or bottom:
        image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)
    part = image[square.y + top :, square.x + left :][: square.side, : square.side]
    if square.side == size:
        return np.ascontiguousarray(part)
    how = cv2.INTER_AREA if square.side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (size, size), interpolation=how))

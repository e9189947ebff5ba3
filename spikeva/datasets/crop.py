"""Square face crops that stand still for a whole clip: a box that moved would make events of its own."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError

MARGIN = 1.25  # side of the crop over the larger side of the landmarks' box; chosen here: chin and brows well inside


@dataclass(frozen=True)
class Square:
    """A square of pixels; it may reach over the picture's edge."""

    x: int
    y: int
    side: int


def square_around(box: tuple[float, float, float, float], margin: float = MARGIN) -> Square:
    """The square about the middle of a box (x0, y0, x1, y1), `margin` times its larger side."""
    x0, y0, x1, y1 = box
    side = max(2, round(margin * max(x1 - x0, y1 - y0)))
    return Square(round((x0 + x1) / 2 - side / 2), round((y0 + y1) / 2 - side / 2), side)


def square_of_landmarks(landmarks: NDArray[np.float32]) -> Square:
    """One square for a clip: about the union of its landmarks [L, N, 2]; points that are NaN do not count."""
    low, high = np.nanmin(landmarks, axis=(0, 1)), np.nanmax(landmarks, axis=(0, 1))
    return square_around((float(low[0]), float(low[1]), float(high[0]), float(high[1])))


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


def box_of_events(counts: NDArray[np.integer]) -> tuple[float, float, float, float]:
    """The face's box (x0, y0, x1, y1), with about `MARGIN`, in a still camera's event counts per pixel [H, W].

    Lone pixels (hot, noise) fall to a median filter; what stands out of the smoothed noise and is joined at arm's length
    of each other is the moving person; going down from the crown, the first rows that are about as high as wide are the
    head, whose width gives the rest: brows at half a width below the crown, chin at 1.65 widths. A part that ends within
    1.25 widths has no crown (a bald head makes no events there) and starts at the brows. Proportions and thresholds are
    chosen here, on synthetic faces; `benchmarks/nefer_face_box.py` says how well it does. Raises UserError where nothing
    stands out.
    """
    height = counts.shape[0]
    seen = cv2.medianBlur(np.minimum(counts, 8).astype(np.uint8), 3).astype(np.float32)
    density = cv2.GaussianBlur(seen, (0, 0), height / 180)
    level = float(np.median(density))
    noise = 1.4826 * float(np.median(np.abs(density - level)))
    moving = (density > level + max(7 * noise, 0.1)).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(moving)
    moving *= (stats[:, cv2.CC_STAT_AREA] > (height / 45) ** 2)[parts]
    reach = height // 10 | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    padded = cv2.copyMakeBorder(moving, reach, reach, reach, reach, cv2.BORDER_CONSTANT)
    joined = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach]
    number, parts = cv2.connectedComponents(joined)
    mass = np.bincount(parts.ravel(), weights=(density * moving).ravel(), minlength=number)
    mass[0] = 0.0
    if not mass.any():
        raise UserError("no face stands out of these events: there are too few, or they are everywhere")
    person = (parts == mass.argmax()) & (moving > 0) & (seen > 0)  # without the rim that smoothing adds
    rows = np.flatnonzero(person.any(axis=1))
    top, width, left = int(rows[0]), 0, 0
    for row in rows + 1:
        columns = np.flatnonzero(person[top:row].any(axis=0))
        left, width = int(columns[0]), int(columns[-1] - columns[0] + 1)
        if width >= height / 12 and row - top >= 1.15 * width:
            break
    crown = int(rows[-1]) + 1 - top >= 1.25 * width
    low, high = (0.52, 1.65) if crown else (0.0, 1.12)
    return (left, top + low * width, left + width, top + high * width)

"""A picture from its file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_picture(path: Path, flags: int) -> NDArray[Any] | None:
    """The picture [H, W] or, in the order blue, green, red, [H, W, 3] of an image file, as OpenCV's IMREAD flags say; None
    where it cannot be read or decoded."""
    import cv2

    # OpenCV's imread crashes over a name that is no UTF-8, and fills up a JPEG file that is cut short
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    picture: NDArray[Any] | None = cv2.imdecode(data, flags) if len(data) else None
    return picture

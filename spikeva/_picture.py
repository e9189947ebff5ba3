"""A picture from its file."""

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


def read_picture(path: Path, flags: int) -> NDArray[Any] | None:
    """The picture [H, W] or, in the order blue, green, red, [H, W, 3] of an image file, as OpenCV's IMREAD flags say; None
    where it cannot be read or decoded."""
    import cv2

    name = os.fsencode(path)  # of a str that is no UTF-8 it would crash
    picture: NDArray[Any] | None = cv2.imread(name, flags)  # type: ignore[call-overload]  # its types know no bytes
    return picture

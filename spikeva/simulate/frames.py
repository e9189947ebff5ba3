"""Checks of what a user gives: frames and their times."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError

BT601 = (0.299, 0.587, 0.114)
BT601_OF_BYTES = (9798, 19235, 3735)  # of 2**15: OpenCV's
LATEST = 1e12  # s: events count microseconds in 63 bits
LARGEST = 1 << 16  # pixels a side: events have coordinates of 16 bits


def check_frames(frames: Any, name: str = "frames", first: int = 0) -> NDArray[Any]:
    """Luma [T, H, W] as uint8, float32 or float64, from luma or RGB frames. No copy where none is needed.

    RGB [T, H, W, 3] becomes luma by ITU-R BT.601: a pixel of an event camera sees no colour. A tensor on a GPU stays where it is.
    Raises UserError for another shape or type, for values outside 0..255 and for NaN; there frames count from `first`.
    """
    if on_gpu(frames):
        return _check_tensor(frames, name)
    array = check_pictures(frames, name, first)
    return to_luma(array) if array.ndim == 4 else array


def check_scale(frames: Any, name: str = "frames") -> None:
    """Raise UserError where floats of a whole clip lie in 0..1, which is black of 0..255: no pixel would ever fire."""
    if on_gpu(frames):
        return
    array = _array(frames, name)
    if array.dtype.kind == "f" and array.size and 0 < array.max() <= 1:
        raise UserError(f"{name} must be luma in 0..255, got floats of at most {array.max():g}; multiply them by 255")


def check_pictures(frames: Any, name: str = "frames", first: int = 0) -> NDArray[Any]:
    """As `check_frames`, with RGB left as it is."""
    array = _array(frames, name)
    _check_shape(array.shape, name)
    if array.dtype == np.bool_ or not np.issubdtype(array.dtype, np.number) or array.dtype.kind == "c":
        raise UserError(f"{name} must be uint8 or float luma in 0..255, got {array.dtype}")
    if array.dtype != np.uint8:
        low, high = (array.min(), array.max()) if array.size else (0, 0)
        if not (low >= 0 and high <= 255):  # false for NaN, too
            at, *place = np.argwhere(~((array >= 0) & (array <= 255)))[0].tolist()
            raise UserError(
                f"{name} must be luma in 0..255, found {array[(at, *place)]} at index {(first + at, *place)}"
                " (frame, row, column); scale or clip first"
            )
        if array.dtype.kind in "iu":
            array = array.astype(np.uint8)
        elif array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array


def _array(frames: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(frames)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors of types that NumPy lacks
        raise UserError(f"{name} must be an array [T, H, W] of numbers ({error})") from error


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] != 3):
        raise UserError(
            f"{name} must be [T, H, W] luma or [T, H, W, 3] RGB, got shape {shape}"
            + ("; a single picture needs a leading axis" if len(shape) == 2 else "")
        )
    if 0 in shape[1:3]:
        raise UserError(f"{name} have no pixels: shape {shape}")
    if max(shape[1:3]) > LARGEST:
        raise UserError(f"{name} may be at most {LARGEST} pixels wide and high, found {shape[2]} x {shape[1]}")


def check_count(value: Any, name: str) -> None:
    """Raise UserError unless `value`, called `name`, is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UserError(f"{name} must be a whole number of at least 1, got {value!r}")


def on_gpu(frames: Any) -> bool:
    """Whether `frames` are a tensor on a GPU."""
    return bool(getattr(frames, "is_cuda", False))


def _check_tensor(frames: Any, name: str) -> Any:
    import torch

    _check_shape(tuple(frames.shape), name)
    if frames.dtype not in (torch.uint8, torch.float32, torch.float64):
        raise UserError(f"{name} on a GPU must be uint8, float32 or float64 in 0..255, got {frames.dtype}")
    if frames.dtype != torch.uint8 and len(frames):
        low, high = frames.aminmax()
        if not (low >= 0 and high <= 255):  # false for NaN, too
            raise UserError(f"{name} must be luma in 0..255, found {float(low)} to {float(high)}; scale or clip first")
    return frames if frames.ndim == 3 else to_luma_of_tensor(frames)


def to_luma_of_tensor(rgb: Any) -> Any:
    """BT.601 luma [...] of a tensor RGB [..., 3] on any device: the same bits as `to_luma`."""
    import torch

    if rgb.dtype != torch.uint8:
        return _weighted(*rgb.unbind(-1))
    red, green, blue = (part.int() * w for part, w in zip(rgb.unbind(-1), BT601_OF_BYTES, strict=True))
    return (red + green + blue + (1 << 14) >> 15).to(torch.uint8)


def _weighted(red: Any, green: Any, blue: Any) -> Any:
    return red * BT601[0] + green * BT601[1] + blue * BT601[2]


def to_luma(rgb: NDArray[Any]) -> NDArray[Any]:
    """BT.601 luma [...] of RGB [..., 3]; 8-bit stays 8-bit, rounded as OpenCV and v2e do."""
    if rgb.dtype != np.uint8:
        luma: NDArray[Any] = _weighted(*np.moveaxis(rgb, -1, 0))
        return luma
    import cv2

    rows = np.ascontiguousarray(rgb).reshape(-1, rgb.shape[-2], 3)
    grey = cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY) if rgb.size else rows[..., 0]
    return np.asarray(grey).reshape(rgb.shape[:-1])


def check_times(
    timestamps: Any, count: int, after: float | None = None, first: int = 0, name: str = "timestamps"
) -> NDArray[np.float64]:
    """Frame times [count] in seconds, float64.

    Raises UserError for what are no numbers, for another length, for times that are not finite or not in seconds, and for times that
    do not increase (from `after` on); there frames count from `first`.
    """
    try:
        given = np.asarray(timestamps)
        if given.dtype.kind not in "iufO":  # NumPy would take the 40 of 40 ms for seconds
            raise TypeError(f"found {given.dtype}")
        times = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} must be seconds, as numbers ({error})") from error
    if times.shape != (count,):
        raise UserError(f"{name} must be one time in seconds a frame: {count} frames, got shape {times.shape}")
    if not np.isfinite(times).all():
        at = int(np.argmin(np.isfinite(times)))
        raise UserError(f"{name} must be finite seconds, found {times[at]} at frame {first + at}")
    if (np.abs(times) > LATEST).any():
        raise UserError(
            f"{name} must be seconds, found {times[np.abs(times).argmax()]:g}; are these micro- or nanoseconds?"
        )
    steps = np.diff(times, prepend=times[:1] - 1 if after is None else after)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0))
        before = times[at - 1] if at else after
        raise UserError(f"{name} must increase: frame {first + at} is at {times[at]} s, the one before at {before} s")
    return times

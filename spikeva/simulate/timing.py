"""The times v2e gives to a frame's events, and the joining of columns of events."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.events.stream import Columns, empty_columns

MOST_SLOTS = 500_000  # the whole range of 8-bit luma is 28 thresholds of 0.2


def join(parts: Sequence[Columns]) -> Columns:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    t, x, y, p = zip(empty_columns(0), *parts, strict=True)
    return np.concatenate(t), np.concatenate(x), np.concatenate(y), np.concatenate(p)


def check_slots(slots: int, time: float) -> int:
    """`slots`, a frame's largest number of events in one pixel, which compiled engines count up to a limit.

    Raises UserError where it is out of all reason.
    """
    if slots > MOST_SLOTS:
        raise UserError(
            f"a pixel made at least {slots} events in the frame at {time:.6f} s: its state has diverged or its threshold is tiny; "
            "with scidvs=True use frames at most 1 ms apart"
        )
    return slots


def slot_times(start: float, stop: float, slots: int) -> NDArray[np.float32]:
    """v2e's `slots` equal steps of the interval from `start` to `stop` (s), in its float32.

    They are counted from both ends, as torch.linspace does.
    """
    first, last = np.float32(start + (stop - start) / slots), np.float32(stop)
    if slots == 1:
        return np.array([first], np.float32)
    step = (last - first) / np.float32(slots - 1)
    i = np.arange(slots, dtype=np.float32)
    return np.where(i < slots // 2, first + step * i, last - step * i[::-1])


def microseconds(seconds: NDArray[np.floating]) -> NDArray[np.int64]:
    """Whole microseconds, rounded."""
    return np.rint(seconds.astype(np.float64) * 1e6).astype(np.int64)

"""Loops over sorted events, compiled by numba. Step boundaries are known: an event costs its x, y, p and one write."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit
from spikeva.events import EventStream

BLOCK = 1024  # events whose places are found together, by vector instructions, before any of them is written

_jit = njit(cache=True, nogil=True)


def mark(
    events: EventStream, starts: NDArray[np.int64], stops: NDArray[np.int64], codes: NDArray[Any], out: NDArray[Any]
) -> None:
    """out[k, plane] = the OR of codes[j] over the events from starts[k, j] to stops[k, j], else 0; out [K, P, H, W]."""
    _mark(events.x, events.y, events.p, starts, stops, codes, out)


def count(events: EventStream, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint32]) -> None:
    """Add 1 to out[k, plane] at each event of starts[k] to stops[k]; out [K, P, H, W]."""
    _count(events.x, events.y, events.p, starts, stops, out)


def share(
    events: EventStream, starts: NDArray[np.int64], stops: NDArray[np.int64], firsts: NDArray[np.int64], span: int,
    polarity: str, out: NDArray[np.float32],
) -> None:  # fmt: skip
    """out[k] = what the events from starts[k] to stops[k] give to the bins nearest in time; out [K, bins, P, H, W].

    Window k begins at firsts[k] and lasts `span` us. A sum is of whole numbers, and divided by the span in the end.
    """
    _share(events.t, events.x, events.y, events.p, polarity == "signed", starts, stops, firsts, span, out)


# Indices are unsigned, so that numba emits no test for negative ones.
@_jit
def _find_places(x: Any, y: Any, p: Any, shape: Any, places: Any) -> None:
    """places[i] = where event i falls in planes of `shape` [P, H, W] laid end to end: ON, then OFF, or both in one."""
    area, width = np.uint64(shape[1] * shape[2]), np.uint64(shape[2])
    if shape[0] == 1:
        for i in range(len(x)):
            places[i] = y[i] * width + x[i]
    else:
        for i in range(len(x)):
            places[i] = y[i] * width + x[i] + (np.uint64(0) if p[i] else area)


@_jit
def _mark(x: Any, y: Any, p: Any, starts: Any, stops: Any, codes: Any, out: Any) -> None:
    places = np.empty(BLOCK, np.uint64)
    for k in range(starts.shape[0]):
        image = out[k].reshape(-1)
        image[:] = 0  # here, not by np.zeros: the frame is in the cache when its events come
        for j in range(starts.shape[1]):
            code = codes[j]
            for first in range(starts[k, j], stops[k, j], BLOCK):
                last = min(first + BLOCK, stops[k, j])
                _find_places(x[first:last], y[first:last], p[first:last], out.shape[1:], places)
                for i in range(last - first):
                    image[places[i]] |= code


@_jit
def _count(x: Any, y: Any, p: Any, starts: Any, stops: Any, out: Any) -> None:
    places = np.empty(BLOCK, np.uint64)
    for k in range(starts.shape[0]):
        image = out[k].reshape(-1)
        for first in range(starts[k], stops[k], BLOCK):
            last = min(first + BLOCK, stops[k])
            _find_places(x[first:last], y[first:last], p[first:last], out.shape[1:], places)
            for i in range(last - first):
                image[places[i]] += np.uint32(1)


@_jit
def _share(
    t: Any, x: Any, y: Any, p: Any, signed: bool, starts: Any, stops: Any, firsts: Any, span: int, out: Any
) -> None:
    bins, bin_size = out.shape[1], np.uint64(out[0, 0].size)
    sums = np.empty(out[0].size, np.int64)
    places, to_lower, to_upper = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    for k in range(starts.shape[0]):
        sums[:] = 0
        for first in range(starts[k], stops[k], BLOCK):
            last = min(first + BLOCK, stops[k])
            ts, ps = t[first:last], p[first:last]
            _find_places(x[first:last], y[first:last], ps, out.shape[2:], places)
            for i in range(last - first):
                place = (bins - 1) * (ts[i] - firsts[k])  # in bins, times the span
                # vector instructions divide float64, not whole numbers; from a place of 2**53 on, that may be off by one
                lower = np.int64(np.float64(place) / span)
                right = place - lower * span
                over = (right >= span) - (right < 0)
                right -= over * span
                sign = -1 if signed and ps[i] == 0 else 1
                places[i] += np.uint64(lower + over) * bin_size
                to_lower[i], to_upper[i] = sign * (span - right), sign * right
            for i in range(last - first):
                sums[places[i]] += to_lower[i]
                sums[places[i] + bin_size] += to_upper[i]
        grid = out[k].reshape(-1)
        for i in range(len(grid)):
            grid[i] = sums[i] / span

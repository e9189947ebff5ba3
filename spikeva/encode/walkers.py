"""Loops over sorted events, compiled by numba. Step boundaries are known: an event costs its x, y, p and one write."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit
from spikeva.events import EventStream

_jit = njit(cache=True, nogil=True)


def mark(
    events: EventStream, starts: NDArray[np.int64], stops: NDArray[np.int64], codes: NDArray[Any], out: NDArray[Any]
) -> None:
    """out[k, plane] = the OR of codes[j] over the events from starts[k, j] to stops[k, j], else 0; out [K, P, H, W]."""
    if out.shape[1] == 1:
        _mark_merged(events.x, events.y, starts, stops, codes, out)
    else:
        _mark_split(events.x, events.y, events.p, starts, stops, codes, out)


def count(events: EventStream, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint32]) -> None:
    """Add 1 to out[k, plane] at each event of starts[k] to stops[k]; out [K, P, H, W]."""
    _count(events.x, events.y, events.p, out.shape[1] == 1, starts, stops, out)


def share(
    events: EventStream, start: int, stop: int, first: int, span: int, polarity: str, out: NDArray[np.int64]
) -> None:
    """Add span * p to `out` [bins, P, H, W], shared between the two bins nearest in time, for events start to stop."""
    split, signed = polarity == "split", polarity == "signed"
    _share(events.t, events.x, events.y, events.p, split, signed, start, stop, first, span, out)


# Indices are unsigned, so that numba emits no test for negative ones.
@_jit
def _mark_merged(x: Any, y: Any, starts: Any, stops: Any, codes: Any, out: Any) -> None:
    for k in range(starts.shape[0]):
        image = out[k, 0]
        image[:] = 0  # here, not by np.zeros: the frame is in the cache when its events come
        for j in range(starts.shape[1]):
            code = codes[j]
            for i in range(starts[k, j], stops[k, j]):
                image[y[i], x[i]] |= code


@_jit
def _mark_split(x: Any, y: Any, p: Any, starts: Any, stops: Any, codes: Any, out: Any) -> None:
    for k in range(starts.shape[0]):
        images = out[k]
        images[:] = 0
        for j in range(starts.shape[1]):
            code = codes[j]
            for i in range(starts[k, j], stops[k, j]):
                images[np.uint8(1) - p[i], y[i], x[i]] |= code


@_jit
def _count(x: Any, y: Any, p: Any, merge: bool, starts: Any, stops: Any, out: Any) -> None:
    for k in range(starts.shape[0]):
        for i in range(starts[k], stops[k]):
            out[k, np.uint8(0) if merge else np.uint8(1) - p[i], y[i], x[i]] += np.uint32(1)


@_jit
def _share(
    t: Any, x: Any, y: Any, p: Any, split: bool, signed: bool, start: int, stop: int, first: int, span: int, out: Any
) -> None:
    for i in range(start, stop):
        place = (out.shape[0] - 1) * (t[i] - first)
        lower = place // span
        right = place - lower * span
        plane = np.uint8(1) - p[i] if split else np.uint8(0)
        sign = -1 if signed and p[i] == 0 else 1
        out[lower, plane, y[i], x[i]] += sign * (span - right)
        if right:
            out[lower + 1, plane, y[i], x[i]] += sign * right

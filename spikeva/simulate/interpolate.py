"""Sub-frames between video frames, so that events get times finer than the frame interval."""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.registry import unknown
from spikeva.simulate.frames import check_count

METHODS = ("none", "linear", "flow", "v2e-slomo")
STEP = 0.5  # pixels: with steps of one (v2e's) a few per cent more events are lost, with shorter ones hardly fewer
MOST = 128  # sub-frames a frame: beyond 64 pixels a frame no estimate of motion is right
Picture = NDArray[Any]
Timed = tuple[Picture, float]
Moving = tuple[Picture, float, "Pair | None"]


def check_method(method: str, subframes: int | None) -> None:
    """Raises UserError for an unknown method or a bad number of sub-frames."""
    if method not in METHODS:
        raise UserError(unknown("interpolation", method, METHODS))
    if subframes is None:
        return
    check_count(subframes, "subframes")
    if method == "none":
        raise UserError(f"subframes need an interpolation ({', '.join(METHODS[1:])}), got {subframes} with 'none'")


def interpolate(
    frames: Iterable[Timed], method: str = "flow", subframes: int | None = None, threads: int | None = None
) -> Iterator[Timed]:
    """The (luma [H, W], time) of `frames` with sub-frames between them, as float32; `none` passes them as they are.

    `linear` blends, `flow` moves both neighbours along the optical flow (OpenCV's DIS), accelerated as the frame before tells, and
    blends them by nearness. `subframes` steps an interval; None takes as many as keep every pixel's motion below half a pixel a
    step. Two frames and what lies between them are held at a time, and the next frame ("v2e-slomo" holds all: see
    `slomo.interpolate`). `threads` (default: all processors) share out an interval's sub-frames while one of them reads the next
    frame and finds its motion; the pictures do not depend on their number.
    """
    check_method(method, subframes)
    if threads is not None:
        check_count(threads, "threads")
    if method == "none":
        yield from frames
        return
    if method == "v2e-slomo":
        from spikeva.simulate.slomo import interpolate as slomo

        yield from slomo(frames, subframes)
        return
    from spikeva.simulate.engines.compiled import default_threads  # numba

    threads = threads or default_threads()
    timed = _with_motion(frames, _Flow() if method == "flow" or subframes is None else None)
    with ThreadPoolExecutor(threads) as pool:
        if threads > 1:
            timed = _ahead(timed, pool)
        yield from _interpolated(timed, method == "flow", subframes, pool.map if threads > 1 else map)


def _interpolated(
    frames: Iterable[Moving], moves: bool, subframes: int | None, each: Callable[..., Iterable[Picture]]
) -> Iterator[Timed]:
    """`interpolate` by `linear` or, where it `moves`, `flow`; `each` is a `map`."""
    previous: Timed | None = None
    for picture, time, pair in frames:
        if previous is not None:
            first, start = previous
            steps = subframes or (pair.steps() if pair else 1)
            parts = [k / steps for k in range(1, steps)]
            at = pair.at if moves and pair else partial(_blend, first, picture)
            for part, between in zip(parts, each(at, parts), strict=True):
                yield between, start + part * (time - start)
        yield picture, time
        previous = picture, time


def _with_motion(frames: Iterable[Timed], flow: "_Flow | None") -> Iterator[Moving]:
    """The `frames` as float32, their times and, where there is a `flow`, the motion from the frame before.

    Raises UserError for a frame of another size.
    """
    first: Picture | None = None
    pair: Pair | None = None
    for frame, time in frames:
        second = frame.astype(np.float32)
        if first is not None and first.shape != second.shape:
            raise UserError(f"frames changed size within a clip: {first.shape} before, now {second.shape} (H, W)")
        if flow is not None and first is not None:
            pair = Pair(first, second, flow, pair)
        yield second, time, pair
        first = second


def _ahead(frames: Iterator[Moving], pool: Executor) -> Iterator[Moving]:
    """The `frames`, each read on `pool` while the one before is in use."""
    coming = pool.submit(next, frames, None)
    while (frame := coming.result()) is not None:
        coming = pool.submit(next, frames, None)
        yield frame


def _blend(first: Picture, second: Picture, part: float) -> Picture:
    blend: Picture = (1 - np.float32(part)) * first + np.float32(part) * second
    return np.minimum(blend, np.float32(255))  # between white and white rounding makes more


class _Flow:
    """Dense optical flow: DIS (Kroeger et al. 2016), OpenCV's ultrafast preset down to the scale at which a picture has 112 pixels.

    Patches are compared as they are, not less their means: faster, and nearer to the truth where the light does not change.
    """

    _alone = Lock()

    def __init__(self) -> None:
        import cv2

        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._dis.setUseMeanNormalization(False)

    def __call__(self, first: Picture, second: Picture) -> Picture:
        """Motion [H, W, 2] (x, y) in pixels of every pixel of `first` (uint8)."""
        import cv2

        self._dis.setFinestScale(max(0, round(math.log2(min(first.shape) / 112))))
        # DIS may depend on how its work is shared out, and OpenCV's number of threads is the process's
        with self._alone:
            threads = cv2.getNumThreads()
            cv2.setNumThreads(1)
            try:
                flow: Picture = self._dis.calc(first, second, None)
            finally:
                cv2.setNumThreads(threads)
        return flow


class Pair:
    """Two neighbouring frames and the motion between them. With the pair `before` it, motion accelerates; frames to come are not
    looked at, so that a sub-frame never knows more than the frame that ends its interval.
    """

    def __init__(self, first: Picture, second: Picture, flow: _Flow, before: "Pair | None" = None) -> None:
        from spikeva.simulate.warp import motion_layers, spline  # numba

        self.first, self.second = first, second
        self.first_spline: Picture = before.second_spline if before else spline(first)
        self.second_spline: Picture = spline(second)
        a, b = (np.rint(v).astype(np.uint8) for v in (first, second))
        self.moves = min(a.shape) >= 12 and not np.array_equal(a, b)  # DIS needs a patch's room
        self.backward: Picture = flow(b, a) if self.moves else np.zeros((*a.shape, 2), np.float32)
        self.motion, self.longest = motion_layers(self.backward, before.backward if before else None)

    def steps(self) -> int:
        """Number of steps that keeps the motion of each below `STEP`, where flow is the same within a pixel at both ends."""
        return int(min(MOST, max(1, math.ceil(self.longest / STEP))))

    def at(self, part: float) -> Picture:
        """The picture [H, W] float32 at `part` (0..1) of the way."""
        if not self.moves:
            return _blend(self.first, self.second, part)
        from spikeva.simulate.warp import between

        picture: Picture = between(self.first_spline, self.second_spline, self.motion, part)
        return picture

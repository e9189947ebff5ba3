"""Sub-frames between video frames, so that events get times finer than the frame interval."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.registry import did_you_mean

METHODS = ("none", "linear", "flow", "v2e-slomo")
MOST = 64  # sub-frames a frame: beyond 64 pixels a frame no estimate of motion is right
Picture = NDArray[Any]
Timed = tuple[Picture, float]


def check_method(method: str, subframes: int | None) -> None:
    """Raises UserError for an unknown method or a bad number of sub-frames."""
    if method not in METHODS:
        raise UserError(
            f"unknown interpolation {method!r}{did_you_mean(method, list(METHODS))} (there are: {', '.join(METHODS)})"
        )
    if subframes is not None and subframes < 1:
        raise UserError(f"subframes must be at least 1 (or None: as many as the motion needs), got {subframes}")


def interpolate(frames: Iterable[Timed], method: str = "flow", subframes: int | None = None) -> Iterator[Timed]:
    """The (luma [H, W], time) of `frames` with sub-frames between them, as float32; `none` passes them as they are.

    `linear` blends, `flow` warps both neighbours along the optical flow (OpenCV's DIS) and blends what agrees. `subframes` steps
    an interval; None takes as many as keep every pixel's motion below one pixel a step, as v2e does. Two frames are held at a time
    ("v2e-slomo" holds all: see `slomo.interpolate`).
    """
    check_method(method, subframes)
    if method == "none":
        yield from frames
        return
    if method == "v2e-slomo":
        from spikeva.simulate.slomo import interpolate as slomo

        yield from slomo(frames, subframes)
        return
    flow = _Flow()
    previous: Timed | None = None
    for frame, time in frames:
        picture = frame.astype(np.float32)
        if previous is not None:
            first, start = previous
            pair = Pair(first, picture, flow) if method == "flow" or subframes is None else None
            steps = subframes or (pair.steps() if pair else 1)
            for k in range(1, steps):
                part = k / steps
                between = (
                    pair.at(part)
                    if pair is not None and method == "flow"
                    else (1 - np.float32(part)) * first + np.float32(part) * picture
                )
                yield between, start + part * (time - start)
        yield picture, time
        previous = picture, time


class _Flow:
    """Dense optical flow: DIS (Kroeger et al. 2016), OpenCV's ultrafast preset, without its colour weights."""

    def __init__(self) -> None:
        import cv2

        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def __call__(self, first: Picture, second: Picture) -> Picture:
        """Motion [H, W, 2] (x, y) in pixels of every pixel of `first`."""
        flow: Picture = self._dis.calc(first, second, None)
        return flow


class Pair:
    """Two neighbouring frames and the motion between them."""

    def __init__(self, first: Picture, second: Picture, flow: _Flow) -> None:
        import cv2

        self.cv2 = cv2
        self.first, self.second = first, second
        a, b = (np.rint(v).astype(np.uint8) for v in (first, second))
        if np.array_equal(a, b) or min(a.shape) < 12:  # DIS needs a patch's room
            self.forward = self.backward = np.zeros((*a.shape, 2), np.float32)
        else:
            self.forward, self.backward = flow(a, b), flow(b, a)
        rows, columns = np.indices(first.shape, np.float32)
        self.grid = np.stack([columns, rows], axis=2)
        self.forward_error = self._disagreement(self.forward, self.backward)
        self.backward_error = self._disagreement(self.backward, self.forward)

    def steps(self) -> int:
        """Number of steps that keeps the motion of each below one pixel."""
        most = max(float(np.linalg.norm(f, axis=2).max()) for f in (self.forward, self.backward))
        return min(MOST, max(1, math.ceil(most)))

    def at(self, part: float) -> Picture:
        """The picture [H, W] float32 at `part` (0..1) of the way.

        The flow from there to both frames is combined from both flows (Jiang et al. 2018, "Super SloMo", equation 4). Each frame
        weighs by its nearness in time and by how well the two flows agree.
        """
        a = np.float32(part)
        to_first = a * a * self.backward - (1 - a) * a * self.forward
        to_second = (1 - a) * (1 - a) * self.forward - a * (1 - a) * self.backward
        from_first, from_second = self._warp(self.first, to_first), self._warp(self.second, to_second)
        near = (1 - a) / (1 + self.forward_error)
        far = a / (1 + self.backward_error)
        blended: Picture = (near * from_first + far * from_second) / (near + far)
        return np.clip(blended, 0, 255)

    def _warp(self, picture: Picture, flow: Picture) -> Picture:
        cv2 = self.cv2
        warped: Picture = cv2.remap(picture, self.grid + flow, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return warped

    def _disagreement(self, there: Picture, back: Picture) -> Picture:
        """Pixels between a pixel and where it comes to going there and back: large where one frame hides it."""
        returned = self.cv2.remap(
            back, self.grid + there, None, self.cv2.INTER_LINEAR, borderMode=self.cv2.BORDER_REPLICATE
        )
        distance: Picture = np.linalg.norm(there + returned, axis=2)
        return distance

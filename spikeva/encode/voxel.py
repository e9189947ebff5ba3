"""Voxel grid: each event shared between the two nearest points in time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.encode import parameter
from spikeva.encode.base import Encoding, register_encoding
from spikeva.events import EventStream


@register_encoding("voxel")
@dataclass(frozen=True)
class Voxel(Encoding):
    """Grids [K, bins, P, H, W] float32: sum over events of p max(0, 1 - |b - t*|), t* = (bins - 1)(t - start) / span.

    Zhu et al., "Unsupervised Event-Based Learning of Optical Flow, Depth, and Egomotion", CVPR 2019, with the time axis
    spread over the window instead of from its first to its last event. Sums are exact; only their division rounds.
    """

    bins: int = parameter.whole(8, 2, 4096, help="points in time in a window")
    dt: int = parameter.step_length(2500)
    polarity: str = parameter.polarity("signed", "split", "merge")
    stepped = True

    @property
    def grid(self) -> tuple[int, int]:
        return self.bins, self.dt

    def encode(self, events: EventStream, edges: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[Any]:
        from spikeva.encode.walkers import share

        out = np.empty((len(bounds), *self.frame_shape(events.size)), np.float32)
        share(events, bounds[:, 0], bounds[:, -1], edges[:, 0], self.bins * self.dt, self.polarity, out)
        return out

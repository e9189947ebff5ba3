"""Binary frames: the raw spikes, one frame a time step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.encode import parameter
from spikeva.encode.base import Encoding, register_encoding
from spikeva.events import EventStream


@register_encoding("spikes")
@dataclass(frozen=True)
class Spikes(Encoding):
    """Frames [K, steps, P, H, W] uint8: 1 where an event fell on the pixel in that step."""

    steps: int = parameter.whole(8, 1, 4096, help="time steps in a window")
    dt: int = parameter.step_length(2500)
    polarity: str = parameter.polarity("split", "merge")
    stepped = True

    @property
    def grid(self) -> tuple[int, int]:
        return self.steps, self.dt

    def encode(self, events: EventStream, edges: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[Any]:
        return binary_frames(self, events, bounds)


def binary_frames(encoding: Encoding, events: EventStream, bounds: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Frames [K, steps, P, H, W] uint8 with 1 where an event fell."""
    from spikeva.encode.walkers import mark

    out = np.empty((len(bounds), *encoding.frame_shape(events.size)), np.uint8)
    starts, stops = bounds[:, :-1].reshape(-1, 1), bounds[:, 1:].reshape(-1, 1)
    mark(events, starts, stops, np.ones(1, np.uint8), out.reshape(-1, *out.shape[2:]))
    return out

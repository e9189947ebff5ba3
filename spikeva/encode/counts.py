"""Event counts per pixel and time step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.encode import parameter
from spikeva.encode.base import Encoding, register_encoding
from spikeva.events import EventStream


@register_encoding("counts")
@dataclass(frozen=True)
class Counts(Encoding):
    """Counts [K, steps, P, H, W] uint32: how many events fell on the pixel in that step."""

    steps: int = parameter.whole(1, 1, 4096, help="time steps in a window")
    dt: int = parameter.step_length(20000)
    scaling: str = parameter.choice("log1p", "linear", help="a network gets ln(1 + count) or the count")
    polarity: str = parameter.polarity("split", "merge")
    stepped = True

    @property
    def grid(self) -> tuple[int, int]:
        return self.steps, self.dt

    def encode(self, events: EventStream, edges: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[Any]:
        from spikeva.encode.walkers import count

        out = np.zeros((len(bounds), *self.frame_shape(events.size)), np.uint32)
        starts, stops = bounds[:, :-1].reshape(-1), bounds[:, 1:].reshape(-1)
        count(events, starts, stops, out.reshape(-1, *out.shape[2:]))
        return out

    def scale(self, array: NDArray[Any]) -> NDArray[np.float32]:
        return np.log1p(array, dtype=np.float32) if self.scaling == "log1p" else array.astype(np.float32)

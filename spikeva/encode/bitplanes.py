"""The bits of a TBR frame as time steps: exactly what TBR carries, spread in time instead of in value."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.encode import parameter
from spikeva.encode.base import Encoding, register_encoding
from spikeva.encode.spikes import binary_frames
from spikeva.events import EventStream


@register_encoding("bitplanes")
@dataclass(frozen=True)
class BitPlanes(Encoding):
    """Frames [K, bits, P, H, W] uint8, oldest first: frame j is bit j of `tbr` with equal bits, dt and polarity."""

    bits: int = parameter.whole(8, 1, 16, help="time steps in a window, bits of the TBR code")
    dt: int = parameter.step_length(2500)
    polarity: str = parameter.polarity("merge", "split")
    stepped = True

    @property
    def grid(self) -> tuple[int, int]:
        return self.bits, self.dt

    def encode(self, events: EventStream, edges: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[Any]:
        return binary_frames(self, events, bounds)

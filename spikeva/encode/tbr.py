"""Temporal Binary Representation: each pixel's last N steps read as one binary number."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.encode import parameter
from spikeva.encode.base import Encoding, register_encoding
from spikeva.events import EventStream


@register_encoding("tbr")
@dataclass(frozen=True)
class TBR(Encoding):
    """Codes [K, P, H, W]: bit j is 1 where an event fell on the pixel in step j. uint8, or uint16 above 8 bits.

    Innocenti et al., "Temporal Binary Representation for Event-Based Action Recognition", ICPR 2020. Published codes
    disagree on order and divisor, so both are parameters: the authors' group reads the newest step as the most
    significant bit; Bina-Rep (Barchid et al. 2022, as in tonic) reads it as the least.
    """

    bits: int = parameter.whole(8, 1, 16, help="steps in a window, bits of a code")
    dt: int = parameter.step_length(2500)
    order: str = parameter.choice("newest_msb", "newest_lsb", help="which bit the newest step becomes")
    divisor: str = parameter.choice("2^N-1", "2^N", "2^(N-1)", help="a network gets code / divisor")
    polarity: str = parameter.polarity("merge", "split")

    @property
    def grid(self) -> tuple[int, int]:
        return self.bits, self.dt

    @property
    def dtype(self) -> type[np.uint8 | np.uint16]:
        """Type of the codes."""
        return np.uint8 if self.bits <= 8 else np.uint16

    def encode(self, events: EventStream, edges: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[Any]:
        from spikeva.encode.walkers import mark

        codes = (1 << np.arange(self.bits)).astype(self.dtype)
        if self.order == "newest_lsb":
            codes = codes[::-1].copy()
        out = np.empty((len(bounds), *self.frame_shape(events.size)), self.dtype)
        mark(events, bounds[:, :-1], bounds[:, 1:], codes, out)
        return out

    def scale(self, array: NDArray[Any]) -> NDArray[np.float32]:
        divisor = {"2^N-1": 2**self.bits - 1, "2^N": 2**self.bits, "2^(N-1)": 2 ** (self.bits - 1)}[self.divisor]
        scaled: NDArray[np.float32] = np.divide(array, np.float32(divisor), dtype=np.float32)
        return scaled

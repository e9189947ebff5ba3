"""What a simulation made: number of events, rate, polarity, active pixels, traces of compression."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from spikeva.events import EventStream
from spikeva.simulate.blocks import edge_excess


class Summary:
    """Counts events as they pass through `watch`; its text is the summary."""

    def __init__(self) -> None:
        self.on = 0
        self.span: tuple[int, int] | None = None  # us, of the first event and of the last
        self.pixels: NDArray[np.int64] = np.zeros((0, 0), np.int64)

    def watch(self, blocks: Iterable[EventStream]) -> Iterator[EventStream]:
        """`blocks`, counted."""
        for events in blocks:
            counts = events.counts()
            self.pixels = self.pixels + counts if self.pixels.size else counts
            if len(events):
                self.span = self.span[0] if self.span else int(events.t[0]), int(events.t[-1])
            self.on += int(events.p.sum())
            yield events

    def text(self, seconds: float, blocks: bool = True) -> str:
        """One line, for a clip of `seconds`; with `blocks`, of pictures as they were stored, what compression left there."""
        total = int(self.pixels.sum())
        rate = total / seconds
        text = (
            f"{total:,} events in {seconds:.3f} s of {self.pixels.shape[1]} x {self.pixels.shape[0]}: {rate:,.0f} a second, "
            f"{rate / self.pixels.size:.2f} a second and pixel, {self.on / max(total, 1):.0%} ON; "
            f"{np.count_nonzero(self.pixels) / self.pixels.size:.0%} of the pixels active"
        )
        excess = edge_excess(self.pixels)
        if blocks and not math.isnan(excess):
            text += f"; edges of 8 x 8 blocks make {excess:.2f} times the events of other pixels"
        return text

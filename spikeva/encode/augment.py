"""Random changes of a recording: the one place that touches tonic (GPL-3, optional)."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from spikeva.errors import UserError
from spikeva.events import EventStream

_GLOBAL_RANDOM = Lock()
# While tonic works on them: added to whole numbers its jitter is cut towards 0, half a pixel to the upper left on average.
_EXACT = np.dtype([("x", np.float64), ("y", np.float64), ("t", np.float64), ("p", np.bool_)])


@dataclass(frozen=True)
class Augment:
    """`augment(events, seed)` is a changed copy of `events`; the same seed makes the same copy.

    `flip` and `reverse` are the probabilities of a mirror image and of time reversal (within the time from the first
    event to the last, swapping ON and OFF), `drop` is the share of events left out, `jitter_px` and `jitter_us` are the
    standard deviations of each event's place and time. Events that jitter off the sensor are dropped; one may come to lie
    before the first or after the last. Needs tonic.
    """

    flip: float = 0.5
    reverse: float = 0.0
    drop: float = 0.0
    jitter_px: float = 0.0
    jitter_us: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "reverse", "drop"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"augment: {name} must lie in 0..1, found {getattr(self, name)!r}")
        for name in ("jitter_px", "jitter_us"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"augment: {name} must be 0 or more, found {getattr(self, name)!r}")

    def __call__(self, events: EventStream, seed: int | Sequence[int]) -> EventStream:
        array = events.to_structured()
        width, height = events.size
        transforms = self._transforms((width, height, 2))
        if not transforms or not len(array):
            return events
        first = int(array["t"][0])
        array["t"] -= first  # tonic's time reversal ends at 0
        array = array.astype(_EXACT)
        with _GLOBAL_RANDOM:  # tonic draws from numpy's global generator: give it our seed, then what was there
            state = np.random.get_state()  # noqa: NPY002  (tonic's generator)
            np.random.seed(np.random.SeedSequence(seed).generate_state(4))  # noqa: NPY002  (tonic's generator)
            try:
                for transform in transforms:
                    array = transform(array)
            finally:
                np.random.set_state(state)  # noqa: NPY002  (tonic's generator)
        t, x, y = (np.rint(array[name]).astype(np.int64) for name in ("t", "x", "y"))
        inside = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
        kept = inside[np.argsort(t[inside], kind="stable")]
        return EventStream(t[kept] + first, x[kept], y[kept], array["p"][kept], events.size)

    def _transforms(self, sensor: tuple[int, int, int]) -> list[Any]:
        try:
            import tonic.transforms as tt
        except ImportError:
            raise UserError("augmentation needs tonic: pip install 'spikeva[tonic]'") from None
        var = self.jitter_px**2
        steps: list[tuple[float, Any, dict[str, Any]]] = [
            (self.flip, tt.RandomFlipLR, {"sensor_size": sensor, "p": self.flip}),
            (self.reverse, tt.RandomTimeReversal, {"p": self.reverse}),
            (self.drop, tt.DropEvent, {"p": self.drop}),
            (var, tt.SpatialJitter, {"sensor_size": sensor, "var_x": var, "var_y": var}),
            (self.jitter_us, tt.TimeJitter, {"std": self.jitter_us, "clip_negative": False}),
        ]
        return [transform(**kw) for amount, transform, kw in steps if amount]

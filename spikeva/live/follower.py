"""Follows a stream of events and predicts at a steady pace, from the past alone."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikeva.encode import Kind, encode, model_input, span_us
from spikeva.errors import UserError
from spikeva.events import EventStream

if TYPE_CHECKING:
    from torch import nn


class Prediction(NamedTuple):
    """Valence and arousal at a time of the stream (us)."""

    t_us: int
    valence: float
    arousal: float


class Follower:
    """A trained model on a stream of events; the state carried from call to call is the recent events.

    A prediction at time t sees the `frames` windows that end at t, as in training: events at t and later do not count,
    and without `first_us` none is made before that much of the stream has passed.

    Args:
        model: `[1, T, C, H, W] -> [1, 2]`, in evaluation mode.
        encoding: name and parameters, as ``{"encoding": "tbr", "bits": 8, "dt": 5000}``.
        kind: "ann" or "snn".
        frames: number of windows K that the model was trained on.
        every_us: time between predictions; None: one window.
        first_us: time of the first prediction; None: `frames` windows after the first event.
    """

    def __init__(
        self,
        model: "nn.Module",
        encoding: Mapping[str, Any],
        kind: Kind,
        frames: int,
        *,
        every_us: int | None = None,
        first_us: int | None = None,
    ) -> None:
        self.model, self.kind, self.frames = model, kind, frames
        self.name = str(encoding["encoding"])
        self.options = {k: v for k, v in encoding.items() if k != "encoding"}
        self.span_us = span_us(self.name, **self.options)
        self.every_us = self.span_us if every_us is None else every_us
        if self.every_us < 1:
            raise UserError(f"every_us must be at least 1, found {every_us}")
        self._recent: EventStream | None = None
        self._next = first_us

    def push(self, events: EventStream) -> Iterator[Prediction]:
        """The predictions that have become due with these events, which continue the stream where it stood.

        Raises UserError where the events begin before those seen, or come from a sensor of another size.
        """
        if not len(events):
            return
        first = int(events.t[0])
        if self._recent is None:
            self._recent = events
            self._next = first + self.frames * self.span_us if self._next is None else self._next
        else:
            seen = self._recent
            if events.size != seen.size:
                raise UserError(f"the stream came from {seen.size} pixels, these events from {events.size}")
            if len(seen) and first < int(seen.t[-1]):
                raise UserError(f"events at {first} us come after events at {int(seen.t[-1])} us; sort the stream")
            self._recent = EventStream.merge(seen, events)
        assert self._next is not None
        while int(events.t[-1]) >= self._next:
            yield self._predict(self._next)
            self._next += self.every_us
        self._recent = self._recent.slice_time(self._next - self.frames * self.span_us, int(events.t[-1]) + 1)

    def _predict(self, end: int) -> Prediction:
        import torch

        assert self._recent is not None
        ends = end - self.span_us * np.arange(self.frames - 1, -1, -1)
        codes = encode(self._recent, self.name, ends=ends, **self.options)
        inputs = model_input(codes, self.name, self.kind, **self.options)
        with torch.no_grad():
            valence, arousal = self.model(torch.from_numpy(inputs)[None])[0].tolist()
        return Prediction(end, valence, arousal)

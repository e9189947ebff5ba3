"""Follows a stream of events and predicts at a steady pace, from the past alone."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikeva.encode import Kind, channels, encode, model_input, span_us
from spikeva.encode.base import name_and_options
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
    and without `first_us` none is made before that much of the stream has passed. Raises UserError for a model in training
    mode, for unknown names and for numbers below 1.

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
        if getattr(model, "training", False):
            raise UserError(
                "the model is in training mode, in which a prediction draws dropout and changes its norms; call eval()"
            )
        self.model, self.kind, self.frames = model, kind, frames
        self.name, self.options = name_and_options(encoding)
        channels(self.name, kind, **self.options)  # refuses an unknown kind here, not at the first prediction
        self.span_us = span_us(self.name, **self.options)
        self.every_us = self.span_us if every_us is None else every_us
        for name, value in (("frames", frames), ("every_us", self.every_us)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise UserError(f"{name} must be a whole number of at least 1, found {value!r}")
        self._recent: EventStream | None = None
        self._last: int | None = None  # time of the last event seen
        self._next = first_us

    def push(self, events: EventStream) -> Iterator[Prediction]:
        """The predictions that have become due with these events, which continue the stream where it stood.

        The events count from here on, whatever becomes of the iterator; it computes each prediction when asked for it.
        Raises UserError where the events begin before those seen, or come from a sensor of another size.
        """
        if not len(events):
            return iter(())
        first, last = int(events.t[0]), int(events.t[-1])
        if self._recent is not None and events.size != self._recent.size:
            raise UserError(f"the stream came from {self._recent.size} pixels, these events from {events.size}")
        if self._last is not None and first < self._last:
            raise UserError(f"events at {first} us come after events at {self._last} us; sort the stream")
        recent = events if self._recent is None else EventStream.merge(self._recent, events)
        start = first + self.frames * self.span_us if self._next is None else self._next
        due = range(start, last + 1, self.every_us)
        self._last, self._next = last, start + len(due) * self.every_us
        self._recent = recent.slice_time(self._next - self.frames * self.span_us)
        return map(partial(self._predict, recent), due)

    def _predict(self, events: EventStream, end: int) -> Prediction:
        import torch

        ends = end - self.span_us * np.arange(self.frames - 1, -1, -1)
        codes = encode(events, self.name, ends=ends, **self.options)
        inputs = model_input(codes, self.name, self.kind, **self.options)
        with torch.no_grad():
            valence, arousal = self.model(torch.from_numpy(inputs)[None])[0].tolist()
        return Prediction(end, valence, arousal)

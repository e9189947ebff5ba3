"""What every neuron accepts, by name and without torch, so that a config is checked in no time."""

from collections.abc import Callable
from typing import Any, Literal, TypedDict, get_args

Backend = Literal["auto", "fused", "snntorch", "norse"]
Reset = Literal["zero", "subtract", "subtract_delayed"]
BACKENDS: tuple[str, ...] = get_args(Backend)[1:]
RESETS: tuple[str, ...] = get_args(Reset)


class NeuronOptions(TypedDict, total=False):
    """Options that all neurons share; see `spikeva.neurons.Neuron` for their meaning and defaults."""

    theta: float
    learn_theta: bool
    channels: int | None
    reset: Reset
    detach_reset: bool
    surrogate: str | Callable[..., Any]
    slope: float | None
    backend: Backend

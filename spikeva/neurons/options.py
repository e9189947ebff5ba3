"""What every neuron accepts, by name and without torch, so that a config is checked in no time."""

from collections.abc import Callable
from typing import Any, TypedDict

BACKENDS = ("fused", "snntorch", "norse")
RESETS = ("zero", "subtract", "subtract_delayed")


class NeuronOptions(TypedDict, total=False):
    """Options that all neurons share; see `spikeva.neurons.Neuron` for their meaning and defaults."""

    theta: float
    learn_theta: bool
    channels: int | None
    reset: str
    detach_reset: bool
    surrogate: str | Callable[..., Any]
    slope: float | None
    backend: str

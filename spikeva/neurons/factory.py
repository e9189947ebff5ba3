"""Neurons by name, and the choice of a backend."""

from typing import Any

from spikeva.errors import UserError
from spikeva.neurons import NEURONS
from spikeva.neurons.base import Neuron
from spikeva.registry import did_you_mean
from spikeva.signatures import parameters_of


def make_neuron(name: str, **options: Any) -> Neuron:
    """The neuron layer called `name`. Raises UserError for an unknown name or option, with the closest match."""
    if name not in NEURONS:
        raise UserError(NEURONS.unknown(name))
    allowed = sorted(parameters_of(NEURONS, name))
    for option in options:
        if option not in allowed:
            close = did_you_mean(option, allowed)
            raise UserError(f"neuron {name!r} has no option {option!r}{close} (it has: {', '.join(allowed)})")
    built: Neuron = NEURONS.get(name)(**options)
    return built

"""Spiking neurons: dynamics as pure steps, surrogate gradients, and backends that give the same spikes.

`make_neuron("lif", beta=0.9, backend="snntorch")` is a layer [T, B, ...] -> (spikes, state). Names are known without
importing torch; `table()` says what each backend can run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spikeva.registry import Registry

NEURONS: Registry[Any] = Registry(
    "neuron",
    {
        "if": "spikeva.neurons.integrate_fire",
        "lif": "spikeva.neurons.lif",
        "plif": "spikeva.neurons.plif",
        "alif": "spikeva.neurons.alif",
        "cuba": "spikeva.neurons.cuba",
        "rlif": "spikeva.neurons.rlif",
        "glif": "spikeva.neurons.glif",
        "psn": "spikeva.neurons.psn",
        "li": "spikeva.neurons.li",
    },
)
SURROGATES: Registry[Any] = Registry(
    "surrogate",
    dict.fromkeys(
        ("fast_sigmoid", "superspike", "atan", "sigmoid", "triangle", "straight_through"), "spikeva.neurons.surrogates"
    ),
)
register_neuron = NEURONS.register
register_surrogate = SURROGATES.register
list_neurons = NEURONS.names
list_surrogates = SURROGATES.names

_EXPORTS = {
    "Neuron": "base",
    "Run": "base",
    "Rule": "base",
    "make_neuron": "factory",
    "Surrogate": "surrogates",
    "make_surrogate": "surrogates",
    "Support": "backends",
    "support": "backends",
    "table": "backends",
    "Health": "firing",
    "health": "firing",
    "unhealthy": "firing",
}

__all__ = [
    "NEURONS",
    "SURROGATES",
    "Health",
    "Neuron",
    "Rule",
    "Run",
    "Support",
    "Surrogate",
    "health",
    "list_neurons",
    "list_surrogates",
    "make_neuron",
    "make_surrogate",
    "register_neuron",
    "register_surrogate",
    "support",
    "table",
    "unhealthy",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"spikeva.neurons.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'spikeva.neurons' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from spikeva.neurons.backends import Support, support, table
    from spikeva.neurons.base import Neuron, Rule, Run
    from spikeva.neurons.factory import make_neuron
    from spikeva.neurons.firing import Health, health, unhealthy
    from spikeva.neurons.surrogates import Surrogate, make_surrogate

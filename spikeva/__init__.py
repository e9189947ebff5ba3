"""Valence and arousal of faces from event cameras: spiking networks beside their ANN baselines.

Everything public is imported on first use, so that ``import spikeva`` costs milliseconds and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "EventFileError": "spikeva.events",
    "EventStream": "spikeva.events",
    "read_events": "spikeva.events",
    "write_events": "spikeva.events",
    "DVSPixel": "spikeva.simulate",
    "create_model": "spikeva.models",
    "list_models": "spikeva.models",
    "register_model": "spikeva.models",
    "list_neurons": "spikeva.neurons",
    "register_neuron": "spikeva.neurons",
    "register_surrogate": "spikeva.neurons",
    "list_encodings": "spikeva.encode",
    "register_encoding": "spikeva.encode",
}
# `simulate` and `encode` are folders that can be called: see spikeva/_callable.py.
_MODULES = {"datasets", "encode", "evaluation", "events", "faces", "live", "models", "neurons", "report", "simulate"}
_MODULES |= {"study", "testing", "training"}

if TYPE_CHECKING:
    from spikeva._callable import Encode, Simulate
    from spikeva.encode import list_encodings, register_encoding
    from spikeva.events import EventFileError, EventStream, read_events, write_events
    from spikeva.models import create_model, list_models, register_model
    from spikeva.neurons import list_neurons, register_neuron, register_surrogate
    from spikeva.simulate import DVSPixel

    encode: Encode
    simulate: Simulate

__all__ = [
    "DVSPixel",
    "EventFileError",
    "EventStream",
    "__version__",
    "create_model",
    "encode",
    "list_encodings",
    "list_models",
    "list_neurons",
    "read_events",
    "register_encoding",
    "register_model",
    "register_neuron",
    "register_surrogate",
    "simulate",
    "write_events",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    if name in _MODULES:
        return import_module(f"spikeva.{name}")
    raise AttributeError(f"module 'spikeva' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS, *_MODULES})

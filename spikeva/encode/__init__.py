"""Events to tensors: `tbr`, `bitplanes`, `spikes`, `counts`, `voxel`; augmentation of events (through tonic).

``spikeva.encode(events, "tbr", ends=..., bits=8)`` calls `encode`. Names and parameters need neither torch nor numba.
"""

from spikeva._callable import make_callable
from spikeva.encode.augment import Augment
from spikeva.encode.base import (
    Encoding,
    Kind,
    channels,
    create,
    encode,
    list_encodings,
    model_input,
    parameters,
    register_encoding,
    span_us,
    spec,
)
from spikeva.encode.parameter import Parameter

__all__ = [
    "Augment",
    "Encoding",
    "Kind",
    "Parameter",
    "channels",
    "create",
    "encode",
    "list_encodings",
    "model_input",
    "parameters",
    "register_encoding",
    "span_us",
    "spec",
]

make_callable(__name__)

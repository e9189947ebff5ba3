"""Public conformance checks: what every neuron, model, encoding and dataset of spikeva holds, for yours as well.

`check_neuron("mine")` after `@register_neuron("mine")`, and likewise for the others. A check returns nothing where all is
well and raises AssertionError that says what was broken, for which backend, reset and surrogate. The project's own tests
run them over every registered name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "check_dataset": "dataset",
    "check_encoding": "encoding",
    "check_model": "model",
    "check_neuron": "neuron",
}

__all__ = ["check_dataset", "check_encoding", "check_model", "check_neuron"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"spikeva.testing.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'spikeva.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from spikeva.testing.dataset import check_dataset
    from spikeva.testing.encoding import check_encoding
    from spikeva.testing.model import check_model
    from spikeva.testing.neuron import check_neuron

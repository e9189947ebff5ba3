"""From clips to a trained model: samples, loss, the Lightning module, exact resume, predictions."""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "Augmentation": "spikeva.training.augment",
    "EpochSampler": "spikeva.training.data",
    "Windows": "spikeva.training.data",
    "fit": "spikeva.training.fitting",
    "predict": "spikeva.training.prediction",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

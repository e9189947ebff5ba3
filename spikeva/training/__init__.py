"""From clips to a trained model: samples, loss, the Lightning module, exact resume, predictions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Augmentation": "spikeva.training.augment",
    "EpochSampler": "spikeva.training.data",
    "Windows": "spikeva.training.data",
    "fit": "spikeva.training.fitting",
    "predict": "spikeva.training.prediction",
}

__all__ = ["Augmentation", "EpochSampler", "Windows", "fit", "predict"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from spikeva.training.augment import Augmentation
    from spikeva.training.data import EpochSampler, Windows
    from spikeva.training.fitting import fit
    from spikeva.training.prediction import predict

"""Clips with subjects and labels (AFEW-VA, NEFER, the stand-ins), splits without a shared person, work over many clips.

Everything here is imported on first use, so that a worker process starts light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Account": "mapping",
    "WorkerDied": "pool",
    "WorkerPool": "pool",
    "cluster": "mapping",
    "map_clips": "mapping",
    "prepare": "preparing",
    "Clip": "clips",
    "ClipSet": "clips",
    "Split": "clips",
    "standin": "standins",
    "AFEWVA": "afew_va",
    "NEFER": "nefer",
    "Finding": "findings",
}

__all__ = [
    "AFEWVA",
    "NEFER",
    "Account",
    "Clip",
    "ClipSet",
    "Finding",
    "Split",
    "WorkerDied",
    "WorkerPool",
    "cluster",
    "map_clips",
    "prepare",
    "standin",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from spikeva.datasets.afew_va import AFEWVA
    from spikeva.datasets.clips import Clip, ClipSet, Split
    from spikeva.datasets.findings import Finding
    from spikeva.datasets.mapping import Account, cluster, map_clips
    from spikeva.datasets.nefer import NEFER
    from spikeva.datasets.pool import WorkerDied, WorkerPool
    from spikeva.datasets.preparing import prepare
    from spikeva.datasets.standins import standin

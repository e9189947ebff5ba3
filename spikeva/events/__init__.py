"""Events: the checked stream, strict readers and writers (one file a format), the clip store.

Readers, writers and the store are imported on first use: a config is checked without them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spikeva.events.errors import EventFileError
from spikeva.events.stream import EventStream

_EXPORTS = {
    "EventClip": "store",
    "EventFileWarning": "files",
    "EventReader": "reader",
    "ReadReport": "reader",
    "downscale": "pooling",
    "open_events": "files",
    "read_events": "files",
    "read_manifest": "store",
    "write_clip": "store",
    "write_events": "writers",
    "write_manifest": "store",
}

__all__ = [
    "EventClip",
    "EventFileError",
    "EventFileWarning",
    "EventReader",
    "EventStream",
    "ReadReport",
    "downscale",
    "open_events",
    "read_events",
    "read_manifest",
    "write_clip",
    "write_events",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from spikeva.events.files import EventFileWarning, open_events, read_events
    from spikeva.events.pooling import downscale
    from spikeva.events.reader import EventReader, ReadReport
    from spikeva.events.store import EventClip, read_manifest, write_clip, write_manifest
    from spikeva.events.writers import write_events

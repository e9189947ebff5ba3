"""Events: the checked stream, strict readers and writers (one file a format), the clip store."""

from spikeva.events.errors import EventFileError
from spikeva.events.files import EventFileWarning, open_events, read_events
from spikeva.events.reader import EventReader, ReadReport
from spikeva.events.store import EventClip, read_manifest, write_clip, write_manifest
from spikeva.events.stream import EventStream
from spikeva.events.writers import write_events

__all__ = [
    "EventClip",
    "EventFileError",
    "EventFileWarning",
    "EventReader",
    "EventStream",
    "ReadReport",
    "open_events",
    "read_events",
    "read_manifest",
    "write_clip",
    "write_events",
    "write_manifest",
]

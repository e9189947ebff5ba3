"""Events: the checked stream, strict readers and writers (one file a format), the clip store."""

from spikeva.events.errors import EventFileError
from spikeva.events.store import EventClip, read_manifest, write_clip, write_manifest
from spikeva.events.stream import EventStream

__all__ = ["EventClip", "EventFileError", "EventStream", "read_manifest", "write_clip", "write_manifest"]

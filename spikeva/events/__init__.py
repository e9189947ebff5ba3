"""Events: the checked stream, strict readers and writers (one file a format), the clip store."""

from spikeva.events.errors import EventFileError
from spikeva.events.stream import EventStream

__all__ = ["EventFileError", "EventStream"]

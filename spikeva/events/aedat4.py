"""AEDAT4, the files of iniVation's DV software: events of DAVIS and DVXplorer cameras, through the `aedat` package.

The package decodes; that the file is whole is checked here, by walking its packets (docs.inivation.com, "AEDAT 4.0"): a
text line, a flatbuffer with the position of the closing table, then packets of stream, length and bytes.
"""

import struct
from collections.abc import Iterator
from typing import Any

from spikeva.errors import UserError
from spikeva.events.errors import EventFileError
from spikeva.events.reader import TRUNCATED, EventReader
from spikeva.events.stream import EventStream

_MAGIC = b"#!AER-DAT4.0\r\n"
_DAMAGED = "packets that cannot be decoded"


class Aedat4Reader(EventReader):
    """Reads the events of an AEDAT4 file; frames, IMU data and triggers are left out."""

    format = "aedat4"

    def __init__(self, path: Any, size: tuple[int, int] | None, strict: bool) -> None:
        super().__init__(path, size, strict)
        try:
            import aedat
        except ImportError as error:
            remedy = 'Install it: pip install "spikeva[aedat]".'
            raise UserError(f"{path}: reading AEDAT4 needs the package aedat. {remedy}") from error
        self._open = aedat.Decoder
        with open(self.path, "rb") as file:
            start = file.read(len(_MAGIC))
        if start != _MAGIC:
            raise EventFileError(path, "not an AEDAT4 file", "Is it really a recording of DV?", 0)
        self._walk()
        streams = {number: s for number, s in self._decoder().id_to_stream().items() if s["type"] == "events"}
        if not streams:
            raise EventFileError(path, "the file holds no stream of events", "Record with an event output.")
        if len(streams) > 1:
            self.fault(
                "streams beside the first", f"the file holds {len(streams)} streams of events", None, len(streams) - 1
            )
        self._stream = min(streams)
        described = streams[self._stream]
        self.size = self._decide_size((described["width"], described["height"]))

    def _walk(self) -> None:
        """A fault where the packets do not fill the file up to its closing table."""
        with open(self.path, "rb") as file:
            end = file.seek(0, 2)
            file.seek(len(_MAGIC))
            head = file.read(4)
            length = struct.unpack("<I", head)[0] if len(head) == 4 else 0
            header = file.read(min(length, 2**24))
            if len(header) < max(length, 16):
                raise EventFileError(self.path, "the header is cut short", "Copy the file again.", len(_MAGIC))
            offset = len(_MAGIC) + 4 + length
            table = self._table(header)
            if table > end or 0 <= table < offset:
                self.fault(TRUNCATED, f"the closing table is announced at byte {table}", end, max(0, table - end))
            last = table if 0 <= table <= end else end
            while offset < last:
                file.seek(offset)
                packet = file.read(8)
                length = struct.unpack("<iI", packet)[1] if len(packet) == 8 else last
                if offset + 8 + length > last:
                    self.fault(TRUNCATED, "a packet reaches beyond the end of the packets", offset, last - offset)
                    break
                offset += 8 + length

    def _table(self, header: bytes) -> int:
        """Position of the closing table: the second field of the header's flatbuffer; -1 where there is none."""
        try:
            root = struct.unpack_from("<I", header, 0)[0]
            vtable = root - struct.unpack_from("<i", header, root)[0]
            entries = struct.unpack_from("<H", header, vtable)[0]
            field = struct.unpack_from("<H", header, vtable + 6)[0] if entries > 6 else 0
            return int(struct.unpack_from("<q", header, root + field)[0]) if field else -1
        except struct.error:
            raise EventFileError(self.path, "the header is damaged", "Copy the file again.", len(_MAGIC)) from None

    def _decoder(self) -> Any:
        try:
            return self._open(str(self.path))
        except BaseException as error:
            raise self._damage(error) from error

    def _damage(self, error: BaseException) -> BaseException:
        """The error to raise: the package panics with what is no Exception, which a user could not catch."""
        if isinstance(error, KeyboardInterrupt | SystemExit | EventFileError):
            return error
        return EventFileError(self.path, f"the packets cannot be decoded ({error})", "Copy the file again.")

    def blocks(self) -> Iterator[EventStream]:
        self._begin()
        last = None
        packets = iter(self._decoder())
        number = 0
        while True:
            try:
                packet = next(packets, None)
            except BaseException as error:
                damage = self._damage(error)
                if self.strict or not isinstance(damage, EventFileError):
                    raise damage from error
                self.fault(_DAMAGED, damage.found)
                return
            if packet is None:
                return
            number += 1
            if packet["stream_id"] == self._stream:
                e = packet["events"]
                block = self.sound((e["t"], e["x"], e["y"], e["on"]), last, None, f"of packet {number}")
                last = int(block.t[-1]) if len(block) else last
                yield block
            else:
                kind = next(key for key in packet if key != "stream_id")
                self.report.skipped[f"packets of {kind}"] = self.report.skipped.get(f"packets of {kind}", 0) + 1

"""AEDAT4, the files of iniVation's DV software: events of DAVIS and DVXplorer cameras, through the `aedat` package.

The package decodes, in a process of its own since damage can end it. That the file is whole is checked here, by walking its
packets (docs.inivation.com, "AEDAT 4.0"): a text line, a flatbuffer with the position of the closing table, then packets of
stream, length and bytes.
"""

import pickle
import struct
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from importlib.util import find_spec
from typing import Any

from spikeva.errors import UserError
from spikeva.events.errors import EventFileError
from spikeva.events.reader import TRUNCATED, EventReader
from spikeva.events.stream import EventStream

_MAGIC = b"#!AER-DAT4.0\r\n"
_DAMAGED = "packets that cannot be decoded"
_COMPRESSED = (b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd")  # how LZ4 and Zstandard begin, as the closing table may


class Aedat4Reader(EventReader):
    """Reads the events of an AEDAT4 file; frames, IMU data and triggers are left out."""

    format = "aedat4"

    def __init__(self, path: Any, size: tuple[int, int] | None, strict: bool) -> None:
        super().__init__(path, size, strict)
        if find_spec("aedat") is None:
            remedy = 'Install it: pip install "spikeva[aedat]".'
            raise UserError(f"{path}: reading AEDAT4 needs the package aedat. {remedy}")
        with open(self.path, "rb") as file:
            start = file.read(len(_MAGIC))
        if start != _MAGIC:
            raise EventFileError(path, "not an AEDAT4 file", "Is it really a recording of DV?", 0)
        self._walk()
        with closing(self._messages()) as messages:
            table = next(messages)[1]
        streams = {number: s for number, s in table.items() if s["type"] == "events"}
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
        """Counts the whole packets; a fault where they do not fill the file up to its closing table."""
        self._packets = 0
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
            if table >= end or 0 <= table < offset:
                self.fault(TRUNCATED, f"the closing table is announced at byte {table}", end, max(1, table - end))
            elif table >= 0:
                file.seek(table)
                start = file.read(12)
                if not start.startswith(_COMPRESSED) and start[8:] != b"FTAB":
                    found = f"the closing table is announced at byte {table}, where something else stands"
                    self.fault(TRUNCATED, found, table, end - table)
            last = table if 0 <= table <= end else end
            while offset < last:
                file.seek(offset)
                packet = file.read(8)
                length = struct.unpack("<iI", packet)[1] if len(packet) == 8 else last
                if offset + 8 + length > last:
                    self.fault(TRUNCATED, "a packet reaches beyond the end of the packets", offset, last - offset)
                    break
                offset += 8 + length
                self._packets += 1

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

    def _messages(self) -> Generator[tuple[Any, ...]]:
        """What the decoding process says (see `_aedat4_child`); EventFileError where it meets damage or dies of it."""
        command = [sys.executable, "-m", "spikeva.events._aedat4_child", str(self.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            assert child.stdout is not None
            try:
                while True:
                    try:
                        message = pickle.load(child.stdout)
                    except (EOFError, pickle.UnpicklingError):
                        message = ("fault", f"the decoder ended with code {child.wait()}")
                    if message[0] == "end":
                        return
                    if message[0] == "fault":
                        found = f"the packets cannot be decoded ({message[1]})"
                        raise EventFileError(self.path, found, "Copy the file again.")
                    yield message
            finally:
                child.kill()

    def blocks(self) -> Iterator[EventStream]:
        self._begin()
        last = None
        with closing(self._messages()) as messages:
            next(messages)  # the table of streams
            number = 0
            while True:
                try:
                    message = next(messages, None)
                except EventFileError as damage:
                    if self.strict:
                        raise
                    self.fault(_DAMAGED, damage.found, count=max(1, self._packets - number))
                    return
                if message is None:
                    return
                number += 1
                if message[0] == "bad":
                    if number > self._packets and self.report.faults:  # the file's torn end, which has no end
                        return
                    self.fault(_DAMAGED, f"packet {number} cannot be decoded ({message[1]})")
                    continue
                _, stream, kind, e = message
                if stream == self._stream:
                    block = self.sound((e["t"], e["x"], e["y"], e["on"]), last, None, f"of packet {number}")
                    last = int(block.t[-1]) if len(block) else last
                    yield block
                else:
                    self.report.skipped[f"packets of {kind}"] = self.report.skipped.get(f"packets of {kind}", 0) + 1

"""What the AEDAT4 decoder dies of ends nothing but its own process, and a bad packet costs itself alone."""

import os
import re
import struct
from pathlib import Path

import pytest

from spikeva.events import EventFileError, open_events


@pytest.mark.parametrize("strict", [True, False])
def test_a_decoder_that_dies_is_an_error_of_the_file(tmp_path, monkeypatch, strict):
    pytest.importorskip("aedat")
    path = tmp_path / "odd.aedat4"
    path.write_bytes(b"#!AER-DAT4.0\r\n" + (16).to_bytes(4, "little") + bytes(16))
    monkeypatch.setattr("sys.executable", "false")  # a program that ends at once with code 1
    with pytest.raises(
        EventFileError, match=r"odd\.aedat4: the packets cannot be decoded \(the decoder ended with code 1\)"
    ):
        open_events(path, strict=strict).read()


def test_what_the_decoder_says_is_passed_on(tmp_path):
    pytest.importorskip("aedat")
    path = tmp_path / "odd.aedat4"
    path.write_bytes(b"#!AER-DAT4.0\r\n" + (16).to_bytes(4, "little") + bytes(16))
    with pytest.raises(EventFileError, match="cannot be decoded") as error:
        open_events(path)
    assert "ended with code" not in str(error.value)


DECODER = """
import os

class Decoder:
    def __init__(self, path):
        self.number = 0
    def id_to_stream(self):
        return {0: {"type": "events", "width": 4, "height": 3}}
    def __iter__(self):
        return self
    def __next__(self):
        self.number += 1
        if self.number in BAD:
            raise RuntimeError("bad packet")
        if self.number == DEADLY:
            os._exit(3)
        if self.number > 5:
            raise StopIteration
        return {"stream_id": 0, "events": {"t": [self.number], "x": [1], "y": [2], "on": [1]}}
"""


@pytest.mark.parametrize(
    ("bad", "deadly", "times", "count", "found"),
    [
        ("[2, 4]", 0, [1, 3, 5], 2, r"packet 2 cannot be decoded \(bad packet\)"),
        ("range(5, 10**9)", 0, [1, 2, 3, 4], 1, "packet 5 cannot"),  # the file has no more than five
        ("[]", 3, [1, 2], 3, r"the packets cannot be decoded \(the decoder ended with code 3\)"),
        ("[1]", 3, [2], 4, "packet 1 cannot"),
    ],
)
def test_the_packets_left_out_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, deadly: int, times: list[int], count: int, found: str
) -> None:
    """With a decoder that stands in for the package's."""
    (tmp_path / "aedat.py").write_text(f"BAD, DEADLY = {bad}, {deadly}\n{DECODER}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    path = tmp_path / "a.aedat4"
    packets = 5 * struct.pack("<iI", 0, 0)
    path.write_bytes(b"#!AER-DAT4.0\r\n" + (16).to_bytes(4, "little") + bytes(16) + packets)
    with pytest.raises(EventFileError, match=found):
        open_events(path).read()
    reader = open_events(path, strict=False)
    assert reader.read().t.tolist() == times
    assert reader.report.faults == {"packets that cannot be decoded": count}


PLAYER = """
class Decoder:
    def __init__(self, path):
        self.packets = iter(PACKETS)
    def id_to_stream(self):
        return {n: {"type": kind, "width": 5, "height": 3 + n} for n, kind in enumerate(["frame", "events", "events"])}
    def __next__(self):
        return next(self.packets)
"""


def test_one_stream_of_events_is_read_in_order_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, other = {"stream_id": 0, "frame": None}, {"stream_id": 2, "events": {}}
    times = ([1, 5], [2], [3, 6])  # of three packets, the second of which is all too late
    columns = [{"t": t, "x": [3, 0][: len(t)], "y": [2, 1][: len(t)], "on": [0, 1][: len(t)]} for t in times]
    first, late, last = ({"stream_id": 1, "events": c} for c in columns)
    packets = [first, frame, late, other, last, frame]
    (tmp_path / "aedat.py").write_text(f"PACKETS = {packets}\n{PLAYER}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    path = tmp_path / "a.aedat4"
    path.write_bytes(header(-1) + len(packets) * struct.pack("<iI", 0, 0))
    with pytest.raises(EventFileError, match="the file holds 2 streams of events"):
        open_events(path)
    reader = open_events(path, strict=False)
    events = reader.read()
    assert events.size == (5, 4)
    assert [getattr(events, c).tolist() for c in "txyp"] == [[1, 5, 6], [3, 0, 0], [2, 1, 1], [0, 1, 1]]
    assert reader.report.faults == {"streams beside the first": 1, "events whose time steps back": 2}
    assert reader.report.skipped == {"packets of frame": 2, "packets of events": 1}


def header(table: int) -> bytes:
    """The start of a file whose closing table is announced at byte `table`: a flatbuffer of two fields."""
    # the root's place, a vtable at byte 4, the root's table at byte 12
    buffer = struct.pack("<IHHHHiiq", 12, 8, 16, 4, 8, 8, 0, table)
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(buffer)) + buffer


LZ4, ZSTANDARD, PLAIN = b"\x04\x22\x4d\x18 frame", b"\x28\xb5\x2f\xfd frame", b"\x20\0\0\0\x14\0\0\0FTAB"


@pytest.mark.parametrize(
    ("announced", "table"),  # packets that the header leaves before the closing table, of five
    [(5, LZ4), (5, ZSTANDARD), (5, PLAIN), (0, LZ4), (2, ZSTANDARD), (4, PLAIN), (5, b""), (5, b"\0" * 12)],
)
def test_the_closing_table_must_stand_where_it_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: int, table: bytes
) -> None:
    (tmp_path / "aedat.py").write_text(f"BAD, DEADLY = [], 0\n{DECODER}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    packet = struct.pack("<iI", 0, len(LZ4)) + LZ4
    position = len(header(0)) + announced * len(packet)
    path = tmp_path / "a.aedat4"
    path.write_bytes(header(position) + 5 * packet + table)
    if announced == 5 and any(table):
        assert len(open_events(path).read()) == 5
        return
    with pytest.raises(
        EventFileError, match=rf"a\.aedat4, byte {position}: the closing table is announced at byte {position}"
    ):
        open_events(path)
    lost = max(1, (5 - announced) * len(packet) + len(table))
    assert open_events(path, strict=False).report.faults == {"bytes of a truncated end": lost}


@pytest.mark.parametrize("rest", [b"", b"\0\0\0", struct.pack("<iI", 0, 100) + bytes(10)])
def test_a_file_without_a_closing_table_ends_where_its_packets_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    """A recording that broke off: its header, a flatbuffer of one field, announces no table."""
    (tmp_path / "aedat.py").write_text(f"BAD, DEADLY = [], 0\n{DECODER}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    # the root's place, padding, a vtable at byte 6, the root's table at byte 12
    buffer = struct.pack("<IHHHHii", 12, 0, 6, 8, 4, 6, 1)
    start = b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(buffer)) + buffer + 5 * struct.pack("<iI", 0, 0)
    path = tmp_path / "a.aedat4"
    path.write_bytes(start + rest)
    if rest:
        with pytest.raises(EventFileError, match=f"byte {len(start)}: a packet reaches beyond the end of the packets"):
            open_events(path)
    reader = open_events(path, strict=False)
    assert len(reader.read()) == 5
    assert reader.report.faults == ({"bytes of a truncated end": len(rest)} if rest else {})


@pytest.mark.recordings
def test_a_bad_packet_costs_its_own_events_alone(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("aedat")
    whole = shared / "recordings" / "aestream_davis.aedat4"
    content = bytearray(whole.read_bytes())
    packet = re.compile(rb"\0{4}.{4}\x04\x22\x4d\x18", re.DOTALL)  # stream 0, length, the start of an LZ4 frame
    content[[m.end() for m in packet.finditer(content)][5]] ^= 0xFF
    (tmp_path / "a.aedat4").write_bytes(content)
    lengths = [len(block) for block in open_events(whole).blocks()]
    reader = open_events(tmp_path / "a.aedat4", strict=False)
    left = [len(block) for block in reader.blocks()]
    assert len(left) == len(lengths) - 1
    assert set(left) < set(lengths)
    assert reader.report.faults == {"packets that cannot be decoded": 1}

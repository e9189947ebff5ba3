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


def header(table: int) -> bytes:
    """The start of a file whose closing table is announced at byte `table`: a flatbuffer of two fields."""
    buffer = struct.pack(
        "<IHHHHiiq", 12, 8, 16, 4, 8, 8, 0, table
    )  # root, vtable at byte 4, the root's table at byte 12
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

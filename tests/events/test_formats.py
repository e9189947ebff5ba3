"""Event files: every writable format gives back what was written, and says what is wrong with what it cannot read."""

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikeva.errors import UserError
from spikeva.events import (
    EventFileError,
    EventFileWarning,
    EventStream,
    open_events,
    read_events,
    tables,
    write_clip,
    write_events,
)

SIZE = (640, 480)
FORMATS = [("raw", "evt2"), ("raw", "evt3"), ("dat", "dat"), ("h5", "clip"), ("npz", "npz"), ("txt", "txt")]
# around every carry of a time counter: 6, 12, 24, 28 + 6 bits
GAPS = [0, 1, 63, 64, 4095, 4096, 2**24 - 4097, 2**24 - 1, 2**24, 2**25 + 1, 2**33, 2**34 - 1, 2**34, 3 * 2**34 + 7]
DAT_GAPS = [0, 1, 2**20, 2**31 - 1, 2**31]


def random_stream(count: int, seed: int = 0, span_us: int = 100_000) -> EventStream:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, span_us, count))
    return EventStream(t, rng.integers(0, 640, count), rng.integers(0, 480, count), rng.integers(0, 2, count), SIZE)


@st.composite
def streams(draw: st.DrawFn, gaps: list[int]) -> EventStream:
    """Few times, rows and columns, so that vectors, repeats and overflows all occur."""
    n = draw(st.integers(0, 40))
    t = np.cumsum([0, *draw(st.lists(st.sampled_from([0, 0, *gaps]), min_size=n, max_size=n))], dtype=np.int64)[1:]
    column = st.one_of(st.integers(0, 30), st.integers(620, 639))
    x, y, p = (
        draw(st.lists(values, min_size=n, max_size=n))
        for values in (column, st.sampled_from([0, 479]), st.integers(0, 1))
    )
    if draw(st.booleans()):
        x = sorted(x)
    return EventStream(t, *(np.array(c, np.int64) for c in (x, y, p)), size=SIZE)  # type: ignore[arg-type,misc]  # bad on purpose


@pytest.mark.parametrize(("suffix", "name"), FORMATS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_reading_gives_back_what_was_written(tmp_path: Path, suffix: str, name: str, data: st.DataObject) -> None:
    events = data.draw(streams(DAT_GAPS if name == "dat" else GAPS))
    path = tmp_path / f"a.{suffix}"
    cut = data.draw(st.integers(0, len(events)))
    write_events(path, [events[:cut], events[cut:]], format=name)
    assert read_events(path) == events
    reader = open_events(path)
    assert EventStream.merge(EventStream.empty(SIZE), *reader.blocks()) == events
    assert reader.format == name
    assert reader.report.events == len(events)


@pytest.mark.parametrize(
    ("suffix", "name", "side"),
    [("raw", "evt2", 2**11), ("raw", "evt3", 2**11), ("dat", "dat", 2**14), ("txt", "txt", 2**16)],
)
def test_the_farthest_pixels_that_a_format_holds(tmp_path: Path, suffix: str, name: str, side: int) -> None:
    events = EventStream([5, 6], [side - 1, 0], [0, side - 1], [0, 1], (side, side))
    write_events(tmp_path / f"a.{suffix}", events, format=name)
    assert read_events(tmp_path / f"a.{suffix}") == events


@pytest.mark.parametrize("p", [[1, 1], [1, 0], [0, 1]])
def test_a_vector_that_begins_where_the_last_one_ended_has_its_own_polarity(tmp_path: Path, p: list[int]) -> None:
    events = EventStream([5] * 6, [0, 1, 2, 12, 13, 14], [7] * 6, [p[0]] * 3 + [p[1]] * 3, SIZE)
    write_events(tmp_path / "a.raw", events, format="evt3")
    assert read_events(tmp_path / "a.raw") == events


@pytest.mark.parametrize(("suffix", "name"), FORMATS)
def test_many_blocks_of_a_file_make_one_stream(tmp_path: Path, suffix: str, name: str) -> None:
    events = random_stream(300_000)
    write_events(tmp_path / f"a.{suffix}", events, format=name)
    assert read_events(tmp_path / f"a.{suffix}") == events


@pytest.mark.parametrize(
    ("name", "events", "message"),
    [
        ("a.raw", EventStream.empty((2049, 10)), "up to 2048 x 2048"),
        ("a.raw", EventStream(*np.array([[2**44], [0], [0], [0]]), size=SIZE), "from 0 to 2\\^44"),  # type: ignore[arg-type,misc]  # bad on purpose
        ("a.dat", EventStream.empty((10, 2**14 + 1)), "up to 16384 x 16384"),
        ("a.dat", EventStream(*np.array([[5, 2**33 + 5]] + 3 * [[0, 0]]), size=SIZE), "event 1"),  # type: ignore[arg-type,misc]  # bad on purpose
        ("a.raw", EventStream(*np.array([[-1], [0], [0], [0]]), size=SIZE), "from 0 to 2\\^44"),  # type: ignore[arg-type,misc]  # bad on purpose
        ("a.dat", EventStream(*np.array([[2**32], [0], [0], [0]]), size=SIZE), "start below 2\\^32"),  # type: ignore[arg-type,misc]  # bad on purpose
        ("a.dat", EventStream(*np.array([[2**32 - 1, 2**32 + 2**31]] + 3 * [[0, 0]]), size=SIZE), "event 1"),  # type: ignore[arg-type,misc]  # bad on purpose
        ("a.dat", EventStream(*np.array([[-1], [0], [0], [0]]), size=SIZE), "event 0"),  # type: ignore[arg-type,misc]  # bad on purpose
        ("a.bin", EventStream.empty(SIZE), r"choose \.raw, \.dat"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, name: str, events: EventStream, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_events(tmp_path / name, events)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.raw", "evt3"), ("a.RAW", "evt3"), ("a.dat", "dat"), ("a.hdf5", "clip"), ("a.NPZ", "npz"), ("a.txt", "txt")],
)
def test_the_suffix_says_the_format(tmp_path: Path, name: str, found: str) -> None:
    write_events(tmp_path / name, random_stream(5))
    assert open_events(tmp_path / name).format == found


def test_a_clip_of_events_alone_is_as_small_as_any(tmp_path: Path) -> None:
    write_events(tmp_path / "a.h5", random_stream(5))
    write_clip(tmp_path / "b.h5", random_stream(5))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("name", ["a.raw", "a.npz", "a.h5"])
def test_what_are_no_events_is_refused(tmp_path: Path, name: str) -> None:
    for events in ([1, 2], random_stream(3).to_structured(), [random_stream(3), None]):
        with pytest.raises(UserError, match=r"blocks of a recording are EventStreams, found (int|void|NoneType)"):
            write_events(tmp_path / name, events)  # type: ignore[arg-type]  # bad on purpose
    assert not list(tmp_path.iterdir())


def test_unknown_formats_and_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="allowed: evt3, evt2"):
        write_events(tmp_path / "a.raw", EventStream.empty(SIZE), format="evt4")
    with pytest.raises(EventFileError, match="no such file"):
        read_events(tmp_path / "a.raw")
    for name in ("folder.raw", "folder"):
        (tmp_path / name).mkdir()
        with pytest.raises(EventFileError, match="it is a folder"):
            read_events(tmp_path / name)
    with pytest.raises(EventFileError, match=r"Known are \.raw"):
        read_events(tmp_path / "a.es")


# ---------------------------------------------------------------- hand-made words

EVT3_HEADER = b"% evt 3.0\n% geometry 640x480\n% end\n"


def evt3(*words: tuple[int, int]) -> bytes:
    """A file of (type, payload) words."""
    return EVT3_HEADER + np.array([kind << 12 | payload for kind, payload in words], "<u2").tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def rows(events: EventStream) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(events, c).tolist() for c in "txyp"), strict=True))


def test_evt3_words_by_hand(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.raw",
        evt3(
            *[(0x8, 5), (0x6, 7), (0x0, 0x800 | 100), (0x2, 0x800 | 12)],  # an event; bit 11 of a row is the system
            *[(0x8, 5), (0x2, 13)],  # a repeated upper half leaves the lower
            *[(0x3, 0x800 | 30), (0x4, 0b100000000011), (0x5, 0b111110000001), (0x4, 0b1)],  # vectors of 12, 8 and 12
            *[(0xA, 0xF01), (0xE, 1), (0x7, 2), (0xF, 3)],  # a trigger, vendor words
            *[(0x8, 0xFFF), (0x6, 1), (0x2, 1), (0x8, 0), (0x2, 2), (0x6, 9), (0x2, 3)],  # an overflow
        ),
    )
    reader = open_events(path)
    base, top, over = 5 * 4096 + 7, 0xFFF * 4096 + 1, 2**24
    assert rows(reader.read()) == [
        (base, 12, 100, 1),
        (base, 13, 100, 0),
        *[(base, x, 100, 1) for x in (30, 31, 41, 42, 49, 50)],
        (top, 1, 100, 0),
        (over, 2, 100, 0),
        (over + 9, 3, 100, 0),
    ]
    assert reader.triggers.tolist() == [[base, 15, 1]]  # type: ignore[attr-defined]  # bad on purpose
    assert (reader.report.triggers, reader.report.skipped) == (1, {"vendor words": 3})


START = [(0x8, 1), (0x6, 5), (0x0, 4)]


@pytest.mark.parametrize(
    ("words", "bad_word", "message", "sound", "kind"),
    [
        ([*START, (0x9, 0), (0x2, 1)], 3, "type that the format does not know", 1, "words of unknown type"),
        ([(0x0, 4), (0x2, 1), *START, (0x2, 1)], 1, "before the first time", 1, "events before the first time"),
        ([(0x8, 1), (0x2, 1), *START, (0x2, 1)], 1, "row or first column", 1, "events before the first row"),
        ([*START, (0x4, 1), (0x2, 1)], 3, "row or first column", 1, "events before the first row"),
        ([*START, (0x2, 640), (0x2, 1)], 3, "outside the sensor", 1, "events outside the sensor"),
        ([*START, (0x0, 480), (0x2, 1), (0x0, 479), (0x2, 1)], 4, "outside", 1, "events outside the sensor"),
        ([*START, (0x3, 639), (0x4, 3), (0x2, 1)], 4, "outside", 2, "events outside the sensor"),
        (
            [*START, (0x2, 1), (0x6, 4), (0x2, 2), (0x6, 5), (0x2, 3)],
            5,
            "lies before",
            2,
            "events whose time steps back",
        ),
        (
            [*START, (0x2, 1), (0x8, 0), (0x2, 2), (0x8, 1), (0x6, 5), (0x2, 3)],
            5,
            "lies before",
            2,
            "events whose time",
        ),
    ],
)
def test_evt3_faults(
    tmp_path: Path, words: list[tuple[int, int]], bad_word: int, message: str, sound: int, kind: str
) -> None:
    path = write(tmp_path / "a.raw", evt3(*words))
    with pytest.raises(EventFileError, match=message) as error:
        read_events(path)
    assert error.value.offset == len(EVT3_HEADER) + 2 * bad_word
    reader = open_events(path, strict=False)
    assert len(reader.read()) == sound
    assert len(reader.report.faults) == 1
    assert next(iter(reader.report.faults.items()))[0].startswith(kind)
    with pytest.warns(EventFileWarning, match=f"{sound} events, 1 .* left out"):
        read_events(path, strict=False)


def evt2_word(kind: int, t: int = 0, x: int = 0, y: int = 0) -> int:
    return kind << 28 | t << 22 | x << 11 | y


def test_evt2_words_by_hand(tmp_path: Path) -> None:
    words = [
        0x8 << 28 | 3,
        evt2_word(1, 5, 639, 479),
        0xA << 28 | 38 << 22 | 31 << 8 | 1,
        0xE << 28,
        0xF << 28,
        evt2_word(0, 6),
    ]
    words += [0x8 << 28 | 0xFFFFFFF, 0x8 << 28, evt2_word(0, 1)]
    path = write(tmp_path / "a.raw", b"% evt 2.0\n" + np.array(words, "<u4").tobytes())
    reader = open_events(path, SIZE)
    assert rows(reader.read()) == [(3 * 64 + 5, 639, 479, 1), (3 * 64 + 6, 0, 0, 0), (2**34 + 1, 0, 0, 0)]
    assert reader.triggers.tolist() == [[3 * 64 + 38, 31, 1]]  # type: ignore[attr-defined]  # bad on purpose
    assert reader.report.skipped == {"vendor words": 2}
    for bad, message in (
        (evt2_word(0, 4), "lies before"),
        (evt2_word(0, 9, 640), "outside"),
        (evt2_word(0, 9, 0, 480), "outside"),
        (5 << 28, "does not know"),
    ):
        content = b"% evt 2.0\n" + np.array([*words[:2], bad, evt2_word(1, 9)], "<u4").tobytes()
        with pytest.raises(EventFileError, match=message) as error:
            read_events(write(path, content), SIZE)
        assert error.value.offset == 10 + 8
        reader = open_events(path, SIZE, strict=False)
        assert len(reader.read()) == 2
        assert list(reader.report.faults.values()) == [1]


@pytest.mark.parametrize("order", ["little", "legacy"])
@pytest.mark.parametrize("stated", [True, False])
def test_evt21_in_both_word_orders(tmp_path: Path, order: str, stated: bool) -> None:
    words = [(0x8 << 28 | 3, 0), (evt2_word(1, 5, 600, 479), 0x50000001), (evt2_word(0, 6, 32, 1), 0xFFFFFFFF)]
    words += [(0xA << 28 | 7 << 22 | 1, 0), (0xE << 28, 1), (0xF << 28, 1)]  # a trigger, vendor words
    halves = np.array(words, "<u4")
    header = "% evt 2.1\n% geometry 640x480\n"
    header += f"% format EVT21;endianness={order};height=480;width=640\n" * stated
    path = write(tmp_path / "a.raw", header.encode() + (halves if order == "legacy" else halves[:, ::-1]).tobytes())
    assert rows(read_events(path)) == [
        *[(197, x, 479, 1) for x in (600, 628, 630)],
        *[(198, x, 1, 0) for x in range(32, 64)],
    ]
    with pytest.raises(EventFileError, match="ends inside a word"):
        read_events(write(path, path.read_bytes()[:-3]))


def test_evt21_faults(tmp_path: Path) -> None:
    header = b"% evt 2.1\n% geometry 640x480\n% format EVT21;endianness=legacy\n"
    good = [(0x8 << 28 | 3, 0), (evt2_word(1, 5, 10, 7), 3)]
    for bad, message, left in (
        ((evt2_word(1, 4, 10, 7), 7), "lies before", 3),
        ((evt2_word(1, 5, 639, 7), 7), "outside", 2),
        ((evt2_word(1, 5, 10, 480), 3), "outside", 2),
        ((3 << 28, 7), "does not know", 1),
    ):
        path = write(tmp_path / "a.raw", header + np.array([*good, bad], "<u4").tobytes())
        with pytest.raises(EventFileError, match=message):
            read_events(path)
        reader = open_events(path, strict=False)
        assert len(reader.read()) == 2 + (bad[1] == 7 and message == "outside")
        assert list(reader.report.faults.values()) == [left]
    with pytest.raises(EventFileError, match="endianness=little"):
        read_events(write(path, b"% evt 2.1\n% geometry 640x480\n" + bytes(16)))
    assert len(read_events(write(path, b"% evt 2.1\n% geometry 640x480\n% end\n"))) == 0


def test_dat_by_hand(tmp_path: Path) -> None:
    body = struct.pack("<IIII", 7, 1 << 28 | 479 << 14 | 639, 9, 0)
    header = b"% Version 2\n% Width 640\n% Height 480\n"
    path = write(tmp_path / "a.dat", header + b"\x0c\x08" + body)
    assert rows(read_events(path)) == [(7, 639, 479, 1), (9, 0, 0, 0)]
    for bad, message in (
        ((8, 0), "lies before"),
        ((9, 2 << 28), "polarity"),
        ((9, 640), "outside"),
    ):
        with pytest.raises(EventFileError, match=message):
            read_events(write(path, header + b"\x00\x08" + body + struct.pack("<II", *bad)))
    with pytest.raises(EventFileError, match="type 0x0e"):
        read_events(write(path, header + b"\x0e\x08" + body))
    with pytest.raises(EventFileError, match="version 1"):
        read_events(write(path, b"% Version 1\n\x00\x08" + body), SIZE)
    with pytest.raises(EventFileError, match="does not state the sensor's size"):
        read_events(write(path, b"% Version 2\n\x00\x08" + body))


@pytest.mark.parametrize(
    ("name", "header", "words", "half", "half_us"),  # of what a word holds, and of time
    [
        ("a.raw", evt3((0x0, 0)), lambda high: np.array([0x8000 | high, 0x2001], "<u2"), 2**11, 2**23),
        (
            "a.raw",
            b"% evt 2.0\n% geometry 640x480\n",
            lambda high: np.array([0x8 << 28 | high, 1], "<u4"),
            2**27,
            2**33,
        ),
        ("a.dat", b"% Width 640\n% Height 480\n\x0c\x08", lambda time: np.array([time, 1], "<u4"), 2**31, 2**31),
    ],
)
def test_time_that_falls_by_half_its_range_has_overflowed(
    tmp_path: Path, name: str, header: bytes, words: Any, half: int, half_us: int
) -> None:
    path = write(tmp_path / name, header + words(2 * half - 1).tobytes() + words(half - 1).tobytes())
    assert np.diff(read_events(path).t).tolist() == [half_us]
    with pytest.raises(EventFileError, match="lies before"):  # by less, it steps back
        read_events(write(path, header + words(2 * half - 2).tobytes() + words(half - 1).tobytes()))


WORDS = {  # of each format: time that overflows, what is valid for several events, triggers, faults
    "evt3": evt3(
        *[(0xA, 0x100), (0x8, 0xFFF), (0x6, 1), (0x0, 7), (0x2, 0x800 | 5), (0x3, 0x800 | 30), (0x4, 0xFFF)],
        (0xA, 0x201),
        *[(0x4, 0b11), (0x5, 0b10000001), (0x8, 0), (0x2, 6), (0x5, 1), (0x6, 9), (0x4, 5), (0x9, 0), (0x2, 8)],
        *[(0x6, 8), (0x2, 9), (0xA, 0x300), (0x0, 480), (0x2, 10), (0x0, 9), (0x6, 9), (0x2, 11)],
    ),
    "evt2": b"% evt 2.0\n% geometry 640x480\n"
    + struct.pack(
        "<12I",
        *[evt2_word(0, 3), 0xA << 28, 0x8FFFFFFF, evt2_word(1, 5, 3, 4), 0xA << 28 | 6 << 22 | 1, 0x80000000],
        *[evt2_word(1, 9, 5), 0x80000000, 0x80000001, evt2_word(0, 0, 6), 0x80000000, evt2_word(0, 63, 7)],
    ),
    "evt21": b"% evt 2.1\n% geometry 640x480\n% format EVT21;endianness=legacy\n"
    + struct.pack(
        "<16I",
        *[evt2_word(0, 3), 1, 0x8FFFFFFF, 0, evt2_word(1, 5, 3, 4), 0xF000000F, 0x80000000, 0],
        *[evt2_word(1, 9, 5), 5, evt2_word(1, 8, 5), 7, evt2_word(1, 8, 5), 7, evt2_word(0, 9, 638), 15],
    ),
    "dat": b"% Width 640\n% Height 480\n\x0c\x08"
    + struct.pack("<16I", 2**32 - 2, 1, 2, 1 << 28 | 5, 1, 6, 9, 700, 10, 7, 2**32 - 3, 8, 5, 9, 6, 9),
}


@pytest.mark.parametrize(
    ("name", "events", "triggers"), [("evt3", 23, 2), ("evt2", 3, 1), ("evt21", 12, 0), ("dat", 6, 0)]
)
def test_blocks_may_end_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, events: int, triggers: int
) -> None:
    """What a word says of those after it holds beyond the block that it is read in."""
    path, found = write(tmp_path / ("a.dat" if name == "dat" else "a.raw"), WORDS[name]), []
    for words in (100, 1, 2, 3):
        monkeypatch.setattr("spikeva.events.prophesee.BLOCK", words)
        reader = open_events(path, strict=False)
        blocks = [row for block in reader.blocks() for row in rows(block)]
        assert rows(reader.read()) == blocks
        found.append((blocks, reader.triggers.tolist(), reader.report))  # type: ignore[attr-defined]  # of a file of words
    assert found[1:] == found[:1] * 3
    assert [len(part) for part in found[0][:2]] == [events, triggers]
    assert found[0][2].faults


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "the file is empty"),
        (b"\x00\x01", "does not start with a Prophesee header"),
        (b"% Date 2020", "the header does not end"),
        (b"% Date \xff\xfe\n", "not text"),
        (b"% Date 2020\n% end\n", "names no EVT format"),
        (b"% evt 4.0\n% end\n", r"names no EVT format that is known \(4.0\)"),
        (b"% evt 3.0\n% format EVT2;width=3;height=4\n", "both EVT2 and EVT 3.0"),
        (b"% evt 3.0\n% plugin_name hal_plugin_gen4\n", r"hal_plugin_gen4 has 1280 x 720"),
        (b"% evt 3.0\n% geometry 640\n", "states a sensor of"),
        (b"% format EVT3;width=640\n", "states a sensor of '640' x None"),
        (b"% format EVT3;height=480\n", "states a sensor of None x '480'"),
        (b"% format EVT21;endianness=big;width=3;height=4\n", "endianness 'big'.*Known are 'little' and 'legacy'"),
        (b"% evt 3.0\n% geometry 0x5\n", "impossible sensor size"),
        (b"% format EVT3;width=3;height=4\n% geometry 5x4\n", "several sensor sizes"),
        (b"% evt 3.0\n% geometry 5x4\n% event_count x\n% end\n", "'event_count' is 'x'"),
        (b"% evt 3.0\n% geometry 5x4\n", "the file ends within the header"),
    ],
)
def test_headers_that_do_not_do(tmp_path: Path, header: bytes, message: str) -> None:
    with pytest.raises(EventFileError, match=message):
        read_events(write(tmp_path / "a.raw", header))


def test_a_size_that_contradicts_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.raw", evt3(*START, (0x2, 5)))
    assert read_events(path, SIZE).size == SIZE
    with pytest.raises(EventFileError, match=r"states a sensor of \(640, 480\), size=\(320, 240\)"):
        read_events(path, (320, 240))
    with pytest.warns(EventFileWarning, match="size overruled"):
        assert read_events(path, (320, 240), strict=False).size == (320, 240)


@pytest.mark.parametrize(("suffix", "name"), FORMATS)
def test_truncated_files_never_pass_as_whole(tmp_path: Path, suffix: str, name: str) -> None:
    write_events(tmp_path / f"whole.{suffix}", random_stream(2_000), format=name)
    whole = (tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"a.{suffix}"
    for length in np.random.default_rng(0).integers(0, len(whole), 40):
        with pytest.raises(EventFileError):
            read_events(write(path, whole[:length]))
    if name in ("evt2", "evt3", "dat", "txt"):
        reader = open_events(write(path, whole[:-3]), strict=False)
        assert len(reader.read()) == reader.report.events >= 1_998
        assert reader.report.faults["events missing or too many"] == 2_000 - reader.report.events


@pytest.mark.parametrize(("suffix", "name"), FORMATS)
def test_files_that_end_within_the_header(tmp_path: Path, suffix: str, name: str) -> None:
    for count in (0, 2):
        write_events(tmp_path / f"whole.{suffix}", random_stream(2)[:count], format=name)
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        for length in range(min(len(whole) - 1, 120)):  # a last line's end may be missing
            path = write(tmp_path / f"a.{suffix}", whole[:length])
            with pytest.raises(EventFileError):
                read_events(path)
    (tmp_path / "a.txt").write_bytes(b"# nothing was seen\n")
    assert len(read_events(tmp_path / "a.txt", SIZE)) == 0


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("suffix", ["h5", "npz"])
@pytest.mark.parametrize("damage", ["cut short", "changed", "empty"])
def test_containers_are_sound_or_refused(tmp_path: Path, suffix: str, damage: str) -> None:
    rng = np.random.default_rng(0)
    stream = EventStream(np.arange(4000), *(rng.integers(0, n, 4000) for n in (*SIZE, 2)), SIZE)
    write_events(tmp_path / f"a.{suffix}", stream)
    whole = bytearray((tmp_path / f"a.{suffix}").read_bytes())
    whole[len(whole) // 2] ^= 255
    content = {"cut short": whole[:-5], "changed": whole, "empty": b""}[damage]
    path = write(tmp_path / f"b.{suffix}", bytes(content))
    for strict in (True, False):
        with pytest.raises(EventFileError, match=f"b.{suffix}"):
            read_events(path, strict=strict)


def test_v2e_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events"] = np.array([[5, 639, 0, 1], [5, 0, 479, 0]], np.uint32)
    assert rows(read_events(tmp_path / "a.h5", SIZE)) == [(5, 639, 0, 1), (5, 0, 479, 0)]
    with pytest.raises(EventFileError, match="does not state"):
        read_events(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events"] = np.array(
            [[5, 640, 0, 1], [4, 0, 479, 0], [3, 0, 479, 0], [6, 1, 1, 3], [7, 1, 1, 1]], np.uint32
        )
    with pytest.raises(EventFileError, match="time steps back: event 1"):
        read_events(tmp_path / "a.h5", SIZE)
    reader = open_events(tmp_path / "a.h5", SIZE, strict=False)
    assert rows(reader.read()) == [(7, 1, 1, 1)]
    assert list(reader.report.faults.values()) == [2, 1, 1]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events"] = np.ones((3, 5), np.uint32)
    with pytest.raises(EventFileError, match="without events in a known layout"):
        read_events(tmp_path / "a.h5", SIZE)


def test_dsec_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in (("t", [1, 2]), ("x", [3, 4]), ("y", [5, 6]), ("p", [0, 1])):
            file[f"events/{name}"] = np.array(values, np.uint32 if name == "t" else np.uint16)
        file["ms_to_idx"] = np.array([0], np.uint64)
        file["t_offset"] = np.int64(10**12)
    assert rows(read_events(tmp_path / "a.h5", SIZE)) == [(10**12 + 1, 3, 5, 0), (10**12 + 2, 4, 6, 1)]
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["events/t"]
        file["events/t"] = np.array([0.25, 1.75])  # seconds
    with pytest.raises(EventFileError, match="column t is float64"):
        read_events(tmp_path / "a.h5", SIZE)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["frames"] = np.zeros(3)
    with pytest.raises(EventFileError, match=r"HDF5 with \['frames'\]"):
        read_events(tmp_path / "a.h5", SIZE)


@pytest.mark.parametrize("offset", [np.int64(10**12), np.array([10**12]), np.array([[10**12]], np.uint64), -5])
def test_dsec_offset_in_any_shape(tmp_path: Path, offset: Any) -> None:
    first = int(np.ravel(offset)[0])
    assert read_events(dsec(tmp_path / "a.h5", [1, 2], offset), SIZE).t.tolist() == [first + 1, first + 2]


@pytest.mark.parametrize(
    ("t", "offset", "message"),
    [
        ([1, 2], np.float64(1.5), r"t_offset is float64 of shape \(\), one whole number"),
        ([1, 2], np.array([1, 2]), r"t_offset is int64 of shape \(2,\)"),
        ([1, 2**63], 0, "times from 1 to 9223372036854775808 us, which 64 bits do not hold"),
        ([1, 2**63 - 2], 5, "times from 6 to 9223372036854775811 us"),
    ],
)
def test_dsec_times_that_do_not_do(tmp_path: Path, t: list[int], offset: Any, message: str) -> None:
    for strict in (True, False):
        with pytest.raises(EventFileError, match=message):
            open_events(dsec(tmp_path / "a.h5", t, offset), SIZE, strict=strict).read()


def dsec(path: Path, t: list[int], offset: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in (("t", t), ("x", [3, 4]), ("y", [5, 6]), ("p", [0, 1])):
            file[f"events/{name}"] = np.array(values, np.uint64 if name == "t" else np.uint16)
        file["t_offset"] = offset
    return path


@pytest.mark.parametrize("layout", ["clip", "v2e", "dsec"])
def test_hdf5_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    monkeypatch.setattr(tables, "_ROWS", 4)
    events, path = random_stream(10), tmp_path / "a.h5"
    if layout == "clip":
        write_events(path, events)
    with h5py.File(path, "a") as file:
        if layout == "v2e":
            file["events"] = np.array(rows(events), np.uint32)
        elif layout == "dsec":
            for name in "txyp":
                file[f"events/{name}"] = getattr(events, name) - (1000 if name == "t" else 0)
            file["t_offset"] = 1000
    reader = open_events(path, SIZE)
    assert [rows(block) for block in reader.blocks()] == [rows(events[first : first + 4]) for first in (0, 4, 8)]
    assert reader.read() == events
    assert reader.report.events == 10  # of the last pass alone


def test_hdf5_whose_time_steps_back_between_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_ROWS", 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events"] = np.array([(1, 1, 1, 1), (9, 2, 2, 1), (10, 640, 0, 1), (11, 640, 0, 1), (5, 3, 3, 0)])
    reader = open_events(tmp_path / "a.h5", SIZE, strict=False)
    for _ in range(2):
        assert rows(reader.read()) == [(1, 1, 1, 1), (9, 2, 2, 1)]
        assert reader.report.faults == {"events outside the sensor": 2, "events whose time steps back": 1}


def test_text_whose_time_steps_back_between_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikeva.events.text._READ_BYTES", 16)
    rest = b"50 640 0 1\n51 640 0 1\n35 4 5 0\n45 4 5 0\n"  # a block of which nothing is sound, and one that steps back
    path = write(tmp_path / "a.txt", b"10 2 3 1\n20 2 3 1\n15 4 5 0\n30 4 5 0\n40 4 5 0\n41 4 5 9\n%b" % rest)
    with pytest.raises(EventFileError, match="time steps back: event 0 of the lines from there on") as error:
        read_events(path, SIZE)
    assert error.value.offset == 18
    reader = open_events(path, SIZE, strict=False)
    assert reader.read().t.tolist() == [10, 20, 30, 40, 45]
    assert sum(reader.report.faults.values()) == 5


def test_dsec_columns_of_unequal_length(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match="columns of unequal length"):
        read_events(dsec(tmp_path / "a.h5", [1, 2, 3], 0), SIZE)


def test_npz_of_others(tmp_path: Path) -> None:
    s = random_stream(50)
    np.savez(tmp_path / "a.npz", events=s.to_structured())
    assert read_events(tmp_path / "a.npz", SIZE) == s
    np.savez(tmp_path / "a.npz", t=s.t, x=s.x.astype(np.float32), y=s.y, p=s.p)
    with pytest.raises(EventFileError, match="column x is float32"):
        read_events(tmp_path / "a.npz", SIZE)
    for name, array in (("frames", s.t), ("events", s.t), ("events", np.zeros(3, [("t", "i8"), ("x", "i2")]))):
        np.savez(tmp_path / "a.npz", **{name: array})
        with pytest.raises(EventFileError, match=rf"arrays \['{name}'\]"):
            read_events(tmp_path / "a.npz", SIZE)


def test_nobody_is_told_to_run_the_code_of_a_file(tmp_path: Path) -> None:
    """As NumPy does of whatever is no array."""
    path = tmp_path / "a.npz"
    path.write_text("no archive")
    np.savez(tmp_path / "objects.npz", t=np.array([None, {}]))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for file in tmp_path.iterdir():
        with pytest.raises(EventFileError, match=r"not a readable \.npz file \(no archive of plain arrays\)"):
            open_events(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.003811000 96 133 0\n0.003820001 127 171 1\n", [(3811, 96, 133, 0), (3820, 127, 171, 1)]),
        ("# comment\n\n12,3,4,-1\r\n13,3,4,1\r\n", [(12, 3, 4, 0), (13, 3, 4, 1)]),
        ("640 480\n1 2 3 1", [(1, 2, 3, 1)]),
        ("1e-3 2 3 1\n2E0 5 6 1\n", [(1000, 2, 3, 1), (2_000_000, 5, 6, 1)]),
        ("1.001 2 3 1\n8.2 5 6 1\n", [(1_001_000, 2, 3, 1), (8_200_000, 5, 6, 1)]),  # 1000999.99... and 8199999.99...
        ("640 480\n" + "# a long story\n" * 400 + "0.5 2 3 1\n", [(500_000, 2, 3, 1)]),
        (f"# {'-' * 4085}\n1000000 2 3 1\n", [(1_000_000, 2, 3, 1)]),
        (
            "0.0000005 2 3 1\n0.0000015 5 6 1\n1468939993.06845150000 7 8 1\n1468939993.068453500000000001 7 8 1\n",
            [(0, 2, 3, 1), (2, 5, 6, 1), (1468939993068452, 7, 8, 1), (1468939993068454, 7, 8, 1)],
        ),
        ("1468939993068451 2 3 1\n", [(1468939993068451, 2, 3, 1)]),
        ("-0.5 2 3 1\n-0.0000015 2 3 0", [(-500_000, 2, 3, 1), (-2, 2, 3, 0)]),
    ],
)
def test_text_dialects(tmp_path: Path, text: str, expected: list[tuple[int, ...]]) -> None:
    assert rows(read_events(write(tmp_path / "a.txt", text.encode()), SIZE)) == expected


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("1 2 3 1\n2 3 1\n3 4 5 0\n", 8, "a line that is no event"),
        ("1 2 3 1\n2.5 2 3 1\n3 4 5 0\n", 8, "t in us"),
        ("1 2 3 1\n2 2 3 7\n3 4 5 0\n", 0, "polarity"),
        ("1 2 3 1\n0 2 3 1\n3 4 5 0\n", 0, "time steps back: event 1"),
        ("1 2 3 1\n2 2 3 1 9\n3 4 5 0\n", 8, "no event"),
        ("1 2 3 1\n9223372036854775808 2 3 1\n3 4 5 0\n", 8, "beyond 64 bits of microseconds: b'9223372036854775808 2"),
        ("1e-6 2 3 1\n1e20 2 3 1\n3e-6 4 5 0\n", 11, "beyond 64 bits of microseconds: b'1e20 2 3 1'"),
        ("1e-6 2 3 1\n-9223372036855 2 3 1\n3e-6 4 5 0\n", 11, "beyond 64 bits"),
    ],
)
def test_text_faults(tmp_path: Path, text: str, offset: int, message: str) -> None:
    path = write(tmp_path / "a.txt", text.encode())
    with pytest.raises(EventFileError, match=message) as error:
        read_events(path, SIZE)
    assert error.value.offset == offset
    reader = open_events(path, SIZE, strict=False)
    assert rows(reader.read()) == [(1, 2, 3, 1), (3, 4, 5, 0)]
    assert list(reader.report.faults.values()) == [1]


TIMES = (
    "5 08 -7 - x 1e2 111111111111 1111111111111 1. .5 0.5 -0.0000025 1.0000016 1.0000014 1.0000015 1.0000025 1.00000250"
)
TIMES += " 1.00000251 1.000000499 1.000001500000000000000001 999999999999999999 9999999999999999999"
PARTS = [  # of a line, the usual one first
    ["", " ", "\t ", ",", "#", "x"],
    [*TIMES.split(), ""],
    *[[" ", "\t", ", ", ",,", "", "\r", "\x0b", "#"], ["2", "08", "-1", "-7", "1" * 9, "1" * 10, "1.0", "x", ""]] * 3,
    ["\n", "\r\n", "\r", " \r \n", " \n\t\n", "\t\n# ..\n", " 1\n", ""],
]


@pytest.mark.parametrize("first", ["1 1 2 1\n", "1.0 1 2 1\n"])
def test_text_is_read_alike_by_compiled_code(tmp_path: Path, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same events and faults as by regular expressions alone, which all lines go through where one is unusual."""
    reader: Any = open_events(write(tmp_path / "a.txt", first.encode()), SIZE, strict=False)
    usual = [part[0] for part in PARTS]
    lines = ["".join([*usual[:i], other, *usual[i + 1 :]]) for i, part in enumerate(PARTS) for other in part]

    def parsed(line: str) -> tuple[Any, ...]:
        reader._begin()
        return [c.tolist() for c in reader._parse(line.encode(), 0)], reader.report.first_fault

    found = [parsed(line) for line in lines]
    monkeypatch.setattr("spikeva.events.text.plain_events", lambda *_: -1)
    for line, events in zip(lines, found, strict=True):
        assert parsed(line) == events, repr(line)


def test_usual_text_is_read_by_compiled_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikeva.events.text.TextReader._event", None)
    text = b"1 2 3 1\n\r\n #!\n12,3\t,4 -1 \r\n123456789012345678 4 5 0"
    assert rows(read_events(write(tmp_path / "a.txt", text), SIZE))[1:] == [
        (12, 3, 4, 0),
        (123456789012345678, 4, 5, 0),
    ]


def test_text_holds_any_time(tmp_path: Path) -> None:
    zero = [0] * 4
    s = EventStream([-(2**63), -(10**18), 10**18, 2**63 - 1], zero, zero, zero, SIZE)  # type: ignore[arg-type]  # lists do
    write_events(tmp_path / "a.txt", s)
    assert read_events(tmp_path / "a.txt") == s


def test_text_with_the_line_ends_of_windows(tmp_path: Path) -> None:
    s = random_stream(50)
    write_events(tmp_path / "a.txt", s)
    text = (tmp_path / "a.txt").read_bytes().replace(b"\n", b"\r\n")
    assert read_events(write(tmp_path / "b.txt", text)) == s
    with pytest.raises(EventFileError, match="states 50 events, 49 were found"):
        read_events(write(tmp_path / "c.txt", text[: text.rindex(b"\r\n", 0, -2) + 2]))


def test_text_that_is_none(tmp_path: Path) -> None:
    for content in (b"", b"  \n"):
        with pytest.raises(EventFileError, match="empty"):
            read_events(write(tmp_path / "a.txt", content), SIZE)
    with pytest.raises(EventFileError, match=r"first line is b'<html>'") as error:
        read_events(write(tmp_path / "a.txt", b"# a story\n<html>\n"), SIZE)
    assert error.value.offset == 10


# ---------------------------------------------------------------- parity


@pytest.mark.parametrize(("suffix", "name"), [("raw", "evt2"), ("raw", "evt3"), ("dat", "dat")])
def test_faery_reads_and_writes_the_same_events(tmp_path: Path, suffix: str, name: str) -> None:
    faery = pytest.importorskip("faery")
    events = random_stream(20_000, span_us=40_000_000)

    def theirs(path: Path) -> list[Any]:
        array = faery.events_stream_from_file(path).to_array()
        return [array[c].astype(np.int64).tolist() for c in ("t", "x", "y", "on")]

    ours = [getattr(events, c).tolist() for c in "txyp"]
    path = tmp_path / f"ours.{suffix}"
    write_events(path, events, format=name)
    assert theirs(path) == ours
    back = tmp_path / f"theirs.{suffix}"
    version = "dat2" if name == "dat" else name
    faery.events_stream_from_file(path).to_file(back, version=version, zero_t0=False)
    again = read_events(back)
    assert [getattr(again, c).tolist() for c in "txyp"] == ours


STEPS = [0, 1, 4095, 2**22, 2**23 - 4096, 2**23, 10_000_000, 2**24 - 4097, 2**24 - 1, 2**24, 2**24 + 2**23, 100_000_000]


@pytest.mark.parametrize("name", ["evt2", "evt3"])
@pytest.mark.parametrize("start", STEPS)
def test_faery_reads_the_same_times_over_pauses(tmp_path: Path, name: str, start: int) -> None:
    faery = pytest.importorskip("faery")
    rng = np.random.default_rng(start)
    t = start + np.cumsum([0, *STEPS, *rng.integers(0, 60_000_000, 30)])
    ones = np.ones_like(t)
    events = EventStream(t, ones, ones, ones, SIZE)
    write_events(tmp_path / "a.raw", events, format=name)
    assert faery.events_stream_from_file(tmp_path / "a.raw").to_array()["t"].tolist() == t.tolist()
    assert read_events(tmp_path / "a.raw") == events


@pytest.mark.parametrize("t", [[5], [2**24 - 1], [1, 2**24 - 1], [1, 20_000_000], [2**26 + 7]])
def test_evt3_time_never_rises_by_half_its_range_in_one_word(tmp_path: Path, t: list[int]) -> None:
    ones = np.ones(len(t), np.int64)
    write_events(tmp_path / "a.raw", EventStream(np.array(t), ones, ones, ones, SIZE))
    content = (tmp_path / "a.raw").read_bytes()
    words = np.frombuffer(content[content.index(b"% end\n") + 6 :], "<u2").astype(int)
    steps = np.diff(words[words >> 12 == 0x8] & 0xFFF, prepend=0)
    assert set(steps[steps < 0].tolist()) <= {-0xFFF}  # an overflow
    assert steps.max() <= 0x7FF


@pytest.mark.parametrize("name", ["a.raw", "a.npz", "a.txt"])
def test_a_full_disk_is_told_with_the_name_of_the_file(name: str, tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from spikeva.events import EventStream, write_events\n"
        "x = np.arange(40_000) % 100\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))\n"
        "try:\n"
        "    write_events(sys.argv[1], EventStream(np.arange(40_000), x, x, x % 2, (100, 100)))\n"
        "except OSError as error:\n"
        "    print(error.strerror, error.filename)\n"
    )
    path = tmp_path / name
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert run.stdout.strip() == f"{os.strerror(errno.EFBIG)} {path}", run.stderr
    assert list(tmp_path.iterdir()) == []

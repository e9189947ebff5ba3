"""The clip store: what is written is what is read, whole or not at all."""

import errno
import fcntl
import io
import multiprocessing
import os
import stat
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeva._atomic import whole_file
from spikeva.errors import UserError
from spikeva.events import EventClip, EventFileError, EventStream, read_manifest, write_clip, write_manifest
from spikeva.events._sink import Sink

SIZE = (64, 48)


def random_stream(count: int, span_us: int, seed: int = 0, start_us: int = 0) -> EventStream:
    rng = np.random.default_rng(seed)
    t = start_us + np.sort(rng.integers(0, span_us, count))
    return EventStream(t, rng.integers(0, 64, count), rng.integers(0, 48, count), rng.integers(0, 2, count), SIZE)


def test_clip_round_trip_with_labels_and_attributes(tmp_path: Path) -> None:
    labels = {
        "t_us": np.array([0, 40_000]),
        "valence": np.array([-0.5, 0.25], np.float32),
        "emotion": np.array(["joy", "überrascht"]),
        "landmarks": np.arange(8.0).reshape(2, 2, 2),
        "none": np.empty((0, 2)),
    }
    attributes = {"subject": "s01", "note": "", "ü": "é" * 300, "synthetic": 1, "cutoff_hz": 30.5, "seed": 2**64 - 1}
    events = random_stream(50_000, 1_600_000)
    write_clip(tmp_path / "a.h5", events, labels=labels, attributes=attributes)
    with EventClip(tmp_path / "a.h5") as clip:
        assert clip.events() == events
        assert clip.size == SIZE
        assert clip.attributes == attributes
        assert clip.labels.keys() == labels.keys()
        for name, values in labels.items():
            assert clip.labels[name].dtype == values.dtype
            np.testing.assert_array_equal(clip.labels[name], values)
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("start", [0, -7_654_321, 123_456_789_012])
def test_windows_are_the_slices_of_the_whole(tmp_path: Path, start: int) -> None:
    events = random_stream(70_000, 300_000, start_us=start)
    write_clip(tmp_path / "a.h5", events)
    rng = np.random.default_rng(1)
    with EventClip(tmp_path / "a.h5") as clip:
        for a, b in start + rng.integers(-20_000, 320_000, (100, 2)):
            assert clip.events(a, b) == events.slice_time(a, b)
            assert clip.events(a) == events.slice_time(a)
            assert clip.events(None, b) == events.slice_time(None, b)


@settings(max_examples=25)
@given(gaps=st.lists(st.sampled_from([0, 1, 999, 1000, 10**7, 10**13]), max_size=6), cuts=st.lists(st.integers(0, 6)))
def test_any_gap_and_any_blocks(tmp_path_factory: pytest.TempPathFactory, gaps: list[int], cuts: list[int]) -> None:
    t = np.cumsum(gaps, dtype=np.int64)
    zero = np.zeros_like(t)
    events = EventStream(t, zero, zero, zero, SIZE)
    edges = [0, *sorted(cuts), len(t)]
    path = tmp_path_factory.mktemp("gaps") / "a.h5"
    write_clip(path, [events[a:b] for a, b in pairwise(edges)])
    with EventClip(path) as clip:
        assert clip.events() == events
        for time_us in {int(v) + d for v in t for d in (-1, 0, 1)}:
            assert clip.events(time_us) == events.slice_time(time_us)
            assert clip.events(None, time_us) == events.slice_time(None, time_us)


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_clip(
            tmp_path / name, random_stream(9_000, 10**6), labels={"t_us": np.arange(3)}, attributes={"clip": "c"}
        )
        time.sleep(1.1)  # a time stamp in the file would differ by now
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"attributes": {"width": 3}}, "'width' is the store's own"),
        ({"attributes": {"a": None}}, "'a' is a NoneType"),
        ({"labels": {"v": np.array([None])}}, "label 'v' is object"),
        ({"labels": {"a/b": np.zeros(2)}}, "label 'a/b'"),
        ({"labels": {"v": np.float64(1)}}, "label 'v'"),
        ({"attributes": {"file": "a.avi"}}, "'file' is the store's own"),
        ({"attributes": {"events": 3}}, "'events' is the store's own"),
        ({"attributes": {"": 1}}, "'' has no name"),
        ({"attributes": {"seed": 2**64}}, "'seed' is 18446744073709551616, more than 64 bits hold"),
        ({"attributes": {"seed": -(2**63) - 1}}, "'seed' is -9223372036854775809"),
        ({"labels": {".": [1]}}, "label '.' has no name"),
        ({"labels": {"n": np.array([b"\xff"])}}, "label 'n' holds what is no UTF-8"),
        ({"labels": {"n": ["\ud800"]}}, "label 'n' holds what is no UTF-8"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_clip(tmp_path / "a.h5", random_stream(5, 100), **kwargs)
    assert os.listdir(tmp_path) == []


def test_the_earliest_times(tmp_path: Path) -> None:
    first, last = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    with pytest.raises(UserError, match="no time as early as -9223372036854775808 us"):
        write_clip(tmp_path / "a.h5", EventStream([first, 0], [0, 0], [0, 0], [0, 1], (3, 2)))
    assert not list(tmp_path.iterdir())
    events = EventStream([first + 1000, 0, last], [0, 1, 2], [0, 0, 1], [0, 1, 1], (3, 2))
    write_clip(tmp_path / "a.h5", events)
    with EventClip(tmp_path / "a.h5") as clip:
        assert clip.events() == events
        assert clip.events(first + 1001, last) == events[1:2]


def test_blocks_out_of_order_leave_no_file(tmp_path: Path) -> None:
    events = random_stream(100, 1_000)
    for blocks, message in (
        ([events[50:], events[:50]], "must follow in time"),
        ([events, EventStream.empty((3, 3))], "one size"),
        ([], "no block"),
    ):
        with pytest.raises(UserError, match=message):
            write_clip(tmp_path / "a.h5", blocks)
    with pytest.raises(UserError, match="folder does not exist"):
        write_clip(tmp_path / "absent" / "a.h5", events)
    assert os.listdir(tmp_path) == []


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(EventFileError, match="no such file"):
        EventClip(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(EventFileError, match="not a readable HDF5"):
        EventClip(path)
    with h5py.File(path, "w") as file:
        file["events"] = np.zeros((3, 4))
    with pytest.raises(EventFileError, match="not a spikeva clip"):
        EventClip(path)
    events = random_stream(100_000, 10**6)
    write_clip(path, events)
    whole = path.read_bytes()
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(EventFileError, match="version 99"):
        EventClip(path)
    for damaged in (whole[: len(whole) // 2], whole[:50_000] + bytes([whole[50_000] ^ 1]) + whole[50_001:]):
        path.write_bytes(damaged)
        with pytest.raises(EventFileError, match=r"damaged|not a readable"), EventClip(path) as clip:
            clip.events()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("width", -1, r"whole numbers from 1 to 65536, found \(-1, "),
        ("height", 2**40, "whole numbers from 1 to 65536"),
        ("width", "wide", "whole numbers from 1 to 65536"),
        ("height", 1.5, "whole numbers from 1 to 65536"),
        ("index_step_us", 0, "in steps of 0 us"),
        ("index_step_us", 0.5, "in steps of 0.5 us"),
        ("index_start_us", "early", "starts at 'early'"),
        ("event_count", -1, "-1 events announced"),
    ],
)
def test_an_absurd_header_is_refused(name: str, value: Any, said: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.h5", random_stream(9, 100))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs[name] = value
    with pytest.raises(EventFileError, match=said):
        EventClip(tmp_path / "a.h5")


def test_a_closed_clip_says_so(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.h5", random_stream(9, 100), labels={"v": [1]})
    with EventClip(tmp_path / "a.h5") as clip:
        pass
    for use in (clip.events, lambda: clip.rows(0, 5), lambda: clip.labels):
        with pytest.raises(UserError, match=r"a\.h5: the clip is closed"):
            use()


def test_a_manifest_leaves_out_what_macos_puts_beside_files(tmp_path: Path) -> None:
    write_clip(tmp_path / "001.h5", random_stream(9, 100))
    (tmp_path / "._001.h5").write_bytes(b"\0\5\x16\7")
    assert [e["file"] for e in write_manifest(tmp_path)] == ["001.h5"]


def test_manifest_lists_the_clips(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, count in (("b.h5", 4), ("sub/a.h5", 0)):
        write_clip(tmp_path / name, random_stream(count, 10), attributes={"subject": name})
    entries = write_manifest(tmp_path)
    assert [(e["file"], e["events"], e["subject"], e["width"]) for e in entries] == [
        ("b.h5", 4, "b.h5", 64),
        ("sub/a.h5", 0, "sub/a.h5", 64),
    ]
    assert read_manifest(tmp_path) == entries
    with pytest.raises(EventFileError, match="no manifest"):
        read_manifest(tmp_path / "sub")


def _write_over_and_over(path: str, started: Any) -> None:
    events = [random_stream(60_000, 10**6, seed) for seed in (0, 1)]
    started.set()
    while True:
        for stream in events:
            write_clip(path, stream, labels={"t_us": np.arange(4)})


def test_a_folder_of_that_name_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "a.h5").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.h5'$"), whole_file(tmp_path / "a.h5"):
        pytest.fail("worked in vain")


def test_a_failure_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.h5"
    path.parent.mkdir()
    with pytest.raises(FileNotFoundError) as caught, whole_file(path) as part:
        (path.parent.rmdir(), part.write_bytes(b""))
    assert str(caught.value) == f"[Errno 2] No such file or directory: '{path}'"


def test_a_disk_that_flushes_no_folders_keeps_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def of_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", of_files)
    with whole_file(tmp_path / "a.txt") as part:
        part.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_read_only_disk_is_said_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(part: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(part))

    monkeypatch.setattr(Path, "unlink", refuse)  # Linux says it of a file that is not there, too
    with pytest.raises(OSError, match=r"Read-only file system: '.*/a\.txt'$"), whole_file(tmp_path / "a.txt") as part:
        refuse(part)


def test_a_clip_is_read_where_its_disk_gives_no_locks(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_clip(path, EventStream.empty((4, 4)))
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # HDF5 asks for one by default, and takes a no for damage
        with EventClip(path) as clip:
            assert clip.event_count == 0


def test_a_killed_writer_leaves_a_whole_file_or_none(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["spikeva.events.store"])
    known = [random_stream(60_000, 10**6, seed) for seed in (0, 1)]
    rng = np.random.default_rng(0)
    whole, seconds = 0, None  # what the first write takes here; only then is its writer killed
    for moment in range(1 + int(os.environ.get("SPIKEVA_KILLS", "8"))):  # each costs a process
        path = tmp_path / f"{moment}.h5"
        started = context.Event()
        writer = context.Process(target=_write_over_and_over, args=(str(path), started))
        writer.start()
        assert started.wait(60)
        begin = time.perf_counter()
        while seconds is None and not path.exists():
            time.sleep(0.001)
        seconds = seconds or time.perf_counter() - begin
        time.sleep(rng.uniform(0, 2 * seconds))
        writer.kill()
        writer.join()
        if path.exists():
            whole += 1
            with EventClip(path) as clip:
                assert any(clip.events() == stream for stream in known)
                assert len(clip.labels["t_us"]) == 4
    print(f"{moment} kills: {whole - 1} whole files, {moment + 1 - whole} none")
    assert list(tmp_path.glob(".*.part")), "no kill came in the middle of a write"


class Disk(io.BytesIO):
    """A file that takes three bytes at a time, and `room` in all; its failures are numbered."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.failures = room, 0

    def write(self, data: Any) -> int:
        left = self.room - self.tell()
        return super().write(data[: min(3, left)]) if left else self.fail()

    def truncate(self, size: int | None = None) -> int:
        return self.fail()

    def fail(self) -> int:
        self.failures += 1
        raise OSError(errno.ENOSPC, f"failure {self.failures}")


def test_what_hdf5_writes_arrives_whole_or_the_first_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sink(room: int) -> Sink:
        monkeypatch.setattr("spikeva.events._sink.open", lambda *_, **__: Disk(room), raising=False)
        return Sink(tmp_path / "part", "a.h5")

    with sink(100) as whole:
        assert whole.write(b"0123456789") == 10
        assert whole._file.getvalue() == b"0123456789"  # type: ignore[attr-defined]  # it is a Disk
    taken: list[int] = []
    with pytest.raises(OSError, match="failure 1") as error, sink(5) as full:
        taken.extend(full.write(b"0123456789") for _ in full.watch(range(9)))
    assert (taken, error.value.filename) == ([10], "a.h5")
    with pytest.raises(OSError, match="failure 1"), sink(5) as full:
        assert (full.truncate(8), full.write(b"0123456789")) == (8, 10)
    with pytest.raises(OSError, match="failure 1"), sink(5) as full:
        assert (full.write(b"0123456789"), full.write(b"0"), full.truncate(8)) == (10, 1, 8)


@pytest.mark.parametrize("room", [2_000, 150_000])
def test_a_full_disk_is_an_error_that_the_process_outlives(room: int, tmp_path: Path) -> None:
    """HDF5 itself ends the process after a write that failed, some time later."""
    script = (
        "import gc, resource, sys\n"
        "import numpy as np\n"
        "from spikeva.events import EventStream, write_clip\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "x = np.random.default_rng(0).integers(0, 100, 40_000)\n"
        "blocks = (EventStream(i * 40_000 + np.arange(40_000), x, x, x % 2, (100, 100)) for i in range(20))\n"
        "try:\n"
        "    write_clip(sys.argv[1], blocks, labels={'valence': np.arange(5.0)})\n"
        "except OSError as error:\n"
        "    gc.collect()\n"
        "    print(error.strerror, error.filename)\n"
    )
    path = tmp_path / "long.h5"
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"{os.strerror(errno.EFBIG)} {path}"
    assert list(tmp_path.iterdir()) == []

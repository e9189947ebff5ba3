"""Real recordings: as many events, as long, as several independent readers agree on."""

from pathlib import Path

import numpy as np
import pytest

from spikeva.events import EventFileError, EventStream, open_events, read_events

pytestmark = pytest.mark.recordings

KNOWN = [
    ("ros_py_evt3_640x480.raw", None, (640, 480), 343_474, 2.078),
    ("ros_py2_evt3_640x480.raw", None, (640, 480), 378_266, 1.799),
    ("ros_evt3_trigger.raw", None, (1280, 720), 82_469, 1.251),
    ("expelliarmus_evt2_gen3.raw", (640, 480), (640, 480), 539_481, 0.0500),
    ("aestream_davis.aedat4", None, (346, 260), 117_667, 0.130),
    ("loris_ncars_obj_004397_td.dat", (54, 239), (54, 239), 4_407, 0.100),
    ("slider_depth_chunk.txt", (240, 180), (240, 180), 50_000, 0.170),
]


@pytest.mark.parametrize(("name", "given", "size", "count", "seconds"), KNOWN, ids=[k[0] for k in KNOWN])
def test_counts_and_durations(
    shared: Path, name: str, given: tuple[int, int] | None, size: tuple[int, int], count: int, seconds: float
) -> None:
    if name.endswith(".aedat4"):
        pytest.importorskip("aedat")
    reader = open_events(shared / "recordings" / name, given)
    events = reader.read()
    assert (len(events), events.size) == (count, size)
    assert round(events.duration / 1e6, 3) == seconds
    assert EventStream(events.t, events.x, events.y, events.p, size) == events  # passes every check
    assert reader.report.events == count
    assert not reader.report.faults
    blocks = list(reader.blocks())
    assert np.array_equal(np.concatenate([b.t for b in blocks]), events.t)


def test_external_triggers(shared: Path) -> None:
    reader = open_events(shared / "recordings" / "ros_evt3_trigger.raw")
    events = reader.read()
    triggers = reader.triggers  # type: ignore[attr-defined]  # aedat4's reader has them
    assert len(triggers) == reader.report.triggers == 2
    assert sorted(triggers[:, 2]) == [0, 1]
    assert events.t[0] <= triggers[0, 0] <= triggers[1, 0] <= events.t[-1]


def test_the_size_is_asked_for(shared: Path) -> None:
    with pytest.raises(EventFileError, match=r"does not state the sensor's size.*gen3_fx3 has 640 x 480"):
        read_events(shared / "recordings" / "expelliarmus_evt2_gen3.raw")


@pytest.mark.parametrize("suffix", [".es", ".raw", ".dat", ".aedat4", ".h5", ".npz", ".txt"])
def test_what_is_no_event_file_is_refused(shared: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"generic{suffix}"
    path.write_bytes((shared / "recordings" / "faery_generic.es").read_bytes())
    with pytest.raises(EventFileError):
        read_events(path, (640, 480))


@pytest.mark.parametrize("name", ["ros_py_evt3_640x480.raw", "ros_evt3_trigger.raw", "expelliarmus_evt2_gen3.raw"])
def test_faery_agrees_event_by_event(shared: Path, name: str) -> None:
    faery = pytest.importorskip("faery")
    path = shared / "recordings" / name
    size = (640, 480) if name.startswith("exp") else None
    theirs = faery.events_stream_from_file(path, dimensions_fallback=size or (1280, 720)).to_array()
    ours = read_events(path, size)
    for column, field in zip("txyp", ("t", "x", "y", "on"), strict=True):
        np.testing.assert_array_equal(getattr(ours, column), theirs[field])

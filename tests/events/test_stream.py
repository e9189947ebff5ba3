"""EventStream: what it accepts, what it refuses, and its operations."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeva.errors import UserError
from spikeva.events import EventFileError, EventStream

SIZE = (7, 5)


def stream(*events: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> EventStream:
    """A stream from (t, x, y, p) tuples."""
    columns = np.array(events, np.int64).reshape(-1, 4).T
    return EventStream(*columns, size=size)


@st.composite
def streams(draw: st.DrawFn) -> EventStream:
    rows = draw(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6), st.integers(0, 4), st.integers(0, 1))))
    return stream(*sorted(rows, key=lambda row: row[0]))


def test_columns_have_the_types_of_the_contract() -> None:
    s = stream((1, 2, 3, 0), (1, 6, 4, 1))
    assert [getattr(s, n).dtype for n in "txyp"] == [np.int64, np.uint16, np.uint16, np.uint8]
    assert len(s) == 2
    assert s.size == SIZE
    assert stream((-4, 0, 0, 0), (9, 0, 0, 1)).duration == 13
    assert EventStream.empty(SIZE).duration == len(EventStream.empty(SIZE)) == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([2, 1], [0, 0], [0, 0], [0, 0]), "time steps back at event 1"),
        (([1, 2], [0, 7], [0, 0], [0, 0]), r"event 1 has x = 7, outside a sensor of 7 x 5"),
        (([1, 2], [0, 0], [5, 0], [0, 0]), "event 0 has y = 5"),
        (([1, 2], [0, 0], [0, 0], [0, 2]), "event 1 has polarity 2"),
        (([1, 2], [0, -1], [0, 0], [0, 0]), r"column x must lie in 0\.\.65535, found -1\.\.0"),
        (([1, 2], [0, 0], [2**16, 0], [0, 0]), r"column y must lie in 0\.\.65535, found 0\.\.65536"),
        (([1, 2], [0, 0], [0, 0], [0, 257]), "event polarity must be 0 .* found 0..257"),
        (
            ([1, 2], [0, 0], [0, 0], [-1, 1]),
            r"must be 0 \(OFF\) or 1 \(ON; EventStream\.from_structured takes -1 for OFF\), found -1\.\.1",
        ),
        (([1.5, 2], [0, 0], [0, 0], [0, 0]), "column t must hold integers, found float64"),
        (([1], [0, 0], [0, 0], [0, 0]), "one length"),
        (([[1]], [0], [0], [0]), "one-dimensional"),
    ],
)
def test_invalid_columns_are_refused(columns: tuple[list[float], ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EventStream(*map(np.array, columns), size=SIZE)  # type: ignore[arg-type]  # bad on purpose


@pytest.mark.parametrize("size", [None, 5, (5,), (0, 5), (5.0, 5), (65537, 5), (1, 2, 3)])
def test_invalid_sizes_are_refused(size: object) -> None:
    with pytest.raises(UserError, match=r"size must be \(width, height\)"):
        EventStream.empty(size)  # type: ignore[arg-type]  # bad on purpose


def test_time_slices_are_half_open_views() -> None:
    s = stream((0, 0, 0, 0), (5, 1, 0, 1), (5, 2, 0, 1), (9, 3, 0, 0))
    assert s.slice_time(5, 9) == stream((5, 1, 0, 1), (5, 2, 0, 1))
    assert s.slice_time() == s
    assert len(s.slice_time(6, 9)) == len(s.slice_time(9, 5)) == 0
    assert np.shares_memory(s.slice_time(5).t, s.t)


def test_crop_moves_the_origin_and_must_lie_inside() -> None:
    s = stream((0, 2, 1, 0), (1, 1, 1, 1), (2, 4, 3, 1), (3, 5, 3, 1))
    assert s.crop(2, 1, 3, 3) == stream((0, 0, 0, 0), (2, 2, 2, 1), size=(3, 3))
    assert s.crop(0, 0, *SIZE) == s
    assert s.crop(4, 3, 1, 1) == stream((2, 0, 0, 1), size=(1, 1))
    for rectangle in (
        (0, 0, 8, 5),
        (-1, 0, 2, 2),
        (0, -1, 2, 2),
        (0, 0, 0, 1),
        (0, 0, 1, 0),
        (0, 3, 2, 3),
        (5, 0, 3, 2),
    ):
        with pytest.raises(UserError, match="does not lie inside"):
            s.crop(*rectangle)
    assert len(EventStream([0], [210], [5], [1], (320, 240)).crop(*np.array([200, 0, 100, 100], np.uint8))) == 1
    for odd in (5.5, np.float32(2), True, "2"):
        with pytest.raises(UserError, match="crop takes whole numbers x0, y0, width, height, found"):
            s.crop(0, 0, odd, 2)  # type: ignore[arg-type]  # bad on purpose


def test_downsample_keeps_every_event() -> None:
    assert stream((0, 6, 4, 0), (1, 1, 1, 1)).downsample(2) == stream((0, 3, 2, 0), (1, 0, 0, 1), size=(4, 3))
    assert stream((0, 6, 4, 0)).downsample(100_000) == stream((0, 0, 0, 0), size=(1, 1))
    widest = EventStream([0], [2**16 - 1], [0], [1], (2**16, 1))
    assert widest.downsample(2**16) == EventStream([0], [0], [0], [1], (1, 1))
    with pytest.raises(UserError, match="whole factor"):
        stream().downsample(0)


def test_counts_say_how_many_events_a_pixel_has() -> None:
    counts = stream((0, 6, 0, 1), (0, 6, 0, 0), (1, 0, 1, 1), (2, 0, 2, 0)).counts()
    assert counts.shape == SIZE[::-1]
    assert counts[0, 6] == 2
    assert counts[1, 0] == counts[2, 0] == 1
    assert counts.sum() == 4


@given(streams())
def test_flip_is_its_own_inverse(s: EventStream) -> None:
    assert s.flip_x().flip_x() == s
    assert np.array_equal(s.flip_x().x.astype(int), 6 - s.x.astype(int))


@given(streams(), streams())
def test_merge_keeps_all_events_in_order(a: EventStream, b: EventStream) -> None:
    def rows(s: EventStream) -> list[tuple[int, ...]]:
        return list(zip(s.t.tolist(), s.x.tolist(), s.y.tolist(), s.p.tolist(), strict=True))

    assert rows(EventStream.merge(a, b)) == sorted(rows(a) + rows(b), key=lambda row: row[0])


def test_merge_needs_one_size() -> None:
    with pytest.raises(UserError, match="one size"):
        EventStream.merge(EventStream.empty((2, 2)), EventStream.empty((3, 2)))
    with pytest.raises(UserError, match="no stream"):
        EventStream.merge()


@given(streams())
def test_structured_arrays_round_trip(s: EventStream) -> None:
    assert EventStream.from_structured(s.to_structured(), SIZE) == s


@pytest.mark.parametrize("size", [(2**15 + 1, 2), (2, 2**15 + 1)])
def test_structured_arrays_refuse_a_sensor_beyond_their_coordinates(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="int16 coordinates cannot hold a sensor of"):
        EventStream.empty(size).to_structured()
    assert len(EventStream.empty((2**15, 2**15)).to_structured()) == 0


def test_structured_polarity_may_be_signed() -> None:
    array = np.array([(0, 1, 2, -1), (1, 3, 4, 1)], [("t", "i8"), ("x", "i4"), ("y", "i4"), ("p", "i1")])
    assert EventStream.from_structured(array, SIZE) == stream((0, 1, 2, 0), (1, 3, 4, 1))
    with pytest.raises(UserError, match=r"missing \['p'\]"):
        EventStream.from_structured(array[["t", "x", "y"]], SIZE)


def test_structured_arrays_are_what_tonic_takes() -> None:
    transforms = pytest.importorskip("tonic.transforms")
    s = stream((0, 1, 2, 0), (1, 3, 4, 1))
    flipped = transforms.RandomFlipLR(sensor_size=(*SIZE, 2), p=1.0)(s.to_structured())
    assert EventStream.from_structured(flipped, SIZE) == s.flip_x()


def test_streams_refuse_what_would_mislead() -> None:
    s = stream((0, 1, 2, 0), (1, 3, 4, 1))
    with pytest.raises(UserError, match="slice in order of time"):
        s[::-1]
    with pytest.raises(TypeError, match="not iterated"):
        list(s)
    assert s != stream((0, 1, 2, 0), (1, 3, 4, 0))


def test_error_names_file_place_and_remedy_and_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(EventFileError("a.raw", "nothing", "Copy it again.", 12)))
    assert str(error) == "a.raw, byte 12: nothing. Copy it again."
    assert isinstance(error, UserError)
    assert error.offset == 12

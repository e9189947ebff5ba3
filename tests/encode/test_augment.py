"""Augmentation: seeded, valid, and what each change means."""

import numpy as np
import pytest

from spikeva import EventStream
from spikeva.encode import Augment
from spikeva.errors import UserError

pytest.importorskip("tonic")


@pytest.fixture
def events() -> EventStream:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(5000, 9000, 400))
    return EventStream(t, rng.integers(0, 20, 400), rng.integers(0, 10, 400), rng.integers(0, 2, 400), (20, 10))


def test_same_seed_same_copy_and_the_global_generator_is_left_alone(events: EventStream) -> None:
    augment = Augment(flip=0.5, reverse=0.5, drop=0.2, jitter_px=1.0, jitter_us=50.0)
    np.random.seed(3)  # noqa: NPY002  (tonic's generator)
    expected = np.random.rand()  # noqa: NPY002  (tonic's generator)
    np.random.seed(3)  # noqa: NPY002  (tonic's generator)
    first = augment(events, 7)
    assert np.random.rand() == expected  # noqa: NPY002  (tonic's generator)
    assert first == augment(events, 7)
    assert first != augment(events, 8)
    assert 0 < len(first) < len(events)


def test_flip_mirrors(events: EventStream) -> None:
    assert Augment(flip=1.0)(events, 0) == events.flip_x()


def test_reversal_keeps_the_span_and_swaps_polarity(events: EventStream) -> None:
    back = Augment(flip=0.0, reverse=1.0)(events, 0)
    np.testing.assert_array_equal(back.t, (events.t[0] + events.t[-1] - events.t)[::-1])
    np.testing.assert_array_equal(back.p, 1 - events.p[::-1])


def test_drop_leaves_out_the_share(events: EventStream) -> None:
    assert len(Augment(flip=0.0, drop=0.25)(events, 0)) == 300


def test_jitter_has_no_direction_and_the_deviation_asked_for() -> None:
    middle = EventStream([1000] * 20_000, [50] * 20_000, [50] * 20_000, [1] * 20_000, (101, 101))
    moved = Augment(flip=0.0, jitter_px=2.0, jitter_us=500.0)(middle, 0)
    assert len(moved) == len(middle)
    for column, mean, deviation in ((moved.x, 50, 2.0), (moved.y, 50, 2.0), (moved.t, 1000, 500.0)):
        assert column.mean() == pytest.approx(mean, abs=0.03 * deviation)
        assert column.std() == pytest.approx(deviation, rel=0.05)
    assert Augment(flip=0.0, jitter_px=0.05)(middle, 0) == middle  # ten deviations short of another pixel


def test_only_events_that_jitter_off_the_sensor_are_dropped() -> None:
    edge = EventStream([0] * 1000, [0] * 1000, [0] * 1000, [1] * 1000, (1, 1000))
    moved = Augment(flip=0.0, jitter_px=0.5)(edge, 0)
    stay = 0.683 * (1 + 0.683) / 2  # |x| and y > -half a pixel, both one deviation away
    assert len(moved) == pytest.approx(1000 * stay, abs=60)


def test_nothing_to_do_changes_nothing(events: EventStream) -> None:
    assert Augment(flip=0.0)(events, 0) is events
    assert len(Augment()(EventStream.empty((4, 4)), 0)) == 0


@pytest.mark.parametrize(
    "kw", [{"flip": 1.5}, {"reverse": -0.1}, {"drop": 1.01}, {"jitter_px": float("inf")}, {"jitter_us": -1.0}]
)
def test_bad_amounts(kw: dict[str, float]) -> None:
    ((name, value),) = kw.items()
    with pytest.raises(UserError, match=f"augment: {name} must .*, found {value}"):
        Augment(**kw)

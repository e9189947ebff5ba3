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


def test_nothing_to_do_changes_nothing(events: EventStream) -> None:
    assert Augment(flip=0.0)(events, 0) is events
    assert len(Augment()(EventStream.empty((4, 4)), 0)) == 0


@pytest.mark.parametrize("kw", [{"flip": 1.5}, {"jitter_us": -1.0}])
def test_bad_amounts(kw: dict[str, float]) -> None:
    with pytest.raises(UserError, match="augment"):
        Augment(**kw)

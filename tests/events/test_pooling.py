"""Blocks of pixels that become one: every event, or those of their mean."""

import itertools

import numpy as np
import pytest

from spikeva.errors import UserError
from spikeva.events import EventStream, downscale
from spikeva.simulate import simulate


def recording(seed: int, count: int = 4000, size: tuple[int, int] = (11, 7)) -> EventStream:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 1000, count))
    x, y, p = (rng.integers(0, n, count) for n in (*size, 2))
    return EventStream(t, x, y, p, size)


def by_hand(events: EventStream, factor: int) -> list[tuple[int, int, int, int]]:
    """Each large pixel alone: the running sum of its pixels' changes."""
    found = []
    for y in range(-(-events.size[1] // factor)):
        for x in range(-(-events.size[0] // factor)):
            n = min(factor, events.size[0] - x * factor) * min(factor, events.size[1] - y * factor)
            total = 0
            for i in np.flatnonzero((events.x // factor == x) & (events.y // factor == y)):
                total += 2 * int(events.p[i]) - 1
                if total in (n, -n):
                    found.append((int(i), x, y, int(events.p[i])))
                    total = 0
    return sorted(found)


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 64])
def test_the_mean_is_that_of_each_large_pixel(factor: int) -> None:
    events = recording(factor)
    (found,) = downscale([events], factor, "mean")
    index, x, y, p = np.array(by_hand(events, factor)).reshape(-1, 4).T
    assert found == EventStream(events.t[index], x, y, p, found.size)
    assert found.size == events.downsample(factor).size


@pytest.mark.parametrize("pool", ["all", "mean"])
def test_blocks_change_nothing(pool: str) -> None:
    events = recording(1)
    cuts = [0, 1, 1, 700, 2999, len(events)]
    parts = downscale((events[a:b] for a, b in itertools.pairwise(cuts)), 3, pool)
    assert EventStream.merge(*parts) == next(downscale([events], 3, pool))


def test_all_keeps_every_event() -> None:
    events = recording(2)
    assert list(downscale([events], 3, "all")) == [events.downsample(3)]
    assert list(downscale([], 3, "mean")) == []


@pytest.mark.parametrize("factor", [2, 4])
def test_the_mean_of_equal_pixels_is_one_of_them(factor: int) -> None:
    """A picture of large pixels gives a fine sensor's blocks the events that a coarse sensor would have."""
    frames = np.random.default_rng(0).integers(1, 256, (6, 5, 4), dtype=np.uint8)
    times = np.arange(6) / 25
    coarse = simulate(frames, times, "ideal")
    fine = simulate(frames.repeat(factor, 1).repeat(factor, 2), times, "ideal")
    (found,) = downscale([fine], factor, "mean")
    assert len(coarse) > 100
    columns = [np.stack([e.t, e.x, e.y, e.p]) for e in (coarse, found)]
    np.testing.assert_array_equal(*(c[:, np.lexsort(c)] for c in columns))


def test_what_is_no_pool() -> None:
    with pytest.raises(UserError, match=r"unknown pool 'men'; did you mean 'mean'\? \(there are: all, mean\)"):
        next(downscale([recording(0)], 2, "men"))
    with pytest.raises(UserError, match="whole factor of at least 1, found 0"):
        next(downscale([recording(0)], 0, "mean"))

"""Fewer, larger pixels: blocks of factor x factor become one."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from spikeva._compiled import njit
from spikeva.errors import UserError
from spikeva.events.stream import EventStream
from spikeva.registry import unknown

POOLS = ("all", "mean")


def check_pool(pool: str) -> None:
    """Raises UserError for an unknown way to join pixels."""
    if pool not in POOLS:
        raise UserError(unknown("pool", pool, POOLS))


def downscale(blocks: Iterable[EventStream], factor: int, pool: str = "mean") -> Iterator[EventStream]:
    """The blocks of a recording, in order, on fewer pixels; the size is rounded up.

    `pool` "all" keeps every event (see `EventStream.downsample`). "mean" keeps those at which the mean of a block's pixels has changed by
    a whole threshold, as a sensor of such large pixels would see it: each event is a change of one pixel's log light by a
    threshold, up or down, so a block of n pixels fires when its sum reaches n or -n, and starts from 0 again. The block's mean
    of log light stands for the log of its mean light; so do the log-luminance methods of Gruel et al., "Event Data Downscaling for
    Embedded Computer Vision", VISAPP 2022. The first blocks' sums start from 0 (chosen here: the light before is not known).
    Raises UserError for an unknown pool and a factor below 1.
    """
    check_pool(pool)
    sums: Any = None
    for block in blocks:
        small = block.downsample(factor)
        if pool == "mean":
            if sums is None:
                sums = np.zeros(small.size[::-1], np.int64)
                wide, high = (
                    np.minimum(factor, n - factor * np.arange(m)) for n, m in zip(block.size, small.size, strict=True)
                )
                whole = high[:, None] * wide
            kept = np.empty(len(small), np.bool_)
            _fire(small.x, small.y, small.p, whole, sums, kept)
            small = EventStream(small.t[kept], small.x[kept], small.y[kept], small.p[kept], small.size)
        yield small


@njit(cache=True)
def _fire(x, y, p, whole, sums, kept):
    """Mark the events at which the sum of a large pixel's changes reaches +-`whole` [H, W]; `sums` [H, W] go on from block to block."""
    for i in range(len(x)):
        change = sums[y[i], x[i]] + (1 if p[i] > 0 else -1)
        kept[i] = abs(change) == whole[y[i], x[i]]
        sums[y[i], x[i]] = 0 if kept[i] else change

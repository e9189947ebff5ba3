"""Which neurons the fused CPU kernels do together, in which order, and in how many rows of working memory.

A run is a matrix [T, N] in memory order, whatever the tensor's layout; neuron i belongs to channel (i // inner) % C, so
contiguous (inner = height x width) and channels-last (inner = 1) are the same code.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikeva.neurons.fused_layout import LIF

PLANE = 256  # neurons of one channel side by side from which blocks keep to a channel
TASK = 1 << 14  # neurons of a group where groups are no channels
BLOCK = 2048  # neurons of a block with constants of their own: a few rows of one time step fit the first-level cache
CACHE = 1 << 17  # float32 numbers that a block may take: half of a second-level cache of 1 MB

# What stands in which row of working memory; in the rows 0 to 6: beta, theta, extra, gamma, scale, shift, mean
STATE = 7  # forward: the membrane, and what else a neuron keeps
SUMS = 7  # backward: gradients of the state, beta, theta, extra, gamma; those of the current summed, and so with x less its mean
WAITING = 15  # results of up to four steps that wait for being stored
FORWARD_ROWS = 19
STATES = 19  # backward: the states before each group of steps, first the membranes


class Plan(NamedTuple):
    """Which neurons are done together, and in which order."""

    uniform: bool  # whether all neurons of a block have the same constants
    planes: bool  # whether a group is a channel; else it is TASK neurons side by side
    blocks: NDArray[np.int64]  # [blocks, 2]: first neuron and number of neurons
    firsts: NDArray[np.int64]  # [groups + 1]: each group's first block
    width: int  # numbers from one row to the next


@lru_cache(maxsize=256)
def plan(n: int, inner: int, channels: int, numbers: int, apart: bool = True) -> Plan:
    """For `n` neurons with constants for each of `channels` (1: for all), and that many numbers of each neuron in the cache.

    `apart`: channels may be done one after the other, where their planes are large enough; else what is read but once goes in the
    order of memory.
    """
    planes = apart and channels > 1 and inner >= PLANE
    uniform = planes or channels == 1
    most = min(TASK, max(BLOCK, 1 << (CACHE // numbers).bit_length() - 1)) if uniform or not apart else BLOCK
    if planes:
        groups = [
            [range(c * inner + i, c * inner + i + inner) for i in range(0, n, channels * inner)]
            for c in range(channels)
        ]
    else:
        groups = [[range(i, min(i + TASK, n))] for i in range(0, n, TASK)]
    blocks = [
        [(i, min(most, stretch.stop - i)) for stretch in group for i in range(stretch.start, stretch.stop, most)]
        for group in groups
    ]
    firsts = np.cumsum([0, *map(len, blocks)])
    table = np.array([block for group in blocks for block in group], np.int64).reshape(-1, 2)
    width = int(table[:, 1].max(initial=1))
    # one cache line more, so that equal places of two rows do not compete for one cache set
    return Plan(uniform, planes, table, firsts.astype(np.int64), -(-width // 16) * 16 + 16)


def together(steps: int) -> int:
    """How many steps a loop makes in one pass over a row: states and constants then move through registers."""
    return 4 if steps % 4 == 0 else 1


def rows_of_backward(steps: int, kind: int) -> int:
    """How many rows a backward loop over that many steps works in."""
    return STATES + steps // together(steps) * (1 if kind == LIF else 2)


def numbers_of_backward(steps: int, kind: int) -> int:
    """How many numbers a neuron has in the cache during a backward loop: its inputs, the states before them, and its sums."""
    return steps + rows_of_backward(steps, kind) - STATES + 1

"""The loops of a fused BatchNorm on a CPU: its statistics, and the gradient of what it normalises.

Plans, rows to work in and shares are those of fused_kernels.py.
"""

from typing import Any

import numpy as np

from spikeva.neurons.fused_kernels import fill, jit, jit_sum, stretch
from spikeva.neurons.fused_step import through_norm


@jit_sum
def moments_kernel(y: Any, inner: int, sums: Any, blocks: Any, firsts: Any, edges: Any, share: int) -> None:
    """sums[group, 0, c], sums[group, 1, c] += sum and sum of squares of y [T, N] over channel c, in float64."""
    channels = sums.shape[2]
    for t in range(len(y)):
        for of in range(edges[share], edges[share + 1]):
            totals, squares = sums[of, 0], sums[of, 1]
            i, last = blocks[firsts[of], 0], blocks[firsts[of + 1] - 1].sum()
            while i < last:
                c, run = stretch(channels, inner, i, last - i)
                part = y[t, i : i + run]
                if inner == 1 and channels > 1:
                    row, square_row = totals[c:], squares[c:]
                    for j in range(len(part)):
                        wide = np.float64(part[j])
                        row[j] += wide
                        square_row[j] += wide * wide
                else:
                    total, square = 0.0, 0.0
                    for j in range(len(part)):  # by index: a loop over values would not become vector instructions
                        wide = np.float64(part[j])
                        total += wide
                        square += wide * wide
                    totals[c] += total
                    squares[c] += square
                i += run


@jit
def through_norm_kernel(
    g: Any, y: Any, table: Any, inner: int, blocks: Any, firsts: Any, room: Any, edges: Any, share: int
) -> None:
    """`through_norm` in place, with table rows a, b, mean, c per channel."""
    rows = room[share]
    a, b, mean, c = rows[0], rows[1], rows[2], rows[3]
    for q in range(firsts[edges[share]], firsts[edges[share + 1]]):
        start, m = blocks[q, 0], blocks[q, 1]
        for r in range(4):
            fill(rows[r], table[r], inner, start, m)
        for t in range(len(g)):
            gt, yt = g[t, start : start + m], y[t, start : start + m]
            for j in range(m):
                gt[j] = through_norm(a[j], b[j], mean[j], c[j], gt[j], yt[j])

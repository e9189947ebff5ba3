"""The loops of a fused BatchNorm on a CPU: its statistics, and the gradient of what it normalises.

Shares, rows to work in and the order of sums are those of fused_kernels.py.
"""

from typing import Any

import numpy as np

from spikeva.neurons.fused_kernels import BLOCK, TASK, fill, jit, jit_sum, stretch


@jit_sum
def moments_kernel(y: Any, inner: int, sums: Any, edges: Any, share: int) -> None:
    """sums[task, 0, c], sums[task, 1, c] += sum and sum of squares of y [T, N] over channel c, in float64."""
    channels, lo, hi = sums.shape[2], edges[share], edges[share + 1]
    for first in range(lo, hi, TASK):
        totals, squares = sums[first // TASK, 0], sums[first // TASK, 1]
        last = min(first + TASK, hi)
        for t in range(len(y)):
            i = first
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
def normalised_grad_kernel(g: Any, y: Any, table: Any, inner: int, room: Any, edges: Any, share: int) -> None:
    """g = a (g - b - (y - mean) c) in place, with table rows a, b, mean, c per channel."""
    rows, lo, hi = room[share], edges[share], edges[share + 1]
    a, b, mean, c = rows[0], rows[1], rows[2], rows[3]
    for start in range(lo, hi, BLOCK):
        m = min(BLOCK, hi - start)
        for r in range(4):
            fill(rows[r], table[r], inner, start, m)
        for t in range(len(g)):
            gt, yt = g[t, start : start + m], y[t, start : start + m]
            for j in range(m):
                gt[j] = a[j] * (gt[j] - b[j] - (yt[j] - mean[j]) * c[j])

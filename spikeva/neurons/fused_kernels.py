"""The loops of the fused CPU kernels: numba, in blocks of neurons that stay in the cache while time runs over them.

A run is a matrix [T, N] in memory order, whatever the tensor's layout; neuron i belongs to channel (i // inner) % C, so
contiguous (inner = height x width) and channels-last (inner = 1) are the same code. The backward pass computes a block's
membranes again instead of reading saved ones.

What is done in which order is a `Plan`: blocks in groups, a group's sums taken together and written to a place of their own,
so that results do not depend on the number of threads. A block is a row (first neuron, how many). In a `uniform` plan all
neurons of a block have the same constants; elsewhere these are rows beside the states. A kernel's last arguments are the
rows [shares, rows, width] to work in, the shares' edges among the groups [shares + 1], and which share to do.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit, variant
from spikeva.neurons.fused_layout import ALIF, LIF
from spikeva.neurons.fused_step import COMPILED, NIL, current, inline, retreat, step, through_norm

PLANE = 256  # neurons of one channel side by side from which blocks keep to a channel
TASK = 1 << 14  # neurons of a group where groups are no channels
BLOCK = 2048  # neurons of a block with constants of their own: a few rows of one time step fit the first-level cache
CACHE = 1 << 17  # float32 numbers that a block's states may take: half of a second-level cache of 1 MB
FORWARD_ROWS = 9  # rows that a forward loop works in

# The backward loops read and write up to twenty rows. LLVM proves that they do not overlap when a loop starts, but by
# default gives up on vector instructions where that takes more than 128 comparisons. (Older ones do not know the option.)
if llvm.llvm_version_info >= (16,):
    llvm.set_option("spikeva", "-vectorize-memory-check-threshold=2000")

# Without numba's counting of who shares in an array: it takes longer than the work on a small block. Such code makes no arrays,
# and copies number by number.
jit = njit(**COMPILED, _nrt=False)
jit_sum = njit(cache=True, nogil=True, fastmath={"reassoc"}, _nrt=False)  # float64 sums in vector lanes


class Plan(NamedTuple):
    """Which neurons are done together, and in which order."""

    uniform: bool  # whether all neurons of a block have the same constants
    planes: bool  # whether a group is a channel; else it is TASK neurons side by side
    blocks: NDArray[np.int64]  # [blocks, 2]: first neuron and number of neurons
    firsts: NDArray[np.int64]  # [groups + 1]: each group's first block
    width: int  # numbers from one row to the next


@lru_cache(maxsize=256)
def plan(n: int, inner: int, channels: int, states: int, apart: bool = True) -> Plan:
    """For `n` neurons with constants for each of `channels` (1: for all), and that many numbers of state for each neuron.

    `apart`: channels may be done one after the other, where their planes are large enough; else what is read but once goes in the
    order of memory.
    """
    planes = apart and channels > 1 and inner >= PLANE
    uniform = planes or channels == 1
    most = min(TASK, max(BLOCK, 1 << (CACHE // states).bit_length() - 1)) if uniform or not apart else BLOCK
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
    """How many rows a backward loop over that many steps works in: the states before each step, and its own."""
    return 16 + (steps if kind == LIF else 2 * steps)


@inline
def stretch(channels: int, inner: int, at: int, left: int) -> tuple[int, int]:
    """(channel of neuron `at`, how many of the `left` neurons from there belong to it, or to it and the next ones)."""
    place = at // inner
    c = place % channels
    if channels == 1:
        return c, left
    if inner == 1:  # channels-last: one pixel's channels lie side by side
        return c, min(left, channels - c)
    return c, min(left, (place + 1) * inner - at)


@inline
def _copy(target: Any, source: Any) -> None:
    for j in range(len(target)):
        target[j] = source[j]


@jit
def fill(row: Any, table: Any, inner: int, start: int, m: int) -> None:
    """row[j] = the table's value for the channel of neuron start + j."""
    channels, j = len(table), 0
    while j < m:
        c, run = stretch(channels, inner, start + j, m - j)
        if inner == 1 and channels > 1:
            _copy(row[j : j + run], table[c : c + run])
        else:
            row[j : j + run] = table[c]
        j += run


@jit_sum
def _gather(row: Any, table: Any, inner: int, start: int, m: int) -> None:
    """table[c] += the sum of `row` over the neurons of channel c, in float64."""
    channels, j = len(table), 0
    while j < m:
        c, run = stretch(channels, inner, start + j, m - j)
        part, totals = row[j : j + run], table[c:]
        if inner == 1 and channels > 1:
            for i in range(len(part)):
                totals[i] += part[i]
        else:
            total = 0.0
            for i in range(len(part)):
                total += part[i]
            totals[0] += total
        j += run


@inline
def _constants(rows: Any, j: int) -> Any:
    return rows[0, j], rows[1, j], rows[2, j], rows[3, j], rows[4, j], rows[5, j], rows[6, j]


@jit
def _fill_constants(rows: Any, p: Any, affine: Any, inner: int, start: int, m: int) -> None:
    """Rows beta, theta, extra, gamma, scale, shift, mean of a block, as far as there are any."""
    for r in range(len(p)):
        fill(rows[r], p[r], inner, start, m)
    for r in range(min(3, len(affine))):
        fill(rows[4 + r], affine[r], inner, start, m)


@inline
def _begin(row: Any, given: Any, start: int, m: int) -> None:
    """The block's values of `given` into the row; nothing given: zeros."""
    if len(given):
        _copy(row[:m], given[start : start + m])
    else:
        row[:m] = NIL


@cache
def forward_kernel(kind: int, reset: int, norm: bool, joined: bool, group: int, uniform: bool) -> Callable[..., None]:
    """The forward loop over a share of a run's neurons, `group` steps (1 or 4) a pass; `shortcut` is read where one is `joined`."""

    def forward(
        x: Any, shortcut: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int, out: Any, v_last: Any, w_last: Any,
        blocks: Any, firsts: Any, room: Any, edges: Any, share: int,
    ) -> None:  # fmt: skip
        rows = room[share]
        vs, ws = rows[7], rows[8]
        for q in range(firsts[edges[share]], firsts[edges[share + 1]]):
            start, m = blocks[q, 0], blocks[q, 1]
            _fill_constants(rows, p, affine, inner, start, 1 if uniform else m)
            same = _constants(rows, 0)
            _begin(vs, v0, start, m)
            if kind != LIF:
                _begin(ws, w0, start, m)
            for t in range(0, len(x), group):
                t1, t2, t3 = t + group // 4, t + group // 2, t + group - 1
                xa, xb, xc, xd = (
                    x[t, start : start + m], x[t1, start : start + m], x[t2, start : start + m], x[t3, start : start + m],
                )  # fmt: skip
                ra, rb, rc, rd = (
                    shortcut[t, start : start + m], shortcut[t1, start : start + m], shortcut[t2, start : start + m],
                    shortcut[t3, start : start + m],
                )  # fmt: skip
                oa, ob, oc, od = (
                    out[t, start : start + m], out[t1, start : start + m], out[t2, start : start + m],
                    out[t3, start : start + m],
                )  # fmt: skip
                for j in range(m):
                    c = same if uniform else _constants(rows, j)
                    v, w = vs[j], ws[j]
                    _, _, _, s, v, w = step(kind, reset, c, current(norm, joined, c, xa[j], ra[j]), v, w)
                    oa[j] = s
                    if group == 4:
                        _, _, _, s, v, w = step(kind, reset, c, current(norm, joined, c, xb[j], rb[j]), v, w)
                        ob[j] = s
                        _, _, _, s, v, w = step(kind, reset, c, current(norm, joined, c, xc[j], rc[j]), v, w)
                        oc[j] = s
                        _, _, _, s, v, w = step(kind, reset, c, current(norm, joined, c, xd[j], rd[j]), v, w)
                        od[j] = s
                    vs[j] = v
                    if kind != LIF:
                        ws[j] = w
            _copy(v_last[start : start + m], vs[:m])
            if kind != LIF:
                _copy(w_last[start : start + m], ws[:m])

    return variant(jit, forward, kind, reset, norm, joined, group, uniform)


@cache
def backward_kernel(
    kind: int, reset: int, surrogate: int, norm: bool, joined: bool, learn: bool, group: int, uniform: bool,
    planes: bool,
) -> Callable[..., None]:  # fmt: skip
    """The backward loop over a share of a run's neurons: gradients of x, of the shortcut where one is `joined`, and of the
    first state, sums [groups, ...] for the rest.

    Where groups are channels, the gradient goes on through the BatchNorm while the channel is still in the cache; elsewhere
    that of what the BatchNorm makes of x is left, for `fused_norm_kernels.through_norm_kernel`. `part`: of a channel's mean
    that is one value's, 1 / values; 0 where the mean is fixed.
    """

    def backward(
        gs: Any, gv_last: Any, gw_last: Any, x: Any, shortcut: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int,
        detach: bool, k: Any, part: float, gx: Any, g_shortcut: Any, gv0: Any, gw0: Any, gp: Any, of_affine: Any,
        blocks: Any, firsts: Any, room: Any, edges: Any, share: int,
    ) -> None:  # fmt: skip
        rows = room[share]
        steps = len(x)
        sums, vs = rows[7:15], rows[16 : 16 + steps]  # vs and ws: the states before each step
        ws = rows[16 + steps :] if kind != LIF else rows[15:16]
        for of in range(edges[share], edges[share + 1]):
            for q in range(firsts[of], firsts[of + 1]):
                start, m = blocks[q, 0], blocks[q, 1]
                _fill_constants(rows, p, affine, inner, start, 1 if uniform else m)
                same = _constants(rows, 0)
                _begin(sums[0], gv_last, start, m)
                _begin(vs[0], v0, start, m)
                if kind != LIF:
                    _begin(sums[1], gw_last, start, m)
                    _begin(ws[0], w0, start, m)
                if learn:
                    sums[2:6, :m] = NIL
                if norm:
                    sums[6:8, :m] = NIL
                for t in range(steps - 1):
                    xt, rt, va, vb = x[t, start : start + m], shortcut[t, start : start + m], vs[t], vs[t + 1]
                    wa, wb = ws[t % len(ws)], ws[(t + 1) % len(ws)]
                    for j in range(m):
                        c = same if uniform else _constants(rows, j)
                        _, _, _, _, v, w = step(kind, reset, c, current(norm, joined, c, xt[j], rt[j]), va[j], wa[j])
                        vb[j] = v
                        if kind != LIF:
                            wb[j] = w
                for last in range(steps - 1, -1, -group):
                    t1, t2, t3 = last - group // 4, last - group // 2, last - group + 1
                    xa, xb, xc, xd = (
                        x[last, start : start + m], x[t1, start : start + m], x[t2, start : start + m],
                        x[t3, start : start + m],
                    )  # fmt: skip
                    ra, rb, rc, rd = (
                        shortcut[last, start : start + m], shortcut[t1, start : start + m],
                        shortcut[t2, start : start + m], shortcut[t3, start : start + m],
                    )  # fmt: skip
                    ga, gb, gc, gd = (
                        gs[last, start : start + m], gs[t1, start : start + m], gs[t2, start : start + m],
                        gs[t3, start : start + m],
                    )  # fmt: skip
                    oa, ob, oc, od = (
                        gx[last, start : start + m], gx[t1, start : start + m], gx[t2, start : start + m],
                        gx[t3, start : start + m],
                    )  # fmt: skip
                    ha, hb, hc, hd = (
                        g_shortcut[last, start : start + m], g_shortcut[t1, start : start + m],
                        g_shortcut[t2, start : start + m], g_shortcut[t3, start : start + m],
                    )  # fmt: skip
                    va, vb, vc, vd = vs[last], vs[t1], vs[t2], vs[t3]
                    n = len(ws)
                    wa, wb, wc, wd = ws[last % n], ws[t1 % n], ws[t2 % n], ws[t3 % n]
                    for j in range(m):
                        c = same if uniform else _constants(rows, j)
                        u = (
                            sums[0, j], sums[1, j], sums[2, j], sums[3, j], sums[4, j], sums[5, j], sums[6, j], sums[7, j],
                        )  # fmt: skip
                        i = current(norm, joined, c, xa[j], ra[j])
                        g, u = retreat(
                            kind, reset, surrogate, norm, learn, detach, k, c, xa[j], i, va[j], wa[j], ga[j], u
                        )
                        oa[j] = g
                        if joined:
                            ha[j] = g
                        if group == 4:
                            i = current(norm, joined, c, xb[j], rb[j])
                            g, u = retreat(
                                kind, reset, surrogate, norm, learn, detach, k, c, xb[j], i, vb[j], wb[j], gb[j], u
                            )
                            ob[j] = g
                            if joined:
                                hb[j] = g
                            i = current(norm, joined, c, xc[j], rc[j])
                            g, u = retreat(
                                kind, reset, surrogate, norm, learn, detach, k, c, xc[j], i, vc[j], wc[j], gc[j], u
                            )
                            oc[j] = g
                            if joined:
                                hc[j] = g
                            i = current(norm, joined, c, xd[j], rd[j])
                            g, u = retreat(
                                kind, reset, surrogate, norm, learn, detach, k, c, xd[j], i, vd[j], wd[j], gd[j], u
                            )
                            od[j] = g
                            if joined:
                                hd[j] = g
                        sums[0, j] = u[0]
                        if kind != LIF:
                            sums[1, j] = u[1]
                        if learn:
                            sums[2, j] = u[2]
                            sums[3, j] = u[3]
                            if kind != LIF:
                                sums[4, j] = u[4]
                            if kind == ALIF:
                                sums[5, j] = u[5]
                        if norm:
                            sums[6, j] = u[6]
                            sums[7, j] = u[7]
                if len(gv0):
                    _copy(gv0[start : start + m], sums[0, :m])
                    if kind != LIF:
                        _copy(gw0[start : start + m], sums[1, :m])
                if learn:
                    for r in range(len(p)):
                        _gather(sums[2 + r], gp[of, r], inner, start, m)
                if norm:
                    _gather(sums[6], of_affine[of, 0], inner, start, m)
                    _gather(sums[7], of_affine[of, 1], inner, start, m)
            if norm and planes:
                a, mean, invstd = affine[0, of], affine[2, of], affine[3, of]
                b = np.float32(of_affine[of, 0, 0] * part)
                c = np.float32(of_affine[of, 1, 0] * part * np.float64(invstd) ** 2)
                for q in range(firsts[of], firsts[of + 1]):
                    start, m = blocks[q, 0], blocks[q, 1]
                    for t in range(steps):
                        xt, gt = x[t, start : start + m], gx[t, start : start + m]
                        for j in range(m):
                            gt[j] = through_norm(a, b, mean, c, gt[j], xt[j])

    return variant(jit, backward, kind, reset, surrogate, norm, joined, learn, group, uniform, planes)

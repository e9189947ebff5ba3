"""The loops of the fused CPU kernels: numba, in blocks of neurons that stay in the cache while time runs over them.

The backward pass computes a block's membranes again instead of reading saved ones: it keeps those before each group of steps, and
goes through a group forward and back in registers.

What is done in which order is a `Plan` (fused_plan.py): blocks in groups, a group's sums taken together and written to a place of
their own, so that results do not depend on the number of threads. A block is a row (first neuron, how many). In a `uniform` plan all
neurons of a block have the same constants; elsewhere these are rows beside the states. A kernel's last arguments are the
rows [shares, rows, width] to work in, the shares' edges among the groups [shares + 1], and which share to do.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from spikeva._compiled import njit, variant
from spikeva.neurons.fused_layout import ALIF, LIF
from spikeva.neurons.fused_plan import STATE, STATES, SUMS, WAITING
from spikeva.neurons.fused_step import COMPILED, NIL, current, inline, retreat, step, through_norm
from spikeva.neurons.fused_stream import CHUNK, fence, stream

# The backward loops read and write up to twenty rows. LLVM proves that they do not overlap when a loop starts, but by
# default gives up on vector instructions where that takes more than 128 comparisons. (Older ones do not know the option.)
if llvm.llvm_version_info >= (16,):
    llvm.set_option("spikeva", "-vectorize-memory-check-threshold=2000")

# Without numba's counting of who shares in an array: it takes longer than the work on a small block. Such code makes no arrays,
# and copies number by number.
jit = njit(**COMPILED, _nrt=False)
jit_sum = njit(cache=True, nogil=True, fastmath={"reassoc"}, _nrt=False)  # float64 sums in vector lanes


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


@inline
def _rows_of(x: Any, t: int, group: int, a: int, b: int) -> Any:
    """x[t, a:b] and so on for the steps of a `group` of four; of one step, four times the same."""
    return x[t, a:b], x[t + group // 4, a:b], x[t + group // 2, a:b], x[t + group - 1, a:b]


@inline
def _waiting(rows: Any, n: int) -> Any:
    return rows[WAITING, :n], rows[WAITING + 1, :n], rows[WAITING + 2, :n], rows[WAITING + 3, :n]


@inline
def _put(to: Any, beside: Any, j: int, g: Any, both: bool) -> None:
    to[j] = g
    if both:
        beside[j] = g


@inline
def _stream_rows(group: int, to: Any, of: Any) -> None:
    stream(to[0], of[0])
    if group == 4:
        stream(to[1], of[1])
        stream(to[2], of[2])
        stream(to[3], of[3])


@cache
def forward_kernel(
    kind: int, reset: int, norm: bool, joined: bool, group: int, uniform: bool, past: bool
) -> Callable[..., None]:
    """The forward loop over a share of a run's neurons, `group` steps (1 or 4) a pass; `shortcut` is read where one is `joined`.

    `past`: spikes go past the cache (fused_stream.py).
    """

    def forward(
        x: Any, shortcut: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int, out: Any, v_last: Any, w_last: Any,
        blocks: Any, firsts: Any, room: Any, edges: Any, share: int,
    ) -> None:  # fmt: skip
        rows = room[share]
        for q in range(firsts[edges[share]], firsts[edges[share + 1]]):
            start, m = blocks[q, 0], blocks[q, 1]
            _fill_constants(rows, p, affine, inner, start, 1 if uniform else m)
            same = _constants(rows, 0)
            _begin(rows[STATE], v0, start, m)
            if kind != LIF:
                _begin(rows[STATE + 1], w0, start, m)
            for t in range(0, len(x), group):
                for at in range(0, m, CHUNK if past else m):
                    n = min(CHUNK, m - at) if past else m
                    a, b = start + at, start + at + n
                    x0, x1, x2, x3 = _rows_of(x, t, group, a, b)
                    r0, r1, r2, r3 = _rows_of(shortcut, t, group, a, b)
                    target = _rows_of(out, t, group, a, b)
                    made = _waiting(rows, n) if past else target
                    s0, s1, s2, s3 = made
                    vs, ws = rows[STATE, at:], rows[STATE + 1, at:]
                    for j in range(n):
                        c = same if uniform else _constants(rows, at + j)
                        v, w = vs[j], ws[j]
                        _, _, _, s, v, w = step(kind, reset, c, current(norm, joined, c, x0[j], r0[j]), v, w)
                        s0[j] = s
                        if group == 4:
                            _, _, _, s, v, w = step(kind, reset, c, current(norm, joined, c, x1[j], r1[j]), v, w)
                            s1[j] = s
                            _, _, _, s, v, w = step(kind, reset, c, current(norm, joined, c, x2[j], r2[j]), v, w)
                            s2[j] = s
                            _, _, _, s, v, w = step(kind, reset, c, current(norm, joined, c, x3[j], r3[j]), v, w)
                            s3[j] = s
                        vs[j] = v
                        if kind != LIF:
                            ws[j] = w
                    if past:
                        _stream_rows(group, target, made)
            _copy(v_last[start : start + m], rows[STATE, :m])
            if kind != LIF:
                _copy(w_last[start : start + m], rows[STATE + 1, :m])
        if past:
            fence()

    return variant(jit, forward, kind, reset, norm, joined, group, uniform, past)


@cache
def backward_kernel(
    kind: int, reset: int, surrogate: int, norm: bool, joined: bool, learn: bool, group: int, uniform: bool,
    planes: bool, past: bool,
) -> Callable[..., None]:  # fmt: skip
    """The backward loop over a share of a run's neurons: gradients of x, of the shortcut where one is `joined`, and of the
    first state, sums [groups, ...] for the rest.

    Where groups are channels (`planes`, and a `norm`), the gradient goes on through the BatchNorm while the channel is still in
    the cache; elsewhere that of what the BatchNorm makes of x is left, for `fused_norm_kernels.through_norm_kernel`. `part`: of a
    channel's mean that is one value's, 1 / values; 0 where the mean is fixed. `past`: gradients that are not read again go past
    the cache.
    """
    again = norm and planes  # the gradient of x is read again
    past_x, past_shortcut, both = past and not again, past and joined, joined and not past

    def backward(
        gs: Any, gv_last: Any, gw_last: Any, x: Any, shortcut: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int,
        detach: bool, k: Any, part: float, gx: Any, g_shortcut: Any, gv0: Any, gw0: Any, gp: Any, of_affine: Any,
        blocks: Any, firsts: Any, room: Any, edges: Any, share: int,
    ) -> None:  # fmt: skip
        rows = room[share]
        steps = len(x)
        sums, vs, ws = rows[SUMS:], rows[STATES:], rows[STATES + steps // group :]
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
                for t in range(0, steps - group, group):
                    x0, x1, x2, x3 = _rows_of(x, t, group, start, start + m)
                    r0, r1, r2, r3 = _rows_of(shortcut, t, group, start, start + m)
                    v_here, v_next = vs[t // group], vs[t // group + 1]
                    w_here, w_next = (ws[t // group], ws[t // group + 1]) if kind != LIF else (v_here, v_next)
                    for j in range(m):
                        c = same if uniform else _constants(rows, j)
                        v, w = v_here[j], w_here[j]
                        _, _, _, _, v, w = step(kind, reset, c, current(norm, joined, c, x0[j], r0[j]), v, w)
                        if group == 4:
                            _, _, _, _, v, w = step(kind, reset, c, current(norm, joined, c, x1[j], r1[j]), v, w)
                            _, _, _, _, v, w = step(kind, reset, c, current(norm, joined, c, x2[j], r2[j]), v, w)
                            _, _, _, _, v, w = step(kind, reset, c, current(norm, joined, c, x3[j], r3[j]), v, w)
                        v_next[j] = v
                        if kind != LIF:
                            w_next[j] = w
                for t in range(steps - group, -1, -group):
                    for at in range(0, m, CHUNK if past else m):
                        n = min(CHUNK, m - at) if past else m
                        a, b = start + at, start + at + n
                        x0, x1, x2, x3 = _rows_of(x, t, group, a, b)
                        r0, r1, r2, r3 = _rows_of(shortcut, t, group, a, b)
                        g0, g1, g2, g3 = _rows_of(gs, t, group, a, b)
                        target, beside = _rows_of(gx, t, group, a, b), _rows_of(g_shortcut, t, group, a, b)
                        made = _waiting(rows, n) if past_x else target
                        o0, o1, o2, o3 = made
                        h0, h1, h2, h3 = beside
                        v_here = vs[t // group, at:]
                        w_here = ws[t // group, at:] if kind != LIF else v_here
                        s0, s1, s2, s3 = sums[0, at:], sums[1, at:], sums[2, at:], sums[3, at:]
                        s4, s5, s6, s7 = sums[4, at:], sums[5, at:], sums[6, at:], sums[7, at:]
                        for j in range(n):
                            c = same if uniform else _constants(rows, at + j)
                            u = s0[j], s1[j], s2[j], s3[j], s4[j], s5[j], s6[j], s7[j]
                            va, wa, ia = v_here[j], w_here[j], current(norm, joined, c, x0[j], r0[j])
                            if group == 4:
                                _, _, _, _, vb, wb = step(kind, reset, c, ia, va, wa)
                                ib = current(norm, joined, c, x1[j], r1[j])
                                _, _, _, _, vc, wc = step(kind, reset, c, ib, vb, wb)
                                ic = current(norm, joined, c, x2[j], r2[j])
                                _, _, _, _, vd, wd = step(kind, reset, c, ic, vc, wc)
                                i = current(norm, joined, c, x3[j], r3[j])
                                g, u = retreat(
                                    kind, reset, surrogate, norm, learn, detach, k, c, x3[j], i, vd, wd, g3[j], u
                                )
                                _put(o3, h3, j, g, both)
                                g, u = retreat(
                                    kind, reset, surrogate, norm, learn, detach, k, c, x2[j], ic, vc, wc, g2[j], u
                                )
                                _put(o2, h2, j, g, both)
                                g, u = retreat(
                                    kind, reset, surrogate, norm, learn, detach, k, c, x1[j], ib, vb, wb, g1[j], u
                                )
                                _put(o1, h1, j, g, both)
                            g, u = retreat(
                                kind, reset, surrogate, norm, learn, detach, k, c, x0[j], ia, va, wa, g0[j], u
                            )
                            _put(o0, h0, j, g, both)
                            s0[j] = u[0]
                            if kind != LIF:
                                s1[j] = u[1]
                            if learn:
                                s2[j] = u[2]
                                s3[j] = u[3]
                                if kind != LIF:
                                    s4[j] = u[4]
                                if kind == ALIF:
                                    s5[j] = u[5]
                            if norm:
                                s6[j] = u[6]
                                s7[j] = u[7]
                        if past_x:
                            _stream_rows(group, target, made)
                        if past_shortcut:
                            _stream_rows(group, beside, made)
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
        if past:
            fence()

    return variant(jit, backward, kind, reset, surrogate, norm, joined, learn, group, uniform, planes, past)

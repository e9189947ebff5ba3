"""The loops of the fused CPU kernels: numba, in blocks of neurons that stay in the cache while time runs over them.

A run is a matrix [T, N] in memory order, whatever the tensor's layout; neuron i belongs to channel (i // inner) % C, so
contiguous (inner = height x width) and channels-last (inner = 1) are the same code. Arithmetic is float32 in the order
of the eager reference, without fused multiply-add but in gradients, so that spikes are equal bit for bit. The backward
pass computes a block's membranes again instead of reading saved ones.

A kernel's last arguments are the rows [shares, rows, PITCH] to work in, the shares' edges [shares + 1], and which share to do.

`step` and `derivative` are written once and compiled into every loop, where `kind` and its like are constants.
"""

from collections.abc import Callable
from functools import cache
from math import factorial, log
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from spikeva._compiled import njit
from spikeva.neurons.fused_layout import ALIF, CUBA, DELAYED, LIF, SUBTRACT, ZERO

BLOCK = 2048  # neurons a block: a few rows of one time step fit the first-level cache, membranes of 64 steps the second
TASK = 8 * BLOCK  # neurons whose sums are taken together: fixed, so that sums have one order on any number of threads
PITCH = BLOCK + 16  # one cache line more, so that equal places of two rows do not compete for one cache set
FORWARD_ROWS = 9  # rows [PITCH] that a forward loop works in
ONE, NIL = np.float32(1), np.float32(0)
LOG2_E = np.float32(1 / log(2))
LN_2 = tuple(np.float32(log(2) ** i / factorial(i)) for i in range(7))  # coefficients of 2**f

# The backward loops read and write up to twenty rows. LLVM proves that they do not overlap when a loop starts, but by
# default gives up on vector instructions where that takes more than 128 comparisons. (Older ones do not know the option.)
if llvm.llvm_version_info >= (16,):
    llvm.set_option("spikeva", "-vectorize-memory-check-threshold=2000")

# numpy's error model: a division does not branch on zero, so loops over it become vector instructions
jit = njit(cache=True, nogil=True, error_model="numpy")
_inline = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
# gradients may fuse multiply and add; the instructions of `step`, inlined into them, may not
_inline_gradient = njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath={"contract"})
jit_sum = njit(cache=True, nogil=True, fastmath={"reassoc"})  # float64 sums in vector lanes


@_inline
def step(kind: int, reset: int, norm: bool, c: Any, x: Any, v: Any, w: Any) -> tuple[Any, Any, Any, Any, Any, Any]:
    """(threshold, late spike, membrane before the reset, spike, next v, next w) of one neuron's step.

    `c` holds the neuron's beta, theta, extra, gamma, and with a BatchNorm its channel's scale and shift of x, and mean.
    """
    beta, theta, extra, gamma = c[0], c[1], c[2], c[3]
    i = c[4] * x + c[5] if norm else x
    th, r = theta, NIL
    if kind == CUBA:
        i = extra * w + i
        w = i
    if kind == ALIF:
        th = theta + gamma * w
    h = beta * v + i
    if reset == DELAYED:
        r = ONE if v - th > NIL else NIL
        h = h - th * r
    s = ONE if h - th > NIL else NIL
    if kind == ALIF:
        w = extra * w + s
    after = h
    if reset == ZERO:
        after = h * (ONE - s)
    if reset == SUBTRACT:
        after = h - th * s
    return th, r, h, s, after, w


@_inline_gradient
def exp_minus(a: Any) -> Any:
    """exp(-a) for a >= 0, to 4e-6 of itself, in arithmetic that becomes vector instructions.

    2**f by its Taylor series on [-1/2, 1/2], times a power of two written into the exponent's bits. Chosen here.
    """
    z = LOG2_E * -min(a, np.float32(87))
    n = np.floor(z + np.float32(0.5))
    f = z - n
    p = ((LN_2[6] * f + LN_2[5]) * f + LN_2[4]) * f + LN_2[3]
    p = ((p * f + LN_2[2]) * f + LN_2[1]) * f + ONE
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_inline_gradient
def derivative(surrogate: int, k: Any, u: Any) -> Any:
    """The surrogate's derivative at u; formulas in surrogates.py."""
    if surrogate == 0:
        q = ONE + k * abs(u)
        d = ONE / (q * q)
    elif surrogate == 1:
        q = np.float32(np.pi / 2) * k * u
        d = np.float32(0.5) * k / (ONE + q * q)
    elif surrogate == 2:
        e = exp_minus(abs(k * u))
        d = k * e / ((ONE + e) * (ONE + e))
    elif surrogate == 3:
        d = max(ONE - k * abs(u), NIL)
    else:
        d = k
    return d


@_inline_gradient
def retreat(
    kind: int, reset: int, surrogate: int, norm: bool, learn: bool, detach: bool, k: Any, c: Any, x: Any, v: Any,
    w: Any, g: Any, sums: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """(gradient of the step's input, sums before the step) from those after it and the gradient g of its spike.

    `sums`: the gradients of its v, w, beta, theta, extra, gamma, those of its input summed, and so with x less its mean.
    """
    beta, extra, gamma = c[0], c[2], c[3]
    gh, gw, g_beta, g_theta, g_extra, g_gamma, sum_g, sum_gx = sums  # gh: of the membrane after the step
    th, r, h, s, _, _ = step(kind, reset, norm, c, x, v, w)
    g_th = NIL  # of this step's threshold
    if reset == ZERO:
        if not detach:
            g -= h * gh
        gh = gh * (ONE - s)
    if reset == SUBTRACT:
        g_th = -s * gh
        if not detach:
            g -= th * gh
    if kind == ALIF:
        g += gw
    gu = g * derivative(surrogate, k, h - th)
    gh += gu
    g_th -= gu
    gv = beta * gh
    if reset == DELAYED:
        g_th -= r * gh
        if not detach:
            late = th * gh * derivative(surrogate, k, v - th)
            gv -= late
            g_th += late
    gi = gh
    if kind == CUBA:
        gi = gh + gw
    if learn:
        g_beta += v * gh
        g_theta += g_th
        g_extra += w * (gi if kind == CUBA else gw)
        g_gamma += w * g_th
    if kind == CUBA:
        gw = extra * gi
    if kind == ALIF:
        gw = extra * gw + gamma * g_th
    if norm:
        sum_g += gi
        sum_gx += gi * (x - c[6])
    return gi, (gv, gw, g_beta, g_theta, g_extra, g_gamma, sum_g, sum_gx)


def together(steps: int) -> int:
    """How many steps a loop makes in one pass over a row: states and constants then move through registers."""
    return 4 if steps % 4 == 0 else 1


def rows_of_backward(steps: int, kind: int) -> int:
    """How many rows a backward loop over that many steps works in: the states before each step, and its own."""
    return 16 + (steps if kind == LIF else 2 * steps)


@_inline
def stretch(channels: int, inner: int, at: int, left: int) -> tuple[int, int]:
    """(channel of neuron `at`, how many of the `left` neurons from there belong to it, or to it and the next ones)."""
    place = at // inner
    c = place % channels
    if channels == 1:
        return c, left
    if inner == 1:  # channels-last: one pixel's channels lie side by side
        return c, min(left, channels - c)
    return c, min(left, (place + 1) * inner - at)


@jit
def fill(row: Any, table: Any, inner: int, start: int, m: int) -> None:
    """row[j] = the table's value for the channel of neuron start + j."""
    channels, j = len(table), 0
    while j < m:
        c, run = stretch(channels, inner, start + j, m - j)
        if inner == 1 and channels > 1:
            row[j : j + run] = table[c : c + run]
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


@_inline
def _constants(rows: Any, j: int) -> Any:
    return rows[0, j], rows[1, j], rows[2, j], rows[3, j], rows[4, j], rows[5, j], rows[6, j]


@jit
def _fill_constants(rows: Any, p: Any, affine: Any, inner: int, start: int, m: int) -> None:
    """Rows beta, theta, extra, gamma, scale, shift, mean of a block, as far as there are any."""
    for r in range(len(p)):
        fill(rows[r], p[r], inner, start, m)
    for r in range(len(affine)):
        fill(rows[4 + r], affine[r], inner, start, m)


@cache
def forward_kernel(kind: int, reset: int, norm: bool, group: int) -> Callable[..., None]:
    """The forward loop over a share of a run's neurons, `group` steps (1 or 4) a pass."""

    @jit
    def forward(
        x: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int, out: Any, v_last: Any, w_last: Any, room: Any,
        edges: Any, share: int,
    ) -> None:  # fmt: skip
        rows, lo, hi = room[share], edges[share], edges[share + 1]
        vs, ws = rows[7], rows[8]
        for start in range(lo, hi, BLOCK):
            m = min(BLOCK, hi - start)
            _fill_constants(rows, p, affine, inner, start, m)
            vs[:m] = v0[start : start + m]
            if kind != LIF:
                ws[:m] = w0[start : start + m]
            for t in range(0, len(x), group):
                t1, t2, t3 = t + group // 4, t + group // 2, t + group - 1
                xa, xb, xc, xd = (
                    x[t, start : start + m], x[t1, start : start + m], x[t2, start : start + m], x[t3, start : start + m],
                )  # fmt: skip
                oa, ob, oc, od = (
                    out[t, start : start + m], out[t1, start : start + m], out[t2, start : start + m],
                    out[t3, start : start + m],
                )  # fmt: skip
                for j in range(m):
                    c = _constants(rows, j)
                    v, w = vs[j], ws[j]
                    _, _, _, s, v, w = step(kind, reset, norm, c, xa[j], v, w)
                    oa[j] = s
                    if group == 4:
                        _, _, _, s, v, w = step(kind, reset, norm, c, xb[j], v, w)
                        ob[j] = s
                        _, _, _, s, v, w = step(kind, reset, norm, c, xc[j], v, w)
                        oc[j] = s
                        _, _, _, s, v, w = step(kind, reset, norm, c, xd[j], v, w)
                        od[j] = s
                    vs[j] = v
                    if kind != LIF:
                        ws[j] = w
            v_last[start : start + m] = vs[:m]
            if kind != LIF:
                w_last[start : start + m] = ws[:m]

    return forward


@cache
def backward_kernel(kind: int, reset: int, surrogate: int, norm: bool, learn: bool, group: int) -> Callable[..., None]:
    """The backward loop over a share of a run's neurons: gradients of x and of the first state, sums [tasks, ...] for the rest."""

    @jit
    def backward(
        gs: Any, gv_last: Any, gw_last: Any, x: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int, detach: bool,
        k: Any, gx: Any, gv0: Any, gw0: Any, gp: Any, of_affine: Any, room: Any, edges: Any, share: int,
    ) -> None:  # fmt: skip
        rows, lo, hi = room[share], edges[share], edges[share + 1]
        steps = len(x)
        sums, vs = rows[7:15], rows[16 : 16 + steps]  # vs and ws: the states before each step
        ws = rows[16 + steps :] if kind != LIF else rows[15:16]
        for start in range(lo, hi, BLOCK):
            m = min(BLOCK, hi - start)
            _fill_constants(rows, p, affine, inner, start, m)
            sums[0, :m] = gv_last[start : start + m]
            sums[1:, :m] = NIL
            vs[0, :m] = v0[start : start + m]
            if kind != LIF:
                sums[1, :m] = gw_last[start : start + m]
                ws[0, :m] = w0[start : start + m]
            for t in range(steps - 1):
                xt, va, vb = x[t, start : start + m], vs[t], vs[t + 1]
                wa, wb = ws[t % len(ws)], ws[(t + 1) % len(ws)]
                for j in range(m):
                    c = _constants(rows, j)
                    _, _, _, _, v, w = step(kind, reset, norm, c, xt[j], va[j], wa[j])
                    vb[j] = v
                    if kind != LIF:
                        wb[j] = w
            for last in range(steps - 1, -1, -group):
                t1, t2, t3 = last - group // 4, last - group // 2, last - group + 1
                xa, xb, xc, xd = (
                    x[last, start : start + m], x[t1, start : start + m], x[t2, start : start + m],
                    x[t3, start : start + m],
                )  # fmt: skip
                ga, gb, gc, gd = (
                    gs[last, start : start + m], gs[t1, start : start + m], gs[t2, start : start + m],
                    gs[t3, start : start + m],
                )  # fmt: skip
                oa, ob, oc, od = (
                    gx[last, start : start + m], gx[t1, start : start + m], gx[t2, start : start + m],
                    gx[t3, start : start + m],
                )  # fmt: skip
                va, vb, vc, vd = vs[last], vs[t1], vs[t2], vs[t3]
                n = len(ws)
                wa, wb, wc, wd = ws[last % n], ws[t1 % n], ws[t2 % n], ws[t3 % n]
                for j in range(m):
                    c = _constants(rows, j)
                    u = (
                        sums[0, j], sums[1, j], sums[2, j], sums[3, j], sums[4, j], sums[5, j], sums[6, j], sums[7, j],
                    )  # fmt: skip
                    g, u = retreat(kind, reset, surrogate, norm, learn, detach, k, c, xa[j], va[j], wa[j], ga[j], u)
                    oa[j] = g
                    if group == 4:
                        g, u = retreat(kind, reset, surrogate, norm, learn, detach, k, c, xb[j], vb[j], wb[j], gb[j], u)
                        ob[j] = g
                        g, u = retreat(kind, reset, surrogate, norm, learn, detach, k, c, xc[j], vc[j], wc[j], gc[j], u)
                        oc[j] = g
                        g, u = retreat(kind, reset, surrogate, norm, learn, detach, k, c, xd[j], vd[j], wd[j], gd[j], u)
                        od[j] = g
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
            gv0[start : start + m] = sums[0, :m]
            if kind != LIF:
                gw0[start : start + m] = sums[1, :m]
            if learn:
                for r in range(len(p)):
                    _gather(sums[2 + r], gp[start // TASK, r], inner, start, m)
            if norm:
                _gather(sums[6], of_affine[start // TASK, 0], inner, start, m)
                _gather(sums[7], of_affine[start // TASK, 1], inner, start, m)

    return backward

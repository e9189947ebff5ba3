"""The loops of the fused CPU kernels: numba, in blocks of neurons that stay in the cache while time runs over them.

A run is a matrix [T, N] in memory order, whatever the tensor's layout; neuron i belongs to channel (i // inner) % C, so
contiguous (inner = height x width) and channels-last (inner = 1) are the same code. Arithmetic is float32 in the order
of the eager reference, without fused multiply-add, so that spikes are equal bit for bit. The backward pass computes a
block's membranes again instead of reading saved ones.

`step` and `derivative` are written once and compiled into every loop, where `kind` and its like are constants. Whatever
jitted code calls lives in this file: numba's cache does not see that another file changed.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from spikeva.neurons.fused_layout import ALIF, CUBA, DELAYED, LIF, SUBTRACT, ZERO

BLOCK = 2048  # neurons a block: a few rows of one time step fit the first-level cache, membranes of 64 steps the second
PITCH = BLOCK + 16  # one cache line more, so that equal places of two rows do not compete for one cache set
ONE, NIL = np.float32(1), np.float32(0)
LOG2_E = np.float32(1.4426950408889634)

# numpy's error model: a division does not branch on zero, so loops over it become vector instructions
_jit = njit(cache=True, nogil=True, error_model="numpy")
_inline = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
_jit_sum = njit(cache=True, nogil=True, fastmath={"reassoc"})  # float64 sums in vector lanes


@_inline
def step(
    kind: int, reset: int, i: Any, v: Any, w: Any, beta: Any, theta: Any, extra: Any, gamma: Any
) -> tuple[Any, Any, Any, Any, Any, Any]:
    """(threshold, late spike, membrane before the reset, spike, next v, next w) of one neuron's step with input i."""
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


@_inline
def exp_minus(a: Any) -> Any:
    """exp(-a) for a >= 0, to 2 units in the last place; in arithmetic that becomes vector instructions.

    2**f by its Taylor series on [-1/2, 1/2], times a power of two written into the exponent's bits. Chosen here.
    """
    z = LOG2_E * -min(a, np.float32(87))
    n = np.floor(z + np.float32(0.5))
    f = (z - n) * np.float32(0.6931471805599453)
    p = np.float32(1 / 5040)
    p = p * f + np.float32(1 / 720)
    p = p * f + np.float32(1 / 120)
    p = p * f + np.float32(1 / 24)
    p = p * f + np.float32(1 / 6)
    p = p * f + np.float32(0.5)
    p = p * f + ONE
    p = p * f + ONE
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_inline
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


@_jit
def _rows(n: int) -> Any:
    """Uninitialised float32 [n, PITCH], at a cache line's start."""
    flat = np.empty(n * PITCH + 16, np.float32)
    first = (-(flat.ctypes.data // 4)) % 16
    return flat[first : first + n * PITCH].reshape(n, PITCH)


@_inline
def _stretch(channels: int, inner: int, at: int, left: int) -> tuple[int, int]:
    """(channel of neuron `at`, how many of the `left` neurons from there belong to it, or to it and the next ones)."""
    place = at // inner
    c = place % channels
    if channels == 1:
        return c, left
    if inner == 1:  # channels-last: one pixel's channels lie side by side
        return c, min(left, channels - c)
    return c, min(left, (place + 1) * inner - at)


@_jit
def _fill(row: Any, table: Any, inner: int, start: int, m: int) -> None:
    """row[j] = the table's value for the channel of neuron start + j."""
    channels, j = len(table), 0
    while j < m:
        c, run = _stretch(channels, inner, start + j, m - j)
        if inner == 1 and channels > 1:
            row[j : j + run] = table[c : c + run]
        else:
            row[j : j + run] = table[c]
        j += run


@_jit_sum
def _gather(row: Any, table: Any, inner: int, start: int, m: int) -> None:
    """table[c] += the sum of `row` over the neurons of channel c, in float64."""
    channels, j = len(table), 0
    while j < m:
        c, run = _stretch(channels, inner, start + j, m - j)
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


@cache
def forward_kernel(kind: int, reset: int, normalise: bool) -> Callable[..., None]:
    """The forward loop over neurons lo to hi of a run."""

    @_jit
    def forward(
        x: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int, out: Any, v_last: Any, w_last: Any, lo: int, hi: int
    ) -> None:
        rows = _rows(8)
        v, w, beta, theta, extra, gamma, scale, shift = (
            rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7],
        )  # fmt: skip
        for start in range(lo, hi, BLOCK):
            m = min(BLOCK, hi - start)
            for r in range(len(p)):
                _fill(rows[2 + r], p[r], inner, start, m)
            if normalise:
                _fill(scale, affine[0], inner, start, m)
                _fill(shift, affine[1], inner, start, m)
            v[:m] = v0[start : start + m]
            if kind != LIF:
                w[:m] = w0[start : start + m]
            for t in range(len(x)):
                xt, st = x[t, start : start + m], out[t, start : start + m]
                for j in range(m):
                    i = xt[j]
                    if normalise:
                        i = scale[j] * i + shift[j]
                    _, _, _, s, v_next, w_next = step(kind, reset, i, v[j], w[j], beta[j], theta[j], extra[j], gamma[j])
                    st[j] = s
                    v[j] = v_next
                    if kind != LIF:
                        w[j] = w_next
            v_last[start : start + m] = v[:m]
            if kind != LIF:
                w_last[start : start + m] = w[:m]

    return forward  # type: ignore[no-any-return]


@cache
def backward_kernel(kind: int, reset: int, surrogate: int, normalise: bool, learn: bool) -> Callable[..., None]:
    """The backward loop over neurons lo to hi of a run: gradients of x and of the first state, sums for the rest."""

    @_jit
    def backward(
        gs: Any, gv_last: Any, gw_last: Any, x: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int, detach: bool,
        k: Any, gx: Any, gv0: Any, gw0: Any, gp: Any, sums: Any, lo: int, hi: int,
    ) -> None:  # fmt: skip
        steps = len(x)
        vs = _rows(steps + 1)  # the state before each step
        ws = _rows(steps + 1 if kind != LIF else 1)
        rows = _rows(15)
        beta, theta, extra, gamma, scale, shift, mean = (
            rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6],
        )  # fmt: skip
        gv, gw, sum_g, sum_gx = rows[7], rows[8], rows[9], rows[10]
        g_beta, g_theta, g_extra, g_gamma = rows[11], rows[12], rows[13], rows[14]
        for start in range(lo, hi, BLOCK):
            m = min(BLOCK, hi - start)
            for r in range(len(p)):
                _fill(rows[r], p[r], inner, start, m)
            for r in range(len(affine)):
                _fill(rows[4 + r], affine[r], inner, start, m)
            gv[:m] = gv_last[start : start + m]
            vs[0, :m] = v0[start : start + m]
            if kind != LIF:
                gw[:m] = gw_last[start : start + m]
                ws[0, :m] = w0[start : start + m]
            if normalise or learn:
                rows[9:15, :m] = NIL
            for t in range(steps - 1):
                xt, v, v_next = x[t, start : start + m], vs[t], vs[t + 1]
                w, w_next = ws[t % len(ws)], ws[(t + 1) % len(ws)]
                for j in range(m):
                    i = xt[j]
                    if normalise:
                        i = scale[j] * i + shift[j]
                    _, _, _, _, after, w_after = step(kind, reset, i, v[j], w[j], beta[j], theta[j], extra[j], gamma[j])
                    v_next[j] = after
                    if kind != LIF:
                        w_next[j] = w_after
            for back in range(steps):
                t = steps - 1 - back
                xt, gst, gxt = x[t, start : start + m], gs[t, start : start + m], gx[t, start : start + m]
                v, w = vs[t], ws[t % len(ws)]
                for j in range(m):
                    i = xt[j]
                    if normalise:
                        i = scale[j] * i + shift[j]
                    th, r, h, s, _, _ = step(kind, reset, i, v[j], w[j], beta[j], theta[j], extra[j], gamma[j])
                    g = gst[j]  # gradient of the spike
                    gh = gv[j]  # of the membrane
                    g_th = NIL  # of the threshold
                    if reset == ZERO:
                        if not detach:
                            g -= h * gh
                        gh = gh * (ONE - s)
                    if reset == SUBTRACT:
                        g_th = -s * gh
                        if not detach:
                            g -= th * gh
                    if kind == ALIF:
                        g += gw[j]
                    gu = g * derivative(surrogate, k, h - th)
                    gh += gu
                    g_th -= gu
                    gv_prev = beta[j] * gh
                    if reset == DELAYED:
                        g_th -= r * gh
                        if not detach:
                            late = th * gh * derivative(surrogate, k, v[j] - th)
                            gv_prev -= late
                            g_th += late
                    if learn:
                        g_beta[j] += v[j] * gh
                        g_theta[j] += g_th
                    gi = gh
                    if kind == CUBA:
                        gi = gh + gw[j]
                        if learn:
                            g_extra[j] += w[j] * gi
                        gw[j] = extra[j] * gi
                    if kind == ALIF:
                        if learn:
                            g_extra[j] += w[j] * gw[j]
                            g_gamma[j] += w[j] * g_th
                        gw[j] = extra[j] * gw[j] + gamma[j] * g_th
                    if normalise:
                        sum_g[j] += gi
                        sum_gx[j] += gi * (xt[j] - mean[j])
                    gxt[j] = gi
                    gv[j] = gv_prev
            gv0[start : start + m] = gv[:m]
            if kind != LIF:
                gw0[start : start + m] = gw[:m]
            if learn:
                for r in range(len(p)):
                    _gather(rows[11 + r], gp[r], inner, start, m)
            if normalise:
                _gather(sum_g, sums[0], inner, start, m)
                _gather(sum_gx, sums[1], inner, start, m)

    return backward  # type: ignore[no-any-return]


@_jit_sum
def moments_kernel(y: Any, inner: int, sums: Any, lo: int, hi: int) -> None:
    """sums[0, c], sums[1, c] += sum and sum of squares of y [T, N] over channel c, in float64."""
    channels = sums.shape[1]
    for t in range(len(y)):
        i = lo
        while i < hi:
            c, run = _stretch(channels, inner, i, hi - i)
            part = y[t, i : i + run]
            if inner == 1 and channels > 1:
                totals, squares = sums[0, c:], sums[1, c:]
                for j in range(len(part)):
                    wide = np.float64(part[j])
                    totals[j] += wide
                    squares[j] += wide * wide
            else:
                total, square = 0.0, 0.0
                for j in range(len(part)):  # by index: a loop over values would not become vector instructions
                    wide = np.float64(part[j])
                    total += wide
                    square += wide * wide
                sums[0, c] += total
                sums[1, c] += square
            i += run


@_jit
def normalised_grad_kernel(g: Any, y: Any, table: Any, inner: int, lo: int, hi: int) -> None:
    """g = a (g - b - (y - mean) c) in place, with table rows a, b, mean, c per channel."""
    rows = _rows(4)
    a, b, mean, c = rows[0], rows[1], rows[2], rows[3]
    for start in range(lo, hi, BLOCK):
        m = min(BLOCK, hi - start)
        for r in range(4):
            _fill(rows[r], table[r], inner, start, m)
        for t in range(len(g)):
            gt, yt = g[t, start : start + m], y[t, start : start + m]
            for j in range(m):
                gt[j] = a[j] * (gt[j] - b[j] - (yt[j] - mean[j]) * c[j])

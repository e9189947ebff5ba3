"""The fused kernels on a CPU: numba, in blocks of neurons that stay in the cache while time runs over them.

A run is a matrix [T, N] in memory order, whatever the tensor's layout; neuron i belongs to channel (i // inner) % C, so
contiguous (inner = height x width) and channels-last (inner = 1) are the same code. Arithmetic is float32 in the order
of the eager reference, without fused multiply-add, so that spikes are equal bit for bit. The backward pass computes a
block's membranes again instead of reading saved ones.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from spikeva.neurons.fused_layout import ALIF, CUBA, DELAYED, LIF, SUBTRACT, ZERO, Dynamics, line, matrix

BLOCK = 4096  # neurons a block: their rows of one time step fit the first-level cache, their membranes the second
PITCH = BLOCK + 16  # one cache line more, so that equal places of two rows do not compete for one cache set
TASK = 16 * BLOCK  # neurons a task; fixed, so that sums have one order on any number of threads
ONE, NIL = np.float32(1), np.float32(0)

# numpy's error model: a division does not branch on zero, so loops over it become vector instructions
_jit = njit(cache=True, nogil=True, error_model="numpy")
_jit_sum = njit(cache=True, nogil=True, fastmath={"reassoc"})  # float64 sums in vector lanes


@_jit
def _fill(row: Any, table: Any, inner: int, start: int, m: int) -> None:
    """row[j] = the table's value for the channel of neuron start + j."""
    channels = len(table)
    j = 0
    while j < m:
        place = (start + j) // inner
        run = m - j if channels == 1 else min(m - j, (place + 1) * inner - start - j)
        value = table[place % channels]
        row[j : j + run] = value
        j += run


@_jit_sum
def _gather(row: Any, table: Any, inner: int, start: int, m: int) -> None:
    """table[c] += the sum of `row` over the neurons of channel c, in float64."""
    channels = len(table)
    j = 0
    while j < m:
        place = (start + j) // inner
        run = m - j if channels == 1 else min(m - j, (place + 1) * inner - start - j)
        total = 0.0
        part = row[j : j + run]
        for i in range(len(part)):
            total += part[i]
        table[place % channels] += total
        j += run


@_jit
def _derivative(surrogate: int, k: Any, u: Any, m: int) -> None:
    """u[j] = the surrogate's derivative at u[j]; formulas in surrogates.py."""
    if surrogate == 0:
        for j in range(m):
            r = ONE / (ONE + k * abs(u[j]))
            u[j] = r * r
    elif surrogate == 1:
        half, scale = np.float32(0.5) * k, np.float32(np.pi / 2) * k
        for j in range(m):
            q = scale * u[j]
            u[j] = half / (ONE + q * q)
    elif surrogate == 2:
        for j in range(m):
            e = np.exp(-abs(k * u[j]))
            u[j] = k * e / ((ONE + e) * (ONE + e))
    elif surrogate == 3:
        for j in range(m):
            u[j] = max(ONE - k * abs(u[j]), NIL)
    else:
        for j in range(m):
            u[j] = k


@cache
def _forward_kernel(kind: int, reset: int) -> Callable[..., None]:
    @_jit
    def forward(
        x: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int, out: Any, v_last: Any, w_last: Any, lo: int, hi: int
    ) -> None:
        normalise = affine.shape[0] > 0
        rows = np.empty((9, PITCH), np.float32)
        v, w, beta, theta, extra, gamma, scale, shift, drive = (
            rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7], rows[8],
        )  # fmt: skip
        for start in range(lo, hi, BLOCK):
            m = min(BLOCK, hi - start)
            _fill(beta, p[0], inner, start, m)
            _fill(theta, p[1], inner, start, m)
            if kind != LIF:
                _fill(extra, p[2], inner, start, m)
                w[:m] = w0[start : start + m]
            if kind == ALIF:
                _fill(gamma, p[3], inner, start, m)
            if normalise:
                _fill(scale, affine[0], inner, start, m)
                _fill(shift, affine[1], inner, start, m)
            v[:m] = v0[start : start + m]
            for t in range(x.shape[0]):
                xt, st = x[t, start : start + m], out[t, start : start + m]
                if normalise:
                    for j in range(m):
                        drive[j] = scale[j] * xt[j] + shift[j]
                    xt = drive[:m]
                for j in range(m):
                    i = xt[j]
                    th = theta[j]
                    if kind == CUBA:
                        i = extra[j] * w[j] + i
                        w[j] = i
                    if kind == ALIF:
                        th = th + gamma[j] * w[j]
                    h = beta[j] * v[j] + i
                    if reset == DELAYED:
                        h = h - th * (ONE if v[j] - th > NIL else NIL)
                    s = ONE if h - th > NIL else NIL
                    if kind == ALIF:
                        w[j] = extra[j] * w[j] + s
                    st[j] = s
                    if reset == ZERO:
                        h = h * (ONE - s)
                    if reset == SUBTRACT:
                        h = h - th * s
                    v[j] = h
            v_last[start : start + m] = v[:m]
            if kind != LIF:
                w_last[start : start + m] = w[:m]

    return forward  # type: ignore[no-any-return]


@cache
def _backward_kernel(kind: int, reset: int, learn: bool) -> Callable[..., None]:
    @_jit
    def backward(
        gs: Any, gv_last: Any, gw_last: Any, x: Any, v0: Any, w0: Any, p: Any, affine: Any, inner: int, detach: bool,
        surrogate: int, k: Any, gx: Any, gv0: Any, gw0: Any, gp: Any, sums: Any, lo: int, hi: int,
    ) -> None:  # fmt: skip
        steps = x.shape[0]
        normalise = affine.shape[0] > 0
        vs = np.empty((steps + 1, PITCH), np.float32)  # the state before each step
        ws = np.empty((steps + 1 if kind != LIF else 1, PITCH), np.float32)
        drives = np.empty((steps if normalise else 1, PITCH), np.float32)
        rows = np.empty((17, PITCH), np.float32)
        beta, theta, extra, gamma, scale, shift, mean = (
            rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6],
        )  # fmt: skip
        gv, gw, d, late, sum_g, sum_gx = rows[7], rows[8], rows[9], rows[10], rows[11], rows[12]
        g_beta, g_theta, g_extra, g_gamma = rows[13], rows[14], rows[15], rows[16]
        for start in range(lo, hi, BLOCK):
            m = min(BLOCK, hi - start)
            _fill(beta, p[0], inner, start, m)
            _fill(theta, p[1], inner, start, m)
            gv[:m] = gv_last[start : start + m]
            vs[0, :m] = v0[start : start + m]
            if kind != LIF:
                _fill(extra, p[2], inner, start, m)
                gw[:m] = gw_last[start : start + m]
                ws[0, :m] = w0[start : start + m]
            if kind == ALIF:
                _fill(gamma, p[3], inner, start, m)
            if normalise:
                _fill(scale, affine[0], inner, start, m)
                _fill(shift, affine[1], inner, start, m)
                _fill(mean, affine[2], inner, start, m)
            rows[11:17, :m] = NIL
            for t in range(steps):
                xt = x[t, start : start + m]
                if normalise:
                    drive = drives[t]
                    for j in range(m):
                        drive[j] = scale[j] * xt[j] + shift[j]
                    xt = drive[:m]
                v, v_next = vs[t], vs[t + 1]
                w, w_next = ws[t if kind != LIF else 0], ws[t + 1 if kind != LIF else 0]
                for j in range(m):
                    i = xt[j]
                    th = theta[j]
                    if kind == CUBA:
                        i = extra[j] * w[j] + i
                        w_next[j] = i
                    if kind == ALIF:
                        th = th + gamma[j] * w[j]
                    h = beta[j] * v[j] + i
                    if reset == DELAYED:
                        h = h - th * (ONE if v[j] - th > NIL else NIL)
                    s = ONE if h - th > NIL else NIL
                    if kind == ALIF:
                        w_next[j] = extra[j] * w[j] + s
                    if reset == ZERO:
                        h = h * (ONE - s)
                    if reset == SUBTRACT:
                        h = h - th * s
                    v_next[j] = h
            for t in range(steps - 1, -1, -1):
                yt, gst, gxt = x[t, start : start + m], gs[t, start : start + m], gx[t, start : start + m]
                xt = drives[t, :m] if normalise else yt
                v, w, w_next = vs[t], ws[t if kind != LIF else 0], ws[t + 1 if kind != LIF else 0]
                for j in range(m):
                    i = w_next[j] if kind == CUBA else xt[j]
                    th = theta[j]
                    if kind == ALIF:
                        th = th + gamma[j] * w[j]
                    h = beta[j] * v[j] + i
                    if reset == DELAYED:
                        late[j] = v[j] - th
                        h = h - th * (ONE if v[j] - th > NIL else NIL)
                    d[j] = h - th
                _derivative(surrogate, k, d, m)
                if reset == DELAYED and not detach:
                    _derivative(surrogate, k, late, m)
                for j in range(m):
                    i = w_next[j] if kind == CUBA else xt[j]
                    th = theta[j]
                    if kind == ALIF:
                        th = th + gamma[j] * w[j]
                    h = beta[j] * v[j] + i
                    r = NIL
                    if reset == DELAYED:
                        r = ONE if v[j] - th > NIL else NIL
                        h = h - th * r
                    s = ONE if h - th > NIL else NIL
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
                    gu = g * d[j]
                    gh += gu
                    g_th -= gu
                    gv_prev = beta[j] * gh
                    if reset == DELAYED:
                        g_th -= r * gh
                        if not detach:
                            back = th * gh * late[j]
                            gv_prev -= back
                            g_th += back
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
                    gxt[j] = gi
                    gv[j] = gv_prev
                if normalise:
                    for j in range(m):
                        sum_g[j] += gxt[j]
                        sum_gx[j] += gxt[j] * (yt[j] - mean[j])
            gv0[start : start + m] = gv[:m]
            if kind != LIF:
                gw0[start : start + m] = gw[:m]
            if learn:
                _gather(g_beta, gp[0], inner, start, m)
                _gather(g_theta, gp[1], inner, start, m)
                if kind != LIF:
                    _gather(g_extra, gp[2], inner, start, m)
                if kind == ALIF:
                    _gather(g_gamma, gp[3], inner, start, m)
            if normalise:
                _gather(sum_g, sums[0], inner, start, m)
                _gather(sum_gx, sums[1], inner, start, m)

    return backward  # type: ignore[no-any-return]


@_jit_sum
def _moments_kernel(y: Any, inner: int, sums: Any, lo: int, hi: int) -> None:
    """sums[0, c], sums[1, c] += sum and sum of squares of y [T, N] over channel c, in float64."""
    channels = sums.shape[1]
    for t in range(y.shape[0]):
        i = lo
        while i < hi:
            place = i // inner
            c = place % channels
            if inner > 1 or channels == 1:
                run = min(hi - i, (place + 1) * inner - i)
                total, square = 0.0, 0.0
                part = y[t, i : i + run]
                for j in range(len(part)):  # by index: a loop over values would not become vector instructions
                    wide = np.float64(part[j])
                    total += wide
                    square += wide * wide
                sums[0, c] += total
                sums[1, c] += square
            else:  # channels-last: one pixel's channels lie side by side
                run = min(hi - i, channels - c)
                part, totals, squares = y[t, i : i + run], sums[0, c:], sums[1, c:]
                for j in range(len(part)):
                    wide = np.float64(part[j])
                    totals[j] += wide
                    squares[j] += wide * wide
            i += run


@_jit
def _normalised_grad_kernel(g: Any, y: Any, table: Any, inner: int, lo: int, hi: int) -> None:
    """g = a (g - b - (y - mean) c) in place, with table rows a, b, mean, c per channel."""
    rows = np.empty((4, PITCH), np.float32)
    for start in range(lo, hi, BLOCK):
        m = min(BLOCK, hi - start)
        for r in range(4):
            _fill(rows[r], table[r], inner, start, m)
        a, b, mean, c = rows[0], rows[1], rows[2], rows[3]
        for t in range(g.shape[0]):
            gt, yt = g[t, start : start + m], y[t, start : start + m]
            for j in range(m):
                gt[j] = a[j] * (gt[j] - b[j] - (yt[j] - mean[j]) * c[j])


def _tasks(n: int) -> list[tuple[int, int]]:
    return [(lo, min(lo + TASK, n)) for lo in range(0, n, TASK)]


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "spikeva-kernels")


def _each(work: Callable[[int, int, int], None], n: int) -> None:
    """work(task, lo, hi) for the tasks that n neurons make, on as many threads as torch uses. Kernels release the GIL."""
    tasks = _tasks(n)
    threads = min(torch.get_num_threads(), len(tasks))
    if threads <= 1:
        for i, (lo, hi) in enumerate(tasks):
            work(i, lo, hi)
        return
    todo = iter(enumerate(tasks))

    def drain() -> None:
        for i, (lo, hi) in todo:
            work(i, lo, hi)

    # the calling thread takes its share; a list's iterator hands each task out once (the GIL is held there)
    others = [_pool(os.getpid(), torch.get_num_threads()).submit(drain) for _ in range(threads - 1)]
    drain()
    for other in others:
        other.result()


def checkpoints(steps: int) -> int:
    """How many states of a sequence are stored for the backward pass: none, a block's are computed again."""
    return 0


def forward(
    x: Tensor, v0: Tensor, w0: Tensor, p: Tensor, affine: Tensor, inner: int, dynamics: Dynamics, out: Tensor,
    v_last: Tensor, w_last: Tensor, stored: Tensor,
) -> None:  # fmt: skip
    """Write spikes and last states of a run; all laid out alike; `affine` [0 or 3, C]: scale, shift and mean of x."""
    if x.dtype != torch.float32:
        wide = x.float()
        forward(wide, v0, w0, p, affine, inner, dynamics, wide, v_last, w_last, stored)
        out.copy_(wide)
        return
    kernel = _forward_kernel(dynamics.kind, dynamics.reset)
    xs, outs = matrix(x).numpy(), matrix(out).numpy()
    v, w, v_end, w_end = (line(s).numpy() for s in (v0, w0, v_last, w_last))
    table, ab = p.numpy(), affine.numpy()
    _each(lambda _, lo, hi: kernel(xs, v, w, table, ab, inner, outs, v_end, w_end, lo, hi), xs.shape[1])


def backward(
    gs: Tensor, gv_last: Tensor, gw_last: Tensor, x: Tensor, v0: Tensor, w0: Tensor, p: Tensor, affine: Tensor,
    inner: int, dynamics: Dynamics, learn: bool, stored: Tensor, gx: Tensor, gv0: Tensor, gw0: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Write gradients of x (after `affine`) and of the first state; (float64 gradients of p, sums [2, C] for affine).

    The sums are of gx and of gx (x - mean) over each channel. Without `learn` the gradients of p are zeros.
    """
    if x.dtype != torch.float32:
        gs, x = gs.float(), x.float()
        found = backward(gs, gv_last, gw_last, x, v0, w0, p, affine, inner, dynamics, learn, stored, gs, gv0, gw0)
        gx.copy_(gs)
        return found
    kernel = _backward_kernel(dynamics.kind, dynamics.reset, learn)
    g, xs, gxs = (matrix(m).numpy() for m in (gs, x, gx))
    v, w, gv, gw, gv_0, gw_0 = (line(s).numpy() for s in (v0, w0, gv_last, gw_last, gv0, gw0))
    n, table, ab = xs.shape[1], p.numpy(), affine.numpy()
    tasks = len(_tasks(n))
    gp = np.zeros((tasks, *table.shape) if learn else (tasks, 1, 1))
    sums = np.zeros((tasks, 2, ab.shape[1]))
    slope = np.float32(dynamics.slope)

    def work(i: int, lo: int, hi: int) -> None:
        kernel(
            g, gv, gw, xs, v, w, table, ab, inner, dynamics.detach, dynamics.surrogate, slope, gxs, gv_0, gw_0,
            gp[i], sums[i], lo, hi,
        )  # fmt: skip

    _each(work, n)
    total = torch.from_numpy(gp.sum(0)) if learn else torch.zeros(table.shape, dtype=torch.float64)
    return total, torch.from_numpy(sums.sum(0))


def moments(y: Tensor, inner: int, channels: int) -> Tensor:
    """Sum and sum of squares of each channel, float64 [2, C]."""
    ys = matrix(y.float()).numpy()
    sums = np.zeros((len(_tasks(ys.shape[1])), 2, channels))
    _each(lambda i, lo, hi: _moments_kernel(ys, inner, sums[i], lo, hi), ys.shape[1])
    return torch.from_numpy(sums.sum(0))


def normalised_grad(g: Tensor, y: Tensor, table: Tensor, inner: int) -> None:
    """g = a (g - b - (y - mean) c) in place, with rows a, b, mean, c of `table` [4, C]."""
    if g.dtype != torch.float32:
        wide = g.float()
        normalised_grad(wide, y.float(), table, inner)
        g.copy_(wide)
        return
    gs, ys, rows = matrix(g).numpy(), matrix(y).numpy(), table.numpy()
    _each(lambda _, lo, hi: _normalised_grad_kernel(gs, ys, rows, inner, lo, hi), gs.shape[1])

"""The fused operators on a CPU: the kernels of fused_kernels.py over shares of neurons, on as many threads as torch uses."""

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeva.neurons.fused_kernels import (
    FORWARD_ROWS,
    PITCH,
    TASK,
    backward_kernel,
    forward_kernel,
    rows_of_backward,
    together,
)
from spikeva.neurons.fused_layout import Dynamics, line, matrix
from spikeva.neurons.fused_norm_kernels import moments_kernel, normalised_grad_kernel
from spikeva.neurons.fused_team import share_out

HUGE = 1 << 22  # bytes from which numpy asks for huge pages
LINE = 64  # bytes of a cache line


def _each(kernel: Any, n: int, rows: int, *args: Any) -> None:
    """kernel(*args, rows to work in if any, edges, share) for the shares of n neurons, one for each thread of torch's."""
    tasks = -(-n // TASK)
    shares = max(1, min(torch.get_num_threads(), tasks))
    edges = np.array([min(tasks * i // shares * TASK, n) for i in range(shares + 1)])
    room = (_aligned(4 * shares * rows * PITCH).view(np.float32).reshape(shares, rows, PITCH),) if rows else ()
    share_out(kernel, (*args, *room, edges), shares)


def _aligned(size: int) -> Any:
    """`size` uninitialised bytes at a cache line's start."""
    raw = np.empty(size + LINE, np.uint8)
    first = -raw.ctypes.data % LINE
    return raw[first : first + size]


def empty_strided(shape: torch.Size, strides: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor without gaps, in huge pages where it is large and the system has them.

    numpy asks the system for them and torch does not: by default each large tensor is mapped anew, and its page faults
    cost several times what a kernel needs to fill it.
    """
    size = prod(shape) * dtype.itemsize
    if size < HUGE:
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)
    return torch.from_numpy(_aligned(size)).view(dtype).as_strided(shape, strides)


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
    kernel = forward_kernel(dynamics.kind, dynamics.reset, len(affine) > 0, together(len(x)))
    xs, outs = matrix(x).numpy(), matrix(out).numpy()
    v, w, v_end, w_end = (line(s).numpy() for s in (v0, w0, v_last, w_last))
    table, ab = p.numpy(), affine.numpy()
    _each(kernel, xs.shape[1], FORWARD_ROWS, xs, v, w, table, ab, inner, outs, v_end, w_end)


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
    kernel = backward_kernel(
        dynamics.kind, dynamics.reset, dynamics.surrogate, len(affine) > 0, learn, together(len(x))
    )
    g, xs, gxs = (matrix(m).numpy() for m in (gs, x, gx))
    v, w, gv, gw, gv_0, gw_0 = (line(s).numpy() for s in (v0, w0, gv_last, gw_last, gv0, gw0))
    n, table, ab = xs.shape[1], p.numpy(), affine.numpy()
    tasks = -(-n // TASK)
    gp = np.zeros((tasks, *table.shape) if learn else (tasks, 1, 1))
    sums = np.zeros((tasks, 2, ab.shape[1]))
    slope = np.float32(dynamics.slope)
    _each(
        kernel, n, rows_of_backward(len(xs), dynamics.kind), g, gv, gw, xs, v, w, table, ab, inner, dynamics.detach,
        slope, gxs, gv_0, gw_0, gp, sums,
    )  # fmt: skip
    total = torch.from_numpy(gp.sum(0)) if learn else torch.zeros(table.shape, dtype=torch.float64)
    return total, torch.from_numpy(sums.sum(0))


def moments(y: Tensor, inner: int, channels: int) -> Tensor:
    """Sum and sum of squares of each channel, float64 [2, C]."""
    ys = matrix(y.float()).numpy()
    sums = np.zeros((-(-ys.shape[1] // TASK), 2, channels))
    _each(moments_kernel, ys.shape[1], 0, ys, inner, sums)
    return torch.from_numpy(sums.sum(0))


def normalised_grad(g: Tensor, y: Tensor, table: Tensor, inner: int) -> None:
    """g = a (g - b - (y - mean) c) in place, with rows a, b, mean, c of `table` [4, C]."""
    if g.dtype != torch.float32:
        wide = g.float()
        normalised_grad(wide, y.float(), table, inner)
        g.copy_(wide)
        return
    gs, ys, values = matrix(g).numpy(), matrix(y).numpy(), table.numpy()
    _each(normalised_grad_kernel, gs.shape[1], 4, gs, ys, values, inner)

"""The fused operators on a CPU: the kernels of fused_kernels.py over shares of neurons, on as many threads as torch uses."""

from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeva.neurons.fused_kernels import backward_kernel, forward_kernel
from spikeva.neurons.fused_layout import LIF, Dynamics, affine_of, line, matrix
from spikeva.neurons.fused_norm_kernels import moments_kernel, through_norm_kernel
from spikeva.neurons.fused_plan import FORWARD_ROWS, Plan, numbers_of_backward, plan, rows_of_backward, together
from spikeva.neurons.fused_team import NOTHING, aligned, edges_of, room_of_thread, share_out

HUGE = 1 << 22  # bytes from which numpy asks for huge pages
PAST = 1 << 24  # bytes from which outputs go past the cache: half of a common third-level cache


def _each(kernel: Any, how: Plan, rows: int, *args: Any) -> None:
    """kernel(*args, blocks, firsts, rows to work in if any, edges, share) for the shares of a plan, one for each thread of torch's."""
    groups = len(how.firsts) - 1
    shares = max(1, min(torch.get_num_threads(), groups))
    room = (room_of_thread.rows(shares, rows, how.width),) if rows else ()
    share_out(kernel, (*args, how.blocks, how.firsts, *room, edges_of(groups, shares)), shares)


def _line(x: Tensor) -> NDArray[np.float32]:
    return line(x).numpy() if x.numel() else NOTHING


def empty_strided(shape: torch.Size, strides: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor without gaps, in huge pages where it is large and the system has them.

    numpy asks the system for them and torch does not: by default each large tensor is mapped anew, and its page faults
    cost several times what a kernel needs to fill it.
    """
    size = prod(shape) * dtype.itemsize
    if size < HUGE:
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)
    memory = torch.from_numpy(aligned(size)).untyped_storage()
    # no view, which autograd would not let change
    return torch.empty(0, dtype=dtype, device="cpu").set_(memory, 0, shape, strides)


def checkpoints(steps: int, kind: int) -> int:
    """How many states of a sequence are stored for the backward pass: none, a block's are computed again."""
    return 0


def forward(
    x: Tensor, shortcut: Tensor | None, v0: Tensor, w0: Tensor, p: Tensor, affine: Tensor, inner: int,
    dynamics: Dynamics, out: Tensor, v_last: Tensor, w_last: Tensor, stored: Tensor,
) -> None:  # fmt: skip
    """Write spikes and last states of a run; all laid out alike; `affine` [0 or 4, C]: scale, shift and mean of x, 1 / deviation.

    A run starts from zeros where v0 and w0 are empty. The shortcut is added to the normalised x.
    """
    if x.dtype != torch.float32:
        wide = x.float()
        beside = None if shortcut is None else shortcut.float()
        forward(wide, beside, v0, w0, p, affine, inner, dynamics, wide, v_last, w_last, stored)
        out.copy_(wide)
        return
    xs, outs = matrix(x).numpy(), matrix(out).numpy()
    joined, rs = _beside(shortcut, xs)
    how = plan(xs.shape[1], inner, max(p.shape[1], affine.shape[1]), 1 if dynamics.kind == LIF else 2)
    kernel = forward_kernel(
        dynamics.kind, dynamics.reset, len(affine) > 0, joined, together(len(x)), how.uniform, x.nbytes >= PAST
    )
    v, w, v_end, w_end = (_line(s) for s in (v0, w0, v_last, w_last))
    _each(kernel, how, FORWARD_ROWS, xs, rs, v, w, p.numpy(), affine.numpy(), inner, outs, v_end, w_end)


def _beside(given: Tensor | None, like: NDArray[np.float32]) -> tuple[bool, NDArray[np.float32]]:
    """(whether there is a shortcut, it as a matrix); a kernel is given another matrix of its shape, which it leaves alone, for none."""
    return (False, like) if given is None else (True, matrix(given).numpy())


def backward(
    gs: Tensor, gv_last: Tensor, gw_last: Tensor, x: Tensor, shortcut: Tensor | None, v0: Tensor, w0: Tensor, p: Tensor,
    affine: Tensor, inner: int, dynamics: Dynamics, learn: bool, part: float, stored: Tensor, gx: Tensor,
    g_shortcut: Tensor | None, gv0: Tensor, gw0: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Write gradients of x, of the shortcut and of the first state; gradients of p and of (bias, weight) [2, C].

    `part`: of a channel's mean that is one value's; 0 where the statistics are fixed. Empty: gv_last and gw_last where they are
    zeros, gv0 and gw0 where they are not wanted, the gradient of p where it is not to `learn`.
    """
    if x.dtype != torch.float32:
        gs, x = gs.float(), x.float()
        beside, g_beside = (None, None) if shortcut is None else (shortcut.float(), torch.empty_like(x))
        found = backward(
            gs, gv_last, gw_last, x, beside, v0, w0, p, affine, inner, dynamics, learn, part, stored, gs, g_beside, gv0,
            gw0,
        )  # fmt: skip
        gx.copy_(gs)
        if g_shortcut is not None and g_beside is not None:
            g_shortcut.copy_(g_beside)
        return found
    kind, norm = dynamics.kind, len(affine) > 0
    g, xs, gxs = (matrix(m).numpy() for m in (gs, x, gx))
    (joined, rs), (_, grs) = _beside(shortcut, xs), _beside(g_shortcut, gxs)
    v, w, gv, gw, gv_0, gw_0 = (_line(s) for s in (v0, w0, gv_last, gw_last, gv0, gw0))
    table, ab = p.numpy(), affine[:4].numpy()
    how = plan(xs.shape[1], inner, max(p.shape[1], affine.shape[1]), numbers_of_backward(len(xs), kind))
    kernel = backward_kernel(
        kind, dynamics.reset, dynamics.surrogate, norm, joined, learn, together(len(x)), how.uniform, norm and how.planes,
        x.nbytes >= PAST,
    )  # fmt: skip
    groups = len(how.firsts) - 1
    gp = np.zeros((groups if learn else 0, len(table), 1 if how.planes else table.shape[1]))
    sums = np.zeros((groups, 2, 1 if how.planes else ab.shape[1]))
    _each(
        kernel, how, rows_of_backward(len(xs), kind), g, gv, gw, xs, rs, v, w, table, ab, inner, dynamics.detach,
        np.float32(dynamics.slope), part, gxs, grs, gv_0, gw_0, gp, sums,
    )  # fmt: skip
    # over each channel: of g and of g (x - mean), g being the gradient of what the BatchNorm makes of x
    of_affine = _total(sums, ab) if norm else np.empty((2, 0))
    if norm and not how.planes:
        constants = np.empty_like(ab)
        constants[0], constants[2] = ab[0], ab[2]
        constants[1], constants[3] = part * of_affine[0], part * of_affine[1] * ab[3].astype(float) ** 2
        _each(through_norm_kernel, plan(xs.shape[1], inner, ab.shape[1], 4), 4, gxs, xs, constants, inner)
    if norm:
        of_affine[1] *= ab[3]
    return torch.from_numpy(_total(gp, table) if learn else gp[:0, 0, 0]).float(), torch.from_numpy(of_affine).float()


def _total(sums: Any, table: Any) -> Any:
    """Sums [groups, rows, columns] of groups as those of the table's columns; of channels, where there are more."""
    if sums.shape[2] < table.shape[1]:
        return np.ascontiguousarray(sums[:, :, 0].T)
    return sums.sum(0)


def statistics(x: Tensor, inner: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """As `fused_ops.statistics`, of a laid-out x."""
    channels = x.shape[2]
    xs = matrix(x.float()).numpy()
    how = plan(xs.shape[1], inner, channels, 1, apart=False)  # in the order of memory, as nothing else reads a channel
    sums = np.zeros((len(how.firsts) - 1, 2, channels))
    _each(moments_kernel, how, 0, xs, inner, sums)
    n = xs.size // channels
    mean, square = torch.from_numpy(sums.sum(0) / n)
    var = (square - mean**2).clamp_min(0)
    scale, shift = affine_of(mean.float(), invstd := (var + eps).rsqrt().float(), weight, bias)
    return torch.stack([scale, shift, mean.float(), invstd, (var * (n / max(n - 1, 1))).float()])

"""What every fused kernel is told: which dynamics to run, and how a tensor lies in memory."""

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

LIF, ALIF, CUBA = 0, 1, 2
RESETS = {"zero": 0, "subtract": 1, "subtract_delayed": 2}
ZERO, SUBTRACT, DELAYED = 0, 1, 2


class Dynamics(NamedTuple):
    """A neuron's equations as the numbers that a kernel is compiled or called with."""

    kind: int  # LIF, ALIF, CUBA
    reset: int  # ZERO, SUBTRACT, DELAYED
    detach: bool
    surrogate: int  # place in fused_ops.SURROGATES
    slope: float


def strides_of(x: Tensor) -> tuple[int, ...]:
    """Strides that a copy of `x` [T, ...] with whole time steps one after the other has; those of `x` where it is one."""
    steps = x.shape[1:]
    expected = 1
    for stride, size in sorted(zip(x.stride()[1:], steps, strict=True)):
        if size != 1 and stride != expected:
            break
        expected *= size
    else:
        if x.shape[0] == 1 or x.stride(0) == expected:
            return (expected, *x.stride()[1:])
    return tuple(prod(x.shape[i + 1 :]) for i in range(x.ndim))


def laid_out(x: Tensor, strides: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    """`x` with the given strides (and dtype), copied only where it has others."""
    dtype = dtype or x.dtype
    if x.dtype == dtype and all(a == b or n == 1 for a, b, n in zip(x.stride(), strides, x.shape, strict=True)):
        return x
    return torch.empty_strided(x.shape, strides, dtype=dtype, device=x.device).copy_(x)


def matrix(x: Tensor) -> Tensor:
    """A laid-out tensor [T, ...] as [T, N] in memory order."""
    n = prod(x.shape[1:])
    return x.as_strided((x.shape[0], n), (n, 1))


def line(x: Tensor) -> Tensor:
    """A laid-out tensor as [N] in memory order."""
    return x.as_strided((x.numel(),), (1,))

"""What every fused kernel is told: which dynamics to run, and how a tensor lies in memory."""

from functools import lru_cache
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

LIF, ALIF, CUBA = 0, 1, 2
ZERO, SUBTRACT, DELAYED = 0, 1, 2
RESETS = {"zero": ZERO, "subtract": SUBTRACT, "subtract_delayed": DELAYED}


class Dynamics(NamedTuple):
    """A neuron's equations as the numbers that a kernel is compiled or called with."""

    kind: int  # LIF, ALIF, CUBA
    reset: int  # ZERO, SUBTRACT, DELAYED
    detach: bool
    surrogate: int  # place in fused_ops.SURROGATES
    slope: float


def dense_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Strides that a copy of a tensor [T, ...] with whole time steps one after the other has; its own where it is one."""
    expected = 1
    for stride, size in sorted(zip(strides[1:], shape[1:], strict=True)):
        if size != 1 and stride != expected:
            break
        expected *= size
    else:
        if shape[0] == 1 or strides[0] == expected:
            return (expected, *strides[1:])
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


_known_strides = lru_cache(dense_strides)


def strides_of(x: Tensor) -> tuple[int, ...]:
    """`dense_strides` of a tensor that is really there: its sizes are plain numbers."""
    return _known_strides(x.shape, x.stride())


def laid_out(x: Tensor, strides: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    """`x` with the given strides (and dtype), copied only where it has others."""
    dtype, own = dtype or x.dtype, x.stride()
    if x.dtype == dtype and (
        own == strides or all(n == 1 or a == b for a, b, n in zip(own, strides, x.shape, strict=True))
    ):
        return x
    return torch.empty_strided(x.shape, strides, dtype=dtype, device=x.device).copy_(x)


def matrix(x: Tensor) -> Tensor:
    """A laid-out tensor [T, ...] as [T, N] in memory order."""
    n = prod(x.shape[1:])
    return x.as_strided((x.shape[0], n), (n, 1))


def line(x: Tensor) -> Tensor:
    """A laid-out tensor as [N] in memory order."""
    return x.as_strided((x.numel(),), (1,))


def affine_of(mean: Tensor, invstd: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scale and shift [C] by which a BatchNorm makes its output of its input, in the form and order of PyTorch's."""
    scale = invstd if weight is None else invstd * weight
    return scale, -mean * scale if bias is None else bias - mean * scale

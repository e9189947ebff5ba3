# ruff: noqa: F821  (Triton knows types by name)
"""The kernels of a fused BatchNorm on a GPU: its statistics, and the gradient of what it normalises.

Sums over a channel are made in float64 and in a fixed order.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 2048  # values a program sums up at a time
PROGRAMS = 528  # that share the sums of all channels: four for each multiprocessor of a large GPU
BLOCK = 1024  # neurons a program


@triton.jit
def block_of_program(N, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """Numbers of this program's neurons, and which of them there are; 64 bits wide where 32 do not hold them."""
    program = tl.program_id(0)
    if WIDE:
        program = program.to(tl.int64)
    n = program * BLOCK + tl.arange(0, BLOCK)
    return n, n < N


@triton.jit
def add(a, b):
    """The sum, for reductions."""
    return a + b


@triton.jit
def _moments(
    x, sums, rows, inner, C, per_program, PLANES: tl.constexpr, TALL: tl.constexpr, LONG: tl.constexpr
):  # fmt: skip
    """sums[program, 0 or 1, c]: sum and sum of squares over this program's rows of x.

    PLANES: a row is a picture's channel, `inner` values on end; else it is a pixel's C channels.
    """
    first = tl.program_id(0) * per_program
    last = tl.minimum(first + per_program, rows)
    width = inner
    start = tl.program_id(1) * inner
    until = inner
    if not PLANES:
        start = tl.program_id(1) * LONG
        width = C - start
        until = 1
    total = tl.full((TALL, LONG), 0.0, tl.float64)
    square = tl.full((TALL, LONG), 0.0, tl.float64)
    for row in range(first, last, TALL):
        m = row + tl.arange(0, TALL)
        at = m.to(tl.int64) * C * inner + start
        for column in range(0, until, LONG):
            k = column + tl.arange(0, LONG)
            value = tl.load(x + at[:, None] + k[None, :], (m < last)[:, None] & (k < width)[None, :], 0.0)
            value = value.to(tl.float64)
            total += value
            square += value * value
    of_column = tl.reduce(total, 0, add)
    of_column_square = tl.reduce(square, 0, add)
    out = sums + tl.program_id(0) * 2 * C
    if PLANES:
        tl.store(out + tl.program_id(1), tl.reduce(of_column, 0, add))
        tl.store(out + C + tl.program_id(1), tl.reduce(of_column_square, 0, add))
    else:
        c = tl.arange(0, LONG)
        tl.store(out + start + c, of_column, c < width)
        tl.store(out + C + start + c, of_column_square, c < width)


@triton.jit
def _table(
    sums, weight, bias, table, programs, C, count,
    eps: "fp64",  # type: ignore[name-defined]  # Triton's name of a type
    WEIGHT: tl.constexpr, BIAS: tl.constexpr, TALL: tl.constexpr, LONG: tl.constexpr,
):  # fmt: skip
    """The rows of `statistics` from the programs' sums over `count` values."""
    c = tl.program_id(0) * LONG + tl.arange(0, LONG)
    inside = c < C
    total = tl.full((TALL, LONG), 0.0, tl.float64)
    square = tl.full((TALL, LONG), 0.0, tl.float64)
    for first in range(0, programs, TALL):
        p = first + tl.arange(0, TALL)
        at = sums + p[:, None] * 2 * C + c[None, :]
        here = (p < programs)[:, None] & inside[None, :]
        total += tl.load(at, here, 0.0)
        square += tl.load(at + C, here, 0.0)
    n = tl.cast(count, tl.float64)
    mean = tl.reduce(total, 0, add) / n
    variance = tl.maximum(tl.reduce(square, 0, add) / n - mean * mean, 0.0)
    invstd = (1.0 / tl.sqrt(variance + eps)).to(tl.float32)
    scale = invstd
    if WEIGHT:
        scale = invstd * tl.load(weight + c, inside, 0.0)
    shift = -mean.to(tl.float32) * scale
    if BIAS:
        shift = tl.load(bias + c, inside, 0.0) - mean.to(tl.float32) * scale
    tl.store(table + c, scale, inside)
    tl.store(table + C + c, shift, inside)
    tl.store(table + 2 * C + c, mean.to(tl.float32), inside)
    tl.store(table + 3 * C + c, invstd, inside)
    tl.store(table + 4 * C + c, (variance * (n / (n - 1.0))).to(tl.float32), inside)


@triton.jit
def _through_norm(g, y, affine, sums, part, T, N, inner, C, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    n, inside = block_of_program(N, WIDE, BLOCK)
    c = (n // inner) % C
    scale = tl.load(affine + c, inside, 0.0)
    mean = tl.load(affine + 2 * C + c, inside, 0.0)
    invstd = tl.load(affine + 3 * C + c, inside, 0.0)
    of_bias = part * tl.load(sums + c, inside, 0.0).to(tl.float32)
    of_weight = part * tl.load(sums + C + c, inside, 0.0).to(tl.float32) * invstd
    for t in range(T):
        row = tl.cast(t, tl.int64) * N
        of_x = tl.load(g + row + n, inside, 0.0).to(tl.float32)
        value = tl.load(y + row + n, inside, 0.0).to(tl.float32)
        found = scale * (of_x - of_bias - (value - mean) * of_weight)
        tl.store(g + row + n, found.to(g.dtype.element_ty), inside)


def statistics(x: Tensor, inner: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """As `fused_numba.statistics`."""
    channels = x.shape[2]
    rows = x.numel() // channels // inner
    planes = inner > 1
    long = min(1024, power_of_two(inner)) if planes else min(64, power_of_two(channels))
    tall = TILE // long
    side = channels if planes else -(-channels // long)
    programs = max(1, min(PROGRAMS // side, -(-rows // tall)))
    sums = torch.empty(programs, 2, channels, dtype=torch.float64, device=x.device)
    table = torch.empty(5, channels, device=x.device)
    with torch.cuda.device_of(x):
        _moments[(programs, side)](
            x, sums, rows, inner, channels, -(-rows // programs), PLANES=planes, TALL=tall, LONG=long
        )  # fmt: skip
        _table[(-(-channels // 16),)](
            sums, weight, bias, table, programs, channels, rows * inner, eps, WEIGHT=weight is not None,
            BIAS=bias is not None, TALL=128, LONG=16, enable_fp_fusion=False,
        )  # fmt: skip
    return table


def through_norm(g: Tensor, y: Tensor, affine: Tensor, sums: Tensor, part: float, steps: int, inner: int) -> None:
    """Make of the gradient `g` of what a BatchNorm makes of `y` that of `y`; `sums` [2, C] are its sums over each channel,
    and over those of it times the normalised y."""
    n = g.numel() // steps
    with torch.cuda.device_of(g):
        _through_norm[(-(-n // BLOCK),)](
            g, y, affine, sums, part, steps, n, inner, affine.shape[1], WIDE=n >= 1 << 31, BLOCK=BLOCK
        )


def power_of_two(n: int) -> int:
    """The least that is not below `n`."""
    return 1 << (n - 1).bit_length()

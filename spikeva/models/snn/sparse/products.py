"""The products of a convolution that are not 0: its outputs, and the gradient of its weights.

An input adds to the places of a tile, or collects from them, a row of `block` numbers for each tap of the kernel that it meets. Each
number is a sum in an order of its own, whatever the number of threads.
"""

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeva._compiled import variant
from spikeva.models.snn.sparse import strided
from spikeva.models.snn.sparse.inputs import Inputs
from spikeva.models.snn.sparse.tiles import FLOATS, Tiling, rows_of, share
from spikeva.models.snn.sparse.vectors import EIGHT, add_row, add_rows, compiled, turn, turn_back

PART = 1 << 22  # bytes of an input whose gradient is taken at a time: with more, memory is the bottleneck (measured)
STRIP = 128  # taps of a block whose weights fit a first-level cache


def outputs(inputs: Inputs, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The outputs [N, channels, height, width] for the weights [channels, C, kernel, kernel] and the bias [channels]."""
    tiling, channels = inputs.tiling, inputs.out[1]
    kernel = forward_kernel(tiling.kernel, tiling.stride, tiling.block, len(inputs.values) > 0)
    out = torch.empty(inputs.out, **FLOATS)
    straight = weight.detach().contiguous().view(-1).numpy()
    rest = inputs.places, inputs.values, inputs.starts, straight, out.view(-1).numpy()
    room = (tiling.places + prod(weight.shape[1:])) * tiling.block
    share(kernel, channels // tiling.block * tiling.tiles, inputs.out, tiling, *rest, room=room)
    return out if bias is None else out.add_(bias.detach()[:, None, None])


def weight_gradient(inputs: Inputs, grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The gradient of the weights, of the shape `shape`, from the gradient of the outputs (contiguous)."""
    tiling, (channels, c, *_) = inputs.tiling, shape
    kernel = weight_kernel(tiling.kernel, tiling.stride, tiling.block, len(inputs.values) > 0)
    found = torch.empty(shape, **FLOATS)
    rest = inputs.places, inputs.values, inputs.starts, grad.view(-1).numpy(), found.view(-1).numpy()
    room = (tiling.places + prod(shape[1:])) * tiling.block
    share(kernel, channels // tiling.block * c, inputs.out, tiling, *rest, room=room)
    return found


def input_gradient(tiling: Tiling, grad: Tensor, weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The gradient of the inputs, of the shape `shape`, from the gradient of the outputs (contiguous).

    Where `strided` does not pay it is PyTorch's, some pictures at a time: while it works, PyTorch holds two to three times what it
    returns besides (measured).
    """
    if strided.pays(shape, tiling.kernel, tiling.stride, tiling.padding):
        return strided.input_gradient(grad, weight, shape)
    stride, padding = [tiling.stride] * 2, [tiling.padding] * 2
    reached = [(n - 1) * tiling.stride - 2 * tiling.padding + tiling.kernel for n in grad.shape[2:]]
    beyond = [n - r for n, r in zip(shape[2:], reached, strict=True)]

    def some(grad: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten.convolution(grad, weight, None, stride, padding, [1, 1], True, beyond, 1)
        return found

    together = max(1, PART // (4 * prod(shape[1:])))
    if len(grad) <= together:
        return some(grad)
    found = torch.empty(shape, **FLOATS)
    for to, part in zip(torch.split(found, together), torch.split(grad, together), strict=True):
        to.copy_(some(part))
    return found


@cache
def forward_kernel(kernel: int, stride: int, block: int, weighted: bool) -> Callable[..., None]:
    """The convolution of a share of (block, tile) pairs: out [N, channels, height, width] from the weights, flat [channels, C, kernel, kernel].

    A block's weights are laid out as [C, kernel, kernel, block] behind the tile in `room`.
    """

    def forward(
        shape: Any, cut: Any, places: Any, values: Any, starts: Any, straight: Any, out: Any, room: Any, edges: Any,
        share: int,
    ) -> None:  # fmt: skip
        images, channels, height, width = shape
        tiling = Tiling(*cut)
        taps, laid = starts.shape[1] * kernel**2, -1
        tile, weights = room[share, : tiling.places * block], room[share, tiling.places * block :]
        for unit in range(edges[share], edges[share + 1]):
            b, at = unit // tiling.tiles, unit % tiling.tiles
            for tap in range(0, taps if b != laid else 0, STRIP):
                for o in range(0, block, EIGHT):
                    source = (b * block + o) * taps + tap
                    turn_back(weights, tap * block + o, straight, source, block, taps, min(STRIP, taps - tap))
            laid = b
            tile[:] = np.float32(0)
            for c in range(starts.shape[1]):
                for py in range(stride):
                    for px in range(stride):
                        q = py * stride + px
                        for e in range(starts[at, c, q], starts[at, c, q + 1]):
                            times = values[e] if weighted else np.float32(1)
                            for ty in range((kernel - py + stride - 1) // stride):
                                for tx in range((kernel - px + stride - 1) // stride):
                                    tap = (c * kernel + py + ty * stride) * kernel + px + tx * stride
                                    place = np.int64(places[e]) - ty * tiling.width - tx
                                    add_row(tile, place * block, weights, tap * block, times, block)
            first, last, r0, _, _ = rows_of(tiling, at, images, 0, 0)
            for n in range(first, last):
                for o in range(0, block, EIGHT):
                    for r in range(r0, min(r0 + tiling.rows, height)):
                        row = (n - first) * (tiling.rows + tiling.margin) + r - r0 + tiling.margin
                        origin = (row * tiling.width + tiling.margin) * block + o
                        target = ((n * channels + b * block + o) * height + r) * width
                        turn(out, target, tile, origin, height * width, block, width)

    return variant(compiled, forward, kernel, stride, block, weighted)


@cache
def weight_kernel(kernel: int, stride: int, block: int, weighted: bool) -> Callable[..., None]:
    """The gradient of the weights, flat [channels, C, kernel, kernel], of a share of (block, c) pairs, from that of the outputs.

    A block's gradient is collected as [c, kernel, kernel, block] behind the tile in `room`.
    """
    graded = int(weighted)

    def backward(
        shape: Any, cut: Any, places: Any, values: Any, starts: Any, grad: Any, out: Any, room: Any, edges: Any, share: int,
    ) -> None:  # fmt: skip
        images, channels, height, width = shape
        tiling = Tiling(*cut)
        inputs, taps = starts.shape[1], starts.shape[1] * kernel**2
        tile, weights = room[share, : tiling.places * block], room[share, tiling.places * block :]
        tile[:] = np.float32(0)
        unit = edges[share]
        while unit < edges[share + 1]:
            b, c0 = unit // inputs, unit % inputs
            c1 = min(inputs, c0 + edges[share + 1] - unit)
            unit += c1 - c0
            weights[: (c1 - c0) * kernel**2 * block] = np.float32(0)
            for at in range(len(starts)):
                first, last, r0, _, _ = rows_of(tiling, at, images, 0, 0)
                for g in range(tiling.images):
                    for o in range(0, block, EIGHT):
                        for r in range(tiling.rows):
                            row = g * (tiling.rows + tiling.margin) + r + tiling.margin
                            origin = (row * tiling.width + tiling.margin) * block + o
                            source = (((first + g) * channels + b * block + o) * height + r0 + r) * width
                            if first + g < last and r0 + r < height:
                                turn_back(tile, origin, grad, source, block, height * width, width)
                            else:
                                for i in range(width):
                                    for k in range(EIGHT):
                                        tile[origin + i * block + k] = np.float32(0)
                for c in range(c0, c1):
                    for py in range(stride):
                        for px in range(stride):
                            q = py * stride + px
                            for ty in range((kernel - py + stride - 1) // stride):
                                for tx in range((kernel - px + stride - 1) // stride):
                                    tap = ((c - c0) * kernel + py + ty * stride) * kernel + px + tx * stride
                                    e0, e1, before = starts[at, c, q], starts[at, c, q + 1], ty * tiling.width + tx
                                    add_rows(weights, tap * block, tile, places, values, e0, e1, before, block, graded)
            for o in range(0, block, EIGHT):
                target = (b * block + o) * taps + c0 * kernel**2
                turn(out, target, weights, o, taps, block, (c1 - c0) * kernel**2)

    return variant(compiled, backward, kernel, stride, block, weighted)

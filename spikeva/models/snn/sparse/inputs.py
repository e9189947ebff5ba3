"""What is not 0 among the inputs of a convolution, tile by tile.

The inputs of a tile's channel are apart by the remainders of row and column by the stride: all inputs of such a class meet the same
taps. An input is kept as the place in the tile that the first of these leads to.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeva.models.snn.sparse.tiles import Tiling, cut_up, rows_of, share
from spikeva.models.snn.sparse.vectors import EIGHT, compiled, differ, ones, trailing_zeros

WORD = 64  # bits


class Inputs(NamedTuple):
    """What is not 0 of the inputs [N, C, H, W] of a convolution."""

    tiling: Tiling
    out: tuple[int, ...]  # shape of the outputs
    starts: NDArray[np.int64]  # [tiles, C, stride**2 + 1]: where each class begins in `places`, and the last one ends
    places: NDArray[np.uint16]  # [inputs that are not 0]
    values: NDArray[np.float32]  # empty: all are 1


def find(x: Tensor, weight: tuple[int, ...], stride: int, padding: int, most: float) -> Inputs | None:
    """What is not 0 of the inputs x [N, C, H, W], contiguous float32, of a convolution with weights [channels, C, kernel, kernel].

    None where that is more than a share `most` of x, or a picture is too wide for places of 16 bits.
    """
    (images, _, *size), (channels, *_, kernel) = x.shape, weight
    height, width = ((n + 2 * padding - kernel) // stride + 1 for n in size)
    tiling = cut_up(tuple(x.shape), (images, channels, height, width), kernel, stride, padding)
    if tiling.places > 1 << 16:
        return None
    flat, shape = x.detach().view(-1).numpy(), tuple(x.shape)
    bits = np.empty((len(flat) // shape[3], -(-tiling.columns // WORD)), np.uint64)
    others = np.zeros(torch.get_num_threads(), np.uint64)
    numbers = np.zeros((tiling.tiles, shape[1], stride**2), np.int64)
    share(mark, len(bits), flat, shape[3], tiling.columns, bits, others)
    share(count, tiling.tiles, bits, combs(stride), shape, tiling, numbers)
    ends = numbers.cumsum().reshape(numbers.shape)
    total = int(ends[-1, -1, -1])
    if total > most * len(flat):
        return None
    cursors = ends - numbers
    starts = np.concatenate([cursors, ends[..., -1:]], axis=2)
    places, values = np.empty(total, np.uint16), np.empty(total if others.any() else 0, np.float32)
    share(collect, tiling.tiles, bits, flat, shape, tiling, cursors, places, values)
    return Inputs(tiling, (images, channels, height, width), starts, places, values)


@compiled
def mark(x: Any, width: int, columns: int, bits: Any, others: Any, edges: Any, share: int) -> None:
    """bits [rows, words] says which of the first `columns` numbers of each row of x, flat [rows, width], are not 0.

    others[share] is not 0 where one is neither 0 nor 1.
    """
    zero, one, odd = np.float32(0), np.float32(1), np.uint64(0)
    for row in range(edges[share], edges[share + 1]):
        for w in range(bits.shape[1]):
            first, n = row * width + w * WORD, min(WORD, columns - w * WORD)
            found, j = np.uint64(0), 0
            while j + EIGHT <= n:
                some = differ(x, first + j, zero)
                odd |= some & differ(x, first + j, one)
                found |= some << np.uint64(j)
                j += EIGHT
            if j < n and n >= EIGHT:  # some of them again
                j = n - EIGHT
                some = differ(x, first + j, zero)
                odd |= some & differ(x, first + j, one)
                found |= some << np.uint64(j)
                j = n
            while j < n:
                found |= np.uint64(x[first + j] != zero) << np.uint64(j)
                odd |= np.uint64((x[first + j] != zero) & (x[first + j] != one))
                j += 1
            bits[row, w] = found
    others[share] = odd


@cache
def combs(stride: int) -> NDArray[np.uint64]:
    """Words of which every `stride`th bit is set, from the bit 0, 1 ... on."""
    return np.array([sum(1 << i for i in range(first, WORD, stride)) for first in range(stride)], np.uint64)


@compiled
def count(bits: Any, comb: Any, shape: Any, cut: Any, numbers: Any, edges: Any, share: int) -> None:
    """numbers[tile, c, class] = how many bits of the rows [N, C, H] are set."""
    images, channels, height, _ = shape
    tiling = Tiling(*cut)
    s, used = tiling.stride, min(tiling.stride, tiling.kernel)
    for at in range(edges[share], edges[share + 1]):
        for py in range(used):
            first, last, _, begin, end = rows_of(tiling, at, images, height, py)
            for px in range(used):
                mask = comb[(px - tiling.padding) % s]
                for c in range(channels):
                    total = np.uint64(0)
                    for n in range(first, last):
                        for y in range(begin, end, s):
                            row = (n * channels + c) * height + y
                            total += ones(bits[row, 0] & mask)
                            for w in range(1, bits.shape[1]):
                                total += ones(bits[row, w] & comb[(px - tiling.padding - w * WORD) % s])
                    numbers[at, c, py * s + px] = total


@compiled
def split(n: int, stride: int) -> tuple[int, int]:
    """divmod(n, stride) without the division, which takes as long as all else that a spike needs."""
    if stride == 1:
        return n, 0
    if stride == 2:
        return n >> 1, n & 1
    return divmod(n, stride)


@compiled
def collect(
    bits: Any, x: Any, shape: Any, cut: Any, cursors: Any, places: Any, values: Any, edges: Any, share: int
) -> None:
    """The place of each bit, and the value of its number in `x`, flat, where there is room for values.

    `cursors` [tiles, C, classes] says where each class begins, and afterwards where it ends.
    """
    images, channels, height, width = shape
    tiling = Tiling(*cut)
    s, used = tiling.stride, min(tiling.stride, tiling.kernel)
    for at in range(edges[share], edges[share + 1]):
        for py in range(used):
            first, last, r0, begin, end = rows_of(tiling, at, images, height, py)
            for c in range(channels):
                cursor = cursors[at, c, py * s :]
                for n in range(first, last):
                    down = (n - first) * (tiling.rows + tiling.margin) + (begin + tiling.padding) // s - r0
                    place = (down + tiling.margin) * tiling.width + tiling.margin
                    for y in range(begin, end, s):
                        row = (n * channels + c) * height + y
                        for w in range(bits.shape[1]):
                            left = bits[row, w]
                            while left:
                                i = np.int64(trailing_zeros(left)) + w * WORD
                                left &= left - np.uint64(1)
                                across, px = split(i + tiling.padding, s)
                                if px < used:
                                    q = cursor[px]
                                    cursor[px] = q + 1
                                    places[q] = place + across
                                    if len(values):
                                        values[q] = x[row * width + i]
                        place += tiling.width

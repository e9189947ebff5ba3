"""The gradient of the input of a 3 x 3 convolution with a stride of 2 and a padding of 1, which has no zeros to leave out.

Such inputs [N, C, H, W] meet one or two of the kernel's rows w0, w1, w2. With g0, g1, g2 the rows 2t, 2t + 1, 2t + 2 of the gradient of
the outputs, the inputs' rows 4t ... 4t + 3 have the gradients

    g0 w1,    g0 w2 + g1 w0,    g1 w1,    g1 w2 + g2 w0,

where the second is s + (g0 - g1) w2 and the fourth s + (g2 - g1) w0 with s = g1 (w2 + w0): five products in place of six (Winograd
1980; Lavin and Gray 2016, arXiv 1509.09308). Along the columns it is the same, but there all six are multiplied, as pixels lie
side by side in vectors.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeva._compiled import variant
from spikeva.models.snn.sparse.tiles import FLOATS, share
from spikeva.models.snn.sparse.vectors import CHANNELS, EIGHT, THREE, compiled, lay, multiply, weave

LEAST = 1 << 13  # pixels of all inputs: below that most of the time goes into the weights (measured)
SIDE = 12  # pixels of an input: with 8 of them PyTorch's is as fast, with 6 it is faster (measured)
LANES = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8  # numbers of the processor's vectors
PART = 64  # outputs' channels whose gradients are laid out at a time: their lines stay in a first-level cache
# of each product: which of g0, g1, g0 - g1, g2 - g1 is multiplied with which of w1, w2, w2 + w0, w0 for which of the four rows, and
# the row whose sum it is added to, if any
FIVE = ((0, 0, 0, -1), (1, 0, 2, -1), (1, 2, 3, -1), (2, 1, 1, 3), (3, 3, 3, 3))


def pays(shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> bool:
    """Whether `input_gradient` can do such a convolution, for inputs of the shape `shape`, and is as fast as PyTorch or faster."""
    images, channels, height, width = shape
    return (
        (kernel, stride, padding) == (3, 2, 1)
        and channels % CHANNELS == 0
        and min(height, width) >= SIDE
        and images * height * width >= LEAST
    )


def input_gradient(grad: Tensor, weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The gradient of the inputs, of the shape `shape`, from that of the outputs `grad` [N, channels, height, width], contiguous.

    Each number is a sum in an order of its own, whatever the number of threads and the rest of the batch.
    """
    images, channels, height, width = shape
    deep, panel = len(weight), THREE * LANES
    w0, w1, w2 = weight.detach().reshape(deep, channels // CHANNELS, CHANNELS, 3, 3).unbind(3)
    packed = torch.stack([w1, w2, w2 + w0, w0]).permute(2, 0, 4, 1, 3).contiguous()  # [C / 4, 4, 3, channels, 4]
    found = torch.empty(shape, **FLOATS)
    places = np.empty((torch.get_num_threads(), 3, panel), np.int64)
    rest = (a.view(-1).numpy() for a in (grad, packed, found))
    panels = -(-images * (-(-height // 4) * -(-width // 2)) // panel)
    share(strided_kernel(LANES), panels, tuple(shape), deep, *rest, places, room=8 * (deep + channels) * panel)
    return found


@cache
def strided_kernel(lanes: int) -> Callable[..., None]:
    """The gradient `found` for a share of the panels: of THREE * `lanes` places (picture, t, column of the outputs), one after the other."""
    panel = THREE * lanes

    def strided(
        shape: Any, deep: int, grad: Any, packed: Any, found: Any, places: Any, room: Any, edges: Any, share: int
    ) -> None:
        _, channels, height, width = shape
        rows, columns = (height + 3) // 4, (width + 1) // 2
        laid, sums = room[share, : 8 * deep * panel], room[share, 8 * deep * panel :]
        ns, ts, xs = places[share]
        first = edges[share] * panel
        n, t, x = first // (rows * columns), first // columns % rows, first % columns
        for _ in range(edges[share], edges[share + 1]):
            for j in range(panel):
                ns[j], ts[j], xs[j] = n, t, x
                x += 1
                if x == columns:
                    x, t = 0, t + 1
                    if t == rows:
                        t, n = 0, n + 1
            for begin in range(0, deep, PART):
                lay_out(shape, deep, grad, ns, ts, xs, laid, begin, min(deep, begin + PART))
            for px in range(2):
                for c in range(channels // CHANNELS):
                    block = (px * 4 * channels + c * CHANNELS) * panel
                    for i, k, row, before in FIVE:
                        to, start = block + row * channels * panel, block + before * channels * panel
                        start = start if before >= 0 else -1
                        for dx in range(1 + px):
                            of = (i * 2 + dx) * deep * panel
                            weights = ((c * 4 + k) * 3 + 1 + px - 2 * dx) * deep * CHANNELS
                            multiply(sums, to, start, laid, of, packed, weights, deep, lanes)
                            start = to
            spread(shape, sums, ns, ts, xs, found)

    return variant(compiled, strided, lanes)


@compiled
def lay_out(shape: Any, deep: int, grad: Any, ns: Any, ts: Any, xs: Any, laid: Any, begin: int, end: int) -> None:
    """laid [4, 2, deep, panel] = g0, g1, g0 - g1, g2 - g1 at the places' columns and at those to their right, of channels `begin` to `end`."""
    images, _, height, width = shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    panel, plane = len(xs), rows * columns
    apart = 2 * deep * panel
    for dx in range(2):
        for v in range(0, panel, EIGHT):
            if ns[v] < images and xs[v] + dx + EIGHT <= columns:
                source, there = (ns[v] * deep * rows + 2 * ts[v]) * columns + xs[v] + dx, rows - 2 * ts[v]
                for o in range(begin, end):
                    lay(laid, (dx * deep + o) * panel + v, apart, grad, source + o * plane, columns, there)
                continue
            for j in range(v, v + EIGHT):
                source, there = (ns[j] * deep * rows + 2 * ts[j]) * columns + xs[j] + dx, rows - 2 * ts[j]
                if ns[j] >= images or xs[j] + dx >= columns:
                    there = 0
                for o in range(begin, end):
                    at, to = source + o * plane, (dx * deep + o) * panel + j
                    g0 = grad[at] if there > 0 else np.float32(0)
                    g1 = grad[at + columns] if there > 1 else np.float32(0)
                    g2 = grad[at + 2 * columns] if there > 2 else np.float32(0)
                    laid[to], laid[to + apart], laid[to + 2 * apart], laid[to + 3 * apart] = g0, g1, g0 - g1, g2 - g1


@compiled
def spread(shape: Any, sums: Any, ns: Any, ts: Any, xs: Any, found: Any) -> None:
    """found [N, C, H, W] at the places' rows 4t ... and columns 2x ... = sums [2, 4, C, panel]."""
    images, channels, height, width = shape
    panel, plane = len(xs), height * width
    apart = 4 * channels * panel
    for v in range(0, panel, EIGHT):
        if ns[v] < images and 2 * (xs[v] + EIGHT) <= width:
            for r in range(min(4, height - 4 * ts[v])):
                target = (ns[v] * channels * height + 4 * ts[v] + r) * width + 2 * xs[v]
                for c in range(channels):
                    weave(found, target + c * plane, sums, (r * channels + c) * panel + v, apart)
            continue
        for j in range(v, v + EIGHT):
            for r in range(min(4, height - 4 * ts[j]) if ns[j] < images else 0):
                for px in range(min(2, width - 2 * xs[j])):
                    target = (ns[j] * channels * height + 4 * ts[j] + r) * width + 2 * xs[j] + px
                    for c in range(channels):
                        found[target + c * plane] = sums[(r * channels + c) * panel + j + px * apart]

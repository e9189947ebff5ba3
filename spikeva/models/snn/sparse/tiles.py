"""How a convolution is cut into tiles, and its tiles are shared out.

A *tile* is a stretch of output rows of some pictures with `block` of the output channels, laid out [place, block]: a place is a
pixel, with margins of as many rows and columns as a tap may reach beyond the picture. The margins of neighbours are the same ones:
what is written there is never read.
"""

from typing import Any, NamedTuple

import torch

from spikeva.models.snn.sparse.vectors import compiled
from spikeva.neurons.fused_team import edges_of, room_of_thread, share_out

FLOATS: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # whatever torch's defaults are
ROOM = 1 << 17  # bytes of a tile: a part of a second-level cache


class Tiling(NamedTuple):
    """How a convolution is cut into tiles."""

    kernel: int
    stride: int
    padding: int
    block: int  # output channels of a tile
    margin: int  # places around the pixels
    images: int  # of a tile
    rows: int  # output rows of a tile
    bands: int  # tiles that make a picture, where it is larger than a tile
    tiles: int
    columns: int  # input columns that taps reach
    width: int  # places from one row to the next
    places: int  # of a tile


def cut_up(shape: tuple[int, ...], out: tuple[int, ...], kernel: int, stride: int, padding: int) -> Tiling:
    """For inputs [N, C, H, W] and outputs [N, channels, height, width]; channels must be a multiple of 8."""
    images, channels, height, width = out
    block = next(b for b in (64, 32, 16, 8) if channels % b == 0)
    margin = (kernel - 1) // stride
    row = width + margin
    rows = max(1, min(height, ROOM // (4 * block * row) - 2 * margin))
    bands = -(-height // rows)
    together = max(1, min(images, ROOM // (4 * block * row * (rows + margin)))) if bands == 1 else 1
    return Tiling(
        kernel, stride, padding, block, margin, together, rows, bands, -(-images // together) * bands,
        min(shape[3], row * stride - padding), row, (together * (rows + margin) + margin + 1) * row,
    )  # fmt: skip


@compiled
def rows_of(tiling: Tiling, at: int, images: int, height: int, remainder: int) -> Any:
    """(first image, one past the last, first output row, the same of input rows, one past the last) that a class of a tile has."""
    first = at // tiling.bands * tiling.images
    r0 = at % tiling.bands * tiling.rows
    begin = r0 * tiling.stride + remainder - tiling.padding
    end = begin + (tiling.rows + tiling.margin) * tiling.stride
    while begin < 0:
        begin += tiling.stride
    return first, min(first + tiling.images, images), r0, begin, min(end, height)


def share(kernel: Any, units: int, *args: Any, room: int = 0) -> None:
    """kernel(*args, `room` numbers to work in if it needs them, edges, share) for as many shares of the units as torch has threads.

    A Tiling reaches the kernel as a plain tuple: what the compiled code of other folders remembers must not name a class of this one.
    """
    shares = max(1, min(torch.get_num_threads(), units))
    if room:
        args = (*args, room_of_thread.rows(shares, 1, room)[:, 0])
    plain = (tuple(a) if isinstance(a, Tiling) else a for a in args)
    share_out(kernel, (*plain, edges_of(units, shares)), shares)

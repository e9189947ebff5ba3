"""Compression artefacts: how many events come from the edges of 8 x 8 blocks, and a filter that takes the edges away."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.events import EventStream

BLOCK = 8  # pixels, of JPEG, MPEG-4 and H.264


def block_edge_excess(events: EventStream, block: int = BLOCK) -> float:
    """`edge_excess` of the events' counts."""
    return edge_excess(events.counts(), block)


def edge_excess(counts: NDArray[np.int64], block: int = BLOCK) -> float:
    """Events a pixel at block edges over events a pixel elsewhere, from counts [H, W]: 1 where compression leaves no trace.

    A pixel lies at an edge where a neighbour is in another block. Not a number without events elsewhere.
    """
    at = []
    for n in counts.shape:
        blocks = np.pad(np.arange(n) // block, 1, mode="edge")
        at.append(blocks[:-2] != blocks[2:])
    edge = at[0][:, None] | at[1][None, :]
    elsewhere = counts[~edge].mean() if not edge.all() else 0.0
    return float(counts[edge].mean() / elsewhere) if elsewhere > 0 else float("nan")


def deblock(frame: NDArray[Any], strength: float = 12.0, block: int = BLOCK) -> NDArray[np.float32]:
    """`frame` [H, W] (luma 0..255) as float32 with the steps at block edges smoothed away.

    As H.264's loop filter does, only a step lower than `strength` (luma) is taken for an artefact: half of it is spread over the
    two pixels on each side, so that real edges stay. Simplified from that filter; the weights are chosen here.
    """
    out = frame.astype(np.float32)
    for view in (out, out.T):
        edge = np.arange(block, view.shape[1] - 1, block)
        far_left, left, right, far_right = (view[:, edge + i].copy() for i in (-2, -1, 0, 1))
        step = right - left
        artefact = (
            (np.abs(step) < strength)
            & (np.abs(step) > np.abs(left - far_left))
            & (np.abs(step) > np.abs(far_right - right))
        )
        part = np.where(artefact, step / 8, 0)
        for offset, weight in ((-2, 1), (-1, 3), (0, -3), (1, -1)):
            view[:, edge + offset] += weight * part
    return np.clip(out, 0, 255, out=out)

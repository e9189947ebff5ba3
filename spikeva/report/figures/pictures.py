"""Pictures of events: a strip of faces, one window in every encoding, what compression adds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from spikeva.report.figures.style import MUTED, axes

Picture = npt.NDArray[np.uint8]
GAP = 3  # pixels between the pictures of a grid
CHANNELS = 16  # of an encoding that are drawn, at most


def polarity(on: npt.ArrayLike, off: npt.ArrayLike, full: int = 3) -> Picture:
    """Grey picture [..., H, W] of event counts: ON brighter, OFF darker than mid grey, `full` events at the ends."""
    net = np.asarray(on, np.int64) - np.asarray(off, np.int64)
    return np.rint(127.5 + 127.5 * np.clip(net / full, -1, 1)).astype(np.uint8)


def tbr(codes: npt.NDArray[Any], bits: int | None = None) -> Picture:
    """Grey picture of TBR codes [..., H, W]: the newest, most significant bit is the brightest.

    `bits` of a code, so that all of them at once are white; None: 8 for uint8, else the largest code is white.
    """
    codes = np.asarray(codes)
    if bits is not None:
        return np.ceil(255 * codes.astype(np.float64) / (2**bits - 1)).astype(np.uint8)
    return (codes if codes.dtype == np.uint8 else np.rint(codes / max(1, int(codes.max())) * 255)).astype(np.uint8)


def _montage(rows: Sequence[Sequence[Picture]]) -> Picture:
    """One RGBA picture of a grid of equally sized grey pictures, `GAP` pixels apart."""
    height, width = rows[0][0].shape
    columns = max(map(len, rows))
    sheet = np.zeros((len(rows) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 4), np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = i * (height + GAP), j * (width + GAP)
            sheet[y : y + height, x : x + width, :3] = picture[..., None]
            sheet[y : y + height, x : x + width, 3] = 255
    return sheet


def _grid(
    rows: Sequence[Sequence[Picture]], names: Sequence[str], titles: Sequence[str], ax: Axes | None, cell: float = 1.05
) -> Axes:
    height, width = rows[0][0].shape
    columns = max(map(len, rows))
    ax = axes(ax, 0.9 + cell * columns, 0.3 + cell * len(rows) * height / width)
    ax.imshow(_montage(rows), interpolation="none")
    ax.set_anchor("W")  # in the middle of room to spare, the names would reach beyond the figure
    ax.set_yticks([i * (height + GAP) + height / 2 for i in range(len(names))], names)
    ax.set_xticks([j * (width + GAP) + width / 2 for j in range(len(titles))], titles, fontsize=7.5)
    ax.xaxis.tick_top()
    ax.tick_params(length=0, labelcolor=MUTED)
    ax.spines[:].set_visible(False)
    return ax


def _grey(values: npt.NDArray[Any]) -> Picture:
    """Any numbers as grey: 0 is black, or mid grey where some are negative."""
    values = np.asarray(values, np.float64)
    signed = bool(values.min() < 0)
    scaled = values / max(float(np.abs(values).max()), 1e-12)
    picture: Picture = np.rint(127.5 + 127.5 * scaled if signed else 255 * scaled).astype(np.uint8)
    return picture


def strip(examples: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Axes with a column an example ("frame", "on", "off", "tbr" [H, W], "title"): the face, its events, its TBR picture.

    Where an example has no "frame", there is no row of faces.
    """
    rows = {"events": [polarity(e["on"], e["off"]) for e in examples], "TBR": [tbr(e["tbr"]) for e in examples]}
    if all("frame" in e for e in examples):
        rows = {"face": [np.asarray(e["frame"], np.uint8) for e in examples]} | rows
    return _grid([*rows.values()], [*rows], [str(e["title"]) for e in examples], ax)


def encodings(window: Mapping[str, npt.NDArray[Any]], ax: Axes | None = None) -> Axes:
    """Axes with a row an encoding of the same window: its channels [channels, H, W] one beside the other."""
    rows = [list(_grey(channels[:CHANNELS])) for channels in window.values()]
    return _grid(rows, list(window), [], ax, cell=0.62)


def compression(
    lossless: Mapping[str, npt.NDArray[Any]], compressed: Mapping[str, npt.NDArray[Any]], ax: Axes | None = None
) -> Axes:
    """Axes with frame and events ("frame", "on", "off" [H, W]) from lossless and from strongly compressed video.

    The third column holds the events that only one of the two has: what compression added (bright) or removed (dark).
    """
    counts = [np.asarray(side["on"], np.int64) + np.asarray(side["off"], np.int64) for side in (lossless, compressed)]
    rows = [[np.asarray(side["frame"], np.uint8), polarity(side["on"], side["off"])] for side in (lossless, compressed)]
    rows[1].append(polarity(counts[1], counts[0]))
    return _grid(rows, ["lossless", "compressed"], ["frame", "events", "added − removed"], ax, cell=1.7)

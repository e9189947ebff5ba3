"""Pictures between two others: both moved along the motion at exact sub-pixel places and blended, in one pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit

Picture = NDArray[np.float32]
MARGIN = 4  # pixels of repeated border round the coefficients
BLOCK = 32  # pixels sampled together: two of the widest vectors
_ROWS = 8  # filtered together
_POLE = np.float32(np.sqrt(3.0) - 2.0)


@njit(cache=True, nogil=True)
def spline(picture: Picture) -> Picture:
    """[H + 2 MARGIN, W + 2 MARGIN] float32: coefficients of the cubic B-spline through `picture` [H, W] (Unser 1999).

    A spline keeps a picture's sharpness at every sub-pixel place, where a kernel of four samples would blur it half way between
    two pixels; a picture that gets blurred and sharp again as it moves makes events of its own.
    """
    height, width = picture.shape[0] + 2 * MARGIN, picture.shape[1] + 2 * MARGIN
    c = np.empty((height, width), np.float32)
    for y in range(height):
        source, row = picture[min(max(y - MARGIN, 0), picture.shape[0] - 1)], c[y]
        for x in range(picture.shape[1]):
            row[x + MARGIN] = np.float32(36.0) * source[x]
        row[:MARGIN], row[-MARGIN:] = row[MARGIN], row[-MARGIN - 1]
    for start in range(0, height, _ROWS):  # a row's steps wait for one another, those of several rows do not
        stop = min(start + _ROWS, height)
        for y in range(start, stop):
            c[y, 0] /= 1 - _POLE
        for x in range(1, width):
            for y in range(start, stop):
                c[y, x] += _POLE * c[y, x - 1]
        for y in range(start, stop):
            c[y, -1] *= _POLE / (_POLE - 1)
        for x in range(width - 2, -1, -1):
            for y in range(start, stop):
                c[y, x] = _POLE * (c[y, x + 1] - c[y, x])
    c[0] /= 1 - _POLE
    for y in range(1, height):
        c[y] += _POLE * c[y - 1]
    c[-1] *= _POLE / (_POLE - 1)
    for y in range(height - 2, -1, -1):
        c[y] = _POLE * (c[y + 1] - c[y])
    return c


@njit(inline="always")
def _weights(t: Any) -> Any:
    """Cubic B-spline at the five samples round a place `t` (0..2) behind the second; the last is 0 up to 1, the first from 1."""
    o, a, b = np.float32(2.0) - t, max(np.float32(1.0) - t, np.float32(0.0)), max(t - np.float32(1.0), np.float32(0.0))
    sixth, four = np.float32(1 / 6), np.float32(4.0)
    first, last = sixth * a * a * a, sixth * b * b * b
    second, fourth = sixth * o * o * o - four * first, sixth * t * t * t - four * last
    return first, second, np.float32(1.0) - first - second - fourth - last, fourth, last


@njit(inline="always")
def _row(c: Any, a: Any, weights: Any) -> Any:
    w0, w1, w2, w3, w4 = weights
    # Unsigned: no check for negative indices.
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    return c[a] * w0 + c[a + one] * w1 + c[a + two] * w2 + c[a + three] * w3 + c[a + four] * w4


@njit(inline="always")
def _window(c: Any, a: Any, m: Any, across: Any, down: Any) -> Any:
    """Sum of the 5 x 5 coefficients from `c[a]` (flat, rows of `m`) on, weighted `across` and `down`."""
    two, three, four = np.uint64(2), np.uint64(3), np.uint64(4)
    v0, v1, v2, v3, v4 = down
    upper = _row(c, a, across) * v0 + _row(c, a + m, across) * v1
    lower = _row(c, a + three * m, across) * v3 + _row(c, a + four * m, across) * v4
    return upper + _row(c, a + two * m, across) * v2 + lower


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _block(c: Any, width: Any, height: Any, xs: Any, ys: Any, start: Any, out: Any) -> bool:
    """`out[start : start + BLOCK]` of the spline at (xs, ys) by one window that moves on with the pixels, which makes vector code.

    False, and nothing worth in `out`, where a pixel comes from outside its window, because neighbours move differently.
    """
    begin, half = max(start, 0), np.float32(0.5)
    end = begin + BLOCK - 1
    left = min(max(int(half * (xs[begin] + xs[end] - np.float32(BLOCK))), 1), width - BLOCK - 3)
    top = min(max(int(half * (ys[begin] + ys[end] - np.float32(1.0))), 1), height - 4)
    corner, m = np.uint64((top - 1) * width + left - 1), np.uint64(width)
    x0, y0 = np.float32(left), np.float32(top)
    outside, one, none = np.float32(0.0), np.float32(1.0), np.float32(0.0)
    for k in range(BLOCK):
        x, y = xs[begin + k] - np.float32(k) - x0, ys[begin + k] - y0
        outside += max(abs(x - one) - one, none) + max(abs(y - one) - one, none)
        out[begin + k] = _window(c, corner + np.uint64(k), m, _weights(x), _weights(y))
    return bool(outside == none)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _sampled(c: Any, width: Any, xs: Any, ys: Any, out: Any) -> None:
    """`out` [W] of the spline with coefficients `c` (flat, rows of `width`) at (xs, ys), counted with the margin."""
    height = len(c) // width
    for start in range(0, len(out), BLOCK):
        begin = min(start, len(out) - BLOCK)
        if begin < 0 or not _block(c, width, height, xs, ys, begin, out):
            for k in range(max(begin, 0), begin + BLOCK):
                j, i = int(xs[k]), int(ys[k])
                corner = np.uint64((i - 1) * width + j - 1)
                out[k] = _window(
                    c, corner, np.uint64(width), _weights(xs[k] - np.float32(j)), _weights(ys[k] - np.float32(i))
                )


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _places(motion: Any, y: Any, part: Any, low: Any, places: Any) -> None:
    """Where each pixel of row `y` comes from in both frames: `places` [4, W], x and y of the first, x and y of the second."""
    width = places.shape[1]
    least, right = np.float32(1.0), np.float32(width + 2 * MARGIN - 4)
    rest = np.float32(1.0) - part
    bend = np.float32(0.5) * part * rest
    for x in range(width):
        mx, my = rest * motion[0, x] - part * motion[2, x], rest * motion[1, x] - part * motion[3, x]
        px = np.float32(x + MARGIN) + bend * motion[4, x]
        py = np.float32(y + MARGIN) + bend * motion[5, x]
        places[0, x] = min(max(px - part * mx, least), right)
        places[1, x] = min(max(py - part * my, least), low)
        places[2, x] = min(max(px + rest * mx, least), right)
        places[3, x] = min(max(py + rest * my, least), low)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _blend(first: Any, second: Any, part: Any, out: Any) -> None:
    for x in range(len(out)):
        out[x] = min(max(first[x] + part * (second[x] - first[x]), np.float32(0.0)), np.float32(255.0))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _turned(flow: Any, y: Any, row: Any) -> None:
    """`row` [2, W] of the flow the other way: minus what `flow` [H, W, 2] is at the place from which each pixel came."""
    height, width = flow.shape[0], flow.shape[1]
    one, none = np.float32(1.0), np.float32(0.0)
    for x in range(width):
        px = min(max(np.float32(x) - flow[y, x, 0], none), np.float32(width - 1))
        py = min(max(np.float32(y) - flow[y, x, 1], none), np.float32(height - 1))
        j, i = min(np.uint64(px), np.uint64(width - 2)), min(np.uint64(py), np.uint64(height - 2))
        u, v, k, m = px - np.float32(j), py - np.float32(i), j + np.uint64(1), i + np.uint64(1)
        a, b, c, d = (one - u) * (one - v), u * (one - v), (one - u) * v, u * v
        row[0, x] = -(a * flow[i, j, 0] + b * flow[i, k, 0] + c * flow[m, j, 0] + d * flow[m, k, 0])
        row[1, x] = -(a * flow[i, j, 1] + b * flow[i, k, 1] + c * flow[m, j, 1] + d * flow[m, k, 1])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def motion_layers(backward: Picture, before: Picture | None) -> tuple[Picture, float]:
    """What `between` needs of the flow [H, W, 2] from the second frame back to the first, and of that from the first to the one
    `before` (None: the way is straight); and the longest way (pixels) of a pixel whose flow is the same within a pixel at both its ends.

    Flow the other way is this one turned round: that takes half the time of another search and is no further from the truth.
    Acceleration is at most twice the way: more would turn the motion round between two frames, as only a wrong flow or a cut does.
    """
    height, width = backward.shape[0], backward.shape[1]
    layers = np.empty((height, 6, width), np.float32)
    ways, longest, one = np.empty(width, np.float32), np.int32(0), np.float32(1.0)
    for y in range(height):
        row, back = layers[y], backward[y]
        _turned(backward, y, row)
        for x in range(width):
            fx, fy, bx, by = row[0, x], row[1, x], back[x, 0], back[x, 1]
            row[2, x], row[3, x] = bx, by
            dx, dy, way = fx + bx, fy + by, bx * bx + by * by
            ways[x] = way if dx * dx + dy * dy <= one else np.float32(0.0)
        if before is None:
            row[4:] = 0
        else:
            for x in range(width):
                fx, fy = row[0, x], row[1, x]
                ax, ay = fx + before[y, x, 0], fy + before[y, x, 1]
                bend = max(ax * ax + ay * ay, np.float32(1e-12))
                most = min(np.sqrt(np.float32(4.0) * (fx * fx + fy * fy) / bend), one)
                row[4, x], row[5, x] = most * ax, most * ay
        for bits in ways.view(np.int32):  # in the order of the floats, as none is negative, and faster to compare
            longest = max(longest, bits)
    ways[0] = 0
    ways.view(np.int32)[0] = longest
    return layers, float(np.sqrt(ways[0]))


@njit(cache=True, nogil=True)
def between(first: Picture, second: Picture, motion: Picture, part: float) -> Picture:
    """The picture [H, W] float32 0..255 at `part` (0..1) of the way from one frame to the next.

    `first`, `second`: the frames' `spline`s. `motion` [H, 6, W], in pixels: to the second frame from the first (x, y), to the first
    from the second, the acceleration (pixels a frame squared); see `motion_layers`. Motion at a pixel of the new picture is the mean
    of both flows by nearness (Jiang et al. 2018, "Super SloMo", equation 4); acceleration bends the way between the frames
    (Xu et al. 2019, "Quadratic video interpolation").
    """
    height, width = motion.shape[0], motion.shape[2]
    out, places = np.empty((height, width), np.float32), np.empty((4, width), np.float32)
    near, far = np.empty(width, np.float32), np.empty(width, np.float32)
    wide, low, share = width + 2 * MARGIN, np.float32(height + 2 * MARGIN - 4), np.float32(part)
    for y in range(height):
        _places(motion[y], np.float32(y), share, low, places)
        _sampled(first.ravel(), wide, places[0], places[1], near)
        _sampled(second.ravel(), wide, places[2], places[3], far)
        _blend(near, far, share, out[y])
    return out

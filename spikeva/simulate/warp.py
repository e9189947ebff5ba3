"""Pictures between two others: both moved along the motion at exact sub-pixel places and blended, in one pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit

Picture = NDArray[np.float32]
MARGIN = 2  # pixels of repeated border round the coefficients
_POLE = np.float32(np.sqrt(3.0) - 2.0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]  # numba has no types
def spline(picture: Picture) -> Picture:
    """[H + 4, W + 4] float32: coefficients of the cubic B-spline through `picture` [H, W] (Unser 1999).

    A spline keeps a picture's sharpness at every sub-pixel place, where a kernel of four samples would blur it half way between
    two pixels; a picture that gets blurred and sharp again as it moves makes events of its own.
    """
    height, width = picture.shape[0] + 2 * MARGIN, picture.shape[1] + 2 * MARGIN
    c = np.empty((height, width), np.float32)
    for y in range(height):
        source = picture[min(max(y - MARGIN, 0), picture.shape[0] - 1)]
        for x in range(width):
            c[y, x] = np.float32(36.0) * source[min(max(x - MARGIN, 0), picture.shape[1] - 1)]
        row = c[y]
        row[0] /= 1 - _POLE
        for x in range(1, width):
            row[x] += _POLE * row[x - 1]
        row[-1] *= _POLE / (_POLE - 1)
        for x in range(width - 2, -1, -1):
            row[x] = _POLE * (row[x + 1] - row[x])
    c[0] /= 1 - _POLE
    for y in range(1, height):
        c[y] += _POLE * c[y - 1]
    c[-1] *= _POLE / (_POLE - 1)
    for y in range(height - 2, -1, -1):
        c[y] = _POLE * (c[y + 1] - c[y])
    return c


@njit(inline="always")  # type: ignore[untyped-decorator]
def _weights(f: Any) -> Any:
    """Cubic B-spline at the four samples round a place `f` behind the second."""
    o = np.float32(1.0) - f
    w0, w3 = o * o * o * np.float32(1 / 6), f * f * f * np.float32(1 / 6)
    w1 = np.float32(2 / 3) - f * f * (np.float32(1.0) - np.float32(0.5) * f)
    return w0, w1, np.float32(1.0) - w0 - w1 - w3, w3


@njit(inline="always")  # type: ignore[untyped-decorator]
def _sample(c: Any, width: Any, x: Any, y: Any) -> Any:
    """The spline with coefficients `c` (flat, rows of `width`) at (x, y), counted with the margin."""
    j, i = np.int32(x), np.int32(y)
    w0, w1, w2, w3 = _weights(x - np.float32(j))
    v0, v1, v2, v3 = _weights(y - np.float32(i))
    # Unsigned: no check for negative indices. Column by column: the compiler makes one vector of the four.
    m, one, two, three = np.uint64(width), np.uint64(1), np.uint64(2), np.uint64(3)
    a = np.uint64((i - np.int32(1)) * width + j - np.int32(1))
    b, d, e = a + m, a + two * m, a + three * m
    first = c[a] * v0 + c[b] * v1 + c[d] * v2 + c[e] * v3
    second = c[a + one] * v0 + c[b + one] * v1 + c[d + one] * v2 + c[e + one] * v3
    third = c[a + two] * v0 + c[b + two] * v1 + c[d + two] * v2 + c[e + two] * v3
    fourth = c[a + three] * v0 + c[b + three] * v1 + c[d + three] * v2 + c[e + three] * v3
    return first * w0 + second * w1 + third * w2 + fourth * w3


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _line(c0: Any, c1: Any, motion: Any, y: Any, part: Any, low: Any, places: Any, out: Any) -> None:
    """Row `y` of the picture: first where each pixel comes from (`places` [5, W]), then what is there."""
    width = out.shape[0]
    margin, right = np.float32(MARGIN), np.float32(width + MARGIN - 1)
    rest = np.float32(1.0) - part
    bend = np.float32(0.5) * part * rest
    for x in range(width):
        mx, my = rest * motion[0, x] - part * motion[2, x], rest * motion[1, x] - part * motion[3, x]
        px, py = np.float32(x + MARGIN) + bend * motion[4, x], y + margin + bend * motion[5, x]
        places[0, x] = min(max(px - part * mx, margin), right)
        places[1, x] = min(max(py - part * my, margin), low)
        places[2, x] = min(max(px + rest * mx, margin), right)
        places[3, x] = min(max(py + rest * my, margin), low)
        near, far = rest * motion[6, x], part * motion[7, x]
        places[4, x] = far / (near + far)
    for x in range(width):
        first = _sample(c0, np.int32(width + 2 * MARGIN), places[0, x], places[1, x])
        second = _sample(c1, np.int32(width + 2 * MARGIN), places[2, x], places[3, x])
        out[x] = min(max(first + places[4, x] * (second - first), np.float32(0.0)), np.float32(255.0))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _disagreement(there: Any, back: Any, x: Any, y: Any) -> Any:
    """Pixels between pixel (x, y) and where it comes to going there and back: large where one frame hides it."""
    height, width = there.shape[0], there.shape[1]
    dx, dy = there[y, x, 0], there[y, x, 1]
    px = min(max(np.float32(x) + dx, np.float32(0.0)), np.float32(width - 1))
    py = min(max(np.float32(y) + dy, np.float32(0.0)), np.float32(height - 1))
    j, i = min(int(px), width - 2), min(int(py), height - 2)
    u, v = px - np.float32(j), py - np.float32(i)
    for c in range(2):
        upper = back[i, j, c] + u * (back[i, j + 1, c] - back[i, j, c])
        lower = back[i + 1, j, c] + u * (back[i + 1, j + 1, c] - back[i + 1, j, c])
        if c:
            dy += upper + v * (lower - upper)
        else:
            dx += upper + v * (lower - upper)
    return np.sqrt(dx * dx + dy * dy)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")  # type: ignore[untyped-decorator]
def motion_layers(forward: Picture, backward: Picture, before: Picture) -> tuple[Picture, float]:
    """What `between` needs of the flows [H, W, 2] from the first frame to the second, back, and from the first to the one `before`;
    and the longest way (pixels) of a pixel where the flows agree within a pixel.

    Acceleration is at most twice the way: more would turn the motion round between two frames, as only a wrong flow or a cut does.
    A frame weighs less where the flows there and back disagree.
    """
    height, width = forward.shape[0], forward.shape[1]
    layers = np.empty((height, 8, width), np.float32)
    one, longest = np.float32(1.0), np.float32(0.0)
    for y in range(height):
        for x in range(width):
            fx, fy, bx, by = forward[y, x, 0], forward[y, x, 1], backward[y, x, 0], backward[y, x, 1]
            ax, ay = fx + before[y, x, 0], fy + before[y, x, 1]
            way, bend = fx * fx + fy * fy, ax * ax + ay * ay
            most = np.sqrt(np.float32(4.0) * way / bend) if bend > np.float32(4.0) * way else one
            near = one / (one + _disagreement(forward, backward, x, y))
            far = one / (one + _disagreement(backward, forward, x, y))
            if near >= np.float32(0.5):
                longest = max(longest, way)
            if far >= np.float32(0.5):
                longest = max(longest, bx * bx + by * by)
            row = layers[y]
            row[0, x], row[1, x], row[2, x], row[3, x] = fx, fy, bx, by
            row[4, x], row[5, x], row[6, x], row[7, x] = most * ax, most * ay, near, far
    return layers, float(np.sqrt(longest))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def between(first: Picture, second: Picture, motion: Picture, part: float) -> Picture:
    """The picture [H, W] float32 0..255 at `part` (0..1) of the way from one frame to the next.

    `first`, `second`: the frames' `spline`s. `motion` [H, 8, W], in pixels: to the second frame from the first (x, y), to the first
    from the second, the acceleration (pixels a frame squared), and the two frames' weights (see `motion_layers`). Motion at a pixel
    of the new picture is the mean of both flows by nearness (Jiang et al. 2018, "Super SloMo", equation 4); acceleration bends the way between the frames
    (Xu et al. 2019, "Quadratic video interpolation").
    """
    height, width = motion.shape[0], motion.shape[2]
    out, places = np.empty((height, width), np.float32), np.empty((5, width), np.float32)
    low = np.float32(height + MARGIN - 1)
    for y in range(height):
        _line(first.ravel(), second.ravel(), motion[y], np.float32(y), np.float32(part), low, places, out[y])
    return out

"""From the colours of samples to a picture: the background behind them, surfaces' rims, lens and film."""

import numpy as np

from spikeva._compiled import njit


@njit(cache=True)
def _behind(background, offset, x, y):
    """(r, g, b) of the background at supersampled pixel (x, y); offset holds the texel of pixel (0, 0) and texels per
    pixel.
    """
    fx = min(max(x * offset[2] + offset[0], 0.0), background.shape[1] - 1.001)
    fy = min(max(y * offset[2] + offset[1], 0.0), background.shape[0] - 1.001)
    i, j = int(fy), int(fx)
    fx, fy = fx - j, fy - i
    w00, w01, w10, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    p00, p01, p10, p11 = background[i, j], background[i, j + 1], background[i + 1, j], background[i + 1, j + 1]
    return (
        w00 * p00[0] + w01 * p01[0] + w10 * p10[0] + w11 * p11[0],
        w00 * p00[1] + w01 * p01[1] + w10 * p10[1] + w11 * p11[1],
        w00 * p00[2] + w01 * p01[2] + w10 * p10[2] + w11 * p11[2],
    )


@njit(cache=True)
def fill_behind(face, background, offset, gain, box, out):
    """Fill out [h, w, 3] with the background's linear RGB where there is nothing else in the `box`; `offset` as in `_behind`."""
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            if face[y, x] < 0:
                r, g, b = _behind(background, offset, x, y)
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = gain * r, gain * g, gain * b


@njit(cache=True)
def join_rims(places, face, colours, background, offset, gain, out):
    """Give out [h, w, 3] at each of the `places` [n, 2] the mean of its samples' `colours` [n, k, 3]; the background's where
    `face` [n, k] is nothing.
    """
    share = 1.0 / face.shape[1]
    for n in range(places.shape[0]):
        y, x = places[n]
        r, g, b = _behind(background, offset, x, y)
        red, green, blue = 0.0, 0.0, 0.0
        for k in range(face.shape[1]):
            if face[n, k] < 0:
                red, green, blue = red + gain * r, green + gain * g, blue + gain * b
            else:
                red, green, blue = red + colours[n, k, 0], green + colours[n, k, 1], blue + colours[n, k, 2]
        out[y, x, 0], out[y, x, 1], out[y, x, 2] = share * red, share * green, share * blue


@njit(cache=True)
def _display(v, table):
    """Display value 0..255 of linear v, from the sRGB curve tabulated over the square root."""
    last = table.shape[0] - 1
    v = np.sqrt(min(max(v, 0.0), 1.0)) * last
    i = min(int(v), last - 1)
    return table[i] + (v - i) * (table[i + 1] - table[i])


@njit(cache=True)
def backdrop(background, offset, gain, table, rgb, luma):
    """Fill rgb [h, w, 3] and luma [h, w] with the background alone (smooth, so neither supersampled nor filtered)."""
    for y in range(luma.shape[0]):
        for x in range(luma.shape[1]):
            r, g, b = _behind(background, offset, 2 * x + 0.5, 2 * y + 0.5)
            rgb[y, x, 0], rgb[y, x, 1] = _display(gain * r, table), _display(gain * g, table)
            rgb[y, x, 2] = _display(gain * b, table)
            luma[y, x] = 0.299 * rgb[y, x, 0] + 0.587 * rgb[y, x, 1] + 0.114 * rgb[y, x, 2]


@njit(cache=True)
def develop(linear, kernel, table, box, rows, rgb, luma):
    """Lens and film: linear [2h, 2w, 3] filtered by the separable even `kernel` at stride 2 to display values 0..255.

    Fills the output pixels of `box` (x0, y0, x1, y1) of rgb [h, w, 3] and luma [h, w] (ITU-R BT.601 of the encoded
    colours). `rows` is scratch [2h, w, 3].
    """
    h2, w2 = linear.shape[0], linear.shape[1]
    n = kernel.shape[0]
    half = n // 2 - 1
    for y in range(max(2 * box[1] - half, 0), min(2 * box[3] + half + 1, h2)):
        for x in range(box[0], box[2]):
            r, g, b = 0.0, 0.0, 0.0
            for k in range(n):
                s = min(max(2 * x - half + k, 0), w2 - 1)
                r += kernel[k] * linear[y, s, 0]
                g += kernel[k] * linear[y, s, 1]
                b += kernel[k] * linear[y, s, 2]
            rows[y, x, 0], rows[y, x, 1], rows[y, x, 2] = r, g, b
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            for c in range(3):
                v = 0.0
                for k in range(n):
                    v += kernel[k] * rows[min(max(2 * y - half + k, 0), h2 - 1), x, c]
                rgb[y, x, c] = _display(v, table)
            luma[y, x] = 0.299 * rgb[y, x, 0] + 0.587 * rgb[y, x, 1] + 0.114 * rgb[y, x, 2]

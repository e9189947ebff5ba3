"""Colour per pixel: skin, eyes, lips, hair and cloth from the deformed head coordinates, the painted texture and the lights."""

import numpy as np

from spikeva._compiled import njit
from spikeva.faces.features import (
    CREASE,
    CREASE_DEPTH,
    EYE_SIGN,
    EYE_TILT,
    EYE_WIDTH,
    EYE_X,
    EYE_Y,
    GAZE_X,
    GAZE_Y,
    LID_LOW,
    LID_UP,
    lid_shapes,
)
from spikeva.faces.mesh import EAR, HAIR, HEAD
from spikeva.faces.raster import AUX, CHART_X, CHART_Y, NORMAL_X, NORMAL_Y, NORMAL_Z, POS_X, POS_Y, tiled
from spikeva.faces.texture import LEFT, TOP

SKIN, HAIR_COLOUR, CLOTH, IRIS, LIPS, GLASSES = range(6)  # rows of the colour table [6, 3]


@njit(cache=True)
def _step(low, high, x):
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True)
def _bell(x):
    """exp(-x² / 2), cut off at 3."""
    x2 = x * x
    return np.exp(-0.5 * x2) if x2 < 9.0 else 0.0


@njit(cache=True)
def _light(nx, ny, nz, lights, ambient, wrap):
    """Diffuse light (r, g, b) and specular (r, g, b) on a unit normal, of `lights` [2, 6] and the sky's `ambient` [3] (`render.Scene`)."""
    sky = 0.82 + 0.18 * ny
    r, g, b = ambient[0] * sky, ambient[1] * sky, ambient[2] * sky
    sr, sg, sb = 0.0, 0.0, 0.0
    for k in range(lights.shape[0]):
        lx, ly, lz = lights[k, 0], lights[k, 1], lights[k, 2]
        d = (nx * lx + ny * ly + nz * lz + wrap) / (1.0 + wrap)
        if d <= 0:
            continue
        d = 0.65 * d + 0.35 * d * d
        r, g, b = r + d * lights[k, 3], g + d * lights[k, 4], b + d * lights[k, 5]
        hx, hy, hz = lx, ly, lz + 1.0
        s = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
        if s > 0.6:
            s = s * s
            s = s * s
            s = s * s
            s = s * s
            sr, sg, sb = sr + s * lights[k, 3], sg + s * lights[k, 4], sb + s * lights[k, 5]
    return r, g, b, sr, sg, sb


@njit(cache=True)
def _eye(dx, dy, e, edge, colours, lights, lash):
    """(r, g, b, cover, dark): colour and cover of what lies between the lids, and the darkening by lashes and crease.

    `dx`, `dy` are counted from the eye's centre, `e` [11] is its row of the eye table (`features`).
    """
    width, sign = e[EYE_WIDTH], e[EYE_SIGN]
    u = dx / width
    dy = dy - e[EYE_TILT] * u * sign
    v = max(1.0 - u * u, 0.0)
    up, low = lid_shapes(u, e[LID_UP], e[LID_LOW], sign)
    gap = max(up - low, 0.0)
    cover = 0.0
    r, g, b = 0.0, 0.0, 0.0
    if v > 0 and gap > 0:
        cover = _step(-edge, edge, min(up - dy, dy - low)) * min(gap / (0.6 * edge + 1e-9), 1.0)
    if cover > 0:
        shade = 1.0 - 0.30 * u * u - 0.45 * _step(0.045, -0.005, up - dy)
        white = 0.30 + 0.45 * colours[SKIN, 0]
        r, g, b = white * shade, 0.94 * white * shade, 0.87 * white * shade
        ix, iy = dx - e[GAZE_X], dy - e[GAZE_Y]
        rho = np.sqrt(ix * ix + iy * iy)
        iris = _step(0.100 + edge, 0.100 - edge, rho)
        if iris > 0:
            ring = 0.35 + 0.65 * _step(0.100, 0.072, rho)
            glow = 0.75 + 0.6 * _step(0.02, -0.09, iy)
            k = ring * glow * (0.55 + 0.45 * shade)
            pupil = _step(0.046 + edge, 0.046 - edge, rho)
            pr, pg, pb = colours[IRIS, 0] * k, colours[IRIS, 1] * k, colours[IRIS, 2] * k
            pr, pg, pb = (
                pr * (1 - pupil) + 0.004 * pupil,
                pg * (1 - pupil) + 0.004 * pupil,
                pb * (1 - pupil) + 0.004 * pupil,
            )
            r, g, b = r + (pr - r) * iris, g + (pg - g) * iris, b + (pb - b) * iris
        cx, cy = ix - 0.045 * lights[0, 0], iy - 0.040 - 0.02 * lights[0, 1]
        spark = _step(0.026 + edge, 0.012, np.sqrt(cx * cx + cy * cy))
        r, g, b = r + spark * (0.9 - r), g + spark * (0.9 - g), b + spark * (0.9 - b)
    reach = _step(1.16, 0.98, abs(u))
    line = max(lash, 0.5 * edge)
    dark = 0.90 * _bell((dy - up - 0.35 * line) / line) * reach
    dark = max(dark, 0.34 * _bell((dy - low + 0.2 * line) / (0.8 * line)) * reach * _step(-1.1, 0.2, u * sign))
    wide = 0.017 + 0.3 * edge
    crease = e[CREASE] * (0.45 + 0.55 * v) * (1.0 + 0.25 * sign * u)
    dark = max(
        dark,
        e[CREASE_DEPTH] * _bell((dy - max(up, -0.02) - crease) / wide) * _step(1.22, 0.85, abs(u)) * (0.3 + 0.7 * v),
    )
    return r, g, b, cover, dark


@njit(cache=True)
def _mouth(u, y, x, curves, teeth, edge, colours):
    """(r, g, b, lips, tilt, hole_r, hole_g, hole_b, hole, seam) at (x, y), which is share u of the way between the mouth's corners.

    Colour and cover of the lips and how much they tilt the normal, colour and cover of the hole between them, darkening where they meet.
    """
    n = curves.shape[1] - 1
    f = u * n
    i = min(int(f), n - 1)
    f -= i
    top = curves[0, i] + f * (curves[0, i + 1] - curves[0, i])
    upper = curves[1, i] + f * (curves[1, i + 1] - curves[1, i])
    lower = curves[2, i] + f * (curves[2, i + 1] - curves[2, i])
    bottom = curves[3, i] + f * (curves[3, i + 1] - curves[3, i])
    soft = 1.6 * edge
    lips = _step(-soft, soft, min(top - y, y - bottom))
    middle = 0.5 * (upper + lower)
    r, g, b, tilt = colours[LIPS, 0], colours[LIPS, 1], colours[LIPS, 2], 0.0
    if y > middle:
        t = min(max((y - upper) / max(top - upper, 1e-3), 0.0), 1.0)
        k = 0.74 + 0.12 * t
        tilt = -0.35 + 0.30 * t
    else:
        t = min(max((lower - y) / max(lower - bottom, 1e-3), 0.0), 1.0)
        k = 1.06 - 0.22 * t * t
        tilt = 0.40 - 0.75 * t
    r, g, b = k * r, k * g, k * b
    gap = upper - lower
    hole = _step(-edge, edge, min(upper - y, y - lower)) * min(max(gap / (1.2 * edge + 1e-9) - 0.15, 0.0), 1.0)
    hr, hg, hb = 0.045, 0.010, 0.010
    if hole > 0:
        side = min(4.0 * u * (1.0 - u), 1.0)
        across = abs(u - 0.5) * 2.0
        shadow = (0.25 + 0.75 * side) * (0.55 + 0.45 * _step(upper, upper - 0.05, y))
        gaps = 1.0 - 0.10 * _bell((abs(x) % 0.085 - 0.0425) / 0.006)
        tooth = _step(-edge, edge, y - teeth[0] - 0.025 * across * across) * _step(1.0, 0.82, across)
        k = 0.66 * shadow * gaps
        hr, hg, hb = hr + tooth * (k - hr), hg + tooth * (0.93 * k - hg), hb + tooth * (0.80 * k - hb)
        base = _step(edge, -edge, y - teeth[1] + 0.02 * across * across) * _step(0.95, 0.72, across) * (1 - tooth)
        k = 0.42 * shadow * gaps
        hr, hg, hb = hr + base * (k - hr), hg + base * (0.92 * k - hg), hb + base * (0.78 * k - hb)
        tongue = _step(0.75, 0.35, across) * _step(teeth[1] + 0.10, teeth[1] + 0.03, y) * (1 - base) * (1 - tooth)
        hr, hg, hb = hr + tongue * (0.20 - hr), hg + tongue * (0.055 - hg), hb + tongue * (0.055 - hb)
    seam = 0.78 * _bell((y - middle) / (0.013 + 0.4 * edge)) * min(max(1.0 - gap / 0.05, 0.0), 1.0)
    return r, g, b, lips, tilt, hr, hg, hb, hole, seam


@njit(cache=True)
def shade(
    face,
    bary,
    triangles,
    material,
    attributes,
    texture,
    wrinkle,
    density,
    eyes,
    mouth,
    corners,
    teeth,
    lights,
    ambient,
    colours,
    gloss,
    lash,
    glasses,
    strands,
    edge,
    gain,
    box,
    out,
):
    """Fill out [h, w, 3] with linear RGB where there is a surface in the `box` (x0, y0, x1, y1).

    `face` [h, w] and `bary` [h, w, 2] are what `raster.rasterize` found, `attributes` [n, 8] the vertices'. Skin: `texture` [H, W, 3] and
    `wrinkle` [H, W] at `density` texels a head unit. Of one frame of `Features`: `eyes` [2, 11], `mouth` [4, 33], `corners` [2],
    `teeth` [2]. Of the `Rig`: `colours` [6, 3], `gloss`, `lash`, `glasses` (0 or 1), `strands` [256, 256]. Of the `Scene`: `lights`,
    `ambient`. `edge` is half a sub-pixel in head units, `gain` that of all light.
    """
    th, tw = texture.shape[0], texture.shape[1]
    mouth_top, mouth_bottom = mouth[0].max() + 0.05, mouth[3].min() - 0.05
    for py in range(box[1], box[3]):
        for px in range(box[0], box[2]):
            t = face[py, px]
            if t < 0:
                continue
            b1, b2 = bary[py, px, 0], bary[py, px, 1]
            b0 = 1.0 - b1 - b2
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            nx = b0 * attributes[i, NORMAL_X] + b1 * attributes[j, NORMAL_X] + b2 * attributes[k, NORMAL_X]
            ny = b0 * attributes[i, NORMAL_Y] + b1 * attributes[j, NORMAL_Y] + b2 * attributes[k, NORMAL_Y]
            nz = b0 * attributes[i, NORMAL_Z] + b1 * attributes[j, NORMAL_Z] + b2 * attributes[k, NORMAL_Z]
            cx = b0 * attributes[i, CHART_X] + b1 * attributes[j, CHART_X] + b2 * attributes[k, CHART_X]
            cy = b0 * attributes[i, CHART_Y] + b1 * attributes[j, CHART_Y] + b2 * attributes[k, CHART_Y]
            aux = b0 * attributes[i, AUX] + b1 * attributes[j, AUX] + b2 * attributes[k, AUX]
            norm = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
            nx, ny, nz = nx * norm, ny * norm, nz * norm
            kind = material[t]
            if kind == HEAD:
                x = b0 * attributes[i, POS_X] + b1 * attributes[j, POS_X] + b2 * attributes[k, POS_X]
                y = b0 * attributes[i, POS_Y] + b1 * attributes[j, POS_Y] + b2 * attributes[k, POS_Y]
                fx = min(max((cx - LEFT) * density - 0.5, 0.0), tw - 1.001)
                fy = min(max((TOP - cy) * density - 0.5, 0.0), th - 1.001)
                ix, iy = int(fx), int(fy)
                fx -= ix
                fy -= iy
                w00, w01, w10, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
                r = (
                    w00 * texture[iy, ix, 0]
                    + w01 * texture[iy, ix + 1, 0]
                    + w10 * texture[iy + 1, ix, 0]
                    + w11 * texture[iy + 1, ix + 1, 0]
                )
                g = (
                    w00 * texture[iy, ix, 1]
                    + w01 * texture[iy, ix + 1, 1]
                    + w10 * texture[iy + 1, ix, 1]
                    + w11 * texture[iy + 1, ix + 1, 1]
                )
                b = (
                    w00 * texture[iy, ix, 2]
                    + w01 * texture[iy, ix + 1, 2]
                    + w10 * texture[iy + 1, ix, 2]
                    + w11 * texture[iy + 1, ix + 1, 2]
                )
                dim = (
                    w00 * wrinkle[iy, ix]
                    + w01 * wrinkle[iy, ix + 1]
                    + w10 * wrinkle[iy + 1, ix]
                    + w11 * wrinkle[iy + 1, ix + 1]
                )
                dim *= aux
                shine = gloss
                cover, hole, seam = 0.0, 0.0, 0.0
                er, eg, eb = 0.0, 0.0, 0.0
                hr, hg, hb = 0.0, 0.0, 0.0
                front = nz > -0.2
                if front and mouth_bottom < y < mouth_top and corners[0] - 0.03 < x < corners[1] + 0.03:
                    u = min(max((x - corners[0]) / (corners[1] - corners[0]), 0.0), 1.0)
                    fade = _step(-0.03, 0.015, min(x - corners[0], corners[1] - x))
                    lr, lg, lb, lips, tilt, hr, hg, hb, hole, seam = _mouth(u, y, x, mouth, teeth, edge, colours)
                    lips *= 0.92 * fade
                    hole *= fade
                    r, g, b = r + lips * (lr - r), g + lips * (lg - g), b + lips * (lb - b)
                    ny += lips * tilt
                    norm = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
                    nx, ny, nz = nx * norm, ny * norm, nz * norm
                    dim = dim + lips * (1.0 - dim)
                    dim *= 1.0 - seam * fade
                    shine *= 1.0 + 1.2 * lips
                if front and -0.28 < y < 0.32:
                    s = 0 if x < 0 else 1
                    e = eyes[s]
                    dx = x - e[EYE_X]
                    if abs(dx) < 1.3 * e[EYE_WIDTH]:
                        er, eg, eb, cover, dark = _eye(dx, y - e[EYE_Y], e, edge, colours, lights, lash)
                        dim *= 1.0 - dark
                dr, dg, db, sr, sg, sb = _light(nx, ny, nz, lights, ambient, 0.32)
                rim = 1.0 - max(nz, 0.0)
                rim = 0.10 * rim * rim * rim * dg
                r = r * dim * dr + shine * sr + rim * r
                g = g * dim * dg + shine * sg + rim * g
                b = b * dim * db + shine * sb + rim * b
                if cover > 0:
                    flat = 0.30 + 0.70 * dg
                    r, g, b = r + cover * (er * flat - r), g + cover * (eg * flat - g), b + cover * (eb * flat - b)
                if hole > 0:
                    flat = 0.25 + 0.55 * dg
                    r, g, b = r + hole * (hr * flat - r), g + hole * (hg * flat - g), b + hole * (hb * flat - b)
                if glasses > 0 and front and -0.42 < y < 0.36:
                    ax = abs(x)
                    gx, gy = (ax - eyes[1, EYE_X]) / 0.335, (y + 0.055) / 0.235
                    ring = np.sqrt(np.sqrt(gx * gx * gx * gx + gy * gy * gy * gy))
                    frame = _step(0.030 + 1.4 * edge, 0.016, abs(ring - 1.0) * 0.27)
                    if ax < 0.14:
                        frame = max(frame, _step(0.024 + edge, 0.010, abs(y - 0.045 - 1.2 * (0.0196 - x * x))))
                    elif ax > 0.78:
                        frame = max(frame, _step(0.030 + edge, 0.014, abs(y - 0.06)))
                    band, soft = gx * (1 if x > 0 else -1) + 0.7 * gy, 3.0 * edge
                    glare = _step(0.42 - soft, 0.42 + soft, band) * _step(0.80 + soft, 0.80 - soft, band)
                    glare *= 0.05 * _step(1.0 + soft, 1.0 - soft, ring)
                    r, g, b = r + glare * lights[0, 3], g + glare * lights[0, 4], b + glare * lights[0, 5]
                    r, g, b = (
                        r + frame * (colours[GLASSES, 0] * dr + 0.10 * sr - r),
                        g + frame * (colours[GLASSES, 1] * dg + 0.10 * sg - g),
                        b + frame * (colours[GLASSES, 2] * db + 0.10 * sb - b),
                    )
            elif kind == HAIR:
                inside = 1.0
                if nz < 0:
                    nx, ny, nz, inside = -nx, -ny, -nz, 0.35
                fine = tiled(strands, cx * 44.0, cy * 9.0)
                broad = tiled(strands, cx * 13.0 + 77.0, cy * 4.0)
                ny += 0.12 * broad
                nx += 0.10 * fine
                dr, dg, db, sr, sg, sb = _light(nx, ny, nz, lights, ambient, 0.1)
                tone = (0.90 + 0.14 * fine + 0.10 * broad) * inside * (0.62 + 0.38 * _step(0.0, 0.16, aux))
                band = 0.020 * (0.6 + 0.4 * fine) * inside
                r = colours[HAIR_COLOUR, 0] * tone * dr + (band + 0.11 * colours[HAIR_COLOUR, 0] * inside) * sr
                g = colours[HAIR_COLOUR, 1] * tone * dg + (band + 0.11 * colours[HAIR_COLOUR, 1] * inside) * sg
                b = colours[HAIR_COLOUR, 2] * tone * db + (band + 0.11 * colours[HAIR_COLOUR, 2] * inside) * sb
            else:
                dr, dg, db, sr, sg, sb = _light(nx, ny, nz, lights, ambient, 0.15)
                cloth = 0.0
                if kind != EAR:
                    cloth = _step(-2.30, -2.34, cy - 0.55 * cx * cx + 0.34 * _bell(cx / 0.32) * max(nz, 0.0))
                r = (colours[SKIN, 0] * (1 - cloth) + colours[CLOTH, 0] * cloth) * dr * aux
                g = (colours[SKIN, 1] * (1 - cloth) + colours[CLOTH, 1] * cloth) * dg * aux
                b = (colours[SKIN, 2] * (1 - cloth) + colours[CLOTH, 2] * cloth) * db * aux
            out[py, px, 0] = gain * r
            out[py, px, 1] = gain * g
            out[py, px, 2] = gain * b

"""Geometry to pixels: posing the vertices, normals, and a z-buffer that keeps triangle and barycentric coordinates."""

import numpy as np

from spikeva._compiled import njit
from spikeva.faces.mesh import HAIR

# Columns of the vertex attributes handed to the shader.
POS_X, POS_Y, CHART_X, CHART_Y, NORMAL_X, NORMAL_Y, NORMAL_Z, AUX = range(8)


@njit(cache=True)
def tiled(noise, u, v):
    """Value at (u, v) of a noise picture [256, 256] that repeats, bilinear."""
    u, v = u + 4096.0, v + 4096.0
    i, j = int(v), int(u)
    f, g = v - i, u - j
    i0, i1, j0, j1 = i & 255, (i + 1) & 255, j & 255, (j + 1) & 255
    top = noise[i0, j0] + g * (noise[i0, j1] - noise[i0, j0])
    low = noise[i1, j0] + g * (noise[i1, j1] - noise[i1, j0])
    return top + f * (low - top)


@njit(cache=True)
def deform(base, basis, index, weights, out):
    """out [n, 3] = base, with basis [k, m, 3] times weights [k] added at the vertices index [m]."""
    for i in range(base.shape[0]):  # numba takes seconds to compile the assignment of an array as a whole
        out[i, 0], out[i, 1], out[i, 2] = base[i, 0], base[i, 1], base[i, 2]
    for k in range(basis.shape[0]):
        w = np.float32(weights[k])
        if w == 0:
            continue
        for i in range(basis.shape[1]):
            j = index[i]
            out[j, 0] += w * basis[k, i, 0]
            out[j, 1] += w * basis[k, i, 1]
            out[j, 2] += w * basis[k, i, 2]


@njit(cache=True)
def project(points, turn, rotation, pivot, scale, centre, distance, screen):
    """Fill screen [n, 3] with pixel x, y and depth of points [n, 3] turned about the pivot, weak perspective."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        w = turn[i]
        a, b, c = x - pivot[0], y - pivot[1], z - pivot[2]
        x += w * (rotation[0, 0] * a + rotation[0, 1] * b + rotation[0, 2] * c - a)
        y += w * (rotation[1, 0] * a + rotation[1, 1] * b + rotation[1, 2] * c - b)
        z += w * (rotation[2, 0] * a + rotation[2, 1] * b + rotation[2, 2] * c - c)
        k = scale * distance / (distance - z)
        screen[i, 0] = centre[0] + k * x
        screen[i, 1] = centre[1] - k * y
        screen[i, 2] = z


@njit(cache=True)
def bounds(screen):
    """(x, y) of the smallest box round screen [n, 3]: [2, 2], low and high."""
    box = np.array([[np.inf, np.inf], [-np.inf, -np.inf]])
    for i in range(screen.shape[0]):
        for c in range(2):
            box[0, c] = min(box[0, c], screen[i, c])
            box[1, c] = max(box[1, c], screen[i, c])
    return box


@njit(cache=True)
def vertex_attributes(points, chart, aux, turn, grids, rotation, out):
    """Fill out [n, 8]: deformed x, y, chart, turned unit normal (from the grids' differences), aux."""
    for g in range(grids.shape[0]):
        first, rows, cols = grids[g, 0], grids[g, 1], grids[g, 2]
        for r in range(rows):
            up, down = max(r - 1, 0), min(r + 1, rows - 1)
            for c in range(cols):
                i = first + r * cols + c
                left = c - 1 if c > 0 else cols - 2
                right = c + 1 if c < cols - 1 else 1
                a, b = first + up * cols + c, first + down * cols + c
                d, e = first + r * cols + left, first + r * cols + right
                ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
                vx, vy, vz = points[e, 0] - points[d, 0], points[e, 1] - points[d, 1], points[e, 2] - points[d, 2]
                nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
                length = np.sqrt(nx * nx + ny * ny + nz * nz)
                if length > 1e-12:
                    nx, ny, nz = nx / length, ny / length, nz / length
                else:
                    nx, ny, nz = 0.0, (1.0 if r == 0 else -1.0), 0.0
                w = turn[i]
                out[i, NORMAL_X] = nx + w * (rotation[0, 0] * nx + rotation[0, 1] * ny + rotation[0, 2] * nz - nx)
                out[i, NORMAL_Y] = ny + w * (rotation[1, 0] * nx + rotation[1, 1] * ny + rotation[1, 2] * nz - ny)
                out[i, NORMAL_Z] = nz + w * (rotation[2, 0] * nx + rotation[2, 1] * ny + rotation[2, 2] * nz - nz)
                out[i, POS_X], out[i, POS_Y] = points[i, 0], points[i, 1]
                out[i, CHART_X], out[i, CHART_Y] = chart[i, 0], chart[i, 1]
                out[i, AUX] = aux[i]


@njit(cache=True)
def rasterize(screen, triangles, material, attributes, fringe, cells, samples, depth, face, bary):
    """Nearest triangle (face [n, k], -1 = nothing) and its barycentric coordinates (bary [n, k, 2]) at the samples of cells.

    `cells` [h, w] numbers the squares of the screen that are drawn (-1: not drawn); `samples` [k, 2] are places (x, y) from a
    square's centre. `depth` and `face` come in as what is there already. Hair is two-sided and drawn only where its mask plus
    the noise `fringe` [256, 256] (azimuth, height) is positive.
    """
    h, w = cells.shape
    left, top, right, bottom = samples[:, 0].min(), samples[:, 1].min(), samples[:, 0].max(), samples[:, 1].max()
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = screen[i, 0], screen[i, 1], screen[j, 0], screen[j, 1], screen[k, 0], screen[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        hair = material[t] == HAIR
        if area > -1e-9 and not (hair and area > 1e-9):
            continue
        low_x = max(int(np.ceil(min(x0, x1, x2) - 0.5 - right)), 0)
        high_x = min(int(np.floor(max(x0, x1, x2) - 0.5 - left)), w - 1)
        low_y = max(int(np.ceil(min(y0, y1, y2) - 0.5 - bottom)), 0)
        high_y = min(int(np.floor(max(y0, y1, y2) - 0.5 - top)), h - 1)
        if low_x > high_x or low_y > high_y:
            continue
        # Barycentric coordinates are linear over the screen; a square whose centre is too far outside for its corners is passed by.
        inverse = 1.0 / area
        right1, down1 = (y2 - y0) * inverse, (x0 - x2) * inverse
        right2, down2 = (y0 - y1) * inverse, (x1 - x0) * inverse
        reach1, reach2 = 0.5 * (abs(right1) + abs(down1)), 0.5 * (abs(right2) + abs(down2))
        reach0 = 0.5 * (abs(right1 + right2) + abs(down1 + down2))
        z0, z1, z2 = screen[i, 2], screen[j, 2] - screen[i, 2], screen[k, 2] - screen[i, 2]
        for y in range(low_y, high_y + 1):
            for x in range(low_x, high_x + 1):
                n = cells[y, x]
                if n < 0:
                    continue
                c1 = (x + 0.5 - x0) * right1 + (y + 0.5 - y0) * down1
                c2 = (x + 0.5 - x0) * right2 + (y + 0.5 - y0) * down2
                if c1 < -reach1 or c2 < -reach2 or 1.0 - c1 - c2 < -reach0:
                    continue
                for s in range(samples.shape[0]):
                    b1 = c1 + samples[s, 0] * right1 + samples[s, 1] * down1
                    b2 = c2 + samples[s, 0] * right2 + samples[s, 1] * down2
                    b0 = 1.0 - b1 - b2
                    if b0 < 0 or b1 < 0 or b2 < 0:
                        continue
                    z = z0 + b1 * z1 + b2 * z2
                    if z <= depth[n, s]:
                        continue
                    if hair:
                        u = b0 * attributes[i, CHART_X] + b1 * attributes[j, CHART_X] + b2 * attributes[k, CHART_X]
                        v = b0 * attributes[i, CHART_Y] + b1 * attributes[j, CHART_Y] + b2 * attributes[k, CHART_Y]
                        mask = b0 * attributes[i, AUX] + b1 * attributes[j, AUX] + b2 * attributes[k, AUX]
                        if mask + tiled(fringe, u * 40.0, v * 30.0) < 0:
                            continue
                    depth[n, s] = z
                    face[n, s] = t
                    bary[n, s, 0] = b1
                    bary[n, s, 1] = b2


@njit(cache=True)
def find_rims(face, depth, material, jump, box, cells):
    """[n, 2] (y, x) of the samples of `box` beside which another surface begins: another material, or `jump` nearer or farther.

    `face`, `depth` [h, w] are what is seen; fills `cells` [h, w] with the samples' numbers in that list, -1 elsewhere.
    """
    cells[box[1] : box[3], box[0] : box[2]] = -1
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            for j, i in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
                if j < box[3] and box[0] <= i < box[2] and face[y, x] != face[j, i]:
                    a, b = face[y, x], face[j, i]
                    if a < 0 or b < 0 or material[a] != material[b] or abs(depth[y, x] - depth[j, i]) > jump:
                        cells[y, x] = cells[j, i] = 0
    places = np.empty((np.count_nonzero(cells[box[1] : box[3], box[0] : box[2]] == 0), 2), np.int64)
    count = 0
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            if cells[y, x] == 0:
                places[count] = y, x
                cells[y, x] = count
                count += 1
    return places

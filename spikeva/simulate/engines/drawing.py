"""Compiled draws: the words and normal numbers of `spikeva.simulate.draws`, a tile at a time."""

import numpy as np

from spikeva.simulate.draws import BITS, MAPS, MULTIPLIERS, ROUNDS
from spikeva.simulate.engines.tiles import TILE, compiled, lean


@lean
def draw(counter, frame, purpose, keys, out):
    """Philox4x32-10 (`draws.philox`) of the counters `counter`, `counter` + 1, ... into `out`, two uint64 a counter.

    The lower half is the earlier word: as uint32 they are `draws.words` on every machine numba runs on.
    """
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    m0, m1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
    for i in range(len(out) // 2):
        c0, c1, c2, c3 = np.uint64(counter + i), np.uint64(frame), np.uint64(purpose), np.uint64(0)
        for r in range(ROUNDS):
            p, q = (c0 & mask) * m0, (c2 & mask) * m1  # what lies above 32 bits is cut here, where it costs nothing
            c0, c1, c2, c3 = (q >> shift) ^ c1 ^ keys[r, 0], q, (p >> shift) ^ c3 ^ keys[r, 1], p
        out[2 * i] = (c0 & mask) | (c1 << shift)
        out[2 * i + 1] = (c2 & mask) | (c3 << shift)


@lean
def word(pixel, frame, purpose, keys):
    """The word of one pixel (`draws.words`), uint64."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    m0, m1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
    c0, c1, c2, c3 = np.uint64(pixel // 4), np.uint64(frame), np.uint64(purpose), np.uint64(0)
    for r in range(ROUNDS):
        p, q = c0 * m0, c2 * m1
        c0, c1, c2, c3 = (q >> shift) ^ c1 ^ keys[r, 0], q & mask, (p >> shift) ^ c3 ^ keys[r, 1], p & mask
    return (c0 if pixel % 2 == 0 else c1) if pixel % 4 < 2 else (c2 if pixel % 2 == 0 else c3)


@lean
def normals(words, out, table, slope):
    """Standard normal numbers of `words` into `out` (float32), as `draws.normal`."""
    for i in range(len(out)):
        out[i] = np.float32(np.int32(((words[i] >> np.uint32(9)) << np.uint32(1)) | np.uint32(1)))
    bits = out.view(np.uint32)
    for i in range(len(out)):
        b = bits[i]
        index = np.uint32((b >> np.uint32(23 - BITS)) - np.uint32(127 << BITS))
        within = np.float32(np.int32(b & np.uint32((1 << (23 - BITS)) - 1))) * np.float32(2.0 ** (BITS - 23))
        z = table[index] + within * slope[index]
        out[i] = -z if words[i] & np.uint32(1) else z


@compiled
def draw_maps(a, b, keys, table, slope, out):
    """Normal numbers of the maps of the pixels [a, b) into `out` [maps, n] float32, as `draws.pixel_normals`."""
    words = np.empty(4 * TILE, np.uint32)
    for low in range(a, b, TILE):
        high = min(low + TILE, b)
        draw(low, 0, MAPS, keys, words[: 4 * (high - low)].view(np.uint64))
        for j in range(len(out)):
            normals(words[j::4][: high - low].copy(), out[j, low:high], table, slope)

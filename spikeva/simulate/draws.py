"""Random numbers that are a function of (seed, pixel, frame): the same on every engine, device and number of threads.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") gives four 32-bit words a counter. Normal
numbers come from a table of the quantile function with linear interpolation, so that every engine gets them with the same
exact operations; libm's logarithm and cosine differ from one device to the next.
"""

import math
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
FRAME, MAPS, FINE, VOLTAGE = 0, 1, 2, 3
"""Third word of the counter: what the numbers are for. FRAME: the leak's jitter and the first half of the shot noise, FINE: its
second half, VOLTAGE: the photoreceptor's noise."""
DIGITS = np.float32(1 / math.sqrt(85))  # 4 (16**2 - 1) / 12 = 85, the variance of four hexadecimal digits
BITS = 6  # of the mantissa: steps of the quantile table in each octave of probability


def key_schedule(seed: int) -> list[tuple[int, int]]:
    """Philox's round keys."""
    return [
        (((seed & 0xFFFFFFFF) + r * WEYL[0]) & 0xFFFFFFFF, ((seed >> 32) + r * WEYL[1]) & 0xFFFFFFFF)
        for r in range(ROUNDS)
    ]


def philox(
    c0: NDArray[np.uint64], c1: int, c2: int, c3: int, seed: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Four arrays of 32-bit words (held in uint64) for the counters (c0[i], c1, c2, c3) and the key `seed`."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    m0, m1 = (np.uint64(m) for m in MULTIPLIERS)
    a = c0.astype(np.uint64)
    b, c, d = (np.full_like(a, v) for v in (c1, c2, c3))
    for k0, k1 in key_schedule(seed):
        p, q = a * m0, c * m1
        a, b, c, d = (q >> shift) ^ b ^ np.uint64(k0), q & mask, (p >> shift) ^ d ^ np.uint64(k1), p & mask
    return a, b, c, d


@cache
def quantiles() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Table of |z| of the normal distribution and its steps: 24 octaves of tail probability, 2**BITS steps in each."""
    steps = 1 << BITS
    odd = [2.0**octave * (1 + i / steps) for octave in range(24) for i in range(steps)] + [2.0**24]
    z = np.array([-NormalDist().inv_cdf(v / 2**25) if v < 2**24 else 0.0 for v in odd])
    z32 = z.astype(np.float32)
    return z32[:-1].copy(), np.diff(z32)


def normal(words: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Standard normal numbers, one from each 32-bit word: bit 0 is the sign, the upper 23 bits the tail probability."""
    table, slope = quantiles()
    odd = (2 * (words >> np.uint64(9)) + np.uint64(1)).astype(np.float32)  # 24 bits: exact
    bits = odd.view(np.int32)
    index = (bits >> (23 - BITS)) - (127 << BITS)
    within = (bits & ((1 << (23 - BITS)) - 1)).astype(np.float32) * np.float32(2.0 ** (BITS - 23))
    z: NDArray[np.float32] = table[index] + within * slope[index]
    z[(words & np.uint64(1)) == 1] *= -1
    return z


def words(seed: int, frame: int, purpose: int, pixels: int) -> NDArray[np.uint64]:
    """One word a pixel [pixels]; a Philox block serves four neighbouring pixels."""
    blocks = philox(np.arange((pixels + 3) // 4, dtype=np.uint64), frame, purpose, 0, seed)
    return np.stack(blocks, axis=1).ravel()[:pixels]


def jitter(words: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Numbers of mean 0 and variance 1 from the lower 16 bits of each word: four hexadecimal digits added up.

    Chosen here: within 3.3 standard deviations as good as normal, and what a pixel leaks between two events is the sum of many.
    """
    pairs = (words & np.uint64(0x0F0F)) + ((words >> np.uint64(4)) & np.uint64(0x0F0F))
    total = (pairs & np.uint64(0xFF)) + (pairs >> np.uint64(8))
    result: NDArray[np.float32] = (total.astype(np.float32) - np.float32(30)) * DIGITS
    return result


def uniform(coarse: NDArray[np.uint64], fine: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1): their first 16 bits are the upper half of `coarse`, the next 16 that of `fine`.

    The coarse half rules out almost every pixel, so that the fine one need be drawn for few.
    """
    high = coarse & np.uint64(0xFFFF0000)
    return (high | (fine >> np.uint64(16))).astype(np.float64) * 2.0**-32


def pixel_normals(seed: int, size: tuple[int, int], maps: int = 4) -> NDArray[np.float32]:
    """The first `maps` of four maps of normal numbers [maps, H, W], for what differs from pixel to pixel: ON and OFF threshold, leak
    rate, SCIDVS time constant.
    """
    width, height = size
    blocks = philox(np.arange(width * height, dtype=np.uint64), 0, MAPS, 0, seed)
    return np.stack([normal(w).reshape(height, width) for w in blocks[:maps]])

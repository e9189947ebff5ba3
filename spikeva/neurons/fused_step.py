"""A neuron's step and its gradient as numba compiles them into the loops of fused_kernels.py.

`step` and `derivative` are written once; in every loop `kind` and its like are constants. Arithmetic is float32 in the order
of the eager reference, without fused multiply-add but in gradients, so that spikes are equal bit for bit.
"""

from math import log
from typing import Any

import numpy as np

from spikeva._compiled import njit
from spikeva.neurons.fused_layout import ALIF, CUBA, DELAYED, SUBTRACT, ZERO

ONE, NIL = np.float32(1), np.float32(0)
LOG2_E = np.float32(1 / log(2))
WHOLE = np.float32(1.5 * 2**23)  # float32 numbers this large are whole
POWER = tuple(map(np.float32, (1, 0.69314697, 0.2402212, 0.05550713, 0.00967554, 0.00132765)))  # coefficients of 2**f

# numpy's error model: a division does not branch on zero, so loops over it become vector instructions
COMPILED = {"cache": True, "nogil": True, "error_model": "numpy"}
inline = njit(**COMPILED, forceinline=True, _nrt=False)
# gradients may fuse multiply and add; the instructions of `step`, inlined into them, may not
_inline_gradient = njit(**COMPILED, forceinline=True, fastmath={"contract"})


@inline
def current(norm: bool, joined: bool, c: Any, x: Any, shortcut: Any) -> Any:
    """What a step takes in: x, with a BatchNorm its channel's scale and shift of x in `c`, and the shortcut where one is `joined`."""
    i = c[4] * x + c[5] if norm else x
    return i + shortcut if joined else i


@inline
def step(kind: int, reset: int, c: Any, i: Any, v: Any, w: Any) -> tuple[Any, Any, Any, Any, Any, Any]:
    """(threshold, late spike, membrane before the reset, spike, next v, next w) of one neuron's step that takes in i.

    `c` holds the neuron's beta, theta, extra, gamma, and with a BatchNorm its channel's scale and shift of x, and mean.
    """
    beta, theta, extra, gamma = c[0], c[1], c[2], c[3]
    th, r = theta, NIL
    if kind == CUBA:
        i = extra * w + i
        w = i
    if kind == ALIF:
        th = theta + gamma * w
    h = beta * v + i
    if reset == DELAYED:
        r = ONE if v - th > NIL else NIL
        h = h - th * r
    s = ONE if h - th > NIL else NIL
    if kind == ALIF:
        w = extra * w + s
    after = h
    if reset == ZERO:
        after = h * (ONE - s)
    if reset == SUBTRACT:
        after = h - th * s
    return th, r, h, s, after, w


@_inline_gradient
def power_of_two(z: Any) -> Any:
    """2**z for -125 <= z <= 0, to 2e-7 of itself, in arithmetic that becomes vector instructions.

    A polynomial of z's fraction in [-1/2, 1/2] (minimax, to 8e-8), to whose exponent's bits z's whole number is added. Chosen here.
    """
    rounded = z + WHOLE  # the whole number is its lowest bits
    f = z - (rounded - WHOLE)
    square = f * f
    p = (POWER[5] * f + POWER[4]) * square + (POWER[3] * f + POWER[2])
    p = p * square + (POWER[1] * f + ONE)
    whole = np.float32(rounded).view(np.int32) << np.int32(23)
    return np.int32(np.float32(p).view(np.int32) + whole).view(np.float32)


@_inline_gradient
def derivative(surrogate: int, k: Any, u: Any) -> Any:
    """The surrogate's derivative at u; formulas in surrogates.py."""
    if surrogate == 0:
        q = ONE + k * abs(u)
        d = ONE / (q * q)
    elif surrogate == 1:
        q = np.float32(np.pi / 2) * k * u
        d = np.float32(0.5) * k / (ONE + q * q)
    elif surrogate == 2:
        e = power_of_two(-min(abs(k * LOG2_E * u), np.float32(125)))  # exp(-|k u|)
        d = k * e / ((ONE + e) * (ONE + e))
    elif surrogate == 3:
        d = max(ONE - k * abs(u), NIL)
    else:
        d = k
    return d


@_inline_gradient
def retreat(
    kind: int, reset: int, surrogate: int, norm: bool, learn: bool, detach: bool, k: Any, c: Any, x: Any, i: Any,
    v: Any, w: Any, g: Any, sums: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """(gradient of i, which the step took in, sums before the step) from those after it and the gradient g of its spike.

    `sums`: the gradients of its v, w, beta, theta, extra, gamma, those of i summed, and so with x less its mean.
    """
    beta, extra, gamma = c[0], c[2], c[3]
    gh, gw, g_beta, g_theta, g_extra, g_gamma, sum_g, sum_gx = sums  # gh: of the membrane after the step
    th, r, h, s, _, _ = step(kind, reset, c, i, v, w)
    if kind == ALIF:
        g += gw
    # what comes back through the spike, but for what it gets from gh, is known before gh: as little as can be waits for gh
    d = derivative(surrogate, k, h - th)
    direct = d * g
    keep, felt = ONE, NIL  # of the membrane after the step: what the reset keeps, and what it takes away for a spike
    if reset == ZERO:
        keep, felt = ONE - s, h
    if reset == SUBTRACT:
        felt = th
    if detach:
        felt = NIL
    taken = d * felt
    g_th = taken * gh - direct  # of this step's threshold
    if reset == SUBTRACT:
        g_th -= s * gh
    gh = (keep - taken) * gh + direct
    gv = beta * gh
    if reset == DELAYED:
        g_th -= r * gh
        if not detach:
            late = th * gh * derivative(surrogate, k, v - th)
            gv -= late
            g_th += late
    gi = gh
    if kind == CUBA:
        gi = gh + gw
    if learn:
        g_beta += v * gh
        g_theta += g_th
        g_extra += w * (gi if kind == CUBA else gw)
        g_gamma += w * g_th
    if kind == CUBA:
        gw = extra * gi
    if kind == ALIF:
        gw = extra * gw + gamma * g_th
    if norm:
        sum_g += gi
        sum_gx += gi * (x - c[6])
    return gi, (gv, gw, g_beta, g_theta, g_extra, g_gamma, sum_g, sum_gx)


@_inline_gradient
def through_norm(a: Any, b: Any, mean: Any, c: Any, g: Any, x: Any) -> Any:
    """The gradient g of what a BatchNorm makes of x, as that of x: a its scale, b and c (x - mean) what the statistics take."""
    return a * (g - b - (x - mean) * c)

"""A neuron's step and its surrogate's derivative as Triton compiles them into the kernels of fused_triton.py.

As fused_step.py on the CPU: float32, multiply and add apart, so that spikes are equal bit for bit.
"""

import triton
import triton.language as tl


@triton.jit
def _reciprocal(x, ASM: tl.constexpr):
    """1 / x, to a unit in the last place; Triton's own division takes ten instructions."""
    if ASM:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)
    return 1.0 / x


@triton.jit
def _power_of_two(x, ASM: tl.constexpr):
    """2 ** x of x <= 0; zero below the normal numbers."""
    if ASM:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)
    return tl.exp2(x)


@triton.jit
def derivative(u, k, SURROGATE: tl.constexpr, ASM: tl.constexpr):
    """The surrogate's derivative at u; formulas in surrogates.py."""
    if SURROGATE == 0:
        r = _reciprocal(1.0 + k * tl.abs(u), ASM)
        d = r * r
    elif SURROGATE == 1:
        q = 1.5707963267948966 * k * u
        d = 0.5 * k * _reciprocal(1.0 + q * q, ASM)
    elif SURROGATE == 2:
        e = _power_of_two(-1.4426950408889634 * k * tl.abs(u), ASM)
        r = _reciprocal(1.0 + e, ASM)
        d = k * e * r * r
    elif SURROGATE == 3:
        d = tl.maximum(1.0 - k * tl.abs(u), 0.0)
    else:
        d = u * 0.0 + k
    return d


@triton.jit
def after(h, s, th, RESET: tl.constexpr):
    """The membrane after the spike `s` of the membrane `h`."""
    if RESET == "zero":
        h = h * (1.0 - s)
    if RESET == "subtract":
        h = h - th * s
    return h


@triton.jit
def after_again(h, th, RESET: tl.constexpr):
    """`after` otherwise written: what it is a second time would be kept in registers from the first one on."""
    if RESET == "zero":
        h = tl.where(h > th, h * 0.0, h)
    if RESET == "subtract":
        h = tl.where(h > th, h - th, h)
    return h


@triton.jit
def step(i, v, w, beta, theta, extra, gamma, KIND: tl.constexpr, RESET: tl.constexpr):
    """(threshold, membrane before the reset, spike, next w) of one step."""
    th = theta
    if KIND == "cuba":
        i = extra * w + i
        w = i
    if KIND == "alif":
        th = theta + gamma * w
    h = beta * v + i
    if RESET == "delayed":
        h = h - th * tl.where(v > th, 1.0, 0.0)
    s = tl.where(h > th, 1.0, 0.0)
    if KIND == "alif":
        w = extra * w + s
    return th, h, s, w

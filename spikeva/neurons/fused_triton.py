# ruff: noqa: RUF005, RUF059, SIM102  (Triton compiles this text: no starred tuples, constants in branches of their own)
"""The fused kernels on a GPU: Triton, one program per block of neurons, time inside the program.

The forward pass reads x and writes the spikes; state stays in registers in float32, whatever x is stored in. The backward
pass reads x and the spikes' gradient a segment of steps at a time, computes the segment's membranes again in registers
and writes the gradient of x: 20 bytes per neuron and step in float32, 10 in bfloat16. For sequences longer than a
segment the forward pass stores the state at each segment's start. Multiply and add stay apart (no fused multiply-add),
so that spikes equal the eager reference's. Sums over channels are made in float64 and in a fixed order.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikeva.neurons.fused_layout import ALIF, CUBA, DELAYED, LIF, SUBTRACT, ZERO, Dynamics, matrix

SEGMENT = 16  # steps whose membranes a program holds in registers
BLOCK = 256  # neurons a program
empty_strided = torch.empty_strided  # how outputs are allocated

K_LIF, K_ALIF, K_CUBA = tl.constexpr(LIF), tl.constexpr(ALIF), tl.constexpr(CUBA)
R_ZERO, R_SUBTRACT, R_DELAYED = tl.constexpr(ZERO), tl.constexpr(SUBTRACT), tl.constexpr(DELAYED)


@triton.jit
def _derivative(u, k, SURROGATE: tl.constexpr):
    if SURROGATE == 0:
        r = 1.0 / (1.0 + k * tl.abs(u))
        d = r * r
    elif SURROGATE == 1:
        q = 1.5707963267948966 * k * u
        d = 0.5 * k / (1.0 + q * q)
    elif SURROGATE == 2:
        e = tl.exp(-tl.abs(k * u))
        d = k * e / ((1.0 + e) * (1.0 + e))
    elif SURROGATE == 3:
        d = tl.maximum(1.0 - k * tl.abs(u), 0.0)
    else:
        d = u * 0.0 + k
    return d


@triton.jit
def _step(i, v, w, beta, theta, extra, gamma, KIND: tl.constexpr, RESET: tl.constexpr):
    """(threshold, late spike, membrane before the reset, spike, next v, next w) of one step."""
    th = theta
    if KIND == K_CUBA:
        i = extra * w + i
        w = i
    if KIND == K_ALIF:
        th = theta + gamma * w
    h = beta * v + i
    r = v * 0.0
    if RESET == R_DELAYED:
        r = tl.where(v - th > 0.0, 1.0, 0.0)
        h = h - th * r
    s = tl.where(h - th > 0.0, 1.0, 0.0)
    if KIND == K_ALIF:
        w = extra * w + s
    after = h
    if RESET == R_ZERO:
        after = h * (1.0 - s)
    if RESET == R_SUBTRACT:
        after = h - th * s
    return th, r, h, s, after, w


@triton.jit
def _parameters(p, affine, c, C, KIND: tl.constexpr, NORM: tl.constexpr, inside):
    beta = tl.load(p + c, inside, 0.0)
    theta = tl.load(p + C + c, inside, 0.0)
    extra = beta
    gamma = beta
    if KIND != K_LIF:
        extra = tl.load(p + 2 * C + c, inside, 0.0)
    if KIND == K_ALIF:
        gamma = tl.load(p + 3 * C + c, inside, 0.0)
    return beta, theta, extra, gamma


@triton.jit
def _load_unless(zeros: tl.constexpr, at, like, inside):
    if zeros:
        return like * 0.0
    return tl.load(at, inside, 0.0)


@triton.jit
def _forward(
    x, v0, w0, p, affine, out, v_last, w_last, stored, T, N, inner, C, CN,
    KIND: tl.constexpr, RESET: tl.constexpr, NORM: tl.constexpr, RESTS: tl.constexpr, KEEP: tl.constexpr,
    SEG: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    nought = n * 0  # makes 64-bit vectors of counters: offsets pass 2**31, and a counter may be a plain number
    inside = n < N
    place = n // inner
    beta, theta, extra, gamma = _parameters(p, affine, place % C, C, KIND, NORM, inside)
    scale = beta
    shift = beta
    if NORM:
        scale = tl.load(affine + place % CN, inside, 0.0)
        shift = tl.load(affine + CN + place % CN, inside, 0.0)
    v = _load_unless(RESTS, v0 + n, beta, inside)
    w = v
    if KIND != K_LIF:
        w = _load_unless(RESTS, w0 + n, beta, inside)
    for start in range(0, T, SEG):
        if KEEP:
            if start > 0:
                at = (nought + (start // SEG - 1)) * N
                if KIND == K_LIF:
                    tl.store(stored + at + n, v, inside)
                else:
                    tl.store(stored + 2 * at + n, v, inside)
                    tl.store(stored + 2 * at + N + n, w, inside)
        for k in tl.static_range(SEG):
            t = nought + (start + k)
            real = t < T
            here = inside & real
            i = tl.load(x + t * N + n, here, 0.0).to(tl.float32)
            if NORM:
                i = scale * i + shift
            th, r, h, s, v_next, w_next = _step(i, v, w, beta, theta, extra, gamma, KIND, RESET)
            tl.store(out + t * N + n, s.to(out.dtype.element_ty), here)
            v = tl.where(real, v_next, v)
            w = tl.where(real, w_next, w)
    tl.store(v_last + n, v, inside)
    if KIND != K_LIF:
        tl.store(w_last + n, w, inside)


@triton.jit
def _backward(
    gs, gv_last, gw_last, x, v0, w0, p, affine, stored, gx, gv0, gw0, gp, sums, slope, T, N, inner, C, CN,
    KIND: tl.constexpr, RESET: tl.constexpr, DETACH: tl.constexpr, SURROGATE: tl.constexpr, LEARN: tl.constexpr,
    NORM: tl.constexpr, RESTS: tl.constexpr, LAST_V: tl.constexpr, LAST_W: tl.constexpr, SEG: tl.constexpr,
    SEGMENTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    nought = n * 0
    inside = n < N
    place = n // inner
    beta, theta, extra, gamma = _parameters(p, affine, place % C, C, KIND, NORM, inside)
    scale = beta
    shift = beta
    mean = beta
    if NORM:
        scale = tl.load(affine + place % CN, inside, 0.0)
        shift = tl.load(affine + CN + place % CN, inside, 0.0)
        mean = tl.load(affine + 2 * CN + place % CN, inside, 0.0)
    zero = beta * 0.0
    gv = _load_unless(not LAST_V, gv_last + n, beta, inside)
    gw = zero
    if KIND != K_LIF:
        gw = _load_unless(not LAST_W, gw_last + n, beta, inside)
    g_beta = zero
    g_theta = zero
    g_extra = zero
    g_gamma = zero
    sum_g = zero
    sum_gx = zero
    for back in range(SEGMENTS):
        segment = SEGMENTS - 1 - back
        if segment == 0:
            v = _load_unless(RESTS, v0 + n, beta, inside)
            w = v
            if KIND != K_LIF:
                w = _load_unless(RESTS, w0 + n, beta, inside)
        else:
            at = (nought + (segment - 1)) * N
            if KIND == K_LIF:
                v = tl.load(stored + at + n, inside, 0.0)
                w = v
            else:
                v = tl.load(stored + 2 * at + n, inside, 0.0)
                w = tl.load(stored + 2 * at + N + n, inside, 0.0)
        ys = ()
        vs = ()
        ws = ()
        for k in tl.static_range(SEG):
            t = nought + (segment * SEG + k)
            y = tl.load(x + t * N + n, inside & (t < T), 0.0).to(tl.float32)
            i = y
            if NORM:
                i = scale * y + shift
            ys = ys + (y,)  # type: ignore[assignment]  # a tuple that grows, unrolled by Triton
            vs = vs + (v,)  # type: ignore[assignment]  # a tuple that grows, unrolled by Triton
            ws = ws + (w,)  # type: ignore[assignment]  # a tuple that grows, unrolled by Triton
            th, r, h, s, v, w = _step(i, v, w, beta, theta, extra, gamma, KIND, RESET)
        for q in tl.static_range(SEG):
            t = nought + (segment * SEG + SEG - 1 - q)
            real = t < T
            here = inside & real
            g = tl.load(gs + t * N + n, here, 0.0).to(tl.float32)
            y = ys[SEG - 1 - q]
            v = vs[SEG - 1 - q]
            w = ws[SEG - 1 - q]
            i = y
            if NORM:
                i = scale * y + shift
            th, r, h, s, v_next, w_next = _step(i, v, w, beta, theta, extra, gamma, KIND, RESET)
            gh = gv
            g_th = zero
            if RESET == R_ZERO:
                if not DETACH:
                    g = g - h * gh
                gh = gh * (1.0 - s)
            if RESET == R_SUBTRACT:
                g_th = -s * gh
                if not DETACH:
                    g = g - th * gh
            if KIND == K_ALIF:
                g = g + gw
            gu = g * _derivative(h - th, slope, SURROGATE)
            gh = gh + gu
            g_th = g_th - gu
            gv_prev = beta * gh
            if RESET == R_DELAYED:
                g_th = g_th - r * gh
                if not DETACH:
                    late = th * gh * _derivative(v - th, slope, SURROGATE)
                    gv_prev = gv_prev - late
                    g_th = g_th + late
            if LEARN:
                g_beta += tl.where(real, v * gh, 0.0)
                g_theta += tl.where(real, g_th, 0.0)
            gi = gh
            gw_prev = gw
            if KIND == K_CUBA:
                gi = gh + gw
                if LEARN:
                    g_extra += tl.where(real, w * gi, 0.0)
                gw_prev = extra * gi
            if KIND == K_ALIF:
                if LEARN:
                    g_extra += tl.where(real, w * gw, 0.0)
                    g_gamma += tl.where(real, w * g_th, 0.0)
                gw_prev = extra * gw + gamma * g_th
            tl.store(gx + t * N + n, gi.to(gx.dtype.element_ty), here)
            if NORM:
                sum_g += tl.where(real, gi, 0.0)
                sum_gx += tl.where(real, gi * (y - mean), 0.0)
            gv = tl.where(real, gv_prev, gv)
            gw = tl.where(real, gw_prev, gw)
    if not RESTS:
        tl.store(gv0 + n, gv, inside)
        if KIND != K_LIF:
            tl.store(gw0 + n, gw, inside)
    if LEARN:
        tl.store(gp + n, g_beta, inside)
        tl.store(gp + N + n, g_theta, inside)
        if KIND != K_LIF:
            tl.store(gp + 2 * N + n, g_extra, inside)
        if KIND == K_ALIF:
            tl.store(gp + 3 * N + n, g_gamma, inside)
    if NORM:
        tl.store(sums + n, sum_g, inside)
        tl.store(sums + N + n, sum_gx, inside)


@triton.jit
def _add(a, b):
    return a + b


@triton.jit
def _moments(x, sums, M, inner, C, per_program, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr):
    """sums[program, 0 or 1, c]: sum and sum of squares over this program's share of a channel's M values."""
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    first = tl.program_id(0).to(tl.int64) * per_program
    total = tl.full((BLOCK_M, BLOCK_C), 0.0, tl.float64)
    square = tl.full((BLOCK_M, BLOCK_C), 0.0, tl.float64)
    for start in range(0, per_program, BLOCK_M):
        m = first + start + tl.arange(0, BLOCK_M)
        at = ((m // inner) * C * inner + m % inner)[:, None] + (c * inner)[None, :]
        here = ((m < M) & (m < first + per_program))[:, None] & (c < C)[None, :]
        value = tl.load(x + at, here, 0.0).to(tl.float64)
        total += value
        square += value * value
    row = sums + tl.program_id(0) * 2 * C + c
    tl.store(row, tl.reduce(total, 0, _add), c < C)
    tl.store(row + C, tl.reduce(square, 0, _add), c < C)


@triton.jit
def _through_norm(g, y, table, total, inner, C, BLOCK: tl.constexpr):
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = n < total
    c = (n // inner) % C
    a, b = tl.load(table + c, inside, 0.0), tl.load(table + C + c, inside, 0.0)
    mean, slope = tl.load(table + 2 * C + c, inside, 0.0), tl.load(table + 3 * C + c, inside, 0.0)
    of_x = tl.load(g + n, inside, 0.0).to(tl.float32)
    value = tl.load(y + n, inside, 0.0).to(tl.float32)
    tl.store(g + n, (a * (of_x - b - (value - mean) * slope)).to(g.dtype.element_ty), inside)


def _segment(steps: int) -> int:
    return min(SEGMENT, int(triton.next_power_of_2(steps)))


def checkpoints(steps: int) -> int:
    """How many states of a sequence are stored for the backward pass."""
    return -(-steps // _segment(steps)) - 1


def forward(
    x: Tensor, v0: Tensor, w0: Tensor, p: Tensor, affine: Tensor, inner: int, dynamics: Dynamics, out: Tensor,
    v_last: Tensor, w_last: Tensor, stored: Tensor,
) -> None:  # fmt: skip
    """As `fused_numba.forward`; `stored` receives the states between segments, where it has room."""
    steps, n = matrix(x).shape
    _forward[(triton.cdiv(n, BLOCK),)](
        x, v0, w0, p, affine, out, v_last, w_last, stored, steps, n, inner, p.shape[1], affine.shape[1],
        KIND=dynamics.kind, RESET=dynamics.reset, NORM=len(affine) > 0, RESTS=v0.numel() == 0, KEEP=stored.numel() > 0,
        SEG=_segment(steps), BLOCK=BLOCK, enable_fp_fusion=False,
    )  # fmt: skip


def backward(
    gs: Tensor, gv_last: Tensor, gw_last: Tensor, x: Tensor, v0: Tensor, w0: Tensor, p: Tensor, affine: Tensor,
    inner: int, dynamics: Dynamics, learn: bool, part: float, stored: Tensor, gx: Tensor, gv0: Tensor, gw0: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As `fused_numba.backward`."""
    (steps, n), normalise = matrix(x).shape, len(affine) > 0
    per_neuron = torch.empty(len(p) if learn else 0, n, device=x.device)
    of_affine = torch.empty(2 if normalise else 0, n, device=x.device)
    segment = _segment(steps)
    _backward[(triton.cdiv(n, BLOCK),)](
        gs, gv_last, gw_last, x, v0, w0, p, affine, stored, gx, gv0, gw0, per_neuron, of_affine, dynamics.slope, steps, n,
        inner, p.shape[1], affine.shape[1], KIND=dynamics.kind, RESET=dynamics.reset, DETACH=dynamics.detach,
        SURROGATE=dynamics.surrogate, LEARN=learn, NORM=normalise, RESTS=v0.numel() == 0, LAST_V=gv_last.numel() > 0,
        LAST_W=gw_last.numel() > 0, SEG=segment, SEGMENTS=-(-steps // segment), BLOCK=BLOCK, enable_fp_fusion=False,
    )  # fmt: skip
    of_p = _by_channel(per_neuron, inner, p.shape[1]) if learn else p.new_empty(0)
    sums = _by_channel(of_affine, inner, affine.shape[1])
    if normalise:
        scale, _, mean, invstd = affine
        table = torch.stack([scale, part * sums[0], mean, part * sums[1] * invstd.double() ** 2]).float()
        _through_norm[(triton.cdiv(gx.numel(), 1024),)](gx, x, table, gx.numel(), inner, affine.shape[1], BLOCK=1024)
        sums[1] *= invstd
    return of_p.float(), sums.float()


def _by_channel(sums: Tensor, inner: int, channels: int) -> Tensor:
    """Rows [R, N] in memory order summed over each channel, float64 [R, C]."""
    if channels == 1:
        return sums.sum(1, keepdim=True, dtype=torch.float64)
    return sums.view(len(sums), -1, channels, inner).sum((1, 3), dtype=torch.float64)


def moments(y: Tensor, inner: int, channels: int) -> Tensor:
    """Mean and biased variance of each channel, float64 [2, C]."""
    m = y.numel() // channels
    block_c = min(32, triton.next_power_of_2(channels)) if inner == 1 else 1
    block_m = 1024 // block_c
    programs = max(1, min(1024, m // (4 * block_m)))
    sums = torch.empty(programs, 2, channels, dtype=torch.float64, device=y.device)
    _moments[(programs, triton.cdiv(channels, block_c))](
        y, sums, m, inner, channels, triton.cdiv(m, programs), BLOCK_M=block_m, BLOCK_C=block_c
    )
    mean, square = sums.sum(0) / m
    return torch.stack([mean, (square - mean**2).clamp_min(0)])

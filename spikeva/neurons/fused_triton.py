# ruff: noqa: RUF005, SIM102  (Triton compiles this text: no starred tuples, constants in branches of their own)
"""The fused kernels on a GPU: Triton, one program per block of neurons, time inside the program.

The forward pass reads x and writes the spikes; state stays in registers in float32, whatever x is stored in. The backward
pass reads x a segment of steps at a time, computes the segment's membranes again and keeps them in registers, reads the
spikes' gradient and writes that of x: 20 bytes per neuron and step in float32, 10 in bfloat16. For sequences longer than a
segment the forward pass stores the state at each segment's start. Multiply and add stay apart (no fused multiply-add),
so that spikes equal the eager reference's. Sums over channels are made in a fixed order.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikeva.neurons.fused_layout import ALIF, CUBA, LIF, Dynamics
from spikeva.neurons.fused_norm_triton import add, block_of_program, statistics, through_norm
from spikeva.neurons.fused_step_triton import after, after_again, derivative, step

__all__ = ["backward", "checkpoints", "empty_strided", "forward", "statistics"]
SEGMENT = {LIF: 16, ALIF: 8, CUBA: 8}  # most steps whose membranes, and second states, a program holds in registers
BLOCK = 512  # neurons a program
PTX = torch.version.hip is None  # whether a GPU is NVIDIA's, whose instructions are written out
KINDS, RESETS = ("lif", "alif", "cuba"), ("zero", "subtract", "delayed")  # in the order of fused_layout's numbers
empty_strided = torch.empty_strided  # how outputs are allocated


@triton.jit
def _parameters(p, c, C, KIND: tl.constexpr, inside):
    beta = tl.load(p + c, inside, 0.0)
    theta = tl.load(p + C + c, inside, 0.0)
    extra = beta
    gamma = beta
    if KIND != "lif":
        extra = tl.load(p + 2 * C + c, inside, 0.0)
    if KIND == "alif":
        gamma = tl.load(p + 3 * C + c, inside, 0.0)
    return beta, theta, extra, gamma


@triton.jit
def _load_unless(zeros: tl.constexpr, at, like, inside):
    if zeros:
        return like * 0.0
    return tl.load(at, inside, 0.0)


@triton.jit
def _until(T, t, inside, WHOLE: tl.constexpr):
    """`inside` at a step t before T, no neuron from there on. The interpreter of Triton 3.9 takes no `inside & (t < T)` for a mask."""
    if WHOLE:
        return inside
    return tl.where(t < T, inside, False)


@triton.jit
def _unless_over(new, old, here, WHOLE: tl.constexpr):
    """`new`; `old` where the sequence is over before its last segment is."""
    if WHOLE:
        return new
    return tl.where(here, new, old)


@triton.jit
def _forward(
    x, shortcut, v0, w0, p, affine, out, v_last, w_last, stored, T, N, inner, C, CN,
    KIND: tl.constexpr, RESET: tl.constexpr, NORM: tl.constexpr, JOINED: tl.constexpr, RESTS: tl.constexpr,
    KEEP: tl.constexpr, SEG: tl.constexpr, WHOLE: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n, inside = block_of_program(N, WIDE, BLOCK)
    place = n // inner
    beta, theta, extra, gamma = _parameters(p, place % C, C, KIND, inside)
    scale = beta
    shift = beta
    if NORM:
        scale = tl.load(affine + place % CN, inside, 0.0)
        shift = tl.load(affine + CN + place % CN, inside, 0.0)
    v = _load_unless(RESTS, v0 + n, beta, inside)
    w = v
    if KIND != "lif":
        w = _load_unless(RESTS, w0 + n, beta, inside)
    for start in range(0, T, SEG):
        if KEEP:
            if start > 0:
                at = tl.cast(start // SEG - 1, tl.int64) * N
                if KIND == "lif":
                    tl.store(stored + at + n, v, inside)
                else:
                    tl.store(stored + 2 * at + n, v, inside)
                    tl.store(stored + 2 * at + N + n, w, inside)
        for k in tl.static_range(SEG):
            here = _until(T, start + k, inside, WHOLE)
            row = tl.cast(start + k, tl.int64) * N
            i = tl.load(x + row + n, here, 0.0).to(tl.float32)
            if NORM:
                i = scale * i + shift
            if JOINED:
                i = i + tl.load(shortcut + row + n, here, 0.0).to(tl.float32)
            th, h, s, w_next = step(i, v, w, beta, theta, extra, gamma, KIND, RESET)
            tl.store(out + row + n, s.to(out.dtype.element_ty), here)
            v = _unless_over(after(h, s, th, RESET), v, here, WHOLE)
            w = _unless_over(w_next, w, here, WHOLE)
    tl.store(v_last + n, v, inside)
    if KIND != "lif":
        tl.store(w_last + n, w, inside)


@triton.jit
def _store_sums(to, value, GROUP: tl.constexpr, APART: tl.constexpr, BLOCK: tl.constexpr):
    """Sums of GROUP neurons each that share a channel, neighbours or APART from each other, of this program."""
    if GROUP > 1:
        value = tl.reduce(tl.reshape(value, (BLOCK // (GROUP * APART), GROUP, APART)), 1, add)
        value = tl.reshape(value, (BLOCK // GROUP,))
    tl.store(to + tl.program_id(0).to(tl.int64) * (BLOCK // GROUP) + tl.arange(0, BLOCK // GROUP), value)


@triton.jit
def _backward(
    gs, gv_last, gw_last, x, shortcut, v0, w0, p, affine, stored, gx, g_shortcut, gv0, gw0, gp, sums, slope, T, N, inner,
    C, CN, GP, GN,
    KIND: tl.constexpr, RESET: tl.constexpr, DETACH: tl.constexpr, SURROGATE: tl.constexpr, LEARN: tl.constexpr,
    NORM: tl.constexpr, JOINED: tl.constexpr, RESTS: tl.constexpr, LAST_V: tl.constexpr, LAST_W: tl.constexpr,
    SEG: tl.constexpr, SEGMENTS: tl.constexpr, P_GROUP: tl.constexpr, P_APART: tl.constexpr, N_GROUP: tl.constexpr,
    N_APART: tl.constexpr, WHOLE: tl.constexpr, WIDE: tl.constexpr, ASM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n, inside = block_of_program(N, WIDE, BLOCK)
    place = n // inner
    beta, theta, extra, gamma = _parameters(p, place % C, C, KIND, inside)
    scale = beta
    shift = beta
    mean = beta
    invstd = beta
    if NORM:
        scale = tl.load(affine + place % CN, inside, 0.0)
        shift = tl.load(affine + CN + place % CN, inside, 0.0)
        mean = tl.load(affine + 2 * CN + place % CN, inside, 0.0)
        invstd = tl.load(affine + 3 * CN + place % CN, inside, 0.0)
    zero = beta * 0.0
    gv = _load_unless(not LAST_V, gv_last + n, beta, inside)
    gw = zero
    if KIND != "lif":
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
            first = _load_unless(RESTS, v0 + n, beta, inside)
            w = first
            if KIND != "lif":
                w = _load_unless(RESTS, w0 + n, beta, inside)
        else:
            at = tl.cast(segment - 1, tl.int64) * N
            if KIND == "lif":
                first = tl.load(stored + at + n, inside, 0.0)
                w = first
            else:
                first = tl.load(stored + 2 * at + n, inside, 0.0)
                w = tl.load(stored + 2 * at + N + n, inside, 0.0)
        hs = ()
        ws = ()
        v = first
        for k in tl.static_range(SEG):
            t = segment * SEG + k
            here = _until(T, t, inside, WHOLE)
            row = tl.cast(t, tl.int64) * N
            i = tl.load(x + row + n, here, 0.0).to(tl.float32)
            if NORM:
                i = scale * i + shift
            if JOINED:
                i = i + tl.load(shortcut + row + n, here, 0.0).to(tl.float32)
            ws = ws + (w,)  # type: ignore[assignment]  # a tuple that grows, unrolled by Triton
            th, h, s, w = step(i, v, w, beta, theta, extra, gamma, KIND, RESET)
            v = after(h, s, th, RESET)
            hs = hs + (h,)  # type: ignore[assignment]  # a tuple that grows, unrolled by Triton
        for q in tl.static_range(SEG):
            t = segment * SEG + SEG - 1 - q
            here = _until(T, t, inside, WHOLE)
            row = tl.cast(t, tl.int64) * N
            g = tl.load(gs + row + n, here, 0.0).to(tl.float32)
            h = hs[SEG - 1 - q]
            w = ws[SEG - 1 - q]
            v = first
            th = theta
            if KIND == "alif":
                th = theta + gamma * w
            if q < SEG - 1:
                before = theta
                if KIND == "alif":
                    before = theta + gamma * ws[SEG - 2 - q]
                v = after_again(hs[SEG - 2 - q], before, RESET)
            s = tl.where(h > th, 1.0, 0.0)
            gh = gv
            g_th = zero
            if RESET == "zero":
                if not DETACH:
                    g = g - h * gh
                gh = tl.where(s > 0.0, 0.0, gh)
            if RESET == "subtract":
                g_th = -s * gh
                if not DETACH:
                    g = g - th * gh
            if KIND == "alif":
                g = g + gw
            gu = g * derivative(h - th, slope, SURROGATE, ASM)
            gh = gh + gu
            g_th = g_th - gu
            gv_prev = beta * gh
            if RESET == "delayed":
                g_th = g_th - tl.where(v > th, gh, 0.0)
                if not DETACH:
                    late = th * gh * derivative(v - th, slope, SURROGATE, ASM)
                    gv_prev = gv_prev - late
                    g_th = g_th + late
            if LEARN:
                g_beta += _unless_over(v * gh, zero, here, WHOLE)
                g_theta += _unless_over(g_th, zero, here, WHOLE)
            gi = gh
            gw_prev = gw
            if KIND == "cuba":
                gi = gh + gw
                if LEARN:
                    g_extra += _unless_over(w * gi, zero, here, WHOLE)
                gw_prev = extra * gi
            if KIND == "alif":
                if LEARN:
                    g_extra += _unless_over(w * gw, zero, here, WHOLE)
                    g_gamma += _unless_over(w * g_th, zero, here, WHOLE)
                gw_prev = extra * gw + gamma * g_th
            if NORM:  # x once more: from the cache, where registers would not hold it beside h
                y = tl.load(x + row + n, here, 0.0).to(tl.float32)
                sum_g += _unless_over(gi, zero, here, WHOLE)
                sum_gx += _unless_over(gi * (y - mean), zero, here, WHOLE)
            tl.store(gx + row + n, gi.to(gx.dtype.element_ty), here)
            if JOINED:
                tl.store(g_shortcut + row + n, gi.to(gx.dtype.element_ty), here)
            gv = _unless_over(gv_prev, gv, here, WHOLE)
            gw = _unless_over(gw_prev, gw, here, WHOLE)
    if not RESTS:
        tl.store(gv0 + n, gv, inside)
        if KIND != "lif":
            tl.store(gw0 + n, gw, inside)
    if LEARN:
        _store_sums(gp, g_beta, P_GROUP, P_APART, BLOCK)
        each = tl.cast(GP, tl.int64)
        _store_sums(gp + each, g_theta, P_GROUP, P_APART, BLOCK)
        if KIND != "lif":
            _store_sums(gp + 2 * each, g_extra, P_GROUP, P_APART, BLOCK)
        if KIND == "alif":
            _store_sums(gp + 3 * each, g_gamma, P_GROUP, P_APART, BLOCK)
    if NORM:
        _store_sums(sums, sum_g, N_GROUP, N_APART, BLOCK)
        _store_sums(sums + GN, sum_gx * invstd, N_GROUP, N_APART, BLOCK)


class Sums:
    """Sums over each channel of some rows [R, N], of which each program of the backward kernel makes its part.

    It adds up the GROUP neurons of its block that share a channel: neighbours, or APART where channels are innermost.
    """

    def __init__(self, of: Tensor, programs: int, inner: int, wanted: bool) -> None:
        self.channels, self.inner = of.shape[1], inner
        self.group, self.apart = min(BLOCK, inner & -inner), 1
        if self.channels == 1:
            self.group = BLOCK
        elif inner == 1 and BLOCK % self.channels == 0:
            self.group, self.apart = BLOCK // self.channels, self.channels
        self.length = programs * (BLOCK // self.group)
        self.parts = torch.empty(len(of) if wanted else 0, self.length, device=of.device)

    def total(self, n: int) -> Tensor:
        """The sums [R, C] over all `n` neurons, float64."""
        if self.channels == 1:
            return self.parts.sum(1, keepdim=True, dtype=torch.float64)
        if self.apart > 1:
            return self.parts.view(len(self.parts), -1, self.channels).sum(1, dtype=torch.float64)
        parts = self.parts[:, : n // self.group].unflatten(1, (-1, self.channels, self.inner // self.group))
        return parts.sum((1, 3), dtype=torch.float64)


def _segments(steps: int, kind: int) -> tuple[int, int]:
    """How many segments a sequence has, as few as can be, and how many steps they all have, the last one filled up."""
    number = max(1, -(-steps // SEGMENT[kind]))
    return number, -(-steps // number)


def checkpoints(steps: int, kind: int) -> int:
    """How many states of a sequence are stored for the backward pass."""
    return _segments(steps, kind)[0] - 1


def forward(
    x: Tensor, shortcut: Tensor | None, v0: Tensor, w0: Tensor, p: Tensor, affine: Tensor, inner: int,
    dynamics: Dynamics, out: Tensor, v_last: Tensor, w_last: Tensor, stored: Tensor,
) -> None:  # fmt: skip
    """As `fused_numba.forward`; `stored` receives the states between segments, where it has room."""
    steps = len(x)
    n, (_, segment) = x.numel() // steps, _segments(steps, dynamics.kind)
    with torch.cuda.device_of(x):
        _forward[(-(-n // BLOCK),)](
            x, x if shortcut is None else shortcut, v0, w0, p, affine, out, v_last, w_last, stored, steps, n, inner,
            p.shape[1], affine.shape[1], KIND=KINDS[dynamics.kind], RESET=RESETS[dynamics.reset], NORM=len(affine) > 0,
            JOINED=shortcut is not None, RESTS=v0.numel() == 0, KEEP=stored.numel() > 0, SEG=segment,
            WHOLE=steps % segment == 0, WIDE=n >= 1 << 31, BLOCK=BLOCK, enable_fp_fusion=False,
        )  # fmt: skip


def backward(
    gs: Tensor, gv_last: Tensor, gw_last: Tensor, x: Tensor, shortcut: Tensor | None, v0: Tensor, w0: Tensor, p: Tensor,
    affine: Tensor, inner: int, dynamics: Dynamics, learn: bool, part: float, stored: Tensor, gx: Tensor,
    g_shortcut: Tensor | None, gv0: Tensor, gw0: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As `fused_numba.backward`."""
    steps, normalise = len(x), len(affine) > 0
    n, (segments, segment) = x.numel() // steps, _segments(steps, dynamics.kind)
    programs = -(-n // BLOCK)
    of_p, of_affine = Sums(p, programs, inner, learn), Sums(affine[:2], programs, inner, normalise)
    with torch.cuda.device_of(x):
        _backward[(programs,)](
            gs, gv_last, gw_last, x, x if shortcut is None else shortcut, v0, w0, p, affine, stored, gx,
            gx if g_shortcut is None else g_shortcut, gv0, gw0, of_p.parts, of_affine.parts, dynamics.slope, steps, n, inner,
            p.shape[1], affine.shape[1], of_p.length, of_affine.length, KIND=KINDS[dynamics.kind],
            RESET=RESETS[dynamics.reset], DETACH=dynamics.detach, SURROGATE=dynamics.surrogate, LEARN=learn, NORM=normalise,
            JOINED=shortcut is not None, RESTS=v0.numel() == 0, LAST_V=gv_last.numel() > 0, LAST_W=gw_last.numel() > 0,
            SEG=segment, SEGMENTS=segments, P_GROUP=of_p.group, P_APART=of_p.apart, N_GROUP=of_affine.group,
            N_APART=of_affine.apart, WHOLE=steps % segment == 0, WIDE=n >= 1 << 31, ASM=x.is_cuda and PTX, BLOCK=BLOCK,
            enable_fp_fusion=False,
        )  # fmt: skip
    of_norm = affine.new_empty(2, 0)
    if normalise:
        sums = of_affine.total(n)
        through_norm(gx, x, affine, sums, part, steps, inner)
        of_norm = sums.float()
    return of_p.total(n).float() if learn else p.new_empty(0), of_norm

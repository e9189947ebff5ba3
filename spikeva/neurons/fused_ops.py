"""The fused kernels as PyTorch operators, so that autograd, torch.compile, export, autocast and checkpointing know them.

`spikeva::scan` runs if, lif, plif, alif and cuba over the whole time axis, with or without a BatchNorm of its input in the
same pass; its backward is written by hand. Saved for it: the input, and on a GPU the state every few steps.

Each operator is a plain function besides, which is what runs where nobody traces: the way through PyTorch's dispatcher takes
longer than the kernel of a small layer.
"""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from math import prod
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.nn import Parameter

from spikeva.neurons.alif import alif_step
from spikeva.neurons.base import Run, State, Step
from spikeva.neurons.cuba import cuba_step
from spikeva.neurons.fused_layout import ALIF, CUBA, LIF, RESETS, Dynamics, dense_strides, laid_out, strides_of
from spikeva.neurons.lif import lif_step
from spikeva.neurons.surrogates import ATan, FastSigmoid, Sigmoid, StraightThrough, SuperSpike, Surrogate, Triangle

# step: (kind, its parameters in the order of the kernels, place of v and of the second state among the states)
KINDS: dict[Step, tuple[int, tuple[str, ...], tuple[int, ...]]] = {
    lif_step: (LIF, ("beta", "theta"), (0,)),
    alif_step: (ALIF, ("beta", "theta", "rho", "gamma"), (0, 1)),
    cuba_step: (CUBA, ("beta", "theta", "alpha"), (1, 0)),
}
SURROGATES: dict[type, int] = {
    FastSigmoid: 0, SuperSpike: 0, ATan: 1, Sigmoid: 2, Triangle: 3, StraightThrough: 4,
}  # fmt: skip
NAMES = {"cpu": "spikeva.neurons.fused_numba", "cuda": "spikeva.neurons.fused_triton"}
_modules: dict[str, ModuleType | str] = {}


def provider(device: str) -> ModuleType | str:
    """The module with the kernels of a kind of device, or the reason why there is none."""
    if device not in _modules:
        needed = {"cpu": "numba", "cuda": "triton"}.get(device)
        if needed is None:
            _modules[device] = f"there are no kernels for device {device!r}"
        elif find_spec(needed) is None:
            _modules[device] = f"the kernels for {device} need {needed}: pip install {needed}"
        else:
            _modules[device] = import_module(NAMES[device])
    return _modules[device]


provider("cpu")  # imported with this module, so that nothing is imported inside a compiled graph
if torch.cuda.is_available():
    provider("cuda")


def why_not(run: Run) -> str | None:
    """What keeps the kernels from a run; None: nothing."""
    if run.step not in KINDS:
        return "there is no kernel for these dynamics"
    if type(run.rule.surrogate) not in SURROGATES:
        return "there is no kernel for this surrogate"
    if run.x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"there is no kernel for {run.x.dtype}"
    if any(p.ndim and (run.x.ndim < 3 or p.numel() != run.x.shape[2]) for p in run.p.values()):
        return "a parameter is neither a scalar nor one value per channel"
    found = _modules.get(run.x.device.type, "its kernels are not loaded")
    return found if isinstance(found, str) else None


def execute(run: Run) -> tuple[Tensor, State]:
    """(spikes, last state) of a run."""
    return run_normalised(run, None, None, None, False)


def run_normalised(
    run: Run, weight: Tensor | None, bias: Tensor | None, affine: Tensor | None, training: bool,
    shortcut: Tensor | None = None,
) -> tuple[Tensor, State]:  # fmt: skip
    """(spikes, last state) of a run whose input is normalised first, where there is an `affine` with rows as `statistics`.

    `weight` and `bias`, of which it was made, are here for their gradients; `training` says that it was made of the input.
    A `shortcut` of the input's shape and dtype is added to what was normalised.
    """
    _refuse_forward_mode()
    kind, names, (place_v, *place_w) = KINDS[run.step]
    p = torch.stack([run.p[name] for name in names]).reshape(len(names), -1)
    nothing = p.new_empty(0)
    v = nothing if run.rests else run.state[place_v]
    w = run.state[place_w[0]] if place_w and not run.rests else nothing
    rule = run.rule
    needs = (run.x, p, *run.state, *(t for t in (weight, bias, shortcut) if t is not None))
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in needs)
    surrogate = cast(Surrogate, rule.surrogate)
    out, v_last, w_last, *_ = (scan_op if traced(run.x) else SpikevaScan.apply)(
        run.x, v, w, p, weight, bias, shortcut, p.new_empty(0, 1) if affine is None else affine, training, kind,
        RESETS[rule.reset], rule.detach, SURROGATES[type(surrogate)], float(surrogate.slope), keep,
    )  # fmt: skip
    states = {place_v: v_last} | dict.fromkeys(place_w, w_last)
    return out, tuple(states[i] for i in range(len(states)))


def traced(x: Tensor) -> bool:
    """Whether somebody records or imitates what is done to `x`, and must be shown operators."""
    if torch.compiler.is_compiling() or type(x) not in (Tensor, Parameter):
        return True
    # what torch asks itself; there are no public names. By torch.jit.trace, torch.func's transforms, and modes (make_fx, counters):
    tracing = torch._C._get_tracing_state() is not None or torch._C._are_functorch_transforms_active()
    return tracing or torch._C._len_torch_dispatch_stack() > 0


def _refuse_forward_mode() -> None:
    """RuntimeError below torch.func.jvp, for which PyTorch takes the tangents of an operator without any for zeros."""
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        return
    if any(level.key() == TransformType.Jvp for level in get_interpreter_stack() or ()):
        raise RuntimeError(
            "these kernels have no forward-mode derivatives (torch.func.jvp, jacfwd, hessian); torch.autograd.grad works"
        )


def _inner(x: Tensor, strides: tuple[int, ...]) -> int:
    return strides[2] if x.ndim > 2 else 1


def _scan(
    x: Tensor, v: Tensor, w: Tensor, p: Tensor, weight: Tensor | None, bias: Tensor | None, shortcut: Tensor | None,
    affine: Tensor, training: bool, kind: int, reset: int, detach: bool, surrogate: int, slope: float, keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Spikes, last v and second state of x [T, ...] from states v, w (empty: zeros) and parameters p [P, C or 1].

    After them stored states, for the backward pass.
    """
    strides, kernels = strides_of(x), _kernels(x)
    out, v_last, w_last, stored = _outputs(x, kind, strides, keep, kernels.empty_strided)
    if x.numel():
        kernels.forward(
            laid_out(x, strides), _beside(shortcut, strides), _given(v, v, strides), _given(w, v, strides),
            p.contiguous(), affine, _inner(x, strides), Dynamics(kind, reset, detach, surrogate, slope), out, v_last,
            w_last, stored,
        )  # fmt: skip
    return out, v_last, w_last, stored


scan_op = torch.library.custom_op("spikeva::scan", _scan, mutates_args=())


@scan_op.register_fake
def _(
    x: Tensor, v: Tensor, w: Tensor, p: Tensor, weight: Tensor | None, bias: Tensor | None, shortcut: Tensor | None,
    affine: Tensor, training: bool, kind: int, reset: int, detach: bool, surrogate: int, slope: float, keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    return _outputs(x, kind, dense_strides(x.shape, x.stride()), keep)


def _kernels(x: Tensor) -> ModuleType:
    found = provider(x.device.type)
    if not isinstance(found, ModuleType):
        raise RuntimeError(found)
    return found


def _beside(shortcut: Tensor | None, strides: tuple[int, ...]) -> Tensor | None:
    return None if shortcut is None else laid_out(shortcut, strides)


def _given(state: Tensor | None, v: Tensor, strides: tuple[int, ...]) -> Tensor:
    """A state, or its gradient, as the kernels take it: empty where there is none. `v`: a state of the same run."""
    if state is None:
        return v.new_empty(0) if v.numel() else v
    return laid_out(state, strides[1:]) if state.numel() else state


def _outputs(
    x: Tensor, kind: int, strides: tuple[int, ...], keep: bool, empty: Callable[..., Tensor] = torch.empty_strided
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out = empty(x.shape, strides, dtype=x.dtype, device=x.device)
    v_last = torch.empty_strided(x.shape[1:], strides[1:], dtype=torch.float32, device=x.device)
    w_last = v_last.new_empty(0) if kind == LIF else torch.empty_like(v_last)
    segments = _kernels(x).checkpoints(x.shape[0], kind) if keep else 0
    return out, v_last, w_last, v_last.new_empty(segments, 1 if kind == LIF else 2, prod(x.shape[1:]))


def _scan_backward(
    gs: Tensor | None, gv: Tensor | None, gw: Tensor | None, x: Tensor, v: Tensor, w: Tensor, p: Tensor,
    shortcut: Tensor | None, affine: Tensor, stored: Tensor, training: bool, kind: int, reset: int, detach: bool,
    surrogate: int, slope: float, learn: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of x, v, w, p (empty unless to `learn`), of (bias, weight) [2, C or 0] and of the shortcut (empty where there is
    none), given those of `spikeva::scan`'s outputs."""
    strides, kernels = strides_of(x), _kernels(x)
    gx, gv0, gw0, g_shortcut = _gradients(x, v, w, shortcut, strides, kernels.empty_strided)
    if not x.numel():
        of_p, of_affine = _gradients_of_constants(p, affine, learn)
        return gx, gv0.zero_(), gw0.zero_(), of_p.zero_(), of_affine.zero_(), g_shortcut
    spikes = torch.zeros_like(gx) if gs is None else laid_out(gs, strides, gx.dtype)
    part = x.shape[2] / x.numel() if training and len(affine) else 0.0
    of_p, of_affine = kernels.backward(
        spikes, _given(gv, v, strides), _given(gw, v, strides), laid_out(x, strides), _beside(shortcut, strides),
        _given(v, v, strides), _given(w, v, strides), p.contiguous(), affine, _inner(x, strides),
        Dynamics(kind, reset, detach, surrogate, slope), learn, part, stored, gx,
        None if shortcut is None else g_shortcut, gv0, gw0,
    )  # fmt: skip
    return gx, gv0, gw0, of_p, of_affine, g_shortcut


scan_backward_op = torch.library.custom_op("spikeva::scan_backward", _scan_backward, mutates_args=())


@scan_backward_op.register_fake
def _(
    gs: Tensor | None, gv: Tensor | None, gw: Tensor | None, x: Tensor, v: Tensor, w: Tensor, p: Tensor,
    shortcut: Tensor | None, affine: Tensor, stored: Tensor, training: bool, kind: int, reset: int, detach: bool,
    surrogate: int, slope: float, learn: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    gx, gv0, gw0, g_shortcut = _gradients(x, v, w, shortcut, dense_strides(x.shape, x.stride()))
    return gx, gv0, gw0, *_gradients_of_constants(p, affine, learn), g_shortcut


def _gradients(
    x: Tensor, v: Tensor, w: Tensor, shortcut: Tensor | None, strides: tuple[int, ...],
    empty: Callable[..., Tensor] = torch.empty_strided,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip

    def of_state(state: Tensor) -> Tensor:
        if not state.numel():
            return torch.empty_like(state)
        return torch.empty_strided(x.shape[1:], strides[1:], dtype=torch.float32, device=x.device)

    gx, *beside = (empty(x.shape, strides, dtype=x.dtype, device=x.device) for _ in range(1 if shortcut is None else 2))
    return gx, of_state(v), of_state(w), beside[0] if beside else x.new_empty(0)


def _gradients_of_constants(p: Tensor, affine: Tensor, learn: bool) -> tuple[Tensor, Tensor]:
    return p.new_empty(p.shape if learn else 0), p.new_empty(2, affine.shape[1] if len(affine) else 0)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:4], *inputs[6:8], output[3])
    ctx.rest = inputs[8:-1]
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *grads: Tensor | None, run: Any = scan_backward_op) -> tuple[Any, ...]:
    wanted = ctx.needs_input_grad
    gx, gv0, gw0, gp, g_affine, g_shortcut = run(*grads[:3], *ctx.saved_tensors, *ctx.rest, wanted[3])
    found = gx, gv0, gw0, gp, g_affine[1] if wanted[4] else None, g_affine[0] if wanted[5] else None, g_shortcut
    return *(g if w else None for g, w in zip(found, wanted, strict=False)), *[None] * (len(wanted) - len(found))


scan_op.register_autograd(_backward, setup_context=_setup)


def first_derivatives(backward: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Decorator of a backward pass without one of its own: going back through it is an error.

    PyTorch's `once_differentiable` takes the gradients for constants where those that come in are.
    """

    @wraps(backward)
    def found(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        with torch.no_grad():
            gradients = backward(ctx, *grads)
        if not torch.is_grad_enabled():  # else by somebody's create_graph=True
            return gradients
        kept: tuple[Any, ...] = _NoSecond.apply(torch.empty(0, requires_grad=True), *gradients)
        return kept

    return found


class _NoSecond(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchor: Tensor, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if g is None else g.detach() for g in gradients)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> None:
        raise RuntimeError(
            "these kernels have no second derivatives (create_graph=True); model and inputs in float64 do, as they run without them"
        )


class SpikevaScan(torch.autograd.Function):
    """`spikeva::scan` without the dispatcher."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        found = _scan(*args)
        _setup(ctx, args, found)
        return found

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        return _backward(ctx, *grads, run=_scan_backward)


def statistics(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """What normalises each channel of x [T, B, C, ...] in training, float32 [5, C], without gradient.

    Rows: scale and shift of x, its mean, 1 / its deviation, and its variance without bias. Sums are made in float64, the rest is in
    the form and order of PyTorch's BatchNorm with the given `weight`, `bias` [C] and `eps`.
    """
    weight, bias = (t if t is None else t.detach() for t in (weight, bias))
    return (statistics_op if traced(x) else _statistics)(x.detach(), weight, bias, eps)


def _statistics(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    strides = strides_of(x)
    found: Tensor = _kernels(x).statistics(laid_out(x, strides), _inner(x, strides), weight, bias, eps)
    return found


statistics_op = torch.library.custom_op("spikeva::statistics", _statistics, mutates_args=())


@statistics_op.register_fake
def _(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    return x.new_empty(5, x.shape[2], dtype=torch.float32)

"""A spiking layer: a pure step in time, its parameters, and a backend that runs the step over the whole sequence.

The canonical step of a neuron with membrane v, threshold theta and input x is

    h = beta v + x        s = H(h - theta), 1 where h > theta strictly

and then, by `reset`, with z = s or a detached s (`detach_reset`),

    zero               v = h (1 - z)
    subtract           v = h - theta z
    subtract_delayed   v = h, and the next step starts from beta v + x - theta H(v - theta)   (snntorch's default)
"""

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.neurons.options import BACKENDS, RESETS, NeuronOptions
from spikeva.neurons.surrogates import make_surrogate
from spikeva.registry import did_you_mean, unknown

State = tuple[Tensor, ...]
Parameters = Mapping[str, Tensor]


class Rule(NamedTuple):
    """How a membrane makes a spike and what a spike does to the membrane."""

    surrogate: Callable[[Tensor], Tensor]
    reset: str
    detach: bool

    def fire(self, u: Tensor) -> Tensor:
        """Spikes H(u), with the surrogate's gradient."""
        return self.surrogate(u)

    def charge(self, h: Tensor, v: Tensor, theta: Tensor) -> Tensor:
        """`h`, less the threshold where the step before spiked and the reset is delayed."""
        if self.reset != "subtract_delayed":
            return h
        late = self.surrogate(v - theta)
        return h - theta * (late.detach() if self.detach else late)

    def discharge(self, h: Tensor, s: Tensor, theta: Tensor) -> Tensor:
        """The membrane after the spikes `s` of the membrane `h`."""
        z = s.detach() if self.detach else s
        if self.reset == "zero":
            return h * (1 - z)
        return h - theta * z if self.reset == "subtract" else h


Step = Callable[[Tensor, State, Parameters, Rule], tuple[Tensor, State]]


class Run(NamedTuple):
    """Everything that determines a layer's output: what a backend is given."""

    step: Step  # which dynamics: backends and kernels know a neuron by its step function
    x: Tensor  # [T, B, ...], any floating dtype
    state: State  # each [B, ...], float32 (float64 where x is float64)
    p: Parameters  # dtype of the state, each a scalar [] or [C, 1, ...] against [B, C, ...]
    rule: Rule
    rests: bool = False  # whether the state is all zeros, so that nobody need read it or wants its gradient


def scan(run: Run) -> tuple[Tensor, State]:
    """(output [T, B, ...] in the dtype of x, last state) of a run: the step applied T times, the eager reference."""
    state, outputs = run.state, []
    wide = state[0].dtype
    for x in run.x:
        out, state = run.step(x.to(wide), state, run.p, run.rule)
        outputs.append(out.to(run.x.dtype))
    return torch.stack(outputs), state


Runner = Callable[[Run], tuple[Tensor, State]]


class Neuron(nn.Module):
    """Base of all neurons: [T, B, ...] -> (spikes [T, B, ...], state), channels on axis 2 where there are any.

    Options every neuron takes:

    - `theta`: threshold (> 0); `learn_theta` makes it a parameter.
    - `channels`: number of channels; decay, threshold and the like are then one value per channel.
    - `reset`: one of the class's RESETS, the first by default: "zero", "subtract" or "subtract_delayed"; `detach_reset`: no gradient through the reset.
    - `surrogate`: a name or a callable u -> spikes, "sigmoid" by default (chosen here), which every
      backend has; `slope`: the named surrogate's slope.
    - `backend`: "fused", "snntorch", "norse", or "auto" ("fused", which runs every neuron).

    Other options, values that are not allowed and a backend that cannot run the neuron raise UserError.

    A subclass is a `step` (a pure function of input, state, parameters and rule), `STATES` (the state's names)
    and an `__init__` that calls `constant` for each of the step's parameters. State never survives a call: it is
    returned, and zeros are taken where none is given. Half precision inputs keep a float32 state. What follows a neuron
    in `nn.Sequential` gets the pair (spikes, state).
    """

    step: Step
    STATES: tuple[str, ...] = ("v",)  # names of the state's tensors
    RESETS: ClassVar[tuple[str, ...]] = RESETS  # those that make sense for this neuron
    spiking: ClassVar[bool] = True  # False: the output is a membrane
    leaky: ClassVar[bool] = True  # False: nothing decays
    needs_channels: ClassVar[bool] = False

    def __init__(self, **options: Unpack[NeuronOptions]) -> None:
        super().__init__()
        unknown = sorted(set(options) - set(NeuronOptions.__annotations__))
        if unknown:
            allowed = sorted(NeuronOptions.__annotations__)
            raise UserError(
                f"{type(self).__name__}: unknown option {unknown[0]!r}{did_you_mean(unknown[0], allowed)} "
                f"(options of all neurons: {', '.join(allowed)})"
            )
        default = self.RESETS[0] if self.RESETS else "none"
        reset = options.get("reset", default)
        if reset not in (*self.RESETS, default):
            known = ", ".join(self.RESETS) or "none of its own to choose"
            close = did_you_mean(str(reset), list(self.RESETS))
            raise UserError(f"{type(self).__name__} has no reset {reset!r}{close} (it has: {known})")
        self.channels = options.get("channels")
        if self.channels is not None and (
            not isinstance(self.channels, Integral) or isinstance(self.channels, bool) or self.channels < 1
        ):
            raise UserError(f"channels must be a whole number >= 1 or None, got {self.channels!r}")
        surrogate = make_surrogate(options.get("surrogate", "sigmoid"), options.get("slope"))
        self.rule = Rule(surrogate, reset, self._flag("detach_reset", options.get("detach_reset", True)))
        self.constants: list[str] = []
        self.decays: list[str] = []
        if self.spiking:
            theta, learn = options.get("theta", 1.0), options.get("learn_theta", False)
            self.constant("theta", theta, low=0.0, inside=True, learn=learn)
        self.backend, self.runner = choose_backend(self, options.get("backend", "auto"))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch's
        if self.backend == "fused":  # load its kernels, which nothing could inside a compiled graph
            choose_backend(self, "fused")

    def constant(
        self,
        name: str,
        value: float,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        inside: bool = False,
        learn: bool = False,
    ) -> None:
        """Give the step a parameter `name`: a buffer, or a Parameter to `learn`; scalar, or one per channel.

        Raises UserError where `value` lies outside [low, high], or (low, high) where it must be `inside`.
        """
        self._store(name, self._full(name, value, low, high, inside), learn)
        self.constants.append(name)

    def decay(self, name: str, value: float, *, learn: bool = False) -> None:
        """Give the step a factor inside (0, 1): a buffer, or to `learn` a Parameter `logit_<name>` under a sigmoid."""
        full = self._full(name, value, 0.0, 1.0, inside=True)
        self._store(f"logit_{name}" if learn else name, full.logit() if learn else full, learn)
        (self.decays if learn else self.constants).append(name)

    def _flag(self, name: str, value: bool) -> bool:
        if not isinstance(value, bool):
            raise UserError(f"{type(self).__name__}: {name} must be true or false, got {value!r}")
        return value

    def _full(self, name: str, value: float, low: float, high: float, inside: bool) -> Tensor:
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not (low < value < high if inside else low <= value <= high):
            allowed = f"inside ({low:g}, {high:g})" if inside else f"from {low:g} to {high:g}"
            raise UserError(f"{type(self).__name__}: {name} must be a number {allowed}, got {value!r}")
        return torch.full(() if self.channels is None else (self.channels,), float(value))

    def _store(self, name: str, value: Tensor, learn: bool) -> None:
        if self._flag(f"learn_{name.removeprefix('logit_')}", learn):
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def parameters_of_step(self, x: Tensor) -> dict[str, Tensor]:
        """The step's parameters, in the state's dtype, shaped to broadcast against x[0] ([B, C, ...])."""
        wide = _wide(x)
        found = {name: getattr(self, name).to(wide) for name in self.constants}
        found |= {name: getattr(self, f"logit_{name}").to(wide).sigmoid() for name in self.decays}
        if self.channels is None:
            return found
        return {name: value.view(-1, *[1] * (x.ndim - 3)) for name, value in found.items()}

    def initial_state(self, x: Tensor) -> State:
        """Zeros for each of STATES, shaped as one step of `x`; they share one number, so do not write into them."""
        return (torch.zeros((), dtype=_wide(x), device=x.device).expand(x.shape[1:]),) * len(self.STATES)

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        norm: nn.Module | None = None,
        shortcut: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """(output [T, B, ...] in the dtype of `x`, state after the last step); starts from `state`, or from zeros.

        A `norm` that `bnlif.fuses` with this neuron is applied to `x` in the same pass; then a `shortcut` [T, B, ...] is added.
        """
        if norm is None and shortcut is not None:
            x = x + shortcut
        self.check(x)
        rests = state is None
        state = self.initial_state(x) if state is None else self._checked(state, x)
        run = Run(type(self).step, x, state, self.parameters_of_step(x), self.rule, rests)
        if norm is not None:
            from spikeva.neurons.bnlif import execute

            return execute(norm, run, shortcut)
        return self.runner(run)

    def check(self, x: Tensor) -> None:
        """Raise UserError where `x` is no floating tensor [T, B, ...] that fits `channels`."""
        if x.ndim < 2 or x.shape[0] == 0 or not x.is_floating_point():
            raise UserError(f"a neuron takes a floating tensor [T, B, ...] with T >= 1, got {x.dtype} {list(x.shape)}")
        if self.channels is not None and (x.ndim < 3 or x.shape[2] != self.channels):
            raise UserError(f"this neuron has channels={self.channels} on axis 2, got a tensor {list(x.shape)}")

    def _checked(self, state: State, x: Tensor) -> State:
        shapes = [list(s.shape) for s in self.initial_state(x[:1])]
        if [list(s.shape) for s in state] != shapes:
            raise UserError(
                f"state of {type(self).__name__} must be {len(self.STATES)} tensors ({', '.join(self.STATES)}) of "
                f"shapes {shapes}, got {[list(s.shape) for s in state]}; pass the state of the call before, or None"
            )
        return tuple(s.to(_wide(x)) for s in state)

    def extra_repr(self) -> str:
        values = dict([*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)])
        shown = [f"{n}={v.item():.4g}" if v.ndim == 0 else f"{n}=[{v.numel()}]" for n, v in values.items()]
        return ", ".join(
            [*shown, f"reset={self.rule.reset}", f"surrogate={self.rule.surrogate}", f"backend={self.backend}"]
        )


def choose_backend(neuron: Neuron, backend: str) -> tuple[str, Runner]:
    """(name, runner) of `backend`, or of "fused", which runs everything, for "auto".

    Raises UserError with the reason where the named backend cannot.
    """
    if backend not in (known := ("auto", *BACKENDS)):
        raise UserError(unknown("backend", backend, known))
    name = BACKENDS[0] if backend == "auto" else backend
    module = import_module(f"spikeva.neurons.{name if name == 'fused' else name + '_backend'}")
    reason = module.why_not(neuron)
    if reason is not None:
        raise UserError(f"backend {name!r} cannot run {type(neuron).__name__} like this: {reason}")
    return name, module.build(neuron)


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32

"""The backend 'norse': its LIFBox, LIF and LIBox steps in its SNN container, on our parameters.

norse integrates v' = v + dt tau_mem_inv (x - v), its input scaled by that factor, and dispatches surrogates by name:

- dt = 1, tau_mem_inv = 1 - beta, x / (1 - beta) give h = beta v + x.
- Its `super` surrogate of 1.1.0 is 1/(1+|u|)^2 whatever alpha says (its main branch: 1/(1+alpha|u|)^2), and `triangle`
  has slope 1. We run the membrane in units of 1/k (input, threshold and state times k), where slope 1 acts as slope k,
  and scale the gradient of the spike by 1/k. `tanh` with alpha = k/2 times k/4 is our sigmoid.
- Its LIF (current-based) decays the current after use: its state is our current times alpha.

norse is LGPL-3 and optional; it is imported here only, inside functions.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from spikeva.neurons.base import Rule, Run, Runner, State
from spikeva.neurons.cuba import cuba_step
from spikeva.neurons.li import li_step
from spikeva.neurons.lif import lif_step
from spikeva.neurons.rlif import Recurrent, rlif_step
from spikeva.neurons.surrogates import FastSigmoid, Sigmoid, SuperSpike, Triangle

if TYPE_CHECKING:
    from spikeva.neurons.base import Neuron


class Mapping(NamedTuple):
    """How one of our surrogates is said to norse."""

    method: str
    alpha: float
    unit: float  # the membrane runs in units of 1/unit
    gradient: float  # factor on the spike's gradient


def map_surrogate(surrogate: Callable[[Tensor], Tensor]) -> Mapping | None:
    """norse's name and numbers for `surrogate`, None where it has none."""
    if type(surrogate) in (FastSigmoid, SuperSpike):
        k = surrogate.slope  # type: ignore[attr-defined]  # those with a slope get here
        return Mapping("super", 1.0, k, 1 / k)  # alpha 1: the same in releases that ignore it and that do not
    if type(surrogate) is Triangle:
        return Mapping("triangle", 1.0, surrogate.slope, 1 / surrogate.slope)
    if type(surrogate) is Sigmoid:
        return Mapping("tanh", surrogate.slope / 2, 1.0, surrogate.slope / 4)
    return None


def why_not(neuron: "Neuron") -> str | None:
    """What keeps norse from running `neuron`, None where it can."""
    step, rule = type(neuron).step, neuron.rule
    if find_spec("norse") is None:
        return "norse is not installed; pip install 'spikeva[norse]' or use backend 'fused'"
    if step not in (lif_step, rlif_step, cuba_step, li_step):
        return "norse has no such dynamics; use backend 'fused'"
    if not type(neuron).leaky:
        return "norse multiplies its input by the leak, which is 0 here; use backend 'fused' or 'snntorch'"
    if step is li_step:
        return None
    mapping = map_surrogate(rule.surrogate)
    if mapping is None:
        return (
            "norse chooses surrogates by name and has none equal to this one; use fast_sigmoid, superspike, triangle or "
            "sigmoid, or backend 'fused' or 'snntorch'"
        )
    if step is cuba_step and (rule.reset != "zero" or rule.detach or mapping.gradient != 1):
        return (
            "norse's current-based LIF has one reset and no way to scale it: set reset='zero', detach_reset=False and "
            "a surrogate of norse's own height (sigmoid with slope 4, or fast_sigmoid, superspike, triangle with 1)"
        )
    return None


def build(neuron: "Neuron") -> Runner:
    """The callable that runs this neuron's layers."""
    norse = Norse(neuron.rule)
    return Recurrent(norse) if type(neuron).step is rlif_step else norse


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


class Norse:
    """Runs the layers of one neuron in norse's SNN container, built at every call (it holds nothing)."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.mapping = map_surrogate(rule.surrogate) or Mapping("super", 1.0, 1.0, 1.0)

    def __call__(self, run: Run) -> tuple[Tensor, State]:
        execute = self._li if run.step is li_step else self._cuba if run.step is cuba_step else self._lif
        x = run.x.to(run.state[0].dtype)
        output, state = execute(x, run.state, run.p)
        return output.to(run.x.dtype), state

    def _spikes(self, z: Tensor) -> Tensor:
        scaled: Tensor = _ScaleGradient.apply(z, self.mapping.gradient)
        return scaled

    def _lif(self, x: Tensor, state: State, p: Any) -> tuple[Tensor, State]:
        from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
        from norse.torch.module.snn import SNN

        k, beta = self.mapping.unit, p["beta"]
        zero = torch.zeros_like(p["theta"])

        def reset(z: Tensor, v: Tensor, v_reset: Tensor, v_th: Tensor) -> Tensor:
            z = self._spikes(z)
            z = z.detach() if self.rule.detach else z
            if self.rule.reset == "zero":
                return (1 - z) * v
            return v - z * v_th if self.rule.reset == "subtract" else v - z * v_th / beta

        parameters = LIFBoxParameters(
            1 - beta, zero, k * p["theta"], zero, self.mapping.method, self.mapping.alpha, reset
        )
        net = SNN(lif_box_feed_forward_step, _no_fallback, parameters, dt=1.0)
        start = k * state[0]
        if self.rule.reset == "subtract_delayed":  # ours keeps the membrane before the reset
            late = self.rule.fire(state[0] - p["theta"])
            start = start - k * p["theta"] / beta * (late.detach() if self.rule.detach else late)
        z, last = net(x * (k / (1 - beta)), LIFBoxFeedForwardState(start))
        z = self._spikes(z)
        v = last.v / k
        if self.rule.reset == "subtract_delayed":
            final = z[-1].detach() if self.rule.detach else z[-1]
            v = v + final * p["theta"] / beta
        return z, (v,)

    def _cuba(self, x: Tensor, state: State, p: Any) -> tuple[Tensor, State]:
        from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
        from norse.torch.module.snn import SNN

        k, alpha, beta = self.mapping.unit, p["alpha"], p["beta"]
        zero, scale = torch.zeros_like(p["theta"]), self.mapping.unit / (1 - beta)
        parameters = LIFParameters(
            1 - alpha, 1 - beta, zero, k * p["theta"], zero, self.mapping.method, self.mapping.alpha
        )
        net = SNN(lif_feed_forward_step, _no_fallback, parameters, dt=1.0)
        z, last = net(x * scale, LIFFeedForwardState(v=k * state[1], i=scale * alpha * state[0]))
        return self._spikes(z), (last.i / (scale * alpha), last.v / k)

    def _li(self, x: Tensor, state: State, p: Any) -> tuple[Tensor, State]:
        from norse.torch.functional.leaky_integrator_box import (
            LIBoxParameters,
            LIBoxState,
            li_box_feed_forward_step,
        )
        from norse.torch.module.snn import SNN

        net = SNN(
            li_box_feed_forward_step, _no_fallback, LIBoxParameters(1 - p["beta"], torch.zeros_like(p["beta"])), dt=1.0
        )
        v, last = net(x / (1 - p["beta"]), LIBoxState(state[0]))
        return v, (last.v,)


def _no_fallback(x: Tensor) -> Any:
    raise AssertionError("the state is always given")

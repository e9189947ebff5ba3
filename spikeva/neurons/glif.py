"""Gated LIF: how it leaks and how it resets is learned."""

from typing import Unpack

from torch import Tensor

from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron, Parameters, Rule, State
from spikeva.neurons.options import NeuronOptions


def glif_step(x: Tensor, state: State, p: Parameters, rule: Rule) -> tuple[Tensor, State]:
    """(spikes, (v,)) after one step, with gates a and c in (0, 1).

    h = (1 - a (1 - beta)) v - (1 - a) leak + x; s = H(h - theta); v = h - z (c h + (1 - c) theta): a mixes the
    exponential with a linear leak, c the reset to zero with that by subtraction.
    """
    (v,) = state
    a, c, theta = p["leak_gate"], p["reset_gate"], p["theta"]
    h = (1 - a * (1 - p["beta"])) * v - (1 - a) * p["leak"] + x
    s = rule.fire(h - theta)
    z = s.detach() if rule.detach else s
    return s, (h - z * (c * h + (1 - c) * theta),)


@register_neuron("glif")
class GLIF(Neuron):
    """Gated LIF: h = (1 - a (1 - beta)) v - (1 - a) leak + x; s = H(h - theta); v = h - s (c h + (1 - c) theta).

    Our reading of Yao et al. 2022 ("GLIF: a unified gated leaky integrate-and-fire neuron") without its conductance per
    time step. The gates `leak_gate` (a), `reset_gate` (c) and the decay are learned, per channel where `channels` is given.
    """

    step = staticmethod(glif_step)
    RESETS = ()

    def __init__(
        self,
        beta: float = 0.9,
        leak: float = 0.05,
        leak_gate: float = 0.9,
        reset_gate: float = 0.5,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(**options)
        self.decay("beta", beta, learn=True)
        self.constant("leak", leak, low=0.0, learn=True)
        self.decay("leak_gate", leak_gate, learn=True)
        self.decay("reset_gate", reset_gate, learn=True)

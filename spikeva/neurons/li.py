"""Leaky integrator: the membrane itself is the output; a readout."""

from typing import Unpack

from torch import Tensor

from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron, Parameters, Rule, State
from spikeva.neurons.options import NeuronOptions


def li_step(x: Tensor, state: State, p: Parameters, rule: Rule) -> tuple[Tensor, State]:
    """(v, (v,)) after one step: v = beta v + x. No threshold, no spike, no reset."""
    v = p["beta"] * state[0] + x
    return v, (v,)


@register_neuron("li")
class LI(Neuron):
    """Leaky integrator: v = beta v + x, and v is the output."""

    step = staticmethod(li_step)
    spiking = False

    def __init__(self, beta: float = 0.9, learn_beta: bool = False, **options: Unpack[NeuronOptions]) -> None:
        super().__init__(**options)
        self.decay("beta", beta, learn=learn_beta)

"""Current-based LIF: the input charges a synaptic current, the current charges the membrane."""

from typing import Unpack

from torch import Tensor

from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron, Parameters, Rule, State
from spikeva.neurons.options import NeuronOptions


def cuba_step(x: Tensor, state: State, p: Parameters, rule: Rule) -> tuple[Tensor, State]:
    """(spikes, (i, v)) after one step: i = alpha i + x; h = beta v + i; s = H(h - theta), then the reset of v.

    snntorch's Synaptic with the reset of this library; norse's LIF with its current taken before the decay.
    """
    i, v = state
    i = p["alpha"] * i + x
    h = rule.charge(p["beta"] * v + i, v, p["theta"])
    s = rule.fire(h - p["theta"])
    return s, (i, rule.discharge(h, s, p["theta"]))


@register_neuron("cuba")
class CUBA(Neuron):
    """Current-based LIF: i = alpha i + x; h = beta v + i; s = H(h - theta)."""

    step = staticmethod(cuba_step)
    STATES = ("i", "v")

    def __init__(
        self,
        alpha: float = 0.5,
        learn_alpha: bool = False,
        beta: float = 0.9,
        learn_beta: bool = False,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(**options)
        self.decay("alpha", alpha, learn=learn_alpha)
        self.decay("beta", beta, learn=learn_beta)

"""Leaky integrate-and-fire, the neuron everything else is measured against."""

from typing import Unpack

from torch import Tensor

from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron, Parameters, Rule, State
from spikeva.neurons.options import NeuronOptions


def lif_step(x: Tensor, state: State, p: Parameters, rule: Rule) -> tuple[Tensor, State]:
    """(spikes, (v,)) after one step: h = beta v + x, s = H(h - theta), then the reset.

    Lapicque 1907 in the discrete form of Eshraghian et al. 2023 ("Training spiking neural networks using lessons from
    deep learning"), with the input not scaled by 1 - beta.
    """
    (v,) = state
    h = rule.charge(p["beta"] * v + x, v, p["theta"])
    s = rule.fire(h - p["theta"])
    return s, (rule.discharge(h, s, p["theta"]),)


@register_neuron("lif")
class LIF(Neuron):
    """Leaky integrate-and-fire: h = beta v + x; s = H(h - theta). `learn_beta` trains the decay through a sigmoid."""

    step = staticmethod(lif_step)

    def __init__(self, beta: float = 0.9, learn_beta: bool = False, **options: Unpack[NeuronOptions]) -> None:
        super().__init__(**options)
        self.decay("beta", beta, learn=learn_beta)

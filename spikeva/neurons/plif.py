"""Parametric LIF: the decay is learned."""

from typing import Unpack

from spikeva.neurons import register_neuron
from spikeva.neurons.lif import LIF
from spikeva.neurons.options import NeuronOptions


@register_neuron("plif")
class PLIF(LIF):
    """LIF whose decay beta = sigmoid(w) is learned, one w per layer, or per channel where `channels` is given.

    Fang et al. 2021 ("Incorporating learnable membrane time constant"), with the input not scaled by 1 - beta.
    """

    def __init__(self, beta: float = 0.9, **options: Unpack[NeuronOptions]) -> None:
        super().__init__(beta, learn_beta=True, **options)

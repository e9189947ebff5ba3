"""Integrate-and-fire: the LIF that forgets nothing."""

from typing import Unpack

from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron
from spikeva.neurons.lif import lif_step
from spikeva.neurons.options import NeuronOptions


@register_neuron("if")
class IF(Neuron):
    """Integrate-and-fire: h = v + x; s = H(h - theta). Lapicque 1907 without the leak; the neuron of Spiking-FER."""

    step = staticmethod(lif_step)
    leaky = False

    def __init__(self, **options: Unpack[NeuronOptions]) -> None:
        super().__init__(**options)
        self.constant("beta", 1.0)

"""Leaky integrator: the membrane itself is the output; a readout."""

from torch import Tensor

from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron, Parameters, Rule, State
from spikeva.neurons.options import Backend


def li_step(x: Tensor, state: State, p: Parameters, rule: Rule) -> tuple[Tensor, State]:
    """(v, (v,)) after one step: v = beta v + x. No threshold, no spike, no reset."""
    v = p["beta"] * state[0] + x
    return v, (v,)


@register_neuron("li")
class LI(Neuron):
    """Leaky integrator: v = beta v + x, and v is the output."""

    step = staticmethod(li_step)
    spiking = False
    RESETS = ()

    def __init__(
        self, beta: float = 0.9, learn_beta: bool = False, channels: int | None = None, backend: Backend = "auto"
    ) -> None:
        super().__init__(channels=channels, backend=backend)
        self.decay("beta", beta, learn=learn_beta)

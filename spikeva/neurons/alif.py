"""Adaptive LIF: every spike raises the threshold for a while."""

from typing import Unpack

from torch import Tensor

from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron, Parameters, Rule, State
from spikeva.neurons.options import NeuronOptions


def alif_step(x: Tensor, state: State, p: Parameters, rule: Rule) -> tuple[Tensor, State]:
    """(spikes, (v, a)) after one step, with the threshold theta_t = theta + gamma a of the spikes before.

    h = beta v + x; s = H(h - theta_t); the reset takes theta_t; a = rho a + s. Bellec et al. 2018 (LSNN), where the
    adaptation is (1 - rho) times ours; the gradient passes through the adaptation, detached reset or not.
    """
    v, a = state
    theta = p["theta"] + p["gamma"] * a
    h = p["beta"] * v + x
    s = rule.fire(h - theta)
    return s, (rule.discharge(h, s, theta), p["rho"] * a + s)


@register_neuron("alif")
class ALIF(Neuron):
    """Adaptive LIF: h = beta v + x; s = H(h - theta - gamma a); a = rho a + s."""

    step = staticmethod(alif_step)
    STATES = ("v", "a")
    RESETS = ("zero", "subtract")  # a delayed reset would need the threshold of the step before

    def __init__(
        self,
        beta: float = 0.9,
        learn_beta: bool = False,
        rho: float = 0.95,
        learn_rho: bool = False,
        gamma: float = 0.1,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(**options)
        self.decay("beta", beta, learn=learn_beta)
        self.decay("rho", rho, learn=learn_rho)
        self.constant("gamma", gamma, low=0.0)

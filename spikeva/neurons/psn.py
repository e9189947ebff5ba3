"""Sliding parallel spiking neuron: a learned filter over the last inputs, no membrane, no reset, all steps at once."""

from typing import Unpack

import torch
from torch import Tensor

from spikeva.errors import UserError
from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron, Parameters, Rule, Run, State
from spikeva.neurons.options import NeuronOptions


def psn_step(x: Tensor, state: State, p: Parameters, rule: Rule) -> tuple[Tensor, State]:
    """(spikes, the last inputs, newest first) after one step: h = w0 x_t + w1 x_(t-1) + ...; s = H(h - theta)."""
    inputs = (x, *state)
    h = p["w0"] * x
    for i, before in enumerate(state, start=1):
        h = h + p[f"w{i}"] * before
    return rule.fire(h - p["theta"]), inputs[:-1]


def psn_parallel(run: Run) -> tuple[Tensor, State]:
    """What `scan(run)` gives, in the same order of additions, over all steps at once."""
    wide = run.state[0].dtype
    past = len(run.state)  # inputs before the first: one less than the order
    x = torch.cat([*(s[None] for s in reversed(run.state)), run.x.to(wide)])
    h = run.p["w0"] * x[past:]
    for i in range(1, past + 1):
        h = h + run.p[f"w{i}"] * x[past - i : len(x) - i]
    spikes = run.rule.fire(h - run.p["theta"])
    return spikes.to(run.x.dtype), tuple(x[len(x) - 1 - i] for i in range(past))


@register_neuron("psn")
class PSN(Neuron):
    """Sliding PSN: h = sum of w_i x_(t-i) over the last `order` inputs; s = H(h - theta); weights and threshold are learned.

    Fang et al. 2023 ("Parallel spiking neurons with high efficiency and ability to learn long-term dependencies"). The weights
    start as a LIF's that never fires, beta^i (1, 1/2, 1/4 ..., as the authors'). `learn_theta` is true unless given. Its state is the
    last order - 1 inputs.
    """

    step = staticmethod(psn_step)
    RESETS = ()

    def __init__(self, beta: float = 0.5, order: int = 4, **options: Unpack[NeuronOptions]) -> None:
        options.setdefault("learn_theta", True)
        super().__init__(**options)
        if order < 2:
            raise UserError(f"psn: order must be at least 2, got {order}")
        self.STATES = tuple(f"x{i}" for i in range(1, order))
        for i in range(order):
            self.constant(f"w{i}", beta**i, learn=True)
        self.runner = psn_parallel

"""Recurrent LIF: the layer's own spikes of the step before come back through a convolution."""

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.neurons import register_neuron
from spikeva.neurons.base import Neuron, Parameters, Rule, Run, Runner, State
from spikeva.neurons.lif import lif_step
from spikeva.neurons.options import NeuronOptions


def recurrent_current(s: Tensor, weight: Tensor) -> Tensor:
    """Current that the spikes `s` send through `weight`: a convolution of [B, C, H, W], a product for [B, C]."""
    if s.ndim == 4:
        return nn.functional.conv2d(s, weight, padding=weight.shape[-1] // 2)
    return nn.functional.linear(s, weight[..., weight.shape[-2] // 2, weight.shape[-1] // 2])


def rlif_step(x: Tensor, state: State, p: Parameters, rule: Rule) -> tuple[Tensor, State]:
    """(spikes, (v, s)) after one step: that of the LIF on x + W s, s the spikes of the step before."""
    v, s = state
    s, (v,) = lif_step(x + recurrent_current(s, p["recurrent"]), (v,), p, rule)
    return s, (v, s)


@register_neuron("rlif")
class RLIF(Neuron):
    """Recurrent LIF: h = beta v + x + W s_before; s = H(h - theta), W a `kernel` x `kernel` convolution of the channels.

    Needs `channels`. W starts at a tenth of the scale that would keep a firing rate of a tenth up by itself (chosen
    here), so that a new layer behaves like a LIF. On [T, B, C] the convolution is its middle tap.
    """

    step = staticmethod(rlif_step)
    STATES = ("v", "s")
    needs_channels = True

    def __init__(
        self, beta: float = 0.9, learn_beta: bool = False, kernel: int = 3, **options: Unpack[NeuronOptions]
    ) -> None:
        super().__init__(**options)
        if self.channels is None or kernel < 1 or kernel % 2 == 0:
            raise UserError(f"rlif needs channels= and an odd kernel, got channels={self.channels}, kernel={kernel}")
        self.decay("beta", beta, learn=learn_beta)
        self.recurrent = nn.Parameter(torch.empty(self.channels, self.channels, kernel, kernel))
        nn.init.normal_(self.recurrent, std=0.1 / math.sqrt(0.1 * self.channels * kernel**2))

    def parameters_of_step(self, x: Tensor) -> dict[str, Tensor]:
        found = super().parameters_of_step(x)
        return found | {"recurrent": self.recurrent.to(found["beta"].dtype)}

    def check(self, x: Tensor) -> None:
        """Raise UserError where `x` is neither [T, B, C] nor [T, B, C, H, W]."""
        super().check(x)
        if x.ndim not in (3, 5):
            raise UserError(f"rlif takes [T, B, C] or [T, B, C, H, W], got a tensor {list(x.shape)}")


class Recurrent:
    """Lets a runner of plain LIF layers run recurrent ones, one step at a time."""

    def __init__(self, lif: Runner) -> None:
        self.lif = lif

    def __call__(self, run: Run) -> tuple[Tensor, State]:
        (v, s), outputs = run.state, []
        for x in run.x:
            x = x.to(v.dtype) + recurrent_current(s, run.p["recurrent"])
            spikes, (v,) = self.lif(Run(lif_step, x[None], (v,), run.p, run.rule))
            s = spikes[0]
            outputs.append(s.to(run.x.dtype))
        return torch.stack(outputs), (v, s)

"""Readouts: spikes of all steps [T, B, ...] -> what they say after every step [T, B, outputs].

Every readout is a linear layer per step, and a way to gather its currents c_1 ... c_t into the prediction after step t:

    membrane_last   v_t = beta v_(t-1) + (1 - beta) c_t, a leaky integrator that does not spike
    membrane_mean   mean of v_1 ... v_t
    count           mean of c_1 ... c_t: the linear layer of the spike rates
    weighted        sum of softmax(a)_i c_i over i <= t, a_i a score that a second linear layer gives to step i
"""

from typing import Any, get_args

import torch
from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models.snn.options import Readout
from spikeva.neurons.li import LI
from spikeva.registry import did_you_mean


class LinearReadout(nn.Module):
    """A linear layer over features [T, B, F], gathered over time by `how`: (predictions [T, B, outputs], state)."""

    def __init__(self, features: int, how: Readout = "membrane_mean", beta: float = 0.9, outputs: int = 2) -> None:
        super().__init__()
        if how not in get_args(Readout):
            known = list(get_args(Readout))
            raise UserError(f"unknown readout {how!r}{did_you_mean(str(how), known)} (there are: {', '.join(known)})")
        self.how, self.beta = how, beta
        self.linear = nn.Linear(features, outputs)
        nn.init.zeros_(self.linear.bias)
        self.membrane = LI(beta=beta) if how.startswith("membrane") else None
        self.score = nn.Linear(features, 1) if how == "weighted" else None

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        currents = self.linear(x)
        if self.score is not None:
            return _softmax_mean(currents, self.score(x), state)
        of_membrane, of_mean = state or (None, None)
        if self.membrane is not None:
            currents, of_membrane = self.membrane(currents * (1 - self.beta), of_membrane)
        if self.how != "membrane_last":
            currents, of_mean = _running_mean(currents, of_mean)
        return currents, (of_membrane, of_mean)


def _running_mean(x: Tensor, state: tuple[Tensor, int] | None) -> tuple[Tensor, tuple[Tensor, int]]:
    """(mean of all steps so far [T, B, ...], (sum, number of steps))."""
    before, seen = state or (torch.zeros_like(x[0]), 0)
    sums = before + x.cumsum(0)
    counts = torch.arange(seen + 1, seen + len(x) + 1, device=x.device, dtype=x.dtype)
    return sums / counts.view(-1, *[1] * (x.ndim - 1)), (sums[-1], seen + len(x))


def _softmax_mean(
    x: Tensor, scores: Tensor, state: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(mean of all steps so far weighted by exp(score), (log of the weights' sum, mean)), stable for any score."""
    total, mean = state or (scores[0], x[0])
    means = [] if state else [mean]
    for current, score in zip(x[len(means) :], scores[len(means) :], strict=True):
        before, total = total, torch.logaddexp(total, score)
        mean = mean * (before - total).exp() + current * (score - total).exp()
        means.append(mean)
    return torch.stack(means), (total, mean)

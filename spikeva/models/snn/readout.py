"""Readouts: spikes of all steps [T, B, ...] -> what they say after every step [T, B, outputs].

Every readout is a linear layer per step, and a way to gather its currents c_1 ... c_t into the prediction after step t:

    membrane_last   v_t / (1 - beta^t) of a leaky integrator v_t = beta v_(t-1) + (1 - beta) c_t: a mean that forgets,
                    freed of its start from 0 so that its scale does not depend on the length
    membrane_mean   mean of these up to t
    count           mean of c_1 ... c_t: the linear layer of the spike rates
    weighted        sum of softmax(a)_i c_i over i <= t, a_i a score that a second linear layer gives to step i
"""

from typing import Any, get_args

import torch
from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models.snn.options import Readout
from spikeva.neurons.li import LI
from spikeva.registry import unknown


class LinearReadout(nn.Module):
    """A linear layer over features [T, B, F], gathered over time by `how`: (predictions [T, B, outputs], state)."""

    def __init__(self, features: int, how: Readout = "membrane_mean", beta: float = 0.9, outputs: int = 2) -> None:
        super().__init__()
        if how not in (known := get_args(Readout)):
            raise UserError(unknown("readout", how, known))
        if not 0 < beta < 1:
            raise UserError(f"beta of a readout (readout_beta) must be a number inside (0, 1), got {beta!r}")
        self.how, self.beta = how, beta
        self.linear = nn.Linear(features, outputs)
        nn.init.zeros_(self.linear.bias)
        self.membrane = LI(beta=beta) if how.startswith("membrane") else None
        self.score = nn.Linear(features, 1) if how == "weighted" else None

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        currents = self.linear(x)
        if self.score is not None:
            return _softmax_mean(currents, self.score(x), state)
        of_membrane, of_mean, seen = state or (None, None, 0)
        counts = torch.arange(seen + 1, seen + len(x) + 1, device=x.device, dtype=currents.dtype)
        if self.membrane is not None:
            v, of_membrane = self.membrane(currents * (1 - self.beta), of_membrane)
            currents = v / (1 - self.beta**counts)[:, None, None]
        if self.how != "membrane_last":
            sums = currents.cumsum(0) if of_mean is None else of_mean + currents.cumsum(0)
            currents, of_mean = sums / counts[:, None, None], sums[-1]
        return currents, (of_membrane, of_mean, seen + len(x))


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

"""Losses on (valence, arousal): squared error, 1 - PCC and 1 - CCC, in several weightings. Importable without torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spikeva.errors import UserError
from spikeva.registry import unknown

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """`mse * MSE + pcc * (1 - PCC) + ccc * (1 - CCC)`: called with predictions and targets `[B, 2]`, it gives a scalar.

    PCC and CCC are taken over the batch (of several devices, each its own) for each axis and averaged over the two; of a single
    sample both are 0, without a gradient. With `shake`, each call draws the three weights anew, uniform on [0, 1] and divided by
    their sum, from torch's generator (which training seeds at every step), so that no term can be traded for another for long.
    """

    mse: float = 1.0
    pcc: float = 0.0
    ccc: float = 0.0
    shake: bool = False

    def __call__(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        p, y = prediction.float(), target.float()
        mse, pcc, ccc = self.mse, self.pcc, self.ccc
        if self.shake:
            import torch

            weights = torch.rand(3)
            mse, pcc, ccc = (weights / weights.sum()).tolist()
        p_mean, y_mean = p.mean(0), y.mean(0)
        p_var, y_var = ((p - p_mean) ** 2).mean(0), ((y - y_mean) ** 2).mean(0)
        cov = ((p - p_mean) * (y - y_mean)).mean(0)
        # 1e-8: a batch of one label, or a constant prediction, has a gradient
        rho = cov / (p_var * y_var + 1e-8).sqrt()
        concordance = 2 * cov / (p_var + y_var + (p_mean - y_mean) ** 2 + 1e-8)
        return mse * ((p - y) ** 2).mean() + pcc * (1 - rho.mean()) + ccc * (1 - concordance.mean())


LOSSES = {
    "mse": Loss(),
    "ccc": Loss(mse=0.0, ccc=1.0),
    "mse+ccc": Loss(ccc=1.0),
    "mse+pcc+ccc": Loss(pcc=1.0, ccc=1.0),
    # After EmoNet: Toisoul et al., "Estimation of continuous valence and arousal levels from faces in naturalistic
    # conditions", Nature Machine Intelligence 3, 2021: the regression terms of its loss and their random weights; each
    # term is averaged over the two axes here.
    "emonet": Loss(pcc=1.0, ccc=1.0, shake=True),
}


def create_loss(name: str) -> Loss:
    """The loss called `name`. Raises UserError that lists the names."""
    if name not in LOSSES:
        raise UserError(unknown("loss", name, LOSSES))
    return LOSSES[name]

"""A plain convolutional spiking network, the first to try."""

from itertools import pairwise
from typing import Any

from torch import nn

from spikeva.errors import UserError
from spikeva.models import register_model
from spikeva.models.snn.layers import Chain, Convolution, Folded, Spikes, SpikingModel
from spikeva.models.snn.options import Norm, Pool, Readout
from spikeva.models.snn.readout import LinearReadout


@register_model("snn_convnet")
def snn_convnet(
    in_channels: int,
    width: int = 16,
    depth: int = 4,
    grid: int = 3,
    pool: Pool = "stride",
    norm: Norm = "bn",
    readout: Readout = "membrane_mean",
    readout_beta: float = 0.9,
    dropout: float = 0.0,
    steps: int | None = None,
    per_channel: bool = False,
    neuron: str = "lif",
    **options: Any,
) -> nn.Module:
    """A spiking network of `depth` 3 x 3 convolutions: [B, T, in_channels, H, W] -> [B, 2].

    Each halves the picture and doubles the channels, from `width`; the spikes are averaged over a `grid` x `grid` and
    read out. `pool`: "stride" (in the convolution), "avg" or "max" (of the spikes); `steps` only for norm="bntt";
    `per_channel`: one decay and threshold per channel. All else belongs to `neuron`. Topology chosen here.
    """
    if width < 1 or depth < 1 or grid < 1:
        raise UserError(f"width, depth and grid must be at least 1, got {width}, {depth}, {grid}")
    spikes = Spikes(neuron, norm, per_channel, steps, **options)
    channels = [in_channels, *(width * 2**i for i in range(depth))]
    body = Chain(
        *(Convolution(a, b, spikes, pool) for a, b in pairwise(channels)),
        Folded(nn.Sequential(nn.AdaptiveAvgPool2d(grid), nn.Flatten(), nn.Dropout(dropout))),
    )
    return SpikingModel(body, LinearReadout(channels[-1] * grid**2, readout, readout_beta))

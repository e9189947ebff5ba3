"""Plain convolutional spiking networks, the first to try: feed-forward, and recurrent in the deepest layers."""

from itertools import pairwise
from typing import Any, Unpack

from torch import nn

from spikeva.errors import UserError
from spikeva.models import register_model
from spikeva.models.ann.checks import doubled, positive
from spikeva.models.grid_pool import GridPool2d
from spikeva.models.snn.layers import Chain, Convolution, Folded, Spikes, SpikingModel
from spikeva.models.snn.options import Norm, Pool, Readout
from spikeva.models.snn.readout import LinearReadout
from spikeva.neurons.options import NeuronOptions


@register_model("snn_convnet")
def snn_convnet(
    in_channels: int,
    width: int = 16,
    depth: int = 4,
    grid: int = 4,
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
    spikes = Spikes(neuron, norm, per_channel, steps, **options)
    return _convnet(in_channels, width, grid, pool, [spikes] * depth, dropout, readout, readout_beta)


@register_model("snn_recurrent_convnet")
def snn_recurrent_convnet(
    in_channels: int,
    width: int = 16,
    depth: int = 4,
    recurrent: int = 2,
    grid: int = 4,
    pool: Pool = "stride",
    norm: Norm = "bn",
    readout: Readout = "membrane_last",
    readout_beta: float = 0.9,
    dropout: float = 0.0,
    steps: int | None = None,
    beta: float = 0.9,
    learn_beta: bool = False,
    kernel: int = 3,
    **options: Unpack[NeuronOptions],
) -> nn.Module:
    """`snn_convnet` of LIF neurons whose `recurrent` deepest layers hear their own spikes of the step before.

    Through a `kernel` x `kernel` convolution each (neuron "rlif"); [B, T, C, H, W] -> [B, 2]. Topology chosen here.
    """
    if not 0 <= recurrent <= depth:
        raise UserError(f"recurrent must be from 0 to depth={depth} layers, got {recurrent}")
    plain = Spikes("lif", norm, False, steps, beta=beta, learn_beta=learn_beta, **options)
    own = Spikes("rlif", norm, False, steps, beta=beta, learn_beta=learn_beta, kernel=kernel, **options)
    layers = [plain] * (depth - recurrent) + [own] * recurrent
    return _convnet(in_channels, width, grid, pool, layers, dropout, readout, readout_beta)


def _convnet(
    in_channels: int,
    width: int,
    grid: int,
    pool: Pool,
    spikes: list[Spikes],
    dropout: float,
    readout: Readout,
    readout_beta: float,
) -> SpikingModel:
    positive(in_channels=in_channels, width=width, depth=len(spikes), grid=grid)
    channels = [in_channels, *doubled(width, len(spikes))]
    body = Chain(
        *(Convolution(a, b, s, pool) for (a, b), s in zip(pairwise(channels), spikes, strict=True)),
        Folded(nn.Sequential(GridPool2d(grid), nn.Flatten(), nn.Dropout(dropout))),
    )
    return SpikingModel(body, LinearReadout(channels[-1] * grid**2, readout, readout_beta))

"""What spiking networks are made of: layers that take [T, B, ...] and a state, and return both.

A state is whatever the layer returned last, None to start from rest. Stateless parts see time and batch folded into one
axis, in every backend: so BatchNorm's statistics are over time and batch alike.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models.ann.checks import check_input
from spikeva.models.snn.options import Norm, Pool
from spikeva.models.snn.pool import MaxPool2d
from spikeva.models.snn.sparse.conv import SparseConv2d
from spikeva.neurons import NEURONS, make_neuron
from spikeva.neurons.base import Neuron
from spikeva.neurons.bnlif import fuses


class Folded(nn.Module):
    """A stateless module over T*B: [T, B, ...] -> [T, B, ...]."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        return self.module(x.flatten(0, 1)).unflatten(0, x.shape[:2]), None


class Chain(nn.Sequential):
    """Layers one after the other; its state is the tuple of theirs."""

    def forward(self, x: Tensor, state: tuple[Any, ...] | None = None) -> tuple[Tensor, tuple[Any, ...]]:
        states = []
        for layer, before in zip(self, state or (None,) * len(self), strict=True):
            x, after = layer(x, before)
            states.append(after)
        return x, tuple(states)


class NormNeuron(nn.Module):
    """A norm, then a neuron, which takes in the sum with a `shortcut` [T, B, ...] where one is given."""

    def __init__(self, norm: nn.Module, neuron: Neuron) -> None:
        super().__init__()
        self.norm, self.neuron = norm, neuron

    def forward(
        self, x: Tensor, state: tuple[Any, Any] | None = None, shortcut: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, Any]]:
        of_norm, of_neuron = state or (None, None)
        if isinstance(self.norm, Folded) and fuses(self.norm.module, self.neuron):
            x, of_neuron = self.neuron(x, of_neuron, norm=self.norm.module, shortcut=shortcut)
            return x, (None, of_neuron)
        x, of_norm = self.norm(x, of_norm)
        x, of_neuron = self.neuron(x if shortcut is None else x + shortcut, of_neuron)
        return x, (of_norm, of_neuron)


class ThresholdBatchNorm2d(nn.BatchNorm2d):
    """tdBN: BatchNorm over time and batch whose output has the standard deviation of the threshold, `theta`.

    Zheng et al. 2021 ("Going deeper with directly-trained larger spiking neural networks"), with alpha = 1.
    """

    def __init__(self, channels: int, theta: float) -> None:
        super().__init__(channels)
        self.theta = theta

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.theta


class PerStepBatchNorm2d(nn.Module):
    """BNTT: statistics and scale of their own for each of `steps` time steps, no shift; [T, B, C, H, W] -> same.

    Kim & Panda 2021 ("Revisiting batch normalization for training low-latency deep spiking neural networks from
    scratch"). Its state is the number of steps seen. Raises UserError for a sequence longer than `steps`.
    """

    def __init__(self, channels: int, steps: int, theta: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList()
        for _ in range(steps):
            norm = nn.BatchNorm2d(channels)
            nn.init.constant_(norm.weight, theta)
            norm.register_parameter("bias", None)
            self.norms.append(norm)

    def forward(self, x: Tensor, state: int | None = None) -> tuple[Tensor, int]:
        start = state or 0
        if start + len(x) > len(self.norms):
            raise UserError(
                f"norm='bntt' was built for {len(self.norms)} time steps, got {start + len(x)}; build the model with "
                f"steps={start + len(x)}"
            )
        return torch.stack([self.norms[start + t](step) for t, step in enumerate(x)]), start + len(x)


def make_norm(norm: Norm, channels: int, *, theta: float, steps: int | None) -> nn.Module:
    """The layer called `norm` for `channels` channels: [T, B, C, H, W] and a state in and out.

    At first its output has the standard deviation `theta`, so that neurons fire whatever their threshold is.
    """
    if norm == "bn":
        batch_norm = nn.BatchNorm2d(channels)
        nn.init.constant_(batch_norm.weight, theta)
        return Folded(batch_norm)
    if norm == "tdbn":
        return Folded(ThresholdBatchNorm2d(channels, theta))
    if norm == "bntt":
        if steps is None:
            raise UserError("norm='bntt' needs steps=, the number of time steps of a sample")
        return PerStepBatchNorm2d(channels, steps, theta)
    if norm == "none":
        return Folded(nn.Identity())
    raise UserError(f"norm must be 'bn', 'tdbn', 'bntt' or 'none', got {norm!r}")


class Spikes:
    """Builds what stands behind each convolution of a model: one place for the model's norm and neuron arguments."""

    def __init__(
        self, neuron: str, norm: Norm = "bn", per_channel: bool = False, steps: int | None = None, **options: Any
    ) -> None:
        self.neuron, self.norm, self.per_channel, self.steps, self.options = neuron, norm, per_channel, steps, options
        self.theta = float(options.get("theta", 1.0))

    def __call__(self, channels: int) -> NormNeuron:
        """Norm and neuron for `channels` channels."""
        return NormNeuron(self.norm_layer(channels), self.neuron_layer(channels))

    def norm_layer(self, channels: int) -> nn.Module:
        """The norm alone."""
        return make_norm(self.norm, channels, theta=self.theta, steps=self.steps)

    def neuron_layer(self, channels: int) -> Neuron:
        """The neuron alone. Raises UserError for one that does not spike."""
        kind = NEURONS.get(self.neuron) if self.neuron in NEURONS else Neuron
        if not kind.spiking:
            raise UserError(f"neuron {self.neuron!r} does not spike: it is a readout, not a layer of a spiking model")
        own = self.per_channel or kind.needs_channels
        return make_neuron(self.neuron, channels=channels if own else None, **self.options)

    def convolution(self, in_channels: int, channels: int, kernel: int = 3, stride: int = 1) -> Folded:
        """A convolution without a bias where a norm follows, which has one.

        Without a norm, its weights are drawn so that inputs of which a tenth are spikes give currents with the standard
        deviation of the threshold: a deeper layer then fires about as often as the one before (chosen here).
        """
        conv = SparseConv2d(in_channels, channels, kernel, stride, kernel // 2, bias=self.norm == "none")
        if conv.bias is not None:
            nn.init.normal_(conv.weight, std=self.theta / math.sqrt(0.1 * in_channels * kernel**2))
            nn.init.zeros_(conv.bias)
        return Folded(conv)


class Convolution(nn.Module):
    """Convolution (over T*B), norm, neuron, and pooling where `pool` is not a stride; halves height and width."""

    def __init__(self, in_channels: int, channels: int, spikes: Spikes, pool: Pool = "stride") -> None:
        super().__init__()
        self.conv = spikes.convolution(in_channels, channels, stride=2 if pool == "stride" else 1)
        self.spikes = spikes(channels)
        self.pool = None if pool == "stride" else Folded(nn.AvgPool2d(2) if pool == "avg" else MaxPool2d(2))

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        x, state = self.spikes(self.conv(x)[0], state)
        return (x if self.pool is None else self.pool(x)[0]), state


class SpikingModel(nn.Module):
    """Body and readout: [B, T, C, H, W] -> [B, 2]; `steps` serves sequences in parts."""

    def __init__(self, body: nn.Module, readout: nn.Module) -> None:
        super().__init__()
        self.body, self.readout = body, readout

    def steps(self, x: Tensor, state: tuple[Any, Any] | None = None) -> tuple[Tensor, tuple[Any, Any]]:
        """(prediction after every step [T, B, 2], state) for `x` [T, B, C, H, W], going on from `state`."""
        of_body, of_readout = state or (None, None)
        features, of_body = self.body(x, of_body)
        predictions, of_readout = self.readout(features, of_readout)
        return predictions, (of_body, of_readout)

    def forward(self, x: Tensor) -> Tensor:
        """(valence, arousal) [B, 2] after the last step of `x` [B, T, C, H, W]."""
        check_input(x)
        return self.steps(x.transpose(0, 1))[0][-1]

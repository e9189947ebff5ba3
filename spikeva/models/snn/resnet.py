"""Spiking ResNet-18s: the baseline's twin, SEW-ResNet, and our reading of Spiking-FER.

He et al. 2016 for the topology. The twin fires after the addition, where the ReLU was, or adds currents past its neurons
(after MS-ResNet, "membrane shortcut": Hu et al. 2024, "Advancing spiking neural networks toward deep residual learning", arXiv
2112.08954); SEW-ResNet ("spike-element-wise", Fang et al. 2021, "Deep residual learning in spiking neural networks") fires
before it and adds spikes.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models import register_model
from spikeva.models.ann.checks import check_input, positive
from spikeva.models.ann.fusion import Fusion
from spikeva.models.ann.options import FusionKind, Stem
from spikeva.models.snn.layers import Chain, Folded, NormNeuron, Spikes, SpikingModel
from spikeva.models.snn.options import Connect, Norm, Readout, Shortcut
from spikeva.models.snn.pool import MaxPool2d
from spikeva.models.snn.readout import LinearReadout
from spikeva.neurons.base import Neuron

CONNECT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda main, skip: main + skip,
    "iand": lambda main, skip: (1 - main) * skip,
}


class TwinBlock(nn.Module):
    """Two ways from input to output, and norm and neuron at the end of the main one, which fires on the sum of both."""

    def __init__(self, main: Chain, skip: Chain, end: NormNeuron) -> None:
        super().__init__()
        self.main, self.skip, self.end = main, skip, end

    def forward(self, x: Tensor, state: tuple[Any, Any, Any] | None = None) -> tuple[Tensor, tuple[Any, Any, Any]]:
        of_main, of_skip, of_end = state or (None, None, None)
        y, of_main = self.main(x, of_main)
        x, of_skip = self.skip(x, of_skip)
        y, of_end = self.end(y, of_end, shortcut=x)
        return y, (of_main, of_skip, of_end)


class MembraneBlock(nn.Module):
    """A neuron in front of two ways from its spikes to currents, which are added; without a `skip`, that way is past the neuron."""

    def __init__(self, neuron: Neuron, main: Chain, skip: Chain | None) -> None:
        super().__init__()
        self.neuron, self.main, self.skip = neuron, main, skip

    def forward(self, x: Tensor, state: tuple[Any, Any, Any] | None = None) -> tuple[Tensor, tuple[Any, Any, Any]]:
        of_neuron, of_main, of_skip = state or (None, None, None)
        spikes, of_neuron = self.neuron(x, of_neuron)
        y, of_main = self.main(spikes, of_main)
        if self.skip is not None:
            x, of_skip = self.skip(spikes, of_skip)
        return y + x, (of_neuron, of_main, of_skip)


class SEWBlock(nn.Module):
    """Two ways from input to output that both end in spikes, brought together by `connect`."""

    def __init__(self, main: Chain, skip: Chain, connect: Connect) -> None:
        super().__init__()
        self.main, self.skip, self.connect = main, skip, connect

    def forward(self, x: Tensor, state: tuple[Any, Any] | None = None) -> tuple[Tensor, tuple[Any, Any]]:
        of_main, of_skip = state or (None, None)
        y, of_main = self.main(x, of_main)
        x, of_skip = self.skip(x, of_skip)
        return CONNECT[self.connect](y, x), (of_main, of_skip)


def twin_block(in_channels: int, channels: int, stride: int, spikes: Spikes) -> TwinBlock:
    """The basic block with neurons for its ReLUs: the second fires on the sum."""
    skip = Chain()
    if stride != 1 or in_channels != channels:
        skip = Chain(spikes.convolution(in_channels, channels, 1, stride), spikes.norm_layer(channels))
    main = Chain(
        spikes.convolution(in_channels, channels, 3, stride),
        spikes(channels),
        spikes.convolution(channels, channels),
    )
    return TwinBlock(main, skip, spikes(channels))


def membrane_block(in_channels: int, channels: int, stride: int, spikes: Spikes) -> MembraneBlock:
    """The basic block with its neurons moved in front of the convolutions, as ResNet v2 moves its ReLUs (He et al. 2016b).

    As there, a shortcut with a convolution starts behind the first neuron; MS-ResNet's takes the currents, which are no spikes.
    """
    skip = None
    if stride != 1 or in_channels != channels:
        skip = Chain(spikes.convolution(in_channels, channels, 1, stride), spikes.norm_layer(channels))
    main = Chain(
        spikes.convolution(in_channels, channels, 3, stride),
        spikes(channels),
        spikes.convolution(channels, channels),
        spikes.norm_layer(channels),
    )
    return MembraneBlock(spikes.neuron_layer(in_channels), main, skip)


def sew_block(in_channels: int, channels: int, stride: int, spikes: Spikes, connect: Connect) -> SEWBlock:
    """The SEW block: both ways have norm and neuron of their own."""
    skip = Chain()
    if stride != 1 or in_channels != channels:
        skip = Chain(spikes.convolution(in_channels, channels, 1, stride), spikes(channels))
    main = Chain(
        spikes.convolution(in_channels, channels, 3, stride),
        spikes(channels),
        spikes.convolution(channels, channels),
        spikes(channels),
    )
    return SEWBlock(main, skip, connect)


SHORTCUT: dict[str, Callable[[int, int, int, Spikes], nn.Module]] = {"spikes": twin_block, "membrane": membrane_block}


class GlobalMean(nn.Module):
    """[N, C, H, W] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))


def resnet18_body(
    in_channels: int,
    width: int,
    stem: Stem,
    spikes: Spikes,
    block: Callable[[int, int, int, Spikes], nn.Module],
    fires_last: bool = False,
) -> Chain:
    """[T, B, C, H, W] -> [T, B, 8 width]: ResNet-18 up to its global average, eight of `block` behind the stem.

    The stem's neuron stands behind the blocks where it `fires_last`; its norm then comes after pooling, because the largest
    of nine currents is far above their mean.
    """
    positive(in_channels=in_channels, width=width)
    first = (
        spikes.convolution(in_channels, width, 7, 2) if stem == "imagenet" else spikes.convolution(in_channels, width)
    )
    pool = [Folded(MaxPool2d(3, 2, 1))] if stem == "imagenet" else []
    behind = [*pool, spikes.norm_layer(width)] if fires_last else [spikes(width), *pool]
    layers: list[nn.Module] = [first, *behind]
    before = width
    for i, channels in enumerate((width, 2 * width, 4 * width, 8 * width)):
        layers += [block(before, channels, 1 if i == 0 else 2, spikes), block(channels, channels, 1, spikes)]
        before = channels
    if fires_last:
        layers.append(spikes.neuron_layer(before))
    return Chain(*layers, Folded(GlobalMean()))


@register_model("snn_resnet18_fusion")
class SNNResNet18Fusion(nn.Module):
    """The baseline's own topology with spiking neurons: [B, T, C, H, W] -> [B, 2], with the parameters of the baseline.

    One spiking ResNet-18 sees T = `frames` x s time steps with its state carried; the spike rates of each frame's s steps
    are fused as in `ann_resnet18_fusion`. `repeat` shows every time step several times (direct coding), for encodings of
    one step a frame. The reading of the paper is that of the baseline; rates as its features are chosen here.

    `shortcut`: what passes by a block's convolutions, "spikes" (a block fires on the sum, where the ReLU was) or the "membrane"'s
    currents (neurons stand in front of the convolutions). Both have as many neurons and parameters.
    """

    def __init__(
        self,
        in_channels: int,
        frames: int = 4,
        width: int = 64,
        stem: Stem = "imagenet",
        fusion: FusionKind = "concat",
        shortcut: Shortcut = "spikes",
        repeat: int = 1,
        norm: Norm = "bn",
        dropout: float = 0.0,
        steps: int | None = None,
        per_channel: bool = False,
        neuron: str = "lif",
        **options: Any,
    ) -> None:
        super().__init__()
        positive(repeat=repeat)
        self.frames, self.repeat = frames, repeat
        spikes = Spikes(neuron, norm, per_channel, steps, **options)
        self.body = resnet18_body(
            in_channels, width, stem, spikes, SHORTCUT[shortcut], fires_last=shortcut == "membrane"
        )
        self.fusion = Fusion(8 * width, frames, fusion, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(valence, arousal) [B, 2] at the newest frame. Raises UserError where T is no multiple of the frames."""
        check_input(x)
        if x.shape[1] % self.frames:
            raise UserError(
                f"the model was made for frames={self.frames} but got T={x.shape[1]} time steps, which do not part into "
                "that many frames; set `frames` to the number of windows of a sample"
            )
        if self.repeat > 1:
            x = x.repeat_interleave(self.repeat, 1)
        spikes, _ = self.body(x.transpose(0, 1))
        rates = spikes.unflatten(0, (self.frames, -1)).mean(1)
        return self.fusion(rates.transpose(0, 1))


@register_model("snn_sew_resnet18")
def snn_sew_resnet18(
    in_channels: int,
    width: int = 64,
    stem: Stem = "imagenet",
    connect: Connect = "add",
    norm: Norm = "bn",
    readout: Readout = "membrane_mean",
    readout_beta: float = 0.9,
    steps: int | None = None,
    per_channel: bool = False,
    neuron: str = "lif",
    **options: Any,
) -> nn.Module:
    """SEW-ResNet-18: [B, T, C, H, W] -> [B, 2]; `connect` adds spikes ("add") or lets those of a block hold back what
    came in ("iand"). The "and" of the paper is left out: it multiplies rates, and deep layers fall silent.
    """
    spikes = Spikes(neuron, norm, per_channel, steps, **options)
    body = resnet18_body(in_channels, width, stem, spikes, lambda a, b, stride, s: sew_block(a, b, stride, s, connect))
    return SpikingModel(body, LinearReadout(8 * width, readout, readout_beta))


@register_model("snn_spiking_fer")
def snn_spiking_fer(
    in_channels: int,
    width: int = 64,
    stem: Stem = "imagenet",
    binarize: bool = True,
    norm: Norm = "bn",
    steps: int | None = None,
    per_channel: bool = False,
    neuron: str = "if",
    surrogate: str = "atan",
    **options: Any,
) -> nn.Module:
    """Our reading of Spiking-FER (Barchid et al., CBMI 2023) for two outputs: [B, T, C, H, W] -> [B, 2].

    SEW-ResNet-18 ("add") with integrate-and-fire neurons, hard detached reset and the ATan surrogate, on binary frames
    (`binarize`: any value above 0 is 1), read out as the mean over time of a linear layer.
    """
    options |= {"norm": norm, "steps": steps, "per_channel": per_channel, "neuron": neuron, "surrogate": surrogate}
    model = snn_sew_resnet18(in_channels, width, stem, readout="count", **options)
    return Binarized(model) if binarize else model


class Binarized(nn.Module):
    """A model on inputs of which only `> 0` counts."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model((x > 0).to(x.dtype))

"""A small convolutional network over frames: the twin of `snn_convnet`, layer by layer and parameter by parameter."""

from itertools import pairwise

from torch import Tensor, nn

from spikeva.models import register_model
from spikeva.models.ann.checks import check_input, doubled, positive
from spikeva.models.grid_pool import GridPool2d


class Block(nn.Module):
    """A 3 x 3 convolution by stride 2, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


@register_model("ann_convnet")
class ANNConvNet(nn.Module):
    """`[B, T, C, H, W]` -> `[B, 2]`: `depth` 3 x 3 convolutions, a linear readout, the mean over T.

    Each convolution halves the picture and doubles the channels, from `width`; the features are averaged over a `grid` x
    `grid`. Each frame is seen alone and their order has no effect. Topology chosen here.
    """

    def __init__(self, in_channels: int, width: int = 16, depth: int = 4, grid: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        positive(in_channels=in_channels, width=width, depth=depth, grid=grid)
        channels = [in_channels, *doubled(width, depth)]
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(channels)))
        self.pool = nn.Sequential(GridPool2d(grid), nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(channels[-1] * grid**2, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        check_input(x)
        features = self.pool(self.blocks(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        return self.head(features.mean(1))

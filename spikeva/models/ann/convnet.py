"""A small convolutional network over frames: the twin of `snn_convnet`, layer by layer and parameter by parameter."""

from itertools import pairwise

from torch import Tensor, nn

from spikeva.models import register_model
from spikeva.models.ann.resnet import check_input, positive


class Block(nn.Module):
    """A 3 x 3 convolution by stride 2, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))  # type: ignore[no-any-return]


@register_model("ann_convnet")
class ANNConvNet(nn.Module):
    """`[B, T, C, H, W]` -> `[B, 2]`: four blocks of `width * (1, 2, 4, 8)` channels, averaged over picture and time.

    Each frame is seen alone and the order of frames has no effect. Chosen here; Kaiming initialisation.
    """

    def __init__(self, in_channels: int, width: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        positive(in_channels=in_channels, width=width)
        sizes = [in_channels, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(sizes)))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8 * width, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        check_input(x)
        features = self.blocks(x.flatten(0, 1)).mean((-2, -1)).unflatten(0, x.shape[:2])
        return self.head(self.dropout(features.mean(1)))  # type: ignore[no-any-return]

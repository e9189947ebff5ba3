"""R(2+1)D-18: convolutions over space, then over time, with batch normalisation and ReLU between them.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018. Its state_dict has
torchvision's names, so torchvision's Kinetics-400 weights load; torchvision itself is not needed.
"""

from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models import register_model
from spikeva.models.ann.checks import check_input, positive
from spikeva.models.ann.weights import load_exactly, read_weights, spread_channels

KINETICS_URL = "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth"  # torchvision's KINETICS400_V1


def _factorised(in_channels: int, channels: int, middle: int, stride: int) -> nn.Sequential:
    """A 3 x 3 convolution over space to `middle` channels, then one of 3 steps over time."""
    return nn.Sequential(
        nn.Conv3d(in_channels, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, channels, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class Block(nn.Module):
    """Two factorised convolutions and the way around them; `middle` gives them the parameters of full 3-D ones."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        middle = (in_channels * channels * 27) // (in_channels * 9 + 3 * channels)
        self.conv1 = nn.Sequential(
            _factorised(in_channels, channels, middle, stride), nn.BatchNorm3d(channels), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(_factorised(channels, channels, middle, 1), nn.BatchNorm3d(channels))
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm3d(channels)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.conv1(x)) + self.downsample(x))


@register_model("ann_r2plus1d_18")
class ANNR2Plus1D18(nn.Module):
    """`[B, T, C, H, W]` -> `[B, 2]`: R(2+1)D-18 over the frames, averaged over space and time. Any T.

    `pretrained`: "kinetics" or the path of a state_dict.
    """

    def __init__(self, in_channels: int, width: int = 64, dropout: float = 0.0, pretrained: str | None = None) -> None:
        super().__init__()
        positive(in_channels=in_channels, width=width)
        stem = max(1, 45 * width // 64)
        self.stem = nn.Sequential(
            nn.Conv3d(in_channels, stem, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(stem),
            nn.ReLU(inplace=True),
            nn.Conv3d(stem, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        self.layer1 = nn.Sequential(Block(width, width, 1), Block(width, width, 1))
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2), Block(2 * width, 2 * width, 1))
        self.layer3 = nn.Sequential(Block(2 * width, 4 * width, 2), Block(4 * width, 4 * width, 1))
        self.layer4 = nn.Sequential(Block(4 * width, 8 * width, 2), Block(8 * width, 8 * width, 1))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8 * width, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if pretrained is not None:
            self._load_pretrained(pretrained, width)

    def _load_pretrained(self, source: str, width: int) -> None:
        if width != 64:
            raise UserError(f"pretrained weights are for width 64, not {width}; change it or leave `pretrained` out")
        state = read_weights(source, "kinetics", KINETICS_URL)
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        state["stem.0.weight"] = spread_channels(state.get("stem.0.weight"), self.stem[0].in_channels)  # type: ignore[arg-type]  # a stem's first layer is a convolution
        state |= {name: value for name, value in self.state_dict().items() if name.startswith("head.")}
        load_exactly(self, state, source)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x.transpose(1, 2))))))
        return self.head(self.dropout(x.mean((-3, -2, -1))))

"""ResNet-18 (He et al., 2016) in any width, for any number of input channels.

Its state_dict has torchvision's names, so torchvision's ImageNet weights load; torchvision itself is not needed.
"""

from typing import get_args

from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models.ann.checks import one_of, positive
from spikeva.models.ann.options import Stem
from spikeva.models.ann.weights import load_exactly, read_weights, spread_channels

IMAGENET_URL = (
    "https://download.pytorch.org/models/resnet18-f37072fd.pth"  # torchvision's ResNet18_Weights.IMAGENET1K_V1
)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the way around them."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.act2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(out + self.downsample(x))


class ResNet18(nn.Module):
    """`[N, C, H, W]` -> `[N, features]`, `features = 8 * width`: ResNet-18 up to its global average pooling.

    stem "imagenet" is the original's (7 x 7 by stride 2, then max pooling: pictures of 100 pixels and more), "small"
    the CIFAR form (3 x 3, no stride, no pooling: sixteen times the positions).
    """

    def __init__(self, in_channels: int, width: int = 64, stem: Stem = "imagenet") -> None:
        super().__init__()
        positive(in_channels=in_channels, width=width)
        one_of("stem", stem, get_args(Stem))
        self.width, self.stem, self.features = width, stem, 8 * width
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(3, 2, 1)
        else:
            self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(*self._stage(width, width, 1))
        self.layer2 = nn.Sequential(*self._stage(width, 2 * width, 2))
        self.layer3 = nn.Sequential(*self._stage(2 * width, 4 * width, 2))
        self.layer4 = nn.Sequential(*self._stage(4 * width, 8 * width, 2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(in_channels: int, channels: int, stride: int) -> tuple[nn.Module, nn.Module]:
        return BasicBlock(in_channels, channels, stride), BasicBlock(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((-2, -1))

    def load_pretrained(self, source: str) -> None:
        """Load ImageNet weights from a file with torchvision's names, or "imagenet" (torch's cache, else a download).

        The first convolution's colour filters are summed (a grey picture's response) and spread evenly over the input
        channels. Raises UserError where the weights do not fit this network or cannot be had, and says where it looked.
        """
        if self.stem != "imagenet" or self.width != 64:
            raise UserError(
                f"pretrained weights are for stem 'imagenet' and width 64, not {self.stem!r} and {self.width}; "
                "change these or leave `pretrained` out"
            )
        state = read_weights(source, "imagenet", IMAGENET_URL)
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        state["conv1.weight"] = spread_channels(state.get("conv1.weight"), self.conv1.in_channels)
        load_exactly(self, state, source)

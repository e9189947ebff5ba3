"""ResNet-18 per frame, then an LSTM or a transformer over frames; (v, a) at the newest frame."""

import math

import torch
from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models import register_model
from spikeva.models.ann.checks import check_input, positive
from spikeva.models.ann.options import Stem
from spikeva.models.ann.resnet import ResNet18


@register_model("ann_resnet18_lstm")
class ANNResNet18LSTM(nn.Module):
    """`[B, T, C, H, W]` -> `[B, 2]`: a one-way LSTM over the frames' features, read out at the newest frame. Any T."""

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        stem: Stem = "imagenet",
        hidden: int = 256,
        layers: int = 1,
        dropout: float = 0.0,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        positive(hidden=hidden, layers=layers)
        self.backbone = ResNet18(in_channels, width, stem)
        self.lstm = nn.LSTM(
            self.backbone.features, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 2)
        if pretrained is not None:
            self.backbone.load_pretrained(pretrained)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x)
        states, _ = self.lstm(self.backbone(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return self.head(self.dropout(states[:, -1]))


@register_model("ann_resnet18_transformer")
class ANNResNet18Transformer(nn.Module):
    """`[B, T, C, H, W]` -> `[B, 2]`: a pre-norm transformer over the frames, read out at the newest. Any T.

    Sinusoidal positions count back from the newest frame (Vaswani et al., 2017), so that it stands at the same place
    for every T. Feed-forward layers are twice as wide as the features (chosen here).
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        stem: Stem = "imagenet",
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.0,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        positive(heads=heads, layers=layers)
        self.backbone = ResNet18(in_channels, width, stem)
        features = self.backbone.features
        if features % heads:
            raise UserError(f"heads must divide the {features} features (8 * width), as {heads} does not")
        block = nn.TransformerEncoderLayer(
            features, heads, 2 * features, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(block, layers, nn.LayerNorm(features), enable_nested_tensor=False)
        self.head = nn.Linear(features, 2)
        if pretrained is not None:
            self.backbone.load_pretrained(pretrained)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x)
        features = self.backbone(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head(self.encoder(features + _positions(features))[:, -1])


def _positions(features: Tensor) -> Tensor:
    """Sinusoidal codes `[T, F]` of the frames of `[B, T, F]`; the newest frame is at 0."""
    frames, size = features.shape[1:]
    age = torch.arange(frames - 1, -1, -1, device=features.device, dtype=torch.float32)
    rate = torch.exp(torch.arange(0, size, 2, device=features.device) * (-math.log(10_000) / size))
    angle = age[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).to(features.dtype)

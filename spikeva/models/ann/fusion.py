"""ResNet-18 on one frame, and ResNet+Fusion: one ResNet-18 shared over K frames whose features are fused.

ResNet+Fusion is our reading of the baseline of Berlincioni et al., "Neuromorphic Valence and Arousal Estimation" (2024,
arXiv 2401.16058): its code was not at hand.
"""

from typing import get_args

from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models import register_model
from spikeva.models.ann.checks import check_input, one_of, positive
from spikeva.models.ann.options import FusionKind, Stem
from spikeva.models.ann.resnet import ResNet18


class Fusion(nn.Module):
    """`[B, K, F]` -> `[B, 2]`: fuses the features of K frames, oldest first, and regresses valence and arousal.

    kind "concat" gives every frame its own weights and needs exactly `frames` frames; "mean" averages; "attention"
    averages with weights softmax(a tanh(W f)) (Bahdanau et al., 2015; hidden size F / 4 chosen here). The last two
    take any K. Raises UserError for another number of frames than "concat" was made for.
    """

    def __init__(self, features: int, frames: int, kind: FusionKind = "concat", dropout: float = 0.0) -> None:
        super().__init__()
        positive(frames=frames)
        one_of("fusion", kind, get_args(FusionKind))
        self.kind, self.frames = kind, frames
        self.dropout = nn.Dropout(dropout)
        if kind == "attention":
            self.score = nn.Sequential(nn.Linear(features, features // 4), nn.Tanh(), nn.Linear(features // 4, 1))
        self.head = nn.Linear(features * frames if kind == "concat" else features, 2)

    def forward(self, features: Tensor) -> Tensor:
        if self.kind == "concat":
            if features.shape[1] != self.frames:
                raise UserError(
                    f"the model was made for frames={self.frames} but got T={features.shape[1]}: "
                    "concatenation has weights for each frame; set `frames`, or use fusion='mean' or 'attention'"
                )
            fused = features.flatten(1)
        elif self.kind == "mean":
            fused = features.mean(1)
        else:
            fused = (self.score(features).softmax(1) * features).sum(1)
        return self.head(self.dropout(fused))


@register_model("ann_resnet18")
class ANNResNet18(nn.Module):
    """`[B, T, C, H, W]` -> `[B, 2]`: ResNet-18 on the newest frame; older frames are not looked at."""

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        stem: Stem = "imagenet",
        dropout: float = 0.0,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        self.backbone = ResNet18(in_channels, width, stem)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.features, 2)
        if pretrained is not None:
            self.backbone.load_pretrained(pretrained)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x)
        return self.head(self.dropout(self.backbone(x[:, -1])))


@register_model("ann_resnet18_fusion")
class ANNResNet18Fusion(nn.Module):
    """`[B, K, C, H, W]` -> `[B, 2]`: one ResNet-18 shared over K frames, features fused, (v, a) at the newest frame.

    `frames` is K (only fusion "concat" depends on it). `pretrained`: "imagenet" or the path of a state_dict.
    """

    def __init__(
        self,
        in_channels: int,
        frames: int = 4,
        width: int = 64,
        stem: Stem = "imagenet",
        fusion: FusionKind = "concat",
        dropout: float = 0.0,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        self.backbone = ResNet18(in_channels, width, stem)
        self.fusion = Fusion(self.backbone.features, frames, fusion, dropout)
        if pretrained is not None:
            self.backbone.load_pretrained(pretrained)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x)
        return self.fusion(self.backbone(x.flatten(0, 1)).unflatten(0, x.shape[:2]))

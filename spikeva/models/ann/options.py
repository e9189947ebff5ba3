"""What arguments of the ANNs, and of their spiking twins, may be, without torch, so that a config is checked in no time."""

from typing import Literal

Stem = Literal["imagenet", "small"]
FusionKind = Literal["concat", "mean", "attention"]

"""What the arguments of spiking models may be, without torch, so that a config is checked in no time."""

from typing import Literal

Norm = Literal["bn", "tdbn", "bntt", "none"]
Pool = Literal["stride", "avg", "max"]
Readout = Literal["membrane_last", "membrane_mean", "count", "weighted"]
Connect = Literal["add", "iand"]
Shortcut = Literal["spikes", "membrane"]

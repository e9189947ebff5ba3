"""The fused kernels as PyTorch operators, so that autograd, torch.compile, export, autocast and checkpointing know them.

`spikeva::scan` runs if, lif, plif, alif and cuba over the whole time axis, with or without a BatchNorm of its input in the
same pass; its backward is written by hand. Saved for it: the input, and on a GPU the state every few steps.
"""

from importlib.util import find_spec
from math import prod
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from spikeva.neurons.alif import alif_step
from spikeva.neurons.base import Run, State, Step
from spikeva.neurons.cuba import cuba_step
from spikeva.neurons.fused_layout import ALIF, CUBA, LIF, RESETS, Dynamics, laid_out, strides_of
from spikeva.neurons.lif import lif_step
from spikeva.neurons.surrogates import ATan, FastSigmoid, Sigmoid, StraightThrough, SuperSpike, Surrogate, Triangle

# step: (kind, its parameters in the order of the kernels, place of v and of the second state among the states)
KINDS: dict[Step, tuple[int, tuple[str, ...], tuple[int, ...]]] = {
    lif_step: (LIF, ("beta", "theta"), (0,)),
    alif_step: (ALIF, ("beta", "theta", "rho", "gamma"), (0, 1)),
    cuba_step: (CUBA, ("beta", "theta", "alpha"), (1, 0)),
}
STEPS = frozenset(KINDS)
SURROGATES: dict[type[Surrogate], int] = {
    FastSigmoid: 0, SuperSpike: 0, ATan: 1, Sigmoid: 2, Triangle: 3, StraightThrough: 4,
}  # fmt: skip

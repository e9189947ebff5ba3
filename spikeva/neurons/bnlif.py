"""BatchNorm and neuron in one pass: the normalised input is never written to memory.

Statistics are summed in float64: with float32 partial sums a few inputs fall on the other side of the threshold.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from spikeva.errors import UserError
from spikeva.neurons import fused, fused_ops
from spikeva.neurons.base import Neuron, Run, State
from spikeva.neurons.fused_layout import affine_of

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fuses(norm: nn.Module, neuron: nn.Module) -> bool:
    """Whether `neuron` can take `norm` into its own pass; where not, call one after the other.

    It can where the norm is a plain BatchNorm in float32 without hooks, and the neuron's backend is "fused".
    """
    watched = norm._forward_hooks or norm._forward_pre_hooks or norm._backward_hooks or norm._backward_pre_hooks
    return (
        type(norm) in NORMS
        and not watched
        and (norm.weight is None or norm.weight.dtype == torch.float32)
        and type(neuron).forward is Neuron.forward
        and neuron.backend == "fused"
    )


def execute(norm: nn.Module, run: Run, shortcut: Tensor | None = None) -> tuple[Tensor, State]:
    """(spikes, last state) of a run whose input passes through BatchNorm `norm` over time and batch first, then has the
    `shortcut` added to it.

    Running statistics change as PyTorch's do. Raises ValueError for a single value per channel in training, UserError for
    another number of channels than the norm's.
    """
    assert isinstance(norm, NORMS)
    if run.x.ndim < 3 or run.x.shape[2] != norm.num_features:
        raise UserError(
            f"the BatchNorm has {norm.num_features} channels, the input is {list(run.x.shape)}: axis 2 must have as many"
        )
    joins = shortcut is None or (shortcut.shape, shortcut.dtype) == (run.x.shape, run.x.dtype)
    if fused_ops.why_not(run) is not None or run.x.numel() == 0 or not joins:
        y = norm(run.x.flatten(0, 1)).unflatten(0, run.x.shape[:2])
        return fused.execute(run._replace(x=y if shortcut is None else y + shortcut))
    running = None if norm.running_mean is None or norm.running_var is None else (norm.running_mean, norm.running_var)
    x, live = run.x, norm.training or running is None
    if running is not None and not live:
        mean, invstd = running[0], (running[1].double() + norm.eps).rsqrt().float()
        affine = torch.stack([*affine_of(mean, invstd, norm.weight, norm.bias), mean, invstd]).detach()
    else:
        if x.numel() == x.shape[2]:
            raise ValueError(f"expected more than 1 value per channel when training, got input size {list(x.shape)}")
        affine = fused_ops.statistics(x, norm.weight, norm.bias, norm.eps)
        if running is not None:
            _follow(norm, running, affine)
    return fused_ops.run_normalised(run, norm.weight, norm.bias, affine, live, shortcut)


def _follow(norm: _BatchNorm, running: tuple[Tensor, Tensor], affine: Tensor) -> None:
    with torch.no_grad():
        share = norm.momentum
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
            share = 1 / float(norm.num_batches_tracked) if share is None else share
        assert share is not None
        torch._foreach_lerp_(running, (affine[2], affine[4]), share)


class BNLIF(nn.Module):
    """BatchNorm, then a neuron: [T, B, C, ...] -> (spikes, state), in one pass where the neuron's backend is "fused".

    A `shortcut` [T, B, C, ...] is added to what the BatchNorm gives, as at the end of a residual block.

    `norm` is PyTorch's BatchNorm for T*B folded into one axis, `neuron` any neuron: both stay what they are, so
    a state_dict fits whether or not they run fused.
    """

    def __init__(self, norm: nn.Module, neuron: Neuron) -> None:
        super().__init__()
        self.norm, self.neuron = norm, neuron

    def forward(self, x: Tensor, state: State | None = None, shortcut: Tensor | None = None) -> tuple[Tensor, State]:
        if fuses(self.norm, self.neuron):
            found: tuple[Tensor, State] = self.neuron(x, state, norm=self.norm, shortcut=shortcut)
        else:
            y = self.norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            found = self.neuron(y if shortcut is None else y + shortcut, state)
        return found

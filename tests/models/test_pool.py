"""The max pooling of spiking models against PyTorch's."""

import pytest
import torch
from torch import Tensor, nn

from spikeva.models.snn.pool import MaxPool2d

WINDOWS = [(3, 2, 1), (2, None, 0), ((3, 2), (2, 1), (1, 0))]


def pooled(pool: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, int]:
    """(output, the input's gradient, bytes kept for the backward pass)."""
    leaf, kept = x.clone().requires_grad_(), 0

    def keep(t: Tensor) -> Tensor:
        nonlocal kept
        kept += t.nbytes
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        out = pool(leaf)
    (grad,) = torch.autograd.grad((out * torch.arange(out.numel()).view(out.shape).cos()).sum(), leaf)
    return out, grad, kept


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(2, 3, 9, 12), (1, 1, 200, 190), (0, 3, 9, 9)])
@pytest.mark.parametrize("spikes", [False, True])
def test_equals_pytorchs(window: tuple, shape: tuple[int, ...], spikes: bool) -> None:
    x = torch.randn(shape)
    x = (x > 0.5).float() if spikes else x
    (ours, of_ours, kept), (theirs, of_theirs, kept_by_pytorch) = (
        pooled(kind(*window), x) for kind in (MaxPool2d, nn.MaxPool2d)
    )
    assert torch.equal(ours, theirs)
    assert torch.equal(of_ours, of_theirs)
    assert kept == ours.numel() * (2 if shape[-1] < 100 else 4)
    assert kept_by_pytorch == x.nbytes + 8 * ours.numel()


def test_channels_last_and_pictures_without_a_gradient_are_pytorchs() -> None:
    x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    out = MaxPool2d(2)(x.requires_grad_())
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert not MaxPool2d(2)(x.detach()).requires_grad


@pytest.mark.parametrize("grad", [False, True])
def test_indices_are_returned_as_by_pytorch(grad: bool) -> None:
    x = torch.rand(1, 2, 4, 4, requires_grad=grad)
    found, wanted = (pool(2, return_indices=True)(x) for pool in (MaxPool2d, nn.MaxPool2d))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_who_records_is_shown_pytorchs_operator() -> None:
    program = torch.export.export(MaxPool2d(3, 2, 1), (torch.randn(1, 2, 8, 8, requires_grad=True),))
    assert "aten.max_pool2d.default" in str(program.graph)


def test_second_derivatives_in_float64() -> None:
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(MaxPool2d(2), (x,))

"""The convnets' average pooling to a grid, also on a GPU that need not be there."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from spikeva.models import create_model
from spikeva.models.grid_pool import GridPool2d


def test_is_pytorchs_on_a_cpu() -> None:
    x = torch.randn(2, 3, 6, 7, requires_grad=True)
    ours, theirs = GridPool2d(4)(x), nn.AdaptiveAvgPool2d(4)(x)
    assert torch.equal(ours, theirs)
    weights = torch.randn(ours.shape)
    grads = [torch.autograd.grad((out * weights).sum(), x)[0] for out in (ours, theirs)]
    assert torch.equal(*grads)


@pytest.mark.parametrize("side", [1, 3, 6])
@pytest.mark.parametrize("name", ["ann_convnet", "snn_convnet", "snn_recurrent_convnet"])
def test_overlapping_windows_on_a_gpu_have_their_channels_last(name: str, side: int) -> None:
    """Else PyTorch's gradient is summed by atomic additions, whose order varies from run to run."""
    pool = next(m for m in create_model(name, in_channels=2, width=4).modules() if isinstance(m, nn.AdaptiveAvgPool2d))
    with FakeTensorMode():
        pooled = pool(torch.empty(2, 3, side, side, device="cuda", requires_grad=True))
    seen = pooled.grad_fn._saved_self
    assert seen.stride() == (3 * side * side, 1, 3 * side, 3)  # of one pixel, too, which is contiguous in any order

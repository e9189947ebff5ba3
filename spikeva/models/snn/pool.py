"""A max pooling that keeps little for its backward pass."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from spikeva.neurons.fused_ops import traced


class MaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d`, bit for bit. On a CPU its backward pass keeps 2 bytes an output (4 for pictures of more than 2**15 pixels),
    where PyTorch's keeps the input and 8 bytes an output; in float64, where there may be second derivatives, it is PyTorch's.
    """

    def forward(self, input: Tensor) -> Tensor:
        plain = input.device.type == "cpu" and input.is_contiguous() and input.dtype != torch.float64
        if plain and input.requires_grad and not self.return_indices and not traced(input):
            found: Tensor = _Pooling.apply(input, self)
            return found
        pooled: Tensor = super().forward(input)
        return pooled


class _Pooling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, pool: nn.MaxPool2d) -> Tensor:
        sizes = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        ctx.window = [*([n, n] if isinstance(n, int) else [*n] for n in sizes), pool.ceil_mode]
        ctx.shape = x.shape
        out, places = torch.ops.aten.max_pool2d_with_indices(x, *ctx.window)
        ctx.save_for_backward(places.to(torch.int16 if x.shape[-2:].numel() <= 1 << 15 else torch.int32))
        found: Tensor = out
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        like = grad.new_empty(()).expand(ctx.shape)  # the input, of which PyTorch looks at the shape alone
        backward = torch.ops.aten.max_pool2d_with_indices_backward
        return backward(grad.contiguous(), like, *ctx.window, places.long()), None

"""A convolution that costs what its non-zero inputs cost: spikes and events are mostly zeros.

On a CPU the forward pass and the gradient of the weights go over the inputs that are not 0. The backward pass keeps these in place
of the whole input, 2 bytes a spike. The gradient of the input has no zeros to leave out: with a stride of 2 it is computed in fewer
products, else it is PyTorch's. So is everything else where this would not pay: on other devices, for dense inputs, for few output
pixels, and wherever somebody records operators (torch.compile, export, counters). Chosen here.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from spikeva.neurons.fused_ops import first_derivatives, traced

if TYPE_CHECKING or find_spec("numba"):
    from spikeva.models.snn.sparse import inputs, products

AVAILABLE = find_spec("numba") is not None
MOST = 0.4  # share of inputs that are not 0 above which the dense convolution is faster (measured)
TAPS = 2  # of the kernel that an input meets: below that, looking for what is not 0 does not pay (measured)
PIXELS = 64  # of all outputs: below that, reading the weights is all the work there is (measured)
PRODUCTS = 1 << 23  # of the dense convolution: below that, it takes no longer than the calls do (measured)


class SparseConv2d(nn.Conv2d):
    """`nn.Conv2d`: the same parameters and, up to rounding, the same results, without the products with 0.

    Where the products are left out, a picture's result does not depend on what else is in the batch nor on the number of threads.
    """

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight  # read once: a parametrised weight is computed when it is read
        if self._fits(input, weight) and not traced(input):
            present = inputs.find(input, weight.shape, self.stride[0], int(self.padding[0]), MOST)
            if present is not None:
                found: Tensor = SparseConvolution.apply(input, weight, self.bias, present)
                return found
        return self._conv_forward(input, weight, self.bias)

    def _fits(self, x: Tensor, weight: Tensor) -> bool:
        return (
            AVAILABLE
            and x.ndim == 4
            and x.shape[1] == self.in_channels
            and x.device.type == weight.device.type == "cpu"
            and x.dtype == weight.dtype == torch.float32
            and x.is_contiguous()
            and self.groups == 1
            and self.dilation == (1, 1)
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and all(len(set(pair)) == 1 for pair in (self.kernel_size, self.stride, self.padding))
            and self.out_channels % 8 == 0
            and not torch.is_autocast_enabled("cpu")
            and self._pays(x, weight)
        )

    def _pays(self, x: Tensor, weight: Tensor) -> bool:
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        height, width = (max(0, (n + 2 * padding - kernel) // stride + 1) for n in x.shape[2:])
        pixels = len(x) * height * width
        return kernel**2 >= TAPS * stride**2 and pixels >= PIXELS and pixels * weight.numel() >= PRODUCTS


class SparseConvolution(torch.autograd.Function):
    """The convolution of x [N, C, H, W] of which `present` are the inputs that are not 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, present: Any) -> Tensor:
        # as tensors, so that checkpointing may drop and offloading may move them
        ctx.save_for_backward(weight, *map(torch.from_numpy, (present.starts, present.places, present.values)))
        ctx.how, ctx.shape = (present.tiling, present.out), x.shape
        return products.outputs(present, weight, bias)

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, *arrays = ctx.saved_tensors
        present, grad = inputs.Inputs(*ctx.how, *(a.numpy() for a in arrays)), grad.contiguous()
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = products.input_gradient(present.tiling, grad, weight, ctx.shape)
        if ctx.needs_input_grad[1]:
            of_weight = products.weight_gradient(present, grad, weight.shape)
        if ctx.needs_input_grad[2]:
            of_bias = grad.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None

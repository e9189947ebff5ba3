"""The gradient of a strided convolution's input is PyTorch's, for every size, and the same bits however it is computed."""

import ctypes
import mmap
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.grad import conv2d_input

from spikeva.models.snn.sparse import conv as sparse
from spikeva.models.snn.sparse import strided
from spikeva.models.snn.sparse.conv import SparseConv2d


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def problem(shape: tuple[int, ...], deep: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Gradient of the outputs and weights, for inputs of the shape."""
    (images, channels, height, width), generator = shape, torch.Generator().manual_seed(seed)
    grad = torch.randn(images, deep, (height + 1) // 2, (width + 1) // 2, generator=generator)
    return grad, torch.randn(deep, channels, 3, 3, generator=generator)


def wanted(grad: Tensor, weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    return conv2d_input(shape, weight.double(), grad.double(), stride=2, padding=1)


@settings(max_examples=60)
@given(
    images=st.integers(1, 5),
    channels=st.sampled_from((4, 8, 12)),
    height=st.integers(1, 40),
    width=st.integers(1, 70),
    deep=st.integers(1, 70),
    lanes=st.sampled_from((8, 16)),
    seed=st.integers(0, 99),
)
def test_equals_the_dense_gradient(
    images: int, channels: int, height: int, width: int, deep: int, lanes: int, seed: int
) -> None:
    shape = images, channels, height, width
    grad, weight = problem(shape, deep, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strided, "LANES", lanes)
        found = strided.input_gradient(grad, weight, shape)
    assert (found.shape, found.dtype) == (shape, torch.float32)
    exact = wanted(grad, weight, shape)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=5e-6 * float(exact.abs().max()))


def test_the_same_bits_on_any_number_of_threads_in_any_batch_and_of_any_vectors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shape = 7, 8, 33, 38
    grad, weight = problem(shape, 70)
    torch.set_num_threads(1)
    first = strided.input_gradient(grad, weight, shape)
    alone = [strided.input_gradient(g[None], weight, (1, *shape[1:])) for g in grad]
    assert torch.equal(torch.cat(alone), first)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert torch.equal(strided.input_gradient(grad, weight, shape), first)
    for lanes in (8, 16):
        monkeypatch.setattr(strided, "LANES", lanes)
        assert torch.equal(strided.input_gradient(grad, weight, shape), first)


def test_a_row_and_a_column_that_are_no_numbers_stay_near() -> None:
    shape = 2, 4, 40, 40
    grad, weight = problem(shape, 8)
    grad[1, :, 9] = torch.nan
    grad[0, :, :, 19] = torch.inf
    found, exact = strided.input_gradient(grad, weight, shape), wanted(grad, weight, shape)
    assert torch.equal(found.isfinite(), exact.isfinite())
    sound = exact.isfinite()
    torch.testing.assert_close(found.double()[sound], exact[sound], rtol=0, atol=1e-4)


def test_weights_may_lie_in_any_order() -> None:
    shape = 3, 8, 12, 14
    grad, weight = problem(shape, 16)
    plain = strided.input_gradient(grad, weight, shape)
    assert torch.equal(strided.input_gradient(grad, weight.to(memory_format=torch.channels_last), shape), plain)
    assert torch.equal(strided.input_gradient(grad, weight.transpose(0, 1).contiguous().transpose(0, 1), shape), plain)


def guarded(x: Tensor) -> Tensor:
    """A copy of x at the end of a page, before one that must not be read: whoever reads beyond x crashes."""
    size = -(-x.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + size), mmap.PAGESIZE, 0) == 0
    return torch.frombuffer(memory, dtype=x.dtype, count=x.numel(), offset=size - x.nbytes).view(x.shape).copy_(x)


@pytest.mark.parametrize("lanes", [8, 16])
def test_nothing_beyond_the_gradient_is_read(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strided, "LANES", lanes)
    for height, width in product(range(12, 16), (12, 17, 33, 48)):
        shape = 2, 4, height, width
        grad, weight = problem(shape, 3)
        assert torch.equal(
            strided.input_gradient(guarded(grad), weight, shape), strided.input_gradient(grad, weight, shape)
        )


def test_one_thread_has_nothing_to_do() -> None:
    shape = 1, 4, 4, 4
    grad, weight = problem(shape, 8)
    torch.set_num_threads(3)
    exact = wanted(grad, weight, shape)
    torch.testing.assert_close(strided.input_gradient(grad, weight, shape).double(), exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "how", "taken"),
    [
        ((32, 4, 16, 16), (3, 2, 1), True),
        ((31, 4, 16, 16), (3, 2, 1), False),
        ((64, 4, 12, 12), (3, 2, 1), True),
        ((256, 4, 11, 12), (3, 2, 1), False),
        ((256, 4, 12, 11), (3, 2, 1), False),
        ((32, 6, 16, 16), (3, 2, 1), False),
        ((32, 4, 16, 16), (3, 1, 1), False),
        ((32, 4, 16, 16), (3, 2, 0), False),
        ((32, 4, 16, 16), (5, 2, 1), False),
    ],
)
def test_where_it_pays(
    shape: tuple[int, ...], how: tuple[int, int, int], taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert strided.pays(shape, *how) == taken
    calls: list[tuple[object, ...]] = []

    def recorded(*args: Any) -> Tensor:
        calls.append(args)
        return real(*args)

    real = strided.input_gradient
    monkeypatch.setattr(strided, "input_gradient", recorded)
    monkeypatch.setattr(sparse, "PRODUCTS", 1)
    conv = SparseConv2d(shape[1], 64, *how, bias=False)
    x = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.1).float().requires_grad_()
    out = conv(x)
    out.square().sum().backward()
    assert type(out.grad_fn).__name__.startswith("SparseConvolution")
    assert bool(calls) == taken
    dense = conv2d_input(shape, conv.weight.detach(), 2 * out.detach(), stride=how[1], padding=how[2])
    assert x.grad is not None
    torch.testing.assert_close(x.grad, dense, rtol=0, atol=2e-5 * float(dense.abs().max()))

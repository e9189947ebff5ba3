"""The sparse convolution is PyTorch's: outputs and gradients, for every shape, and the same bits however it is shared out."""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from spikeva import create_model
from spikeva.models.snn.sparse import conv as sparse
from spikeva.models.snn.sparse import products, strided, tiles
from spikeva.models.snn.sparse.conv import SparseConv2d
from spikeva.models.snn.sparse.inputs import find

KERNELS = ((3, 1), (3, 2), (2, 1), (5, 3), (7, 2))  # kernel and stride: each pair is code of its own


@pytest.fixture(autouse=True)
def _every_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(sparse, "PIXELS", 1)
    monkeypatch.setattr(sparse, "PRODUCTS", 1)
    yield
    torch.set_num_threads(threads)


def layer(*args: int, bias: bool = False) -> tuple[SparseConv2d, nn.Conv2d]:
    """The sparse layer, and PyTorch's with the same parameters."""
    torch.manual_seed(0)
    ours, theirs = SparseConv2d(*args, bias=bias), nn.Conv2d(*args, bias=bias)  # type: ignore[misc, arg-type]  # numbers
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def spikes(*shape: int, share: float = 0.15, seed: int = 0) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share).float()


def ran_sparse(out: Tensor) -> bool:
    return type(out.grad_fn).__name__.startswith("SparseConvolution")


def gradients(conv: nn.Conv2d, x: Tensor) -> list[Tensor]:
    """Outputs and all gradients for a fixed gradient of the outputs."""
    x = x.clone().requires_grad_()
    out = conv(x)
    assert ran_sparse(out) == isinstance(conv, SparseConv2d)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return [out.detach(), *torch.autograd.grad(out, [x, *conv.parameters()], grad)]


@settings(max_examples=60)
@given(
    kernel=st.sampled_from(KERNELS),
    padding=st.integers(0, 3),
    channels=st.integers(1, 5),
    images=st.integers(1, 5),
    extra=st.tuples(st.integers(0, 30), st.integers(0, 150)),
    share=st.sampled_from((0.0, 0.02, 0.3)),
    graded=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_the_dense_convolution(
    kernel: tuple[int, int], padding: int, channels: int, images: int, extra: tuple[int, int], share: float,
    graded: bool, bias: bool, seed: int,
) -> None:  # fmt: skip
    (k, stride), (height, width) = kernel, extra
    ours, theirs = layer(channels, 8, k, stride, padding, bias=bias)
    x = spikes(images, channels, k + height, k + width, share=share, seed=seed)
    if x.mean() > sparse.MOST:  # a small picture can be full
        x = x * 0
    if graded:
        x = x * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    for found, wanted in zip(gradients(ours, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5 * float(wanted.abs().max()) + 1e-6)


@pytest.mark.parametrize("channels", [8, 16, 32, 64, 192, 24])
def test_any_multiple_of_eight_output_channels(channels: int) -> None:
    ours, theirs = layer(3, channels, 3, 1, 1)
    x = spikes(2, 3, 20, 11)
    for found, wanted in zip(gradients(ours, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)


def test_a_pixel_that_no_tap_meets() -> None:
    ours, theirs = layer(2, 8, 5, 3, 0)
    x = spikes(2, 2, 10, 10)
    x[..., -1] = x[..., -1, :] = 1
    for found, wanted in zip(gradients(ours, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("column", [0, 19])
def test_one_number_that_is_no_spike(column: int) -> None:
    ours, theirs = layer(2, 8, 3, 1, 1)
    x = spikes(2, 2, 9, 20)
    x[1, 1, 4, column] = 0.5
    for found, wanted in zip(gradients(ours, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)


def test_a_picture_larger_than_a_tile_is_cut_into_bands() -> None:
    ours, theirs = layer(2, 64, 3, 1, 1)
    x = spikes(2, 2, 70, 60)
    present = find(x, ours.weight.shape, 1, 1, 1)
    assert present is not None
    assert present.tiling.bands > 1
    for found, wanted in zip(gradients(ours, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), KERNELS[:2])
def test_the_same_bits_on_any_number_of_threads_and_in_any_batch(kernel: int, stride: int, graded: bool) -> None:
    ours, _ = layer(5, 32, kernel, stride, 1)
    x = spikes(7, 5, 33, 29)
    if graded:  # one picture of them
        x[-1] *= 0.5
    torch.set_num_threads(1)
    first = gradients(ours, x)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert all(torch.equal(a, b) for a, b in zip(gradients(ours, x), first, strict=True))
    alone = torch.cat([ours(picture[None]) for picture in x])
    assert torch.equal(alone, first[0])


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), KERNELS[:2])
def test_room_to_work_in_is_written_before_it_is_read_and_nothing_beyond_it(
    kernel: int, stride: int, graded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: list[np.ndarray] = []

    def rows(shares: int, rows: int, width: int) -> np.ndarray:
        rooms.append(np.full(shares * rows * width + 64, np.nan, np.float32))
        return rooms[-1][:-64].reshape(shares, rows, width)

    torch.set_num_threads(1)
    ours, _ = layer(4, 24, kernel, stride, 1)
    x = spikes(34, 4, 16, 17) * (0.5 if graded else 1)
    wanted = gradients(ours, x)
    monkeypatch.setattr(tiles, "room_of_thread", SimpleNamespace(rows=rows))
    assert all(map(torch.equal, gradients(ours, x), wanted))
    assert len(rooms) == 2 + strided.pays(tuple(x.shape), kernel, stride, 1)
    assert all(np.isnan(room[-64:]).all() for room in rooms)


def test_the_gradient_of_the_input_some_pictures_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = layer(5, 8, 3, 2, 1)
    x = spikes(7, 5, 32, 29)
    whole = gradients(ours, x)
    monkeypatch.setattr(products, "PART", 3 * 4 * x[0].numel())
    parts = gradients(ours, x)
    for part, at_once, dense in zip(parts, whole, gradients(theirs, x), strict=True):
        torch.testing.assert_close(part, at_once, rtol=2e-5, atol=2e-5)
        torch.testing.assert_close(part, dense, rtol=2e-5, atol=2e-5 * float(dense.abs().max()))


def test_a_tile_holds_several_small_pictures() -> None:
    ours, theirs = layer(4, 16, 3, 2, 1)
    x = spikes(50, 4, 12, 12)
    present = find(x, ours.weight.shape, 2, 1, 1)
    assert present is not None
    assert present.tiling.images > 1
    for found, wanted in zip(gradients(ours, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("width", [32, 20, 5])  # vectors, vectors of which one overlaps, single numbers
def test_the_backward_pass_keeps_the_spikes_not_the_input(width: int) -> None:
    x = spikes(8, 16, 32, width)
    present = find(x, (16, 16, 3, 3), 1, 1, 1)
    assert present is not None
    kept = present.places.nbytes + present.values.nbytes + present.starts.nbytes
    assert len(present.values) == 0  # all are 1
    assert kept < 0.15 * x.numel() * x.element_size()


@pytest.mark.parametrize("frozen", ["weight", "bias", "input"])
def test_what_is_frozen_has_no_gradient_and_all_else_has_its_own(frozen: str) -> None:
    found = []
    for conv in layer(2, 8, 3, 1, 1, bias=True):
        x = spikes(2, 2, 16, 16).requires_grad_(frozen != "input")
        for name, parameter in conv.named_parameters():
            parameter.requires_grad_(name != frozen)
        (conv(x) * torch.arange(16).cos()).sum().backward()
        found.append({"input": x.grad, **{name: p.grad for name, p in conv.named_parameters()}})
    for name, wanted in found[1].items():
        assert (wanted is None) == (name == frozen)
        torch.testing.assert_close(found[0][name], wanted, rtol=2e-5, atol=2e-5)


def test_weights_may_lie_channels_last() -> None:
    ours, theirs = layer(3, 8, 3, 1, 1)
    x = spikes(2, 3, 16, 16)
    for found, wanted in zip(
        gradients(ours.to(memory_format=torch.channels_last), x), gradients(theirs, x), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)


def test_not_a_number_is_no_zero() -> None:
    ours, theirs = layer(2, 8, 3, 1, 1)
    x = spikes(1, 2, 9, 9)
    x[0, 0, 4, 4], x[0, 1, 2, 2] = float("nan"), -0.0
    assert torch.equal(ours(x).isnan(), theirs(x).isnan())


@pytest.mark.parametrize(
    "why", ["dense", "channels-last", "double", "autocast", "counted", "one tap", "empty", "small", "wide"]
)
def test_all_else_is_pytorchs(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "small":
        monkeypatch.setattr(sparse, "PRODUCTS", 2 * 16**2 * 2 * 8 * 9 + 1)
    ours, theirs = layer(2, 8, 1 if why == "one tap" else 3, 1, 1)
    x = spikes(2, 2, 16, 16, share=0.5 if why == "dense" else 0.1)
    if why == "wide":
        x = spikes(1, 2, 3, 20_000)
    if why == "channels-last":
        x = x.contiguous(memory_format=torch.channels_last)
    if why == "double":
        ours, theirs, x = ours.double(), theirs.double(), x.double()
    if why == "empty":
        x = x[:0]
    if why == "counted":
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            found = ours(x)
        assert counter.get_total_flops() > 0
    else:
        with torch.autocast("cpu", torch.bfloat16, enabled=why == "autocast"):
            found = ours(x)
    assert not ran_sparse(found)
    torch.testing.assert_close(found.float(), theirs(x).float(), rtol=1e-2 if why == "autocast" else 1e-6, atol=1e-2)


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 2},
        {"dilation": 2},
        {"padding_mode": "circular"},
        {"padding": "same"},
        {"kernel_size": (3, 5)},
        {"stride": (1, 2)},
        {"padding": (0, 1)},
        {"out_channels": 12},
    ],
)
def test_every_option_of_pytorchs_layer_does_what_it_says(options: dict[str, Any]) -> None:
    options = {"in_channels": 4, "out_channels": 8, "kernel_size": 3, "padding": 1} | options
    ours, theirs = SparseConv2d(**options), nn.Conv2d(**options)
    theirs.load_state_dict(ours.state_dict())
    x = spikes(2, 4, 16, 16)
    torch.testing.assert_close(ours(x), theirs(x))


def test_torchs_defaults_do_not_change_what_is_computed() -> None:
    ours, theirs = layer(16, 16, 3, 1, 1)
    x = spikes(4, 16, 12, 12).requires_grad_()
    grad = torch.randn(4, 16, 12, 12)
    wanted = [theirs(x), *torch.autograd.grad(theirs(x), [x, *theirs.parameters()], grad)]
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            out = ours(x)
            found = [out, *torch.autograd.grad(out, [x, *ours.parameters()], grad)]
    finally:
        torch.set_default_dtype(torch.float32)
    assert ran_sparse(out)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_second_derivatives_are_an_error() -> None:
    conv, x = layer(16, 16, 3, 1, 1)[0], spikes(4, 16, 12, 12).requires_grad_()
    out = conv(x)
    assert ran_sparse(out)
    (gradient,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives"):
        gradient.square().sum().backward()


def test_a_parametrised_weight_is_computed_once() -> None:
    class Counted(nn.Module):
        calls = 0

        def forward(self, weight: Tensor) -> Tensor:
            Counted.calls += 1
            return 2 * weight

    conv = layer(16, 16, 3, 1, 1)[0]
    nn.utils.parametrize.register_parametrization(conv, "weight", Counted())
    Counted.calls = 0
    assert ran_sparse(conv(spikes(4, 16, 12, 12)))
    assert Counted.calls == 1


def test_wrong_channels_are_pytorchs_error() -> None:
    ours, _ = layer(2, 8, 3, 1, 1)
    with pytest.raises(RuntimeError, match="to have 2 channels, but got 3"):
        ours(spikes(1, 3, 16, 16))


def test_compile_and_export_see_a_plain_convolution() -> None:
    ours, theirs = layer(2, 8, 3, 1, 1)
    x = spikes(2, 2, 16, 16)
    exported = torch.export.export(ours, (x,))
    assert "conv2d" in str(exported.graph)
    torch.testing.assert_close(exported.module()(x), theirs(x))
    torch.testing.assert_close(torch.compile(ours, backend="eager", fullgraph=True)(x), theirs(x))


def test_checkpointing_and_inference() -> None:
    ours, _ = layer(2, 8, 3, 1, 1)
    x = spikes(2, 2, 16, 16)
    plain = gradients(ours, x)
    again = x.clone().requires_grad_()
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = checkpoint(ours, again, use_reentrant=False)
    # the spikes' places are found again when they are needed
    assert not any(tensor.dtype == torch.uint16 for tensor in kept)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(out, [again, ours.weight], grad)
    assert all(torch.equal(a, b) for a, b in zip((out, *found), plain, strict=True))
    with torch.inference_mode():
        assert torch.equal(ours(x), plain[0])


def test_copies_and_pickles() -> None:
    ours, _ = layer(2, 8, 3, 1, 1)
    x = spikes(2, 2, 16, 16)
    out = ours(x)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(other(x), out)


def test_spiking_models_train_alike_with_dense_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(most: float) -> tuple[list[float], bool]:
        monkeypatch.setattr(sparse, "MOST", most)
        torch.manual_seed(0)
        model = create_model("snn_convnet", in_channels=2, width=8, depth=2)
        used: list[bool] = []
        for module in model.modules():
            if isinstance(module, SparseConv2d):
                module.register_forward_hook(lambda _m, _i, out: used.append(ran_sparse(out)))
        optimiser = torch.optim.Adam(model.parameters(), 1e-3)
        x, losses = spikes(4, 6, 2, 24, 24), []
        for _ in range(20):
            loss = (model(x) - torch.tensor([0.3, -0.5])).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses, all(used)

    (ours, sparsely), (theirs, densely) = trained(1.0), trained(-1.0)
    assert (sparsely, densely) == (True, False)
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_code_compiled_by_one_process_serves_the_next(tmp_path: Path) -> None:
    script = (
        "import torch; from spikeva.models.snn.sparse.conv import SparseConv2d; torch.set_num_threads(2);"
        "SparseConv2d(2, 8, 3, padding=1)((torch.rand(64, 2, 32, 32) < 0.1).float()).sum().backward()"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, check=True)
        made.append(sorted(p.name for p in tmp_path.rglob("*.nbc")))
    assert any("forward_3_1_8_0" in name for name in made[0])
    assert made[0] == made[1]

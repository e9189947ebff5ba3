"""BatchNorm inside the neuron's pass, against the two one after the other."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.neurons import make_neuron
from spikeva.neurons.bnlif import BNLIF, fuses
from spikeva.neurons.fused_ops import statistics


def reference(norm: nn.Module, neuron: nn.Module, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    """Spikes with the normalised input written out in float32 and its statistics summed in float64."""
    axes = [0, 1, *range(3, x.ndim)]
    shape = [1, 1, -1, *[1] * (x.ndim - 3)]
    if norm.training:
        wide = x.double()
        mean, var = wide.mean(axes), wide.var(axes, correction=0)
    else:
        mean, var = norm.running_mean.double(), norm.running_var.double()
    invstd = (var + norm.eps).rsqrt()
    scale = norm.weight * (invstd if x.requires_grad else invstd.detach()).float()
    shift = norm.bias - mean.float() * scale
    return neuron(x * scale.view(shape) + shift.view(shape), shortcut=shortcut)[0]


def layer(neuron: str = "lif", channels: int = 6, **options: Any) -> BNLIF:
    norm = nn.BatchNorm2d(channels)
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    nn.init.uniform_(norm.bias, -0.5, 1.0)
    return BNLIF(norm, make_neuron(neuron, surrogate="atan", **options))


PLANES = [(9, 11), (17, 16), (50, 90)]  # below PLANE, above it, and more than one block


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(("neuron", "steps", "joined"), [("plif", 7, False), ("cuba", 7, True), ("lif", 8, True)])
def test_equals_one_after_the_other(
    device: str, training: bool, plane: tuple[int, int], channels_last: bool, neuron: str, steps: int, joined: bool
) -> None:
    torch.manual_seed(0)
    fused = layer(neuron, detach_reset=False).train(training).to(device)
    apart = copy.deepcopy(fused)
    x = (3 * torch.randn(steps, 4, 6, *plane) + 1).to(device)
    if channels_last:
        x = x.movedim(2, -1).contiguous().movedim(-1, 2)
    shortcut = torch.randn(x.shape).to(device)  # contiguous, whatever x is
    ours, theirs = ([t.clone().requires_grad_() for t in ((x, shortcut) if joined else (x,))] for _ in range(2))
    spikes = fused(ours[0], shortcut=ours[1] if joined else None)[0]
    wanted = reference(apart.norm, apart.neuron, *theirs)
    assert torch.equal(spikes, wanted)
    assert 0.01 < spikes.mean() < 0.99
    weights = torch.randn_like(x)
    (spikes * weights).sum().backward()
    (wanted * weights).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=2e-5, atol=2e-5 * float(b.grad.abs().max()))
    for a, b in zip(fused.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=2e-4, atol=1e-4 * float(b.grad.abs().max()))


@pytest.mark.parametrize("plane", PLANES[:2])
@pytest.mark.parametrize("frozen", ["norm.weight", "norm.bias", "input"])
def test_what_is_frozen_has_no_gradient_and_all_else_has_its_own(frozen: str, plane: tuple[int, int]) -> None:
    torch.manual_seed(0)
    fused = layer("plif", detach_reset=False)
    for name, parameter in fused.named_parameters():
        parameter.requires_grad_(name != frozen)
    apart = copy.deepcopy(fused)
    data, weights = (torch.randn(7, 4, 6, *plane) for _ in range(2))
    ours, theirs = (data.clone().requires_grad_(frozen != "input") for _ in range(2))
    (fused(ours)[0] * weights).sum().backward()
    (reference(apart.norm, apart.neuron, theirs) * weights).sum().backward()
    found, wanted = ({"input": x, **dict(net.named_parameters())} for x, net in ((ours, fused), (theirs, apart)))
    for name, leaf in wanted.items():
        assert (leaf.grad is None) == (found[name].grad is None) == (name == frozen)
        if leaf.grad is not None:
            close = {"rtol": 2e-4, "atol": 1e-4 * float(leaf.grad.abs().max())}
            torch.testing.assert_close(found[name].grad, leaf.grad, **close)


@pytest.mark.parametrize("shape", [(7, 4, 6, 5, 5), (1, 6, 1, 5), (7, 4, 1, 5, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_shortcut_of_any_shape_and_dtype_is_added(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    fused = layer().eval()
    x, shortcut = torch.randn(7, 4, 6, 5, 5), torch.randn(shape).to(dtype).requires_grad_()
    spikes = fused(x, shortcut=shortcut)[0]
    assert torch.equal(spikes, reference(fused.norm, fused.neuron, x, shortcut))
    spikes.sum().backward()
    assert shortcut.grad.shape == shape
    assert shortcut.grad.dtype == dtype
    assert shortcut.grad.any()


def test_half_precision_with_a_shortcut() -> None:
    fused = layer().eval()
    x, shortcut = (torch.randn(8, 2, 6, 5, 5).bfloat16().requires_grad_() for _ in range(2))
    wide, beside = (t.detach().float().requires_grad_() for t in (x, shortcut))
    spikes, wanted = fused(x, shortcut=shortcut)[0], fused(wide, shortcut=beside)[0]
    assert spikes.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), wanted)
    spikes.sum().backward()
    wanted.sum().backward()
    for a, b in ((x, wide), (shortcut, beside)):
        assert torch.equal(a.grad, b.grad.bfloat16())


@pytest.mark.parametrize("apart", [False, True])
def test_a_run_goes_on_from_its_state(apart: bool) -> None:
    torch.manual_seed(0)
    net = layer().eval()
    if apart:
        net.norm.register_forward_hook(lambda *_: None)
    x, shortcut = (torch.randn(8, 2, 6, 5, 5) for _ in range(2))
    whole = net(x, shortcut=shortcut)[0]
    first, state = net(x[:3], shortcut=shortcut[:3])
    assert torch.equal(torch.cat([first, net(x[3:], state, shortcut[3:])[0]]), whole)
    assert (whole != reference(net.norm, net.neuron, x, shortcut)).float().mean() < 0.001  # apart, rounding differs


@pytest.mark.parametrize("plane", PLANES)
def test_threads_do_not_change_a_bit(plane: tuple[int, int]) -> None:
    x = torch.randn(4, 2, 6, *plane)
    weights = torch.randn_like(x)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            torch.manual_seed(3)
            net, leaf = layer("plif"), x.clone().requires_grad_()
            spikes = net(leaf, shortcut=weights)[0]
            (spikes * weights).sum().backward()
            results.append([spikes, leaf.grad, *(p.grad for p in net.parameters())])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_pytorchs(device: str, momentum: float | None) -> None:
    torch.manual_seed(1)
    fused, norm = layer().to(device), nn.BatchNorm2d(6).to(device)
    fused.norm.momentum = norm.momentum = momentum
    for _ in range(3):
        x = (torch.randn(5, 3, 6, 4, 4) * 2 + 5).to(device)
        fused(x)
        norm(x.flatten(0, 1))
    torch.testing.assert_close(fused.norm.running_mean, norm.running_mean)
    torch.testing.assert_close(fused.norm.running_var, norm.running_var)
    assert fused.norm.num_batches_tracked == 3


def test_statistics_hold_far_from_zero(device: str) -> None:
    x = (torch.randn(8, 2, 6, 10, 10) + 1000).to(device)
    spikes = layer().to(device)(x)[0]
    assert 0.01 < spikes.mean() < 0.99


def test_a_channel_that_is_the_same_everywhere_has_no_variance_below_zero() -> None:
    x = torch.linspace(1, 1000, 64).view(64, 1, 1).expand(5, 3, 64, 3, 3)
    variance = statistics(x, None, None, 1e-5)[4]
    assert 0 <= variance.min() <= variance.max() < 1e-3


def test_no_affine_and_no_running_statistics(device: str) -> None:
    norm = nn.BatchNorm2d(3, affine=False, track_running_stats=False).eval()
    x = torch.randn(5, 2, 3, 4, 4).to(device).requires_grad_()
    neuron = make_neuron("lif").to(device)
    spikes = BNLIF(norm, neuron)(x)[0]
    wanted = neuron(norm(x.flatten(0, 1)).unflatten(0, x.shape[:2]))[0]
    assert (spikes != wanted).sum() <= 1
    (spikes * torch.randn_like(x)).sum().backward()
    assert x.grad.abs().max() > 0.01
    assert x.grad.sum((0, 1, 3, 4)).abs().max() < 1e-4, "a constant more changes nothing: the statistics follow"


@pytest.mark.parametrize("when", ["forward_pre", "forward", "full_backward_pre", "full_backward"])
def test_hooks_on_the_norm_still_see_it(when: str) -> None:
    watched = layer()
    seen: list[int] = []
    getattr(watched.norm, f"register_{when}_hook")(lambda *_: seen.append(1))
    watched(torch.randn(2, 2, 6, 3, 3).requires_grad_())[0].sum().backward()
    assert seen


def test_what_computes_otherwise_is_not_fused() -> None:
    class OwnNorm(nn.BatchNorm2d):
        pass

    class OwnNeuron(type(make_neuron("lif"))):  # type: ignore[misc]  # a class that is found by its name
        def forward(self, x: Tensor, state: Any = None) -> Any:
            return super().forward(2 * x, state)

    norm, neuron, other = nn.BatchNorm2d(6), make_neuron("lif"), make_neuron("lif")
    other.backend = "norse"
    assert fuses(norm, neuron)
    assert not fuses(OwnNorm(6), neuron)
    assert not fuses(norm, OwnNeuron())
    assert not fuses(norm, other)
    assert not fuses(norm.double(), neuron)


@pytest.mark.parametrize("channels", [1, 4, 8])
def test_a_norm_of_another_width_is_an_error(channels: int) -> None:
    with pytest.raises(UserError, match=rf"has {channels} channels, the input is \[2, 3, 6, 4\]"):
        BNLIF(nn.BatchNorm1d(channels), make_neuron("lif")).eval()(torch.randn(2, 3, 6, 4))


def test_one_value_per_channel_is_an_error_in_training() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer()(torch.randn(1, 1, 6, 1, 1))

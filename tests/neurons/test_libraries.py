"""The libraries as they come, beside our mapping: what agrees, and what does not without it.

The negative controls show what a naive use of each library gives. They fail when the mapping in the backend is taken
away, and they say when a new release of a library changes what we map.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from spikeva.errors import UserError
from spikeva.neurons import make_neuron, make_surrogate

norse = pytest.importorskip("norse.torch")
snntorch = pytest.importorskip("snntorch")

BETA = 0.9
T, N = 60, 512


def current(seed: int = 0) -> Tensor:
    return torch.randn(T, 1, N, generator=torch.Generator().manual_seed(seed)) * 0.4 + 0.15


def ours(x: Tensor, backend: str = "fused", **options: object) -> tuple[Tensor, Tensor]:
    """(spikes, gradient of their weighted sum), with fast_sigmoid(25) unless told otherwise."""
    options = {"surrogate": "fast_sigmoid", **options}
    x = x.clone().requires_grad_()
    spikes, _ = make_neuron("lif", beta=BETA, backend=backend, **options)(x)
    (spikes * torch.linspace(-1, 1, x.numel()).view_as(x)).sum().backward()
    return spikes.detach(), x.grad


def leaky(x: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """The same of snntorch's Leaky in a loop."""
    layer = snntorch.Leaky(beta=BETA, spike_grad=make_surrogate("fast_sigmoid"), **options)
    x = x.clone().requires_grad_()
    mem, spikes = torch.zeros_like(x[0]), []
    for step in x:
        s, mem = layer(step, mem)
        spikes.append(s)
    out = torch.stack(spikes)
    (out * torch.linspace(-1, 1, x.numel()).view_as(x)).sum().backward()
    return out.detach(), x.grad


def box(x: Tensor, scale: float, alpha: float = 25.0, subtract: bool = False) -> tuple[Tensor, Tensor]:
    """The same of norse's LIFBox with dt = 1, its input times `scale`."""
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
    from norse.torch.functional.reset import reset_subtract, reset_value

    p = LIFBoxParameters(
        torch.tensor(1 - BETA), torch.tensor(0.0), torch.tensor(1.0), torch.tensor(0.0), "super", alpha,
        reset_subtract if subtract else reset_value,
    )  # fmt: skip
    x = x.clone().requires_grad_()
    state, spikes = LIFBoxFeedForwardState(torch.zeros_like(x[0])), []
    for step in x:
        s, state = lif_box_feed_forward_step(step * scale, state, p, dt=1.0)
        spikes.append(s)
    out = torch.stack(spikes)
    (out * torch.linspace(-1, 1, x.numel()).view_as(x)).sum().backward()
    return out.detach(), x.grad


def off(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest entry."""
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize(
    ("stock", "mapped"),
    [
        ({"reset_mechanism": "zero", "reset_delay": True}, {"reset": "zero", "detach_reset": True}),
        ({"reset_mechanism": "zero", "reset_delay": False}, {"reset": "zero", "detach_reset": False}),
        ({"reset_mechanism": "subtract", "reset_delay": True}, {"reset": "subtract_delayed", "detach_reset": True}),
    ],
)
def test_stock_snntorch_equals_our_definition(stock: dict[str, object], mapped: dict[str, object]) -> None:
    x = current()
    (spikes, grad), (theirs, their_grad) = ours(x, **mapped), leaky(x, **stock)
    assert torch.equal(spikes, theirs)
    assert off(grad, their_grad) <= 2e-5


@pytest.mark.parametrize("subtract", [False, True])
def test_stock_norse_equals_our_definition(subtract: bool) -> None:
    x = current()
    rule = {"reset": "subtract" if subtract else "zero", "detach_reset": False}
    spikes, grad = ours(x, surrogate="superspike", slope=1.0, **rule)
    theirs, their_grad = box(x, 1 / (1 - BETA), subtract=subtract)
    assert torch.equal(spikes, theirs)
    assert off(grad, their_grad) <= 2e-5


def test_control_norse_ignores_alpha() -> None:
    x = current()
    spikes, grad = ours(x, detach_reset=False)
    theirs, naive_grad = box(x, 1 / (1 - BETA), alpha=25.0)
    assert torch.equal(spikes, theirs)
    assert off(naive_grad, grad) > 0.5
    mapped, mapped_grad = ours(x, "norse", detach_reset=False)
    assert torch.equal(mapped, spikes)
    assert off(mapped_grad, grad) <= 2e-5


def test_control_default_resets_differ() -> None:
    x = current()
    stock, (theirs, _) = leaky(x)[0], box(x, 1 / (1 - BETA), subtract=True)
    assert (stock != theirs).sum() > 0.01 * x.numel()
    for backend in ("fused", "snntorch", "norse"):
        assert torch.equal(ours(x, backend, reset="subtract")[0], theirs)
        assert torch.equal(ours(x, backend, reset="subtract_delayed")[0], stock)


def test_control_snntorch_without_delay_is_no_clean_subtraction() -> None:
    x = current() * 3  # strong enough to stay above the threshold after a reset
    naive, _ = leaky(x, reset_mechanism="subtract", reset_delay=False)
    wanted, _ = ours(x, reset="subtract")
    assert (naive != wanted).sum() > 0
    assert torch.equal(ours(x, "snntorch", reset="subtract")[0], wanted)


def test_control_norse_scales_its_input() -> None:
    x = current()
    unscaled, _ = box(x, 1.0)
    wanted, _ = ours(x)
    assert unscaled.sum() == 0 < wanted.sum()
    assert torch.equal(ours(x, "norse")[0], wanted)


def test_control_stock_synaptic_drops_its_current() -> None:
    x = current()
    layer = snntorch.Synaptic(alpha=0.5, beta=BETA, reset_mechanism="zero")
    spikes, syn, mem = [], torch.zeros_like(x[0]), torch.zeros_like(x[0])
    for step in x:
        s, syn, mem = layer(step, syn, mem)
        spikes.append(s)
    wanted, _ = make_neuron("cuba", alpha=0.5, beta=BETA)(x)
    assert (torch.stack(spikes) != wanted).sum() > 0.01 * x.numel()
    assert torch.equal(make_neuron("cuba", alpha=0.5, beta=BETA, backend="snntorch")(x)[0], wanted)


def test_threads_do_not_meet_in_snntorchs_object() -> None:
    neuron = make_neuron("lif", backend="snntorch")
    inputs = [torch.randn(20, 2, n, generator=torch.Generator().manual_seed(n)) for n in (400, 500, 600, 700)]
    with torch.no_grad():
        wanted = [neuron(x)[0] for x in inputs]

    def often(i: int) -> bool:
        with torch.no_grad():
            return all(torch.equal(neuron(inputs[i])[0], wanted[i]) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(often, range(4)))


def test_snntorch_keeps_none_of_our_layers() -> None:
    before = len(snntorch.SpikingNeuron.instances)
    make_neuron("lif", backend="snntorch")
    assert len(snntorch.SpikingNeuron.instances) == before
    snntorch.Leaky(beta=0.5)  # as it comes, it is kept for good
    assert len(snntorch.SpikingNeuron.instances) == before + 1
    snntorch.SpikingNeuron.instances.pop()


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("alif", {"backend": "snntorch"}, "snntorch has no such dynamics"),
        ("if", {"backend": "norse"}, "multiplies its input by the leak"),
        ("lif", {"backend": "norse", "surrogate": "atan"}, "chooses surrogates by name"),
        ("cuba", {"backend": "norse"}, "set reset='zero', detach_reset=False"),
        (
            "lif",
            {"backend": "snntorch", "reset": "subtract_delayed", "detach_reset": False},
            "always detaches its delayed reset",
        ),
    ],
)
def test_what_a_backend_cannot_do_is_an_error(name: str, options: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        make_neuron(name, **options)


@pytest.mark.parametrize("backend", ["snntorch", "norse"])
@pytest.mark.parametrize("channels", [None, N])
@pytest.mark.parametrize("reset", ["zero", "subtract", "subtract_delayed"])
def test_a_threshold_is_learned_in_a_library_as_in_the_kernels(backend: str, channels: int | None, reset: str) -> None:
    """snntorch made one threshold for all channels, a parameter, its own, and could not be called."""
    found = []
    for name in (backend, "fused"):
        neuron = make_neuron("lif", backend=name, learn_beta=True, learn_theta=True, channels=channels, reset=reset)
        for seed in (0, 1):
            spikes, _ = neuron(current(seed))
            (spikes * torch.linspace(-1, 1, spikes.numel()).view_as(spikes)).sum().backward()
        found.append((spikes.detach(), *(parameter.grad for parameter in neuron.parameters())))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)

"""The fused kernels against the eager reference: equal spikes, equal gradients, and PyTorch's machinery around them."""

import copy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from spikeva.neurons import fused_ops, make_neuron
from spikeva.neurons.base import Neuron, Run, scan
from spikeva.neurons.bnlif import BNLIF
from spikeva.neurons.surrogates import FastSigmoid

# Each is a kernel of its own; parameters of each channel (True) make it another one. Surrogates are compiled into the kernels as
# one function, so each is met once or twice here.
CASES = [
    ("if", "zero", "atan", False), ("lif", "subtract", "sigmoid", True),
    ("plif", "subtract_delayed", "fast_sigmoid", False), ("plif", "zero", "sigmoid", True),
    ("plif", "zero", "straight_through", False), ("alif", "zero", "atan", True),
    ("alif", "subtract", "superspike", False), ("cuba", "zero", "triangle", False),
    ("cuba", "subtract", "fast_sigmoid", True), ("cuba", "subtract_delayed", "sigmoid", True),
]  # fmt: skip
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.movedim(2, -1).contiguous().movedim(-1, 2) if x.ndim > 2 else x,
    "batch_first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every_other": lambda x: x.repeat_interleave(2, dim=-1)[..., ::2],
}


def run_and_differentiate(
    neuron: Neuron, runner: Callable[[Run], Any], x: Tensor, state: list[Tensor], seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """(output and last state, gradients of input, first state and parameters) of a random loss over all outputs."""
    x, state = x.detach().requires_grad_(), [s.clone().requires_grad_() for s in state]
    out, last = runner(Run(type(neuron).step, x, tuple(state), neuron.parameters_of_step(x), neuron.rule))
    generator = torch.Generator().manual_seed(seed)
    loss = sum((o * torch.randn(o.shape, generator=generator, dtype=o.dtype).to(o.device)).sum() for o in (out, *last))
    inputs = [x, *state, *neuron.parameters()]
    grads = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [out, *last], [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, grads, strict=True)]


def assert_close(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for f, w in zip(found, wanted, strict=True):
        assert f.shape == w.shape
        if w.numel():
            assert (f - w).abs().max() <= tolerance * max(float(w.abs().max()), 1.0)


@pytest.mark.parametrize(("name", "reset", "surrogate", "per_channel"), CASES)
@settings(max_examples=20)
@given(
    steps=st.integers(1, 64),
    inner=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    layout=st.sampled_from(sorted(LAYOUTS)),
    detach=st.booleans(),
    channels=st.integers(2, 9),
    theta=st.floats(0.3, 2.0),
    beta=st.floats(0.05, 0.99),
    seed=st.integers(0, 10**6),
)
def test_equals_the_eager_reference(
    device: str, name: str, reset: str, surrogate: str, per_channel: bool, steps: int, inner: list[int], layout: str,
    detach: bool, channels: int, theta: float, beta: float, seed: int,
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    if per_channel:
        inner = [inner[0], channels, *inner[2:]]
    x = LAYOUTS[layout](torch.randn(steps, *inner, generator=generator).to(device))
    options = {} if name == "if" else {"beta": beta}
    neuron = make_neuron(
        name, reset=reset, detach_reset=detach, surrogate=surrogate, channels=channels if per_channel else None,
        theta=theta, learn_theta=True, **options,
    ).to(device)  # fmt: skip
    state = [0.5 * torch.randn(inner, generator=generator).to(device) for _ in neuron.STATES]
    run = Run(type(neuron).step, x, tuple(state), neuron.parameters_of_step(x), neuron.rule)
    assert fused_ops.why_not(run) is None
    found, grads = run_and_differentiate(neuron, fused_ops.execute, x, state, seed)
    wanted, wanted_grads = run_and_differentiate(neuron, scan, x, state, seed)
    for f, w in zip(found, wanted, strict=True):
        assert torch.equal(f, w)
    # an undetached reset can make gradients grow at every step until float32 overflows: nothing is left to compare
    assume(all(bool(w.isfinite().all()) for w in wanted_grads))
    count = 1 + len(state)
    assert_close(grads[:count], wanted_grads[:count], 2e-5)
    # a parameter's gradient is a long float32 sum in the reference: the scale of its error is that of its summands
    summands = wanted_grads[0].abs().sum()
    for f, w in zip(grads[count:], wanted_grads[count:], strict=True):
        assert (f - w).abs().max() <= 2e-5 * max(float(w.abs().max()), float(summands), 1.0)


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_a_loss_on_one_output_alone(alone: int) -> None:
    """On the spikes, or on a state after the last step, as where a sequence is cut."""
    neuron = make_neuron("cuba", reset="zero", surrogate="triangle", detach_reset=False, learn_theta=True)
    x, results = torch.randn(8, 3, 7), []
    for runner in (fused_ops.execute, scan):
        leaves = [
            x.clone().requires_grad_(),
            *(torch.full((3, 7), 0.5, requires_grad=True) for _ in range(2)),
        ]
        out, last = runner(
            Run(type(neuron).step, leaves[0], tuple(leaves[1:]), neuron.parameters_of_step(x), neuron.rule)
        )
        loss = ((out, *last)[alone] * torch.arange(7).cos()).sum()
        grads = torch.autograd.grad(loss, [*leaves, *neuron.parameters()], allow_unused=True, materialize_grads=True)
        results.append(list(grads))
    assert_close(*results, 2e-5)


def test_threshold_is_crossed_strictly() -> None:
    spikes, _ = make_neuron("lif", beta=0.5)(torch.tensor([[[1.0, 1.0000001]]]))
    assert spikes.tolist() == [[[0.0, 1.0]]]
    _, (v,) = make_neuron("lif", beta=0.5, reset="subtract_delayed")(torch.tensor([[[1.0, 1.0000001]], [[0.0, 0.0]]]))
    assert v[0].tolist() == pytest.approx([0.5, -0.5], abs=1e-6)


def test_gradients_far_from_the_threshold() -> None:
    """Where a surrogate's exponential is less than float32 holds."""
    neuron = make_neuron("lif", reset="subtract", surrogate="sigmoid", detach_reset=False, channels=2, learn_theta=True)
    x = torch.linspace(-1000, 1000, 202).view(1, 1, 2, 101).repeat(4, 1, 1, 1)
    (found, grads), (wanted, wanted_grads) = (
        run_and_differentiate(neuron, runner, x, [torch.zeros(1, 2, 101)], 0) for runner in (fused_ops.execute, scan)
    )
    assert all(map(torch.equal, found, wanted))
    assert_close(grads, wanted_grads, 2e-5)


def test_threads_do_not_change_a_bit() -> None:
    x = torch.randn(4, 3, 5, 120, 90)
    neuron = make_neuron("plif", channels=5)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found, grads = run_and_differentiate(neuron, fused_ops.execute, x, [torch.zeros(x.shape[1:])], 0)
            results.append([*found, *grads])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_a_float32_state(device: str, dtype: torch.dtype) -> None:
    x, state = torch.randn(12, 2, 7).to(device, dtype), [torch.zeros(2, 7, device=device)]
    neuron = make_neuron("lif").to(device)
    found, grads = run_and_differentiate(neuron, fused_ops.execute, x, state, 1)
    wanted, wanted_grads = run_and_differentiate(neuron, scan, x, state, 1)
    assert found[0].dtype == grads[0].dtype == dtype
    assert found[1].dtype == torch.float32
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
    torch.testing.assert_close(grads[0], wanted_grads[0])


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck looks at non-leaf tensors itself
@pytest.mark.parametrize(("norm", "rests", "joined"), [(False, False, False), (True, False, True), (True, True, False)])
def test_operator_is_registered_as_pytorch_asks(device: str, norm: bool, rests: bool, joined: bool) -> None:
    c = 4
    table = torch.tensor([[0.9], [1.0], [0.5]], device=device).expand(3, c if norm else 1).contiguous().requires_grad_()
    ones = torch.ones(c, device=device, requires_grad=True) if norm else None
    zeros = torch.zeros(c, device=device) if norm else None
    state = torch.zeros((0,) if rests else (2, c, 5), device=device)
    x = torch.randn(3, 2, c, 5, device=device, requires_grad=True)
    affine = fused_ops.statistics(x, ones, zeros, 1e-5) if norm else torch.zeros(0, 1, device=device)
    shortcut = torch.randn(3, 2, c, 5, device=device, requires_grad=True) if joined else None
    found = torch.library.opcheck(
        fused_ops.scan_op, (x, state, state, table, ones, zeros, shortcut, affine, norm, 2, 0, False, 0, 25.0, True)
    )
    assert set(found.values()) == {"SUCCESS"}
    if norm:
        found = torch.library.opcheck(fused_ops.statistics_op, (x.detach(), ones.detach(), None, 1e-5))
        assert set(found.values()) == {"SUCCESS"}


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("grad", [False, True])
def test_who_records_is_shown_the_operator(grad: bool) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils.flop_counter import FlopCounterMode

    layer = BNLIF(nn.BatchNorm2d(3), make_neuron("plif")).eval()
    x = torch.randn(4, 2, 3, 5, 5, requires_grad=grad)
    wanted = layer(x)[0]
    with torch.set_grad_enabled(grad):
        recorded = make_fx(lambda x: layer(x)[0])(x)
        traced = torch.jit.trace(layer, x, check_trace=False)
        with FlopCounterMode(display=False):
            assert torch.equal(layer(x)[0], wanted)
    assert "spikeva.scan" in recorded.code
    assert "spikeva::scan" in str(traced.inlined_graph)
    other = torch.randn_like(x)
    assert torch.equal(recorded(other), layer(other)[0])
    assert torch.equal(traced(other)[0], layer(other)[0])


def test_compiles_as_one_graph(device: str) -> None:
    layer = BNLIF(nn.BatchNorm2d(3), make_neuron("plif")).to(device)
    twin = copy.deepcopy(layer)
    x = torch.randn(4, 2, 3, 5, 5, device=device)
    found, _ = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    wanted, _ = twin(x)
    assert torch.equal(found, wanted)
    found.sum().backward()
    wanted.sum().backward()
    assert torch.equal(layer.norm.weight.grad, twin.norm.weight.grad)
    # torch 2.11 compiles the lerp of the running statistics as three operations, which round apart
    torch.testing.assert_close(layer.norm.running_var, twin.norm.running_var, rtol=1e-6, atol=0)


def test_checkpointing_gives_the_same_gradients(device: str) -> None:
    from torch.utils.checkpoint import checkpoint

    layer = BNLIF(nn.BatchNorm2d(3).eval(), make_neuron("lif")).to(device)
    x = torch.randn(4, 2, 3, 5, 5, device=device, requires_grad=True)
    (wanted,) = torch.autograd.grad(layer(x)[0].square().sum(), x)
    (found,) = torch.autograd.grad(checkpoint(lambda y: layer(y)[0], x, use_reentrant=False).square().sum(), x)
    assert torch.equal(found, wanted)


def penalised(neuron: nn.Module, linear: nn.Linear) -> None:
    """A gradient penalty: a loss that goes back through the gradient of the input."""
    x = torch.randn(5, 3, 6, dtype=linear.weight.dtype, requires_grad=True)
    out = neuron(linear(x))[0]
    (gradient,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    (out.mean() + gradient.square().sum()).backward()


def test_second_derivatives_are_an_error_where_there_are_none() -> None:
    for neuron in (make_neuron("lif"), BNLIF(nn.BatchNorm1d(6), make_neuron("lif"))):
        with pytest.raises(RuntimeError, match=r"second derivatives.*float64"):
            penalised(neuron, nn.Linear(6, 6))
    linear = nn.Linear(6, 6, dtype=torch.float64)
    penalised(make_neuron("lif"), linear)
    assert linear.weight.grad is not None
    x = torch.randn(5, 3, 6, requires_grad=True)  # a graph of gradients that nobody goes back through does no harm
    (gradient,) = torch.autograd.grad(make_neuron("lif")(x)[0].sum(), x, create_graph=True)
    (plain,) = torch.autograd.grad(make_neuron("lif")(x)[0].sum(), x)
    assert torch.equal(gradient, plain)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of vmap, which runs one after the other
def test_forward_mode_is_an_error() -> None:
    """PyTorch would take the tangents for zeros."""
    x = torch.rand(5, 3, 6)
    for neuron in (make_neuron("lif"), BNLIF(nn.BatchNorm1d(6).eval(), make_neuron("lif"))):
        for transform in (torch.func.jacfwd, torch.func.hessian):
            with pytest.raises(RuntimeError, match="forward-mode"):
                transform(lambda y, neuron=neuron: neuron(y)[0].sum())(x)
    spikes = torch.func.vmap(make_neuron("lif"))(x[None])[0]  # is not forward mode
    assert torch.equal(spikes[0], make_neuron("lif")(x)[0])


@pytest.mark.parametrize("n", [4, 160])  # large outputs have memory of another kind
def test_spikes_may_be_changed_in_place(n: int) -> None:
    x = torch.randn(4, 1, 8, n, n, requires_grad=True)
    spikes, _ = make_neuron("lif")(x)
    (wanted,) = torch.autograd.grad(0.5 * spikes.sum(), x, retain_graph=True)
    (found,) = torch.autograd.grad(spikes.mul_(0.5).sum(), x)
    assert torch.equal(found, wanted)


def test_a_neuron_read_from_a_file_runs_in_the_kernels(tmp_path: Path) -> None:
    torch.save(make_neuron("lif"), tmp_path / "lif.pt")
    script = (
        "import sys, torch\n"
        "neuron = torch.load(sys.argv[1], weights_only=False)\n"
        "print(type(neuron(torch.randn(3, 2, 4, requires_grad=True))[0].grad_fn).__name__)"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "lif.pt")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "SpikevaScanBackward"


def test_foreign_dynamics_surrogates_and_float64_run_on_the_reference() -> None:
    neuron = make_neuron("lif", surrogate=lambda u: (u > 0).to(u.dtype))
    spikes, _ = neuron(torch.full((3, 1, 1), 2.0))
    assert spikes.sum() == 3
    assert make_neuron("lif")(torch.ones(3, 1, 1, dtype=torch.float64))[0].dtype == torch.float64


def test_a_net_trained_200_steps_ends_as_with_the_eager_reference(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def train() -> float:
        torch.manual_seed(0)
        first, lif, second, last = (
            nn.Linear(6, 16),
            make_neuron("plif", surrogate="atan"),
            nn.Linear(16, 8),
            nn.Linear(8, 2),
        )
        out = make_neuron("lif", surrogate="atan", theta=0.5)
        modules = nn.ModuleList([first, lif, second, out, last]).to(device)
        optimiser = torch.optim.SGD(modules.parameters(), lr=0.02)
        data, target = torch.randn(10, 32, 6).to(device), torch.randn(32, 2).to(device)
        for _ in range(200):
            spikes, _ = out(second(lif(first(data))[0]))
            loss = (last(spikes.mean(0)) - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return loss.item()

    with_kernels = train()
    monkeypatch.setattr(fused_ops, "why_not", lambda run: "on the reference")
    assert abs(with_kernels - train()) < 1e-4


def test_a_surrogate_made_from_one_with_a_kernel_keeps_its_own_derivative() -> None:
    @dataclass(frozen=True)
    class Twice(FastSigmoid):
        def derivative(self, u: Tensor) -> Tensor:
            return 2 * super().derivative(u)

    def gradient(surrogate: FastSigmoid) -> Tensor:
        x = torch.linspace(0, 2, 12).requires_grad_()
        spikes, _ = make_neuron("lif", surrogate=surrogate, detach_reset=True)(x.view(1, 3, 4))
        (found,) = torch.autograd.grad(spikes.sum(), x)
        return found

    torch.testing.assert_close(gradient(Twice()), 2 * gradient(FastSigmoid()))

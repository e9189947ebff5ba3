"""The Triton kernels in Triton's interpreter against the eager reference, and compiled for a GPU that need not be there."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikeva.neurons import fused_ops, make_neuron
from spikeva.neurons.base import Run, scan
from spikeva.neurons.bnlif import BNLIF
from spikeva.neurons.fused_layout import LIF
from spikeva.neurons.surrogates import Sigmoid, StraightThrough, Surrogate

pytest.importorskip("triton")
CASES = [
    ("lif", "zero", "fast_sigmoid", 1), ("plif", "subtract", "atan", 5), ("plif", "subtract_delayed", "sigmoid", 16),
    ("plif", "zero", "sigmoid", 35), ("alif", "zero", "triangle", 17), ("alif", "subtract", "straight_through", 2), ("cuba", "zero", "superspike", 33),
]  # fmt: skip


def load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A fresh copy of the kernels: Triton decides when a kernel is defined whether to interpret it."""
    for name in ("fused_triton", "fused_norm_triton", "fused_step_triton"):
        monkeypatch.delitem(sys.modules, f"spikeva.neurons.{name}", raising=False)
    return importlib.import_module("spikeva.neurons.fused_triton")


@pytest.fixture
def interpreted(interpreter: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's interpreter in place of the CPU's kernels."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(fused_ops._modules, "cpu", load(monkeypatch))


def test_segments_of_a_sequence_are_few_and_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = load(monkeypatch)
    for kind, most in kernels.SEGMENT.items():
        for steps in range(1, 10 * most):
            number, length = kernels._segments(steps, kind)
            assert number == kernels.checkpoints(steps, kind) + 1 == -(-steps // most)
            assert (number - 1) * length < steps <= number * length < steps + number
        assert kernels.checkpoints(0, kind) == 0


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(("name", "reset", "surrogate", "steps"), CASES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_equals_the_eager_reference(name: str, reset: str, surrogate: str, steps: int, channels_last: bool) -> None:
    torch.manual_seed(steps)
    x = torch.randn(steps, 2, 3, 7, 9)
    if channels_last:
        x = x.movedim(2, -1).contiguous().movedim(-1, 2)
    neuron = make_neuron(
        name, reset=reset, surrogate=surrogate, detach_reset=channels_last, channels=3, learn_theta=True
    )
    results = []
    for runner in (fused_ops.execute, scan):
        leaf = x.clone().requires_grad_()
        state = tuple(torch.full(x.shape[1:], 0.2, requires_grad=True) for _ in neuron.STATES)
        out, last = runner(Run(type(neuron).step, leaf, state, neuron.parameters_of_step(leaf), neuron.rule))
        generator = torch.Generator().manual_seed(0)
        loss = sum((o * torch.randn(o.shape, generator=generator)).sum() for o in (out, *last))
        grads = torch.autograd.grad(loss, [leaf, *state, *neuron.parameters()])
        results.append(([out, *last], grads))
    for found, wanted in zip(results[0][0], results[1][0], strict=True):
        assert torch.equal(found, wanted)
    for found, wanted in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5 * max(1.0, float(wanted.abs().max())))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("channels_last", "shape"),
    [(False, (5, 2, 20, 3, 3)), (True, (5, 1, 70, 3, 3)), (False, (5, 4, 3, 17, 16)), (True, (5, 4, 3, 17, 16))],
)
def test_normalisation_equals_that_of_the_cpu(
    channels_last: bool, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more and of fewer channels than there are programs, far from zero."""
    monkeypatch.setattr(sys.modules["spikeva.neurons.fused_norm_triton"], "PROGRAMS", 15)
    torch.manual_seed(0)
    x = 2 * torch.randn(shape) + 100
    beside = torch.randn(x.shape) if shape[2] == 3 else None
    if channels_last:
        x = x.movedim(2, -1).contiguous().movedim(-1, 2)
    results = []
    for _ in range(2):
        layer = BNLIF(nn.BatchNorm2d(shape[2]), make_neuron("lif", surrogate="atan"))
        leaf, shortcut = x.clone().requires_grad_(), None if beside is None else beside.clone().requires_grad_()
        spikes, _state = layer(leaf, shortcut=shortcut)
        (spikes * torch.arange(spikes.numel()).view(spikes.shape).sin()).sum().backward()
        leaves = [leaf, layer.norm.weight, layer.norm.bias, *([] if shortcut is None else [shortcut])]
        results.append([spikes, *(t.grad for t in leaves), layer.norm.running_mean, layer.norm.running_var])
        monkeypatch.delitem(fused_ops._modules, "cpu")
        fused_ops.provider("cpu")
    assert torch.equal(results[0][0], results[1][0])
    for found, wanted in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * max(1.0, float(wanted.abs().max())))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("reset", "surrogate"), [("zero", Sigmoid()), ("subtract", StraightThrough(2.0)), ("subtract_delayed", Sigmoid())]
)
def test_membranes_at_the_threshold_and_far_from_it(reset: str, surrogate: Surrogate) -> None:
    """Where float32 is exact, and where a surrogate's exponential is less than it holds."""
    neuron = make_neuron("plif", beta=0.5, reset=reset, surrogate=surrogate, detach_reset=False)
    x = torch.tensor([[1.0, 1.5, -1000.0], [0.5, 1.0, 2.0], [0.5, 0.0, 0.0], [0.75, 1.0, 1.0]])
    results = []
    for runner in (fused_ops.execute, scan):
        leaf = x.clone().requires_grad_()
        run = Run(type(neuron).step, leaf, (torch.zeros(3),), neuron.parameters_of_step(leaf), neuron.rule)
        out, (last,) = runner(run)
        loss = (out * torch.arange(1, 4)).sum() + last.sum()
        results.append([out, last, *torch.autograd.grad(loss, [leaf, *neuron.parameters()])])
    assert results[0][0][0].tolist() == [0, 1, 0]
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.usefixtures("interpreted")
def test_half_precision_storage() -> None:
    x = torch.randn(6, 2, 3, 5).half()
    neuron = make_neuron("lif")
    run = Run(type(neuron).step, x, (torch.zeros(2, 3, 5),), neuron.parameters_of_step(x), neuron.rule)
    (found, (last,)), (wanted, (wanted_last,)) = fused_ops.execute(run), scan(run)
    assert found.dtype == torch.float16
    assert torch.equal(found, wanted)
    assert torch.equal(last, wanted_last)


@pytest.mark.usefixtures("interpreted")
def test_kernels_start_on_the_device_of_their_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton starts them on the current one, where another GPU's memory cannot be read."""
    here: list[Tensor] = []
    started: dict[str, list[Tensor]] = {}

    @contextmanager
    def device_of(x: Tensor) -> Iterator[None]:
        here.append(x)
        yield
        here.pop()

    class Watched:
        def __init__(self, name: str, kernel: Any) -> None:
            self.name, self.kernel = name, kernel

        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            started[self.name] = [*here]
            return self.kernel[grid]

    monkeypatch.setattr(torch.cuda, "device_of", device_of)
    kernels = {"fused_triton": ("_forward", "_backward"), "fused_norm_triton": ("_moments", "_table", "_through_norm")}
    for file, names in kernels.items():
        module = sys.modules[f"spikeva.neurons.{file}"]
        for name in names:
            monkeypatch.setattr(module, name, Watched(name, getattr(module, name)))
    spikes, _ = BNLIF(nn.BatchNorm2d(3), make_neuron("lif"))(torch.randn(2, 2, 3, 4, 5, requires_grad=True))
    spikes.sum().backward()
    assert set(started) == {name for names in kernels.values() for name in names}
    assert all(started.values()), started


def compiled_for_a_gpu(kernel: Any, pointer: str, **constants: object) -> Any:
    """The code of a kernel for tensors of the type `pointer`; `constants` differ from those of a kernel that does everything."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    constants = {
        "KIND": "alif", "RESET": "zero", "DETACH": False, "SURROGATE": 0, "LEARN": True, "NORM": True, "JOINED": True, "RESTS": False,
        "LAST_V": True, "LAST_W": True, "SEG": 4, "SEGMENTS": 1, "P_GROUP": 256, "P_APART": 1, "N_GROUP": 32,
        "N_APART": 8, "KEEP": True, "WHOLE": False, "WIDE": False, "ASM": True, "BLOCK": 256, **constants,
    }  # fmt: skip
    scalars = dict.fromkeys(("T", "N", "inner", "C", "CN", "GP", "GN"), "i32") | {"slope": "fp32"}
    constants = {key: value for key, value in constants.items() if key in kernel.arg_names}
    stored_as = dict.fromkeys(("gs", "x", "shortcut", "out", "gx", "g_shortcut"), pointer)
    types = scalars | stored_as | dict.fromkeys(constants, "constexpr")
    source = ASTSource(
        kernel,
        {name: types.get(name, "*fp32") for name in kernel.arg_names},
        {(kernel.arg_names.index(name),): value for name, value in constants.items()},
    )
    return compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})


@pytest.mark.parametrize("pointer", ["*fp32", "*bf16"])
@pytest.mark.parametrize("name", ["_forward", "_backward"])
def test_compiles_for_a_gpu_without_fused_multiply_add(
    name: str, pointer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = compiled_for_a_gpu(getattr(load(monkeypatch), name), pointer).asm["ptx"]
    assert "fma.rn.f32" not in code  # would move membranes across the threshold


def test_sums_of_parameters_have_places_of_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """`GP` is the number of each, up to one a neuron: three times that may be more than 32 bits hold."""
    kernel = load(monkeypatch)._backward
    code = compiled_for_a_gpu(kernel, "*fp32", P_GROUP=1).asm["ttir"]
    head = next(line for line in code.splitlines() if "tt.func public" in line)
    names = re.findall(r"(%\w+): ", head)
    number = names[[p.name for p in kernel.params if not p.is_constexpr].index("GP")]
    assert re.findall(rf"= (\S+) .*{number}\b", code) == ["arith.extsi"]
    compiled_for_a_gpu(kernel, "*fp32", GP=1)  # which Triton takes for a constant


def test_backward_pass_holds_one_number_a_step_in_registers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import triton

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    if not tool.exists():
        pytest.skip("this Triton has no cuobjdump, which counts registers")
    kernels = load(monkeypatch)
    steps, block = kernels.SEGMENT[LIF], kernels.BLOCK
    code = compiled_for_a_gpu(
        kernels._backward, "*bf16", KIND="lif", NORM=False, LEARN=False, JOINED=False, RESTS=True, LAST_V=False, WHOLE=True, SEG=steps,
        BLOCK=block, C=1, CN=1,
    )  # fmt: skip
    (tmp_path / "backward.cubin").write_bytes(code.asm["cubin"])
    used = subprocess.run([tool, "-res-usage", tmp_path / "backward.cubin"], capture_output=True, text=True, check=True)
    registers, spilled = (int(re.search(rf"{name}:(\d+)", used.stdout)[1]) for name in ("REG", "STACK"))
    held = steps * block // (4 * 32)  # membranes of a thread, of which four warps have 32 each
    assert held < registers < 2 * held
    assert spilled == 0

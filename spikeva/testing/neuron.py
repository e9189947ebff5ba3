"""What every neuron holds, on every backend that says it can run it."""

import copy
import gc
import inspect
import pickle
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikeva.errors import UserError
from spikeva.neurons import NEURONS, list_neurons, list_surrogates, make_neuron
from spikeva.neurons.base import Neuron, Run, State, scan
from spikeva.neurons.options import BACKENDS

SHAPE = (10, 3, 4, 2, 3)  # T, B, C, H, W
# Of a gradient, relative to its largest entry, or to 1 where that is less: of a sum that cancels, rounding is all.
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


class Case(NamedTuple):
    """One way to build the neuron."""

    name: str
    backend: str
    options: dict[str, Any]

    def build(self, backend: str | None = None) -> Neuron:
        torch.manual_seed(0)  # a neuron with random weights has the same ones each time
        return make_neuron(self.name, backend=backend or self.backend, **self.options)

    def __str__(self) -> str:
        return f"neuron {self.name!r}, backend {self.backend!r}, {self.options}"


def check_neuron(name: str, *, compiled: bool = False, **options: Any) -> None:
    """Raise AssertionError unless the registered neuron `name`, built with `options`, keeps the contract of neurons.

    On every backend that can run it: spikes of 0 and 1 in the input's dtype; for every reset and every surrogate the same
    spikes as its `step` taken step by step, gradients equal to 2e-5 in float32 and 1e-12 in float64; so too from a given
    state, for one step, with a shortcut, in eval mode and on [T, B, C]; a sequence in two parts with the state carried
    equals the whole; a batch equals its samples one by one; no call changes its inputs or remembers anything; bfloat16
    in, bfloat16 spikes out, those of the same numbers in float32; pickle, deepcopy, `.to`, one state_dict for all
    backends; nothing outlives a deleted neuron. `compiled`: also torch.compile(fullgraph=True) on the fused and snntorch
    backends.
    """
    kind = NEURONS.get(name)
    is_neuron = isinstance(kind, type) and issubclass(kind, Neuron)
    assert is_neuron, f"neuron {name!r} must be a subclass of Neuron"
    assert callable(getattr(kind, "step", None)), (
        f"neuron {name!r} must have a `step`, the function of one step in time"
    )
    if kind.needs_channels:
        options = {"channels": SHAPE[2], **options}
    out, _ = make_neuron(name, **options)(sample().requires_grad_())
    assert out.requires_grad, f"neuron {name!r}: no gradient gets from its output to its input; spikes need `rule.fire`"
    for backend in BACKENDS:
        case = Case(name, backend, options)
        if not runs(case):
            continue
        _however_called(case)
        for check in (_output, _carried_state, _batch, _pure, _half_precision, _copies, _freed, _refuses):
            check(case)
        if compiled and backend != "norse":
            compiles(case)
    for case in cases(name, options):  # last, since it takes longest
        _equals_its_step(case)


def runs(case: Case) -> bool:
    """Whether the neuron can be built so; a backend that cannot says why in a UserError."""
    try:
        case.build()
    except UserError:
        return False
    return True


def cases(name: str, options: dict[str, Any]) -> Iterator[Case]:
    """Every backend x reset x surrogate, detached or not, that can be built; on the fused one each surrogate with one reset.

    A fused kernel takes seconds to compile, and a surrogate is a function in it that knows of no reset. In the next neuron
    each meets another reset.
    """
    kind, surrogates, turn = NEURONS.get(name), list_surrogates(), list_neurons().index(name)
    resets = kind.RESETS or ("none",)
    for backend in BACKENDS:
        pairs = [*product(resets, surrogates)]
        if backend == "fused":
            pairs = [(resets[i % len(resets)], s) for i, s in enumerate(surrogates, turn)]
        rules = [{"reset": r, "surrogate": s, "detach_reset": d} for (r, s), d in product(pairs, (True, False))]
        for rule in rules if kind.spiking else [{}]:
            case = Case(name, backend, {**rule, **options})
            if runs(case):
                yield case


def sample(dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Input [T, B, C, H, W] that makes a neuron of threshold 1 fire now and then."""
    drawn = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn * 0.8 + 0.2).to(dtype)


def _gradients(out: Tensor, state: State, wanted: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    loss = (out * weights).sum() + sum(s.to(out.dtype).sum() for s in state)
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, wanted, strict=True)]


def _compare(
    case: Case, neuron: Neuron, x: Tensor, given: State | None = None, shortcut: Tensor | None = None, how: str = ""
) -> None:
    """Raise AssertionError unless output, state and gradients are those of the neuron's step taken step by step."""
    leaves = [t.requires_grad_() for t in (x, *(given or ()), *(() if shortcut is None else (shortcut,)))]
    out, state = neuron(x, given) if shortcut is None else neuron(x, given, shortcut=shortcut)
    start = neuron.initial_state(x) if given is None else given
    y = x if shortcut is None else x + shortcut
    ref, ref_state = scan(Run(type(neuron).step, y, start, neuron.parameters_of_step(x), neuron.rule))
    where = f"in {x.dtype}{how}"
    if neuron.spiking:
        wrong = int((out != ref).sum())
        assert wrong == 0, f"{case}: {wrong} of {out.numel()} spikes differ from those of its step {where}"
    wanted = [*leaves, *neuron.parameters()]
    pairs = [*zip([out, *state], [ref, *ref_state], strict=True)]
    pairs += zip(_gradients(out, state, wanted), _gradients(ref, ref_state, wanted), strict=True)
    for got, expected in pairs:
        error = float((got - expected).detach().abs().max() / expected.detach().abs().max().clamp_min(1.0))
        assert error <= TOLERANCE[x.dtype], f"{case}: output, state or gradient off by {error:.2g} (relative) {where}"


def _equals_its_step(case: Case) -> None:
    for dtype in TOLERANCE:
        _compare(case, case.build().to(dtype), sample(dtype))


def _however_called(case: Case) -> None:
    neuron, x = case.build(), sample()
    _compare(case, neuron, sample())
    given = tuple(torch.linspace(0, 0.9, s.numel()).view(s.shape) for s in neuron.initial_state(x))
    _compare(case, neuron, sample(), given, how=", from a given state")
    _compare(case, neuron, sample()[:1], how=", for one step")
    if "shortcut" in inspect.signature(neuron.forward).parameters:
        _compare(case, neuron, sample(), shortcut=sample(seed=1), how=", with a shortcut")
    _compare(case, neuron.eval(), sample(), how=", in eval mode")
    flat = sample()[..., 0, 0].contiguous()
    try:
        neuron.check(flat)
    except UserError:
        return  # made for pictures alone
    _compare(case, neuron, flat, how=", on [T, B, C]")


def _output(case: Case) -> None:
    neuron = case.build()
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = sample(dtype)
        out, state = neuron(x)
        assert (out.shape, out.dtype) == (x.shape, dtype), f"{case}: got {out.dtype} {list(out.shape)} for {dtype}"
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        assert all(s.dtype == wide for s in state), f"{case}: a state must be {wide} for {dtype}"
        assert len(state) == len(neuron.STATES), f"{case}: {len(state)} states, STATES names {len(neuron.STATES)}"
        if neuron.spiking:
            assert bool(((out == 0) | (out == 1)).all()), f"{case}: a spike is 0 or 1"
            assert 0 < float(out.detach().mean()) < 1, (
                f"{case}: silent or always firing on an input around the threshold"
            )


def _carried_state(case: Case) -> None:
    neuron, x = case.build(), sample()
    whole, last = neuron(x)
    first, state = neuron(x[:4])
    second, end = neuron(x[4:], state)
    parts = torch.cat([first, second])
    same = torch.equal(parts, whole) if neuron.spiking else torch.allclose(parts, whole, rtol=1e-6, atol=1e-6)
    assert same, f"{case}: two parts with the state carried are not the whole"
    for got, expected in zip(end, last, strict=True):  # norse keeps its membrane in other units: a rounding
        assert torch.allclose(got, expected, rtol=1e-6, atol=1e-6), f"{case}: two parts end in another state"


def _batch(case: Case) -> None:
    neuron, x = case.build(), sample()
    whole, _ = neuron(x)
    single = torch.cat([neuron(x[:, b : b + 1])[0] for b in range(x.shape[1])], dim=1)
    assert torch.equal(single, whole), f"{case}: a batch is not its samples one by one"
    empty, _ = neuron(x[:, :0])
    assert empty.shape == x[:, :0].shape, f"{case}: an empty batch gives {list(empty.shape)}"


def _pure(case: Case) -> None:
    neuron, x = case.build(), sample()
    state = tuple(torch.full_like(s, 0.5) for s in neuron.initial_state(x))
    before = [t.clone() for t in (x, *state)]
    out, _ = neuron(x, state)
    assert all(map(torch.equal, before, (x, *state))), f"{case}: a call changed its input or its state"
    assert torch.equal(neuron(x, state)[0], out), f"{case}: the same call twice gives two results"
    strided = sample().transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(neuron(strided, state)[0], out), f"{case}: the result depends on the memory layout"


def _half_precision(case: Case) -> None:
    neuron, x = case.build(), sample(torch.bfloat16)
    out, wide = neuron(x)[0], neuron(x.float())[0]
    assert torch.equal(out.float(), wide.bfloat16().float()), (
        f"{case}: bfloat16 input gives other spikes than in float32"
    )


def _copies(case: Case) -> None:
    neuron, x = case.build(), sample()
    neuron(x.requires_grad_())[0].sum().backward()  # after a call with a graph: that is where copies fail
    out = neuron(x)[0]
    for made in (pickle.loads(pickle.dumps(neuron)), copy.deepcopy(neuron)):
        assert torch.equal(made(x)[0], out), f"{case}: a copy gives another result"
    other = case.build("fused")
    other.load_state_dict(neuron.state_dict())
    wide = copy.deepcopy(neuron).to(torch.float64)
    assert all(v.dtype == torch.float64 for v in wide.state_dict().values()), f"{case}: .to(float64) left something"
    wide(sample(torch.float64))


def _freed(case: Case) -> None:
    case.build()(sample())  # what is made once for all may stay
    gc.freeze()  # only what is made from here on is looked at
    try:
        for _ in range(100):
            case.build()
        gc.collect()
        alive = sum(issubclass(type(o), torch.nn.Module) for o in gc.get_objects())
    finally:
        gc.unfreeze()
    assert alive == 0, f"{case}: of 100 deleted neurons {alive} modules are alive"


def _refuses(case: Case) -> None:
    neuron = case.build()
    bad: list[tuple[str, Any]] = [
        ("an unknown option", lambda: make_neuron(case.name, no_such_option=1)),
        ("integers", lambda: neuron(torch.ones(SHAPE, dtype=torch.int64))),
        ("no time step", lambda: neuron(sample()[:0])),
        ("a state of another shape", lambda: neuron(sample(), tuple(torch.zeros(1, 1) for _ in neuron.STATES))),
    ]
    for what, call in bad:
        try:
            call()
        except UserError:
            continue
        raise AssertionError(f"{case}: {what} must raise UserError")


def compiles(case: Case) -> None:
    """Raise AssertionError unless torch.compile takes the neuron whole and its spikes and gradients stay the same."""
    neuron, x = case.build(), sample().requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    out, state = compiled(x)
    ref, ref_state = neuron(x)
    assert torch.equal(out, ref), f"{case}: compiled, it gives other spikes"
    wanted = [x, *neuron.parameters()]
    for got, expected in zip(_gradients(out, state, wanted), _gradients(ref, ref_state, wanted), strict=True):
        assert torch.allclose(got, expected, rtol=1e-5, atol=1e-6), f"{case}: compiled, it gives another gradient"

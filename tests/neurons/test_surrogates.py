"""Each surrogate's gradient is its formula, and a spike is strict."""

import math
import pickle
from collections.abc import Callable

import pytest
import torch

from spikeva.errors import UserError
from spikeva.neurons import SURROGATES, list_surrogates, make_neuron, make_surrogate, register_surrogate
from spikeva.neurons.surrogates import Surrogate

# dS/du as written in the literature, for slope k
FORMULAS: dict[str, Callable[[float, float], float]] = {
    "fast_sigmoid": lambda u, k: 1 / (1 + k * abs(u)) ** 2,
    "superspike": lambda u, k: (k * abs(u) + 1) ** -2,
    "atan": lambda u, k: k / 2 / (1 + (math.pi / 2 * k * u) ** 2),
    "sigmoid": lambda u, k: k * math.exp(-k * u) / (1 + math.exp(-k * u)) ** 2,
    "triangle": lambda u, k: max(0.0, 1 - k * abs(u)),
    "straight_through": lambda u, k: k,
}
DEFAULT_SLOPES = {
    "fast_sigmoid": 25, "superspike": 10, "atan": 2, "sigmoid": 4, "triangle": 1, "straight_through": 1,
}  # fmt: skip


def test_every_surrogate_has_a_formula() -> None:
    assert set(FORMULAS) == set(list_surrogates())


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("slope", [None, 0.5, 3.0])
def test_gradient_is_the_formula(name: str, slope: float | None) -> None:
    u = torch.tensor([-2.0, -0.3, -0.01, 0.0, 0.2, 1.0], dtype=torch.float64, requires_grad=True)
    spikes = make_surrogate(name, slope)(u)
    spikes.sum().backward()
    k = DEFAULT_SLOPES[name] if slope is None else slope
    assert spikes.tolist() == [0, 0, 0, 0, 1, 1]  # 0 itself does not fire
    assert u.grad.tolist() == pytest.approx([FORMULAS[name](x, k) for x in u.tolist()], rel=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_extreme_membranes_keep_a_finite_gradient(name: str) -> None:
    u = torch.tensor([-1e4, 1e4], requires_grad=True)
    make_surrogate(name)(u).sum().backward()
    assert u.grad.isfinite().all()


def test_any_callable_is_a_surrogate() -> None:
    def step(u: torch.Tensor) -> torch.Tensor:
        return make_surrogate("atan")(u)

    x = torch.rand(5, 2, 3, requires_grad=True)
    spikes, _ = make_neuron("lif", surrogate=step)(x)
    spikes.sum().backward()
    assert torch.equal(spikes, make_neuron("lif", surrogate="atan")(x)[0])
    with pytest.raises(UserError, match="slope belongs to a surrogate given by name"):
        make_surrogate(step, 2.0)


def test_a_registered_surrogate_is_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SURROGATES, "_entries", dict(SURROGATES._entries))

    @register_surrogate("test_flat")
    class Flat(Surrogate):
        def derivative(self, u: torch.Tensor) -> torch.Tensor:
            return torch.full_like(u, 0.25)

    x = torch.rand(1, 1, 2, requires_grad=True)
    make_neuron("lif", surrogate="test_flat")(x)[0].sum().backward()
    assert x.grad.unique().tolist() == [0.25]
    with pytest.raises(ValueError, match="'test_flat' is registered already"):
        register_surrogate("test_flat")(Surrogate)


def test_what_is_defined_anew_takes_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of a notebook is run again, a module reloaded."""
    monkeypatch.setattr(SURROGATES, "_entries", dict(SURROGATES._entries))

    def define(height: float) -> None:
        @register_surrogate("test_flat")
        class Flat(Surrogate):
            def derivative(self, u: torch.Tensor) -> torch.Tensor:
                return torch.full_like(u, height)

    for height in (0.25, 0.5):
        define(height)
        x = torch.rand(1, 1, 2, requires_grad=True)
        make_neuron("lif", surrogate="test_flat")(x)[0].sum().backward()
        assert x.grad.unique().tolist() == [height]


def test_equal_by_value_and_picklable() -> None:
    made = make_surrogate("atan", 3.0)
    assert pickle.loads(pickle.dumps(made)) == made == make_surrogate("atan", 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("atna", None), "unknown surrogate 'atna'; did you mean 'atan'"),
        (("atan", -1.0), "slope of a surrogate must be a number > 0, got -1.0"),
        ((3, None), "must be a name or a callable"),
    ],
)
def test_bad_surrogates(arguments: tuple[object, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_surrogate(*arguments)

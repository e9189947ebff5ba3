"""Every registered neuron keeps the contract, on every backend."""

import pytest

from spikeva.neurons import list_neurons, support
from spikeva.testing import check_neuron
from spikeva.testing.neuron import SHAPE, Case, compiles, runs


@pytest.mark.parametrize("name", list_neurons())
def test_neuron(name: str) -> None:
    check_neuron(name)


@pytest.mark.parametrize("name", list_neurons())
@pytest.mark.parametrize("backend", ["fused", "snntorch"])
def test_compiles_into_one_graph(name: str, backend: str) -> None:
    case = Case(name, backend, {"channels": SHAPE[2]})
    if runs(case):
        compiles(case)
    else:
        assert support(name, backend).share == "none"

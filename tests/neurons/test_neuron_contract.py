"""Every registered neuron keeps the contract, on every backend."""

import pytest

from spikeva.neurons import list_neurons
from spikeva.testing import check_neuron


@pytest.mark.parametrize("name", list_neurons())
def test_neuron(name: str) -> None:
    check_neuron(name)

"""What backends say they can do, and the choice between them."""

import numpy as np
import pytest

from spikeva.errors import UserError
from spikeva.models import create_model
from spikeva.neurons import list_neurons, make_neuron, support, table
from spikeva.neurons.options import BACKENDS


def test_the_fused_backend_runs_everything() -> None:
    assert {support(name, "fused").share for name in list_neurons()} == {"all"}


@pytest.mark.parametrize(
    ("name", "backend", "share"),
    [("lif", "snntorch", "some"), ("li", "norse", "all"), ("psn", "snntorch", "none"), ("if", "norse", "none")],
)
def test_support_of_the_libraries(name: str, backend: str, share: str) -> None:
    found = support(name, backend)
    assert found.share == share
    assert bool(found.reasons) == (share != "all")


def test_table_lists_neurons_backends_and_reasons() -> None:
    lines = table("[al]*").splitlines()
    assert lines[0].split() == ["neuron", *BACKENDS, "definition"]
    assert [line.split()[0] for line in lines[1:4]] == ["alif", "li", "lif"]
    assert lines[4].startswith("(1) snntorch has no such dynamics")


def test_numbers_of_numpy_are_numbers() -> None:
    neuron = make_neuron("lif", beta=np.float32(0.5), theta=np.float64(2), channels=np.int64(3), slope=np.float32(4))
    assert neuron.beta.tolist() == [0.5] * 3
    create_model("snn_convnet", in_channels=np.int64(1), width=np.int32(4), depth=2, beta=np.float32(0.5))


def test_auto_is_fused() -> None:
    assert make_neuron("lif").backend == "fused"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bta": 0.5}, "neuron 'lif' has no option 'bta'; did you mean 'beta'"),
        ({"beta": 1.0}, r"beta must be a number inside \(0, 1\), got 1.0"),
        ({"beta": "high"}, r"beta must be a number inside \(0, 1\), got 'high'"),
        ({"theta": -1}, r"theta must be a number inside \(0, inf\), got -1"),
        ({"theta": 0}, r"theta must be a number inside \(0, inf\), got 0"),
        ({"reset": "zro"}, "LIF has no reset 'zro'; did you mean 'zero'"),
        ({"backend": "snntorc"}, "unknown backend 'snntorc'; did you mean 'snntorch'"),
        ({"detach_reset": "no"}, "LIF: detach_reset must be true or false, got 'no'"),
        ({"learn_beta": "no"}, "LIF: learn_beta must be true or false, got 'no'"),
        ({"learn_theta": 1}, "LIF: learn_theta must be true or false, got 1"),
        ({"slope": True}, "slope of a surrogate must be a number > 0, got True"),
        ({"channels": True}, "channels must be a whole number >= 1 or None, got True"),
        ({"channels": 0}, "channels must be a whole number >= 1 or None, got 0"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_neuron("lif", **options)


def test_unknown_neuron() -> None:
    with pytest.raises(UserError, match=r"unknown neuron 'liff'; did you mean 'lif'\?"):
        make_neuron("liff")

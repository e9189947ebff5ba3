"""Every registered model keeps the contract."""

from typing import Any

import numpy as np
import pytest
import torch

from spikeva.errors import UserError
from spikeva.models import create_model, list_models, parameters, register_model
from spikeva.testing import check_model

ARGUMENTS: dict[str, dict[str, Any]] = {
    "snn_resnet18_fusion": {"frames": 2},
    "ann_resnet18_fusion": {"frames": 4},
}


@pytest.mark.parametrize("name", list_models())
def test_model(name: str) -> None:
    check_model(name, width=4, **ARGUMENTS.get(name, {}))


@pytest.mark.parametrize("name", list_models())
def test_events_as_they_are_encoded_are_refused(name: str) -> None:
    model = create_model(name, in_channels=1, width=4, **ARGUMENTS.get(name, {}))
    with pytest.raises(UserError, match=r"a floating tensor, got torch\.uint8; `spikeva\.encode\.model_input`"):
        model(torch.zeros(1, 4, 1, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("norm", ["tdbn", "bntt", "none"])
@pytest.mark.parametrize("readout", ["membrane_last", "weighted"])
def test_norms_and_readouts(norm: str, readout: str) -> None:
    check_model("snn_convnet", width=4, depth=2, norm=norm, readout=readout, steps=4)


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("backend", ["snntorch", "norse"])
def test_pools_and_libraries(pool: str, backend: str) -> None:
    check_model("snn_convnet", width=4, depth=2, pool=pool, backend=backend, readout="count")


@pytest.mark.parametrize("neuron", ["if", "plif", "alif", "cuba", "rlif", "glif", "psn"])
def test_neurons(neuron: str) -> None:
    check_model("snn_convnet", width=4, depth=2, neuron=neuron, per_channel=True)


@pytest.mark.parametrize("name", [n for n in list_models() if "dropout" in parameters(n)])
def test_dropout_is_drawn_in_training_alone(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, in_channels=2, width=4, dropout=0.5, **ARGUMENTS.get(name, {})).train()
    x = (torch.rand(2, 4, 2, 32, 32) < 0.2).float()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_connection_iand() -> None:
    check_model("snn_sew_resnet18", width=4, connect="iand")


@pytest.mark.parametrize("norm", ["bn", "bntt", "none"])
def test_membrane_shortcuts(norm: str) -> None:
    check_model("snn_resnet18_fusion", width=4, frames=2, shortcut="membrane", norm=norm, steps=4)


@pytest.mark.parametrize("name", ["ann_convnet", "snn_convnet", "snn_recurrent_convnet"])
@pytest.mark.parametrize("depth", [11, 50])
def test_channels_do_not_double_without_an_end(name: str, depth: int) -> None:
    create_model(name, in_channels=np.int64(1), width=np.int64(1), depth=10)
    with pytest.raises(UserError, match=rf"depth={depth} from width=16 passes 8192; take fewer layers"):
        create_model(name, in_channels=1, width=16, depth=depth)


def test_a_name_says_what_a_model_is() -> None:
    """A spiking model of another name would get an ANN's input, and an ANN's cost would be written beside its scores."""
    with pytest.raises(UserError, match=r"a model is called 'ann_\.\.\.' or 'snn_\.\.\.', .*found 'spiking_mine'"):
        register_model("spiking_mine")


@pytest.mark.parametrize("norm", ["tdbn", "bntt"])
def test_norms_of_spiking_fer(norm: str) -> None:
    check_model("snn_spiking_fer", width=4, norm=norm, steps=4, per_channel=True)

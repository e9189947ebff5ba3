"""Traces worked out by hand: beta = alpha = rho = 0.5 and threshold 1 unless a line says otherwise."""

import pytest
import torch
from torch import Tensor

from spikeva.neurons import list_neurons, make_neuron
from spikeva.neurons.options import BACKENDS


def column(values: list[float]) -> Tensor:
    """[T, 1, 1] in float64."""
    return torch.tensor(values, dtype=torch.float64)[:, None, None]


def trace(neuron: torch.nn.Module, x: list[float]) -> tuple[list[float], list[list[float]]]:
    """(outputs, states after each step) of a neuron fed step by step."""
    outputs, states, state = [], [], None
    for step in column(x):
        out, state = neuron(step[None], state)
        outputs.append(out.item())
        states.append([s.item() for s in state])
    return outputs, states


TRACES = {
    # h      .6  .9  1.05  .2  1.1  .5            v after: zero where it fired
    "lif": ({"beta": 0.5}, [0.6, 0.6, 0.6, 0.2, 1.0, 0.5], [0, 0, 1, 0, 1, 0], [[0.6], [0.9], [0], [0.2], [0], [0.5]]),
    # h      .6  .9  1.05  .225  1.1125  .55625   v after: less 1 where it fired
    "lif subtract": (
        {"beta": 0.5, "reset": "subtract"},
        [0.6, 0.6, 0.6, 0.2, 1.0, 0.5],
        [0, 0, 1, 0, 1, 0],
        [[0.6], [0.9], [0.05], [0.225], [0.1125], [0.55625]],
    ),
    # the step after the spike starts from .525 + .2 - 1
    "lif subtract_delayed": (
        {"beta": 0.5, "reset": "subtract_delayed"},
        [0.6, 0.6, 0.6, 0.2, 1.0, 0.5],
        [0, 0, 1, 0, 0, 0],
        [[0.6], [0.9], [1.05], [-0.275], [0.8625], [0.93125]],
    ),
    # h      .4  .8  1.2  .3  1.1  .2
    "if": ({}, [0.4, 0.4, 0.4, 0.3, 0.8, 0.2], [0, 0, 1, 0, 1, 0], [[0.4], [0.8], [0], [0.3], [0], [0.2]]),
    # the LIF's trace: sigmoid(0) is 0.5
    "plif": ({"beta": 0.5}, [0.6, 0.6, 0.6, 0.2, 1.0, 0.5], [0, 0, 1, 0, 1, 0], [[0.6], [0.9], [0], [0.2], [0], [0.5]]),
    # threshold 1  2  1.5  2.25  1.625  2.3125;  h 1.5  1.5  2.25  1.5  2.25  1.5
    "alif": (
        {"beta": 0.5, "rho": 0.5, "gamma": 1.0},
        [1.5, 1.5, 1.5, 1.5, 1.5, 1.5],
        [1, 0, 1, 0, 1, 0],
        [[0, 1], [1.5, 0.5], [0, 1.25], [1.5, 0.625], [0, 1.3125], [1.5, 0.65625]],
    ),
    # threshold .75;  i 1  .5  .25  .125  .8125  .40625;  h 1  .5  .5  .375  1  .40625
    "cuba": (
        {"alpha": 0.5, "beta": 0.5, "theta": 0.75},
        [1.0, 0.0, 0.0, 0.0, 0.75, 0.0],
        [1, 0, 0, 0, 1, 0],
        [[1, 0], [0.5, 0.5], [0.25, 0.5], [0.125, 0.375], [0.8125, 0], [0.40625, 0.40625]],
    ),
    # weight .5;  h 1.2  .8+.5  .8+.5  .2+.5  .35+.9  .4+.5
    "rlif": (
        {"beta": 0.5, "channels": 1, "kernel": 1},
        [1.2, 0.8, 0.8, 0.2, 0.9, 0.4],
        [1, 1, 1, 0, 1, 0],
        [[0, 1], [0, 1], [0, 1], [0.7, 0], [0, 1], [0.9, 0]],
    ),
    # a = c = .5: h = .75 v - .125 + x;  h .475  1.03125  .38671875  .4650390625  1.423779296875
    "glif": (
        {"beta": 0.5, "leak": 0.25, "leak_gate": 0.5, "reset_gate": 0.5},
        [0.6, 0.8, 0.5, 0.3, 1.2],
        [0, 1, 0, 0, 1],
        [[0.475], [0.015625], [0.38671875], [0.4650390625], [0.2118896484375]],
    ),
    # weights 1 .5 .25;  h .5  .75  .875  .375  1.125  1.0, and 1.0 is not above 1
    "psn": (
        {"beta": 0.5, "order": 3},
        [0.5, 0.5, 0.5, 0.0, 1.0, 0.5],
        [0, 0, 0, 0, 1, 0],
        [[0.5, 0], [0.5, 0.5], [0.5, 0.5], [0, 0.5], [1, 0], [0.5, 1]],
    ),
    # v      1  .5  .75  .375  1.1875  -.40625
    "li": (
        {"beta": 0.5},
        [1.0, 0.0, 0.5, 0.0, 1.0, -1.0],
        [1, 0.5, 0.75, 0.375, 1.1875, -0.40625],
        [[1], [0.5], [0.75], [0.375], [1.1875], [-0.40625]],
    ),
}


@pytest.mark.parametrize("case", TRACES)
def test_trace(case: str) -> None:
    options, x, outputs, states = TRACES[case]
    neuron = make_neuron(case.split()[0], **options).double()
    if case == "rlif":
        torch.nn.init.constant_(neuron.recurrent, 0.5)
    got, got_states = trace(neuron, x)
    assert got == pytest.approx(outputs, abs=1e-12)
    assert got_states == [pytest.approx(s, abs=1e-12) for s in states]


def test_every_neuron_has_a_trace() -> None:
    assert {case.split()[0] for case in TRACES} >= set(list_neurons())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_membrane_at_the_threshold_does_not_fire(backend: str) -> None:
    neuron = make_neuron("lif", beta=0.5, backend=backend, surrogate="superspike", slope=1.0)
    spikes, _ = neuron(column([1.0, 0.5, 0.75]))
    assert spikes.flatten().tolist() == [0, 0, 1]


def test_decay_and_threshold_per_channel() -> None:
    neuron = make_neuron("lif", channels=2, beta=0.5)
    neuron.beta[1] = 0.25
    neuron.theta[1] = 2.0
    x = torch.tensor([1.5, 1.5]).expand(2, 1, 2)
    spikes, (v,) = neuron(x)
    assert spikes[:, 0].tolist() == [[1, 0], [1, 0]]
    assert v[0].tolist() == [0, 1.875]


@pytest.mark.parametrize(
    ("name", "learned"), [("plif", "logit_beta"), ("glif", "logit_reset_gate"), ("psn", "w1"), ("rlif", "recurrent")]
)
def test_learned_parameters_get_gradients(name: str, learned: str) -> None:
    neuron = make_neuron(name, channels=4)
    x = torch.rand(8, 2, 4, generator=torch.Generator().manual_seed(0))
    neuron(x)[0].sum().backward()
    grad = neuron.get_parameter(learned).grad
    assert grad is not None
    assert grad.abs().max() > 0

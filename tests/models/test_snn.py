"""The spiking family: what the names promise, readouts, norms, firing at the start, arguments checked without torch."""

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from spikeva.errors import UserError
from spikeva.models import create_model, list_models, parameters, problems
from spikeva.models.snn.layers import PerStepBatchNorm2d, ThresholdBatchNorm2d
from spikeva.models.snn.readout import LinearReadout
from spikeva.models.snn.resnet import CONNECT
from spikeva.neurons import health
from spikeva.neurons.base import Neuron
from spikeva.neurons.options import BACKENDS


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def events(steps: int = 8, size: int = 32) -> torch.Tensor:
    return (torch.rand(2, steps, 2, size, size) < 0.05).float()


@pytest.mark.parametrize("options", [{}, {"stem": "small", "fusion": "mean"}, {"fusion": "attention"}])
def test_the_fusion_net_has_the_parameters_of_its_baseline(options: dict[str, str]) -> None:
    ann, *both = (
        create_model(name, in_channels=2, width=8, **options, **own)
        for name, own in (
            ("ann_resnet18_fusion", {}),
            ("snn_resnet18_fusion", {}),
            ("snn_resnet18_fusion", {"shortcut": "membrane"}),
        )
    )
    for snn in both:
        assert sorted(p.shape for p in ann.parameters()) == sorted(p.shape for p in snn.parameters())
    assert len({sum(isinstance(m, Neuron) for m in snn.modules()) for snn in both}) == 1


def test_a_membrane_shortcut_carries_currents_past_silent_blocks() -> None:
    model = create_model("snn_resnet18_fusion", in_channels=2, width=4, frames=2, stem="small", shortcut="membrane")
    block = model.body[3]
    x = torch.randn(3, 2, 4, 6, 6)
    y, _ = block(x)
    torch.nn.init.zeros_(block.main[-1].module.weight)
    assert not torch.equal(y, x)
    assert torch.equal(block(x)[0], x)


def test_a_block_that_adds_in_its_last_pass_is_the_block_that_adds_before_it() -> None:
    fused = create_model("snn_resnet18_fusion", in_channels=2, width=8, frames=2, stem="small").train()
    apart = copy.deepcopy(fused)
    for module in apart.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda *_: None)  # who watches a norm sees it called by itself
    x, gradients, rates = events(size=16), [], []
    for model in (fused, apart):
        spikes, _ = model.body(x.transpose(0, 1))
        rates.append(spikes)
        (spikes * torch.arange(spikes.numel()).view(spikes.shape).cos()).sum().backward()
        gradients.append([p.grad for p in model.body.parameters()])
    assert rates[0].any()
    assert torch.equal(*rates)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


def test_the_rates_of_a_frame_are_of_its_own_steps() -> None:
    model = create_model("snn_resnet18_fusion", in_channels=2, width=4, frames=2).train()
    seen = []
    model.body.register_forward_hook(lambda _, __, out: seen.append(out[0]))
    model.fusion.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(events(6))
    spikes, rates = seen
    assert torch.equal(rates, torch.stack([spikes[:3].mean(0), spikes[3:].mean(0)], 1))
    assert not torch.equal(rates[:, 0], rates[:, 1])


def test_the_fusion_net_fuses_rates_of_frames() -> None:
    model = create_model("snn_resnet18_fusion", in_channels=2, width=4, frames=2, fusion="mean")
    x = events(2)
    shown = model.eval()(x.repeat_interleave(3, 1))
    model.repeat = 3
    assert torch.equal(model(x), shown)
    with pytest.raises(UserError, match="made for frames=2 but got T=3"):
        model(events(3))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((n, {}) for n in list_models("snn_*")),
        ("snn_convnet", {"norm": "none"}),
        ("snn_convnet", {"theta": 30.0}),
        ("snn_convnet", {"theta": 30.0, "norm": "none"}),
        ("snn_resnet18_fusion", {"shortcut": "membrane"}),
    ],
)
def test_no_layer_is_silent_or_saturated_at_the_start(name: str, options: dict[str, Any]) -> None:
    model = create_model(name, in_channels=2, width=8, **options)
    assert all(0.01 < layer.rate < 0.6 for layer in health(model, events()))


@pytest.mark.parametrize("name", list_models("snn_*"))
def test_a_batch_begins_at_rest_in_training_too(name: str) -> None:
    model = create_model(name, in_channels=2, width=4).train()
    x = events(4, 16)
    first = model(x)
    model(events(4, 16)).sum().backward()
    assert torch.equal(model(x), first)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_makes_the_same_prediction_from_the_same_state_dict(backend: str) -> None:
    reference = create_model("snn_convnet", in_channels=2, width=4, depth=2).double()
    model = create_model("snn_convnet", in_channels=2, width=4, depth=2, backend=backend).double()
    model.load_state_dict(reference.state_dict())
    x = events().double()
    assert torch.allclose(model(x), reference(x), rtol=1e-9, atol=1e-12)


def test_readouts_by_hand() -> None:
    """One feature, weight 1: currents 1, 0, 1, 0.

    The integrator with beta = 0.5 has v = .5  .25  .625  .3125; over 1 - .5^t = .5 .75 .875 .9375: 1  1/3  5/7  1/3.
    """
    x = torch.tensor([1.0, 0.0, 1.0, 0.0]).view(4, 1, 1)
    expected = {
        "membrane_last": [1, 1 / 3, 5 / 7, 1 / 3],
        "membrane_mean": [1, 2 / 3, 43 / 63, 25 / 42],
        "count": [1, 1 / 2, 2 / 3, 1 / 2],
    }
    for how, wanted in expected.items():
        readout = LinearReadout(1, how, beta=0.5, outputs=1)  # type: ignore[arg-type]  # every readout in turn
        torch.nn.init.ones_(readout.linear.weight)
        assert readout(x)[0].flatten().tolist() == pytest.approx(wanted, rel=1e-6)
    readout = LinearReadout(1, "weighted", outputs=1)
    torch.nn.init.ones_(readout.linear.weight)
    torch.nn.init.constant_(readout.score.weight, torch.log(torch.tensor(3.0)).item())  # a spike weighs 3, silence 1
    assert readout(x)[0].flatten().tolist() == pytest.approx([1, 3 / 4, 6 / 7, 6 / 8], rel=1e-6)


def test_iand_lets_spikes_hold_back_what_came_in() -> None:
    main, skip = torch.tensor([[0.0, 0, 1, 1], [0, 1, 0, 1]])
    assert CONNECT["iand"](main, skip).tolist() == [0, 1, 0, 0]
    assert CONNECT["add"](main, skip).tolist() == [0, 1, 1, 2]


def test_spiking_fer_is_what_it_is_read_to_be() -> None:
    fer = create_model("snn_spiking_fer", in_channels=2, width=4)
    parts = {"neuron": "if", "surrogate": "atan", "reset": "zero", "detach_reset": True, "readout": "count"}
    torch.manual_seed(0)
    sew = create_model("snn_sew_resnet18", in_channels=2, width=4, connect="add", **parts)
    x, gradients = events() * torch.rand(2, 8, 2, 32, 32), []
    for model, shown in ((fer, x), (sew, (x > 0).float())):
        out = model(shown)
        out.sum().backward()
        gradients.append([out.detach(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    grey = create_model("snn_spiking_fer", in_channels=2, width=4, binarize=False)
    grey.load_state_dict(sew.state_dict())
    assert torch.equal(grey(x), sew(x))
    assert not torch.equal(sew(x), gradients[0][0])


def test_the_deepest_layers_of_the_recurrent_net_are_recurrent() -> None:
    model = create_model("snn_recurrent_convnet", in_channels=2, width=4, depth=3, recurrent=1, beta=0.5)
    neurons = [m for m in model.body.modules() if isinstance(m, Neuron)]
    assert [hasattr(neuron, "recurrent") for neuron in neurons] == [False, False, True]
    assert {beta for neuron in neurons for beta in neuron.beta.flatten().tolist()} == {0.5}


@pytest.mark.parametrize("name", [n for n in list_models("snn_*") if "readout_beta" in parameters(n)])
def test_the_readout_gets_its_own_decay(name: str) -> None:
    assert create_model(name, in_channels=2, width=4, readout_beta=0.6).readout.membrane.beta == pytest.approx(0.6)


@pytest.mark.parametrize("name", [n for n in list_models("snn_*") if "per_channel" in parameters(n)])
def test_decays_and_thresholds_of_a_channel(name: str) -> None:
    model = create_model(name, in_channels=2, width=4, per_channel=True)
    found = [m.theta.numel() for m in model.modules() if isinstance(m, Neuron) and m.spiking]
    assert found
    assert min(found) == 4


def test_norms() -> None:
    x = torch.randn(6, 4, 3, 5, 5) * 7 + 2
    assert ThresholdBatchNorm2d(3, 0.5)(x.flatten(0, 1)).std().item() == pytest.approx(0.5, rel=0.01)
    per_step = PerStepBatchNorm2d(3, 6, 1.0)
    out, seen = per_step(x * torch.arange(1.0, 7.0).view(6, 1, 1, 1, 1))
    assert out.std(dim=(1, 2, 3, 4)).tolist() == pytest.approx([1.0] * 6, rel=0.01)
    with pytest.raises(UserError, match="built for 6 time steps, got 7"):
        per_step(x[:1], seen)


def test_arguments_are_checked_without_torch() -> None:
    code = (
        "import sys; from spikeva import models; from spikeva.models import problems, parameters\n"
        "assert 'torch' not in sys.modules\n"
        "print(*problems('snn_convnet', {'in_channels': 2, 'bta': 1, 'width': 'wide', 'pool': 'mx', 'surrogate': 'atn'}), sep='\\n')\n"
        "print(problems('snn_convnt', {})[0]); print(problems('ann_convnet', {})[0]); print('rho' in parameters('snn_convnet', 'alif'))\n"
        "assert 'torch' not in sys.modules"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].startswith("model 'snn_convnet' has no argument 'bta'; did you mean 'beta'?")
    assert lines[1:] == [
        "model 'snn_convnet', argument 'width': must be int, got 'wide'",
        "model 'snn_convnet', argument 'pool': must be one of 'stride', 'avg', 'max', got 'mx'; did you mean 'max'?",
        lines[3],
        lines[4],
        "model 'ann_convnet' needs the argument 'in_channels'",
        "True",
    ]
    assert "unknown surrogate 'atn'; did you mean 'atan'" in lines[3]
    assert lines[4].startswith("unknown model 'snn_convnt'; did you mean 'snn_convnet'")


@pytest.mark.parametrize("name", list_models())
def test_arguments_read_from_source_are_the_real_ones(name: str) -> None:
    import inspect

    from spikeva.models import MODELS

    real = [n for n, p in inspect.signature(MODELS.get(name)).parameters.items() if p.kind is not p.VAR_KEYWORD]
    assert list(parameters(name))[: len(real)] == real
    assert not problems(name, {"in_channels": 2, "width": 4})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neuron": "li"}, "does not spike: it is a readout"),
        ({"neuron": "liff"}, "unknown neuron 'liff'; did you mean 'lif'"),
        ({"neuron": ["lif"]}, r"unknown neuron \"\['lif'\]\""),
        ({"readout_beta": 1.0}, r"\(readout_beta\) must be a number inside \(0, 1\), got 1.0"),
        ({"norm": "bntt"}, "norm='bntt' needs steps="),
        ({"width": 0}, "width must be a whole number above 0, not 0"),
        ({"neuron": "alif", "reset": "subtract_delayed"}, "ALIF has no reset 'subtract_delayed'"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model("snn_convnet", in_channels=2, **arguments)


@pytest.mark.parametrize("name", list_models("snn_*"))
def test_channels_are_those_of_a_models_layers(name: str) -> None:
    assert "channels" not in parameters(name)
    with pytest.raises(UserError, match=f"model '{name}' has no argument 'channels'"):
        create_model(name, in_channels=2, channels=8)

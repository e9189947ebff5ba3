"""Costs against counts made by hand, a brute-force reference, and NeuroBench where it is installed."""

import gc
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from spikeva.errors import UserError
from spikeva.evaluation.cost import ENERGY_MODELS, measure, peak_memory
from spikeva.evaluation.operations import Layer
from spikeva.models import create_model, list_models
from spikeva.neurons import make_neuron


class Threshold(nn.Module):
    """Spikes where the input is above `level`; no state of its own, which makes counts easy to check by hand."""

    spiking = True

    def __init__(self, level=0.0):
        super().__init__()
        self.level = level

    def forward(self, x):
        return (x > self.level).to(x.dtype)


class OverFrames(nn.Module):
    """A network over single frames as a model `[B, T, C, H, W]` -> `[B, 2]`."""

    def __init__(self, *layers):
        super().__init__()
        self.net = nn.Sequential(*layers)

    def forward(self, x):
        return self.net(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)


def ones(layer):
    nn.init.ones_(layer.weight)
    return layer


def test_ann_by_hand():
    """3 x 3 convolution with padding on 4 x 4: 4 inner taps of 9, 8 of 6, 4 corners of 4 = 100 a filter pair."""
    model = OverFrames(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    batch = torch.rand(5, 2, 2, 4, 4) + 0.1
    batch[:, :, 1] = 0  # half of the inputs
    cost = measure(model, batch, "ann", repeats=1)
    conv, linear = cost["layers"]
    assert conv["macs"] == conv["dense"] == 2 * 2 * 3 * 100
    assert conv["effective_macs"] == 2 * 1 * 3 * 100
    assert conv["memory_accesses"] == 2 * 1200 + 2 * 48
    assert linear["macs"] == 2 * 48 * 2
    assert cost["macs"] == 1200 + 192
    assert (cost["acs"], cost["spike_rate"], cost["state_updates"]) == (0, None, 0)
    assert cost["parameters"] == 54 + 3 + 96 + 2
    assert cost["energy_pj"] == pytest.approx(4.6 * 1392)
    assert cost["energy_models_pj"]["45nm-memory"] == pytest.approx(4.6 * 1392 + 5 * (2496 + 2 * 192 + 4))


def test_snn_by_hand():
    """One event at a corner and one inside; every neuron above threshold spikes, and each spike is followed on."""
    model = OverFrames(
        ones(nn.Conv2d(1, 2, 3, padding=1, bias=False)), Threshold(0.5), nn.Flatten(), nn.Linear(2 * 25, 2, bias=False)
    )
    batch = torch.zeros(1, 3, 1, 5, 5)
    batch[0, 0, 0, 0, 0] = 1  # 4 neighbours with itself, in each of 2 maps
    batch[0, 2, 0, 2, 2] = 1  # 9
    cost = measure(model, batch, "snn", repeats=1)
    conv, spikes, linear = cost["layers"]
    assert conv["acs"] == 2 * (4 + 9)
    assert spikes["spikes"] == 2 * (4 + 9)
    assert spikes["spike_rate"] == cost["spike_rate"] == 26 / (3 * 50)
    assert spikes["state_updates"] == cost["state_updates"] == 150
    assert linear["acs"] == 26 * 2
    assert cost["macs"] == 0
    assert cost["acs"] == 78
    assert cost["memory_accesses"] == (3 * 26 + 2) + (2 * 150 + 26) + (3 * 52 + 26)
    assert cost["energy_pj"] == pytest.approx(0.9 * 78)
    assert cost["energy_models_pj"]["45nm-memory"] == pytest.approx(0.9 * 78 + 4.6 * 150 + 5 * cost["memory_accesses"])


def test_layers_that_only_keep_a_state_have_updates_and_no_spikes():
    """Their outputs are no spikes, however many are not 0; what is counted is for each of three samples."""
    membrane = Threshold(0.5)
    membrane.spiking = False
    model = OverFrames(Threshold(0.5), nn.Flatten(), ones(nn.Linear(8, 2, bias=False)), membrane)
    batch = torch.zeros(3, 5, 2, 2, 2)
    batch[:, 0] = 1  # all neurons of the first layer spike in one step of five
    cost = measure(model, batch, "snn", repeats=1)
    spikes, _, kept = cost["layers"]
    assert (spikes["spike_rate"], spikes["spikes"]) == (1 / 5, 8)
    assert (kept["spike_rate"], kept["spikes"]) == (None, 0)
    assert (cost["spike_rate"], cost["state_updates"]) == (1 / 5, 5 * 8 + 5 * 2)


def test_stride_groups_counts_and_missing_weights_by_hand():
    """Grouped convolution by stride 2 without padding on 5 x 5: 4 positions of 9 taps, one of two channels each."""
    conv = ones(nn.Conv2d(2, 4, 3, stride=2, groups=2, bias=False))
    model = OverFrames(conv, Threshold(), nn.Flatten(), nn.Linear(16, 2))
    batch = torch.ones(2, 1, 2, 5, 5)
    assert measure(model, batch, "snn", repeats=1)["layers"][0]["acs"] == 4 * 4 * 9
    with torch.no_grad():
        conv.weight[0] = 0  # a pruned filter
    assert measure(model, batch, "snn", repeats=1)["layers"][0]["acs"] == 3 * 4 * 9
    assert measure(model, -batch, "snn", repeats=1)["layers"][0]["acs"] == 3 * 4 * 9  # -1 is subtracted
    batch[:, :, :, 0, 0] = 3  # an event count is not a spike: the layer has to multiply
    layer = measure(model, batch, "snn", repeats=1)["layers"][0]
    assert (layer["acs"], layer["macs"], layer["effective_macs"]) == (0, 144, 108)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"), list(itertools.product([1, 2], [0, 2], [1, 2], [1, 2]))
)
def test_convolutions_count_as_brute_force_does(stride, padding, dilation, groups):
    conv = nn.Conv2d(2, 4, 3, stride, padding, dilation, groups)
    batch = (torch.rand(2, 3, 2, 9, 7, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    layer = measure(OverFrames(conv, Threshold(), nn.Flatten(), nn.LazyLinear(2)), batch, "snn", repeats=1)["layers"][0]
    x = batch.flatten(0, 1).double()
    weight = torch.ones_like(conv.weight, dtype=torch.float64)

    def products(inputs):
        return functional.conv2d(inputs, weight, None, stride, padding, dilation, groups).sum().item() / 2

    assert (layer["acs"], layer["dense"]) == (products(x), products(torch.ones_like(x)))


def test_spike_rate_one_costs_more_than_the_ann():
    """Eight steps of accumulates outweigh one frame of multiply-accumulates: 8 x 0.9 > 4.6."""

    def net(activation):
        return OverFrames(
            nn.Conv2d(2, 8, 3, 2, 1),
            activation(),
            nn.Conv2d(8, 16, 3, 2, 1),
            activation(),
            nn.Flatten(),
            nn.Linear(256, 2),
        )

    ann = measure(net(nn.ReLU), torch.rand(1, 1, 2, 16, 16), "ann", repeats=1)
    snn = measure(net(lambda: Threshold(-1e9)), torch.ones(1, 8, 2, 16, 16), "snn", repeats=1)
    assert snn["spike_rate"] == 1
    assert snn["acs"] == 8 * ann["macs"]
    for name in ENERGY_MODELS:
        if name != "45nm-zero-skipping":
            assert snn["energy_models_pj"][name] > ann["energy_models_pj"][name]
    sparse = measure(net(lambda: Threshold(1e9)), torch.ones(1, 8, 2, 16, 16), "snn", repeats=1)
    assert sparse["spike_rate"] == 0


def test_the_shipped_twins_at_spike_rate_one():
    """snn_convnet with every neuron firing, on 8 steps of the picture that ann_convnet sees as one frame."""
    ann, snn = (create_model(f"{kind}_convnet", in_channels=2, width=4) for kind in ("ann", "snn"))
    for module in snn.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, 1e3)
    of_ann = measure(ann, torch.rand(1, 1, 2, 32, 32), "ann", repeats=1)
    of_snn = measure(snn, torch.ones(1, 8, 2, 32, 32), "snn", repeats=1)
    assert of_snn["parameters"] == of_ann["parameters"]
    assert of_snn["spike_rate"] == 1
    assert of_snn["dense"] == 8 * of_ann["dense"]
    assert of_snn["energy_pj"] > of_ann["energy_pj"]
    assert not of_snn["uncounted"]
    assert not of_ann["uncounted"]


def test_spikes_that_come_back_are_counted():
    """Every neuron fires at every step: the spikes of all steps but the last come back, of the first of two maps alone."""
    neuron = make_neuron("rlif", channels=2, kernel=3)
    nn.init.ones_(neuron.recurrent)
    neuron.recurrent.data[:, 1] = 0

    class Net(nn.Module):
        def __init__(self, parts):
            super().__init__()
            self.neuron, self.parts = neuron, parts

        def forward(self, x):
            state, found = None, []
            for part in x.transpose(0, 1).split(self.parts):
                spikes, state = self.neuron(part, state)
                found.append(spikes)
            return torch.cat(found).flatten(2).mean(0)

    for parts in (4, 2):  # in one call, and in two with the state carried
        cost = measure(Net(parts), torch.full((3, 4, 2, 4, 4), 2.0), "snn", repeats=1)
        assert cost["acs"] == 3 * 2 * 100  # taps on 4 x 4, padding left out: see the first test
        assert cost["dense"] == 4 * 2 * 2 * 100
        assert cost["macs"] == 0
        assert cost["spike_rate"] == cost["layers"][0]["spike_rate"] == 1
        assert cost["uncounted"] == {}
        assert cost["memory_accesses"] == (2 * 128 + 128) + (3 * 600 + 3 * 32)
    flat = measure(Net(4), torch.full((3, 4, 2), 2.0), "snn", repeats=1)
    assert (flat["acs"], flat["uncounted"]) == (3 * 2, {})
    neuron.recurrent.data *= 1e-6
    for step, heard in ((0, 1), (3, 0)):  # spikes of one step are heard in the next one, of the last in none
        x = torch.zeros(1, 4, 2, 4, 4)
        x[:, step] = 2
        cost = measure(Net(4), x, "snn", repeats=1)
        assert (cost["spike_rate"], cost["acs"]) == (1 / 4, heard * 2 * 100)


@pytest.mark.parametrize("name", [name for name in list_models() if name != "ann_r2plus1d_18"])  # which is slow
def test_nothing_of_a_model_here_is_left_out(name):
    torch.manual_seed(0)
    model = create_model(name, in_channels=2, width=8)
    assert measure(model, (torch.rand(1, 4, 2, 32, 32) < 0.3).float(), name[:3], repeats=1)["uncounted"] == {}


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 7, 2, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = nn.Parameter(torch.ones(8, 2))

    def forward(self, x):
        states, _ = self.lstm(x)
        states = torch.cat([states, states[..., :1]], -1)
        return self.attention(states, states, states)[0][:, -1] @ self.out


def test_sequences_by_hand_and_what_no_layer_accounts_for_is_said():
    cost = measure(Sequence(), torch.randn(3, 4, 5), "ann", repeats=1)
    lstm, attention = cost["layers"]
    assert lstm["macs"] == 4 * 4 * (7 * (5 + 7) + 7 * (7 + 7))
    assert attention["macs"] == 4 * 4 * 8 * 8 + 2 * 4 * 4 * 8
    assert attention["parameters"] == 4 * (8 * 8 + 8)
    assert cost["uncounted"] == {"mm": 1}
    ones = measure(Sequence(), torch.ones(3, 4, 5), "ann", repeats=1)  # states are no spikes, whatever the inputs
    assert (ones["macs"], ones["acs"]) == (cost["macs"], 0)


def test_the_same_at_every_run_and_the_model_is_left_as_it_was():
    model = OverFrames(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), Threshold(), nn.Flatten(), nn.Dropout(), nn.Linear(144, 2)
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = torch.rand(3, 2, 2, 8, 8)
    first, second = (measure(model, batch, "snn", repeats=2) for _ in range(2))
    assert first.pop("latency_ms") > 0
    second.pop("latency_ms")
    assert first == second
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("product", "name"),
    [
        (lambda m: m @ m, "mm"),
        (lambda m: m @ m[0], "mv"),
        (lambda m: m[0] @ m[0], "dot"),
        (lambda m: torch.addmm(m, m, m), "addmm"),
        (lambda m: torch.addmv(m[0], m, m[0]), "addmv"),
        (lambda m: torch.bmm(m[None], m[None]), "bmm"),
        (lambda m: torch.baddbmm(m[None], m[None], m[None]), "baddbmm"),
        (lambda m: nn.functional.conv2d(m[None, None], m[None, None]), "convolution"),
        (nn.ConvTranspose1d(2, 1, 2), "convolution"),
    ],
)
def test_products_outside_the_layers_known_are_named(product, name):
    class Outside(nn.Module):
        def __init__(self):
            super().__init__()
            self.product = product

        def forward(self, x):
            return self.product(x[0, 0, 0])

    cost = measure(Outside(), torch.rand(1, 1, 1, 2, 2), "ann", repeats=1)
    assert (cost["uncounted"], cost["macs"]) == ({name: 1}, 0)


def test_latency_is_the_median_of_one_sample_after_two_runs(monkeypatch):
    clock, took, shown = [0.0], iter([0, 0, 9e-3, 9e-3, 1e-3, 2e-3, 6e-3]), []

    class Timed(nn.Linear):
        def forward(self, x):
            clock[0] += next(took)
            shown.append(len(x))
            return super().forward(x.flatten(1))

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    found = measure(Timed(4, 2), torch.rand(3, 1, 1, 2, 2), "ann", repeats=3)
    assert found["latency_ms"] == pytest.approx(2)
    assert shown == [3, 1, 1, 1, 1, 1, 1], "operations of all samples; memory and latency of one"


def test_peak_memory_by_hand():
    """1000 -> 500 -> 250 -> 125 floats: at the fullest moment the second layer's output stands beside its input and the chain's."""
    chain = nn.Sequential(*(nn.Linear(n, n // 2, bias=False) for n in (1000, 500, 250)))
    x = torch.zeros(3, 1000)
    parameters = 4 * (1000 * 500 + 500 * 250 + 250 * 125)
    assert peak_memory(chain, x) == parameters + 4 * 3 * (1000 + 500 + 250)
    in_place = nn.Sequential(nn.Linear(1000, 500, bias=False), nn.ReLU(inplace=True), nn.Flatten())
    assert peak_memory(in_place, x) == 4 * 1000 * 500 + 4 * 3 * (1000 + 500)
    idle = nn.Identity()  # what no operation shows counts, too
    idle.register_parameter("weight", nn.Parameter(torch.zeros(300)))
    idle.register_buffer("mask", torch.zeros(70))
    assert peak_memory(idle, x) == 4 * (300 + 70 + 3000)


def test_intermediate_tensors_are_counted_only_while_they_live():
    class Steps(nn.Module):
        def __init__(self, keep):
            super().__init__()
            self.keep = keep

        def forward(self, x):
            kept = []
            for _ in range(10):
                x = x + 1
                if self.keep:
                    kept.append(x)
            return x

    x = torch.zeros(1000)
    assert peak_memory(Steps(False), x) == 3 * 4000  # the input, one step and the next
    assert peak_memory(Steps(True), x) == 11 * 4000


@pytest.mark.parametrize("on", [True, False])
def test_no_garbage_is_collected_meanwhile_and_afterwards_as_before(on):
    """Else tensors in cycles would be freed at a moment that differs from run to run."""
    seen = []

    class Watching(nn.Module):
        def forward(self, x):
            seen.append(gc.isenabled())
            return x

    try:
        (gc.enable if on else gc.disable)()
        peak_memory(Watching(), torch.zeros(1))
        assert (seen, gc.isenabled()) == ([False], on)
    finally:
        gc.enable()


def test_wrong_calls_say_what_to_do():
    model = OverFrames(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(UserError, match="'ann' or 'snn'"):
        measure(model, torch.rand(1, 1, 1, 2, 2), "cnn")
    with pytest.raises(UserError, match="no layer with the attribute `spiking = True`"):
        measure(model, torch.rand(1, 1, 1, 2, 2), "snn")
    with pytest.raises(UserError, match="at least one window"):
        measure(model, torch.rand(0, 1, 1, 2, 2), "ann")
    assert model.training


def test_energy_charges_what_the_model_names():
    count = Layer("x", "y", macs=10, effective_macs=4, acs=20, state_updates=5, memory_accesses=7)
    energy = {name: model.picojoules(count) for name, model in ENERGY_MODELS.items()}
    assert energy == pytest.approx({
        "45nm-arithmetic": 46 + 18,
        "45nm-zero-skipping": 18.4 + 18,
        "45nm-memory": 46 + 18 + 23 + 35,
    })  # fmt: skip


def test_neurobench_counts_the_same():
    """Seen with neurobench 2.3.0, which is no dependency (it brings a GPL-3 library)."""
    workload = pytest.importorskip("neurobench.metrics.workload")
    from neurobench.models import TorchModel

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 2),
    )
    for batch in (torch.rand(4, 2, 8, 8), (torch.rand(4, 2, 8, 8) < 0.2).float()):
        model = TorchModel(net)
        model.register_hooks()
        metric = workload.SynapticOperations()
        with torch.no_grad():
            theirs = metric(model, model(batch), (batch, torch.zeros(4, 2)))
        ours = measure(OverFrames(net), batch[:, None], "ann", repeats=1)
        assert theirs["Effective_MACs"] == ours["effective_macs"]
        assert theirs["Effective_ACs"] == ours["acs"]
        assert theirs["Dense"] == ours["dense"]


class SnnTorch(nn.Module):
    """A stock snntorch network, step by step: what NeuroBench is made for."""

    def __init__(self):
        super().__init__()
        snntorch = pytest.importorskip("snntorch")
        leaky = {"beta": 0.9, "threshold": 0.3, "init_hidden": True}
        self.net = nn.Sequential(
            nn.Conv2d(2, 6, 3, 2, 1, bias=False),
            snntorch.Leaky(**leaky),
            nn.Flatten(),
            nn.Linear(384, 2),
            snntorch.Leaky(**leaky, output=True),
        )
        for layer in self.net:
            if isinstance(layer, snntorch.Leaky):
                layer.spiking = True

    def forward(self, x):
        for layer in self.net:
            if hasattr(layer, "reset_mem"):
                layer.reset_mem()
        return torch.stack([self.net(frame)[0] for frame in x.unbind(1)]).mean(0)


def test_neurobench_counts_the_same_of_a_spiking_net():
    workload = pytest.importorskip("neurobench.metrics.workload")
    from neurobench.models import SNNTorchModel

    torch.manual_seed(0)
    net = SnnTorch()
    spikes = (torch.rand(4, 12, 2, 16, 16) < 0.1).float()
    model = SNNTorchModel(net.net)
    model.register_hooks()
    with torch.no_grad():
        theirs = workload.SynapticOperations()(model, model(spikes), (spikes, torch.zeros(4)))
    ours = measure(net, spikes, "snn", repeats=1)
    assert 0 < ours["spike_rate"] < 1
    assert theirs == {"Effective_MACs": 0, "Effective_ACs": ours["acs"], "Dense": ours["dense"]}

"""The ANN family: topology, which frames are looked at, pretrained weights."""

import math
import os

import pytest
import safetensors.torch as safetensors
import torch

from spikeva.errors import UserError
from spikeva.models import create_model, list_models
from spikeva.models.ann.fusion import Fusion
from spikeva.models.ann.resnet import ResNet18
from spikeva.models.ann.sequence import _positions

SMALL = {"in_channels": 2, "width": 8}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", list_models("ann_*"))
def test_valence_and_arousal_of_frames_and_a_gradient_everywhere(name):
    model = create_model(name, **SMALL, **({"frames": 3} if name.endswith("fusion") else {}))
    out = model(torch.rand(2, 3, 2, 32, 40))
    assert out.shape == (2, 2)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with pytest.raises(ValueError, match=r"\[B, T, C, H, W\]"):
        model(torch.rand(2, 2, 32, 32))
    with pytest.raises(UserError, match=r"T >= 1, got a tensor \[2, 0, 2, 32, 40\]"):
        model(torch.rand(2, 0, 2, 32, 40))


def test_resnet18_has_torchvisions_size_and_names():
    """torchvision 0.29: resnet18 11,689,512 parameters with a classifier of 513,000; r2plus1d_18 31,505,325 with 205,200."""
    backbone = ResNet18(3)
    assert sum(p.numel() for p in backbone.parameters()) == 11_689_512 - 513_000
    assert len(backbone.state_dict()) == 120
    assert {"conv1.weight", "bn1.running_var", "layer1.0.bn2.bias", "layer4.0.downsample.1.weight"} <= set(
        backbone.state_dict()
    )
    video = create_model("ann_r2plus1d_18", in_channels=3)
    assert sum(p.numel() for p in video.parameters()) - 2 * 513 == 31_505_325 - 205_200


@pytest.mark.parametrize(("name", "theirs"), [("ann_resnet18", "resnet18"), ("ann_r2plus1d_18", "r2plus1d_18")])
def test_torchvisions_weights_give_torchvisions_features(tmp_path, name, theirs):
    torchvision = pytest.importorskip("torchvision")
    family = torchvision.models if theirs == "resnet18" else torchvision.models.video
    reference = getattr(family, theirs)()
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    model = create_model(name, in_channels=2, pretrained=str(tmp_path / "weights.pth")).eval()
    reference.fc = torch.nn.Identity()
    model.head = torch.nn.Identity()
    grey = torch.rand(1, 3, 1, 32, 32)
    with torch.no_grad():
        ours = model(grey.expand(-1, -1, 2, -1, -1))
        colour = grey.expand(-1, -1, 3, -1, -1)
        expected = reference.eval()(colour[:, -1] if theirs == "resnet18" else colour.transpose(1, 2))
    assert torch.allclose(ours, expected, atol=1e-5)


def test_ann_convnet_is_snn_convnet_but_for_the_neuron():
    for options in ({}, {"width": 8, "depth": 3, "grid": 2}):
        ann, snn = (create_model(f"{kind}_convnet", in_channels=2, **options) for kind in ("ann", "snn"))
        assert sorted(p.shape for p in ann.parameters()) == sorted(p.shape for p in snn.parameters())


def test_resnet18_looks_at_the_newest_frame_alone():
    model = create_model("ann_resnet18", **SMALL).eval()
    x = torch.rand(1, 4, 2, 32, 32)
    assert torch.equal(model(x), model(x[:, -1:]))
    assert not torch.equal(model(x), model(x[:, :-1]))


@pytest.mark.parametrize(("fusion", "order_matters"), [("concat", True), ("mean", False), ("attention", False)])
def test_fusion_of_shared_features(fusion, order_matters):
    model = create_model("ann_resnet18_fusion", **SMALL, frames=3, fusion=fusion, stem="small").eval()
    x = torch.rand(2, 3, 2, 16, 16)
    assert torch.allclose(model(x), model(x.flip(1)), atol=1e-6) != order_matters
    x[1] = x[1, 0]  # three times the same frame
    features = model.backbone(x[1])
    if not order_matters:
        assert torch.allclose(model(x)[1], model.fusion.head(features[0]), atol=1e-6)


def test_attention_weighs_each_frame_by_its_score():
    """The score is log 3 times tanh of the first feature: 100 weighs 3, 0 weighs 1."""
    fusion = Fusion(4, frames=2, kind="attention")
    hidden, _, score = fusion.score
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[1.0, 0, 0, 0]]))
        score.weight.fill_(math.log(3))
        hidden.bias.zero_()
        score.bias.zero_()
        features = torch.tensor([[[100.0, 1, 0, 0], [0.0, 0, 1, 0]]])
        assert torch.allclose(fusion(features), fusion.head(torch.tensor([[75.0, 0.75, 0.25, 0]])))


def test_ann_convnet_is_the_mean_over_frames_seen_alone():
    model = create_model("ann_convnet", **SMALL).eval()
    x = torch.rand(2, 3, 2, 32, 32)
    assert torch.allclose(model(x), torch.stack([model(x[:, t : t + 1]) for t in range(3)]).mean(0), atol=1e-6)


def test_positions_count_back_from_the_newest_frame():
    few, many = (_positions(torch.zeros(1, frames, 6)) for frames in (2, 4))
    assert torch.equal(many[-2:], few)
    assert few[-1].tolist() == [0, 1] * 3
    assert few[0, :2].tolist() == pytest.approx([math.sin(1), math.cos(1)])


@pytest.mark.parametrize("name", ["ann_convnet", "ann_resnet18", "ann_r2plus1d_18"])
def test_convolutions_start_with_the_spread_that_he_et_al_give(name):
    for module in create_model(name, in_channels=2).modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            assert float(module.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.15)


@pytest.mark.parametrize("name", ["ann_resnet18_lstm", "ann_resnet18_transformer", "ann_r2plus1d_18"])
def test_sequence_models_use_older_frames_and_their_order(name):
    model = create_model(name, **SMALL).eval()
    x = torch.rand(1, 4, 2, 32, 32)
    changed = x.clone()
    changed[:, [0, 1]] = x[:, [1, 0]]
    assert not torch.allclose(model(x), model(changed), atol=1e-7)
    assert model(x[:, :1]).shape == (1, 2)


def test_batch_entries_do_not_see_each_other():
    for name in list_models("ann_*"):
        model = create_model(name, **SMALL).eval()
        x = torch.rand(3, 4, 2, 32, 32)
        assert torch.allclose(model(x)[1:2], model(x[1:2]), atol=1e-5), name


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ann_resnet18_fusion", {"fusion": "sum"}, "'concat', 'mean', 'attention', got 'sum'"),
        ("ann_resnet18_fusion", {"frames": 0}, "frames must be a whole number above 0"),
        ("ann_resnet18", {"stem": "big"}, "'imagenet', 'small', got 'big'"),
        ("ann_convnet", {"width": 0}, "width must be"),
        ("ann_resnet18_transformer", {"width": 8, "heads": 3}, "heads must divide the 64 features"),
        ("ann_resnet18", {"pretrained": "/no/file.pth"}, "there is no file /no/file.pth"),
        ("ann_resnet18", {"width": 8, "pretrained": "imagenet"}, "stem 'imagenet' and width 64"),
        ("ann_r2plus1d_18", {"width": 8, "pretrained": "kinetics"}, "width 64"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(name, options, message):
    with pytest.raises(UserError, match=message):
        create_model(name, in_channels=2, **options)


def test_concat_names_the_number_of_frames_it_was_made_for():
    model = create_model("ann_resnet18_fusion", **SMALL, frames=3)
    with pytest.raises(UserError, match=r"frames=3 but got T=2"):
        model(torch.rand(1, 2, 2, 32, 32))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_weights_may_lie_under_a_name_that_is_no_utf_8(tmp_path, name):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    backbone = ResNet18(3)
    if name == "w.pth":
        torch.save(backbone.state_dict(), folder / name)
    else:
        (folder / name).write_bytes(safetensors.save(backbone.state_dict()))
    found = create_model("ann_resnet18", in_channels=3, pretrained=str(folder / name)).backbone
    assert torch.equal(found.layer1[0].conv1.weight, backbone.layer1[0].conv1.weight)


def test_weights_that_are_none_or_other_networks_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"w\.pth is not a file of weights"):
        create_model("ann_resnet18", in_channels=2, pretrained=str(path))
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(UserError, match="does not hold this network's weights"):
        create_model("ann_resnet18", in_channels=2, pretrained=str(path))


def test_weights_out_of_reach_say_where_they_were_looked_for(tmp_path, monkeypatch):
    def unreachable(url, **_):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=r"resnet18-f37072fd\.pth and could not be fetched from https.*no route"
    ) as error:
        create_model("ann_resnet18", in_channels=2, pretrained="imagenet")
    assert str(tmp_path) in str(error.value)

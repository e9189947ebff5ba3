"""NIR: what is written is read back with the same spikes, here and by snntorch."""

import contextlib
import gc
import io
import resource
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from spikeva.cli import main
from spikeva.errors import UserError
from spikeva.events import EventStream, write_clip
from spikeva.models import create_model
from spikeva.models.snn.nir_graph import export_nir, fold_norms, import_nir
from spikeva.neurons.base import Neuron
from spikeva.study.cells import cells
from spikeva.study.config import parse

nir = pytest.importorskip("nir")
T, SIZE = 1000, (8, 8)

EXPORTABLE: dict[str, dict[str, Any]] = {
    "lif": {},
    "plif per channel": {"neuron": "plif", "per_channel": True},
    "cuba": {"neuron": "cuba"},
    "if": {"neuron": "if"},
    "average pooling, tdbn, last": {"pool": "avg", "norm": "tdbn", "readout": "membrane_last", "theta": 0.7},
    "no norm, count": {"norm": "none", "readout": "count", "beta": 0.5},
}


def trained(**options: Any) -> nn.Module:
    """A small model whose norms have seen data and whose parameters are not those of the start."""
    torch.manual_seed(0)
    model = create_model("snn_convnet", in_channels=2, width=3, depth=2, grid=2, **options)
    for _ in range(20):
        model(events(16))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    return model.eval()


def events(steps: int = T) -> Tensor:
    return (torch.rand(1, steps, 2, *SIZE, generator=torch.Generator().manual_seed(1)) < 0.1).float()


def spikes(model: nn.Module, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """(spikes of every layer, prediction)."""
    found: list[Tensor] = []
    hooks = [
        m.register_forward_hook(lambda _m, _i, out: found.append(out[0]))
        for m in model.modules()
        if isinstance(m, Neuron) and m.spiking
    ]
    with torch.no_grad():
        prediction = model(x)
    for hook in hooks:
        hook.remove()
    return found, prediction


@pytest.mark.parametrize("case", EXPORTABLE)
def test_round_trip_gives_the_same_spikes(case: str, tmp_path: Path) -> None:
    model = trained(**EXPORTABLE[case])
    made = import_nir(export_nir(model, tmp_path / "new" / "model.nir", SIZE))
    before, prediction = spikes(fold_norms(model), events())
    after, imported = spikes(made, events())
    assert all(0 < float(s.mean()) < 1 for s in before)
    assert [int((a != b).sum()) for a, b in zip(before, after, strict=True)] == [0, 0]
    assert torch.equal(prediction, imported)
    unfolded, _ = spikes(model, events())
    assert [int((a != b).sum()) for a, b in zip(before, unfolded, strict=True)] == [0, 0]


@pytest.mark.parametrize(("side", "depth"), [(12, 3), (24, 4)])
def test_a_picture_three_wide_is_pooled_as_in_the_model(side: int, depth: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model("snn_convnet", in_channels=2, width=8, depth=depth, grid=1, pool="avg", theta=0.3)
    x = torch.rand(3, 6, 2, side, side)
    for _ in range(30):
        model(x)
    made = import_nir(export_nir(model.eval(), tmp_path / "model.nir", (side, side)))
    before, prediction = spikes(fold_norms(model), x)
    after, imported = spikes(made, x)
    assert 0 < float(before[-1].mean()) < 1
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.allclose(prediction, imported, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in EXPORTABLE if case != "if"])
def test_snntorch_reads_the_same_spikes(case: str, tmp_path: Path) -> None:
    import_from_nir = pytest.importorskip("snntorch.import_nir").import_from_nir
    import snntorch

    model = trained(**EXPORTABLE[case])
    ours, _ = spikes(fold_norms(model), events())
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        net = import_from_nir(nir.read(export_nir(model, tmp_path / "model.nir", SIZE)))
    theirs: dict[str, list[Tensor]] = {}
    for name, module in net.named_modules():
        if isinstance(module, (snntorch.Leaky, snntorch.Synaptic)):
            theirs[name] = []
            module.register_forward_hook(
                lambda _m, _i, out, name=name: theirs[name].append(out[0] if isinstance(out, tuple) else out)
            )
    state = None
    with torch.no_grad():
        for step in events()[0]:
            out = net(step, state)
            state = out[1] if isinstance(out, tuple) else None
    assert [int((torch.stack(b) != a[:, 0]).sum()) for a, b in zip(ours, theirs.values(), strict=True)] == [0, 0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"reset": "subtract"}, "reset 'subtract' cannot be exported: NIR's LIF resets to a value"),
        ({"neuron": "alif"}, "ALIF cannot be exported"),
        ({"pool": "max"}, "pool='max' cannot be exported"),
        ({"norm": "bntt", "steps": 16}, "norm PerStepBatchNorm2d cannot be exported"),
        ({"readout": "weighted"}, "readout 'weighted' cannot be exported"),
    ],
)
def test_what_nir_has_no_node_for_is_refused(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=reason):
        export_nir(trained(**options), tmp_path / "model.nir", SIZE)
    assert not list(tmp_path.iterdir())


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="takes a chain of layers"):
        export_nir(create_model("snn_sew_resnet18", in_channels=2, width=4), tmp_path / "model.nir", (32, 32))
    with pytest.raises(UserError, match="comes to 3 x 3 before the grid of 2 x 2"):
        export_nir(trained(), tmp_path / "model.nir", (12, 12))
    for dt in (0.0, -1e-4, 1e-300, float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"dt.* from 1e-12 to 1e12, got {dt:g}"):
            export_nir(trained(), tmp_path / "model.nir", SIZE, dt=dt)
    with pytest.raises(UserError, match=r"at least 1 pixel each, got \(0, 8\)"):
        export_nir(trained(), tmp_path / "model.nir", (0, 8))
    with pytest.raises(
        UserError, match=r"65536 x 65536 comes to 3,221,225,472 neurons by layer 1, .* at most 67,108,864"
    ):
        export_nir(trained(), tmp_path / "model.nir", (65536, 65536))
    (tmp_path / "text.nir").write_text("nothing")
    with pytest.raises(UserError, match="is not a NIR graph"):
        import_nir(tmp_path / "text.nir")
    with pytest.raises(UserError, match="there is no file"):
        import_nir(tmp_path / "none.nir")


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    model, limits = trained(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            export_nir(model, tmp_path / "model.nir", SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
    gc.collect()  # Python 3.13 would tell of a buffer that the error still holds


def chain(path: Path, *nodes: Any, outputs: int = 2, **metadata: Any) -> Path:
    """A NIR file of `nodes`, one after the other."""
    ends = {"input": nir.Input({"input": np.array([4])}), "output": nir.Output({"output": np.array([outputs])})}
    named = {"input": ends["input"], **{f"{i}": node for i, node in enumerate(nodes)}, "output": ends["output"]}
    nir.write(path, nir.NIRGraph(named, list(pairwise(named)), type_check=False, metadata=metadata))
    return path


@pytest.mark.parametrize(
    ("change", "metadata", "message"),
    [
        ({"tau": 1e-5}, {}, "tau of a NIR neuron must be at least a step of 0.0001 s, found 1e-05 s"),
        ({"tau": 1e-3}, {"dt": 2e-3}, "at least a step of 0.002 s"),
        ({"v_threshold": 0.0}, {}, "v_threshold must be above 0, found 0"),
        ({"r": -10.0}, {}, r"r \(or w_in\) must be above 0, found -1"),
        ({}, {"dt": 0.0}, "dt in its metadata, the seconds of one step, must be a number above 0, found"),
        ({}, {"dt": "soon"}, "must be a number above 0, found 'soon'"),
    ],
)
def test_neurons_that_cannot_be_ours_are_refused(
    change: dict[str, float], metadata: dict[str, Any], message: str, tmp_path: Path
) -> None:
    values = {"tau": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    readout = nir.Affine(np.ones((2, 4), np.float32), np.zeros(2, np.float32))

    def lif(**values: float) -> Any:
        return nir.LIF(**{name: np.full(4, value, np.float32) for name, value in values.items()})

    assert import_nir(chain(tmp_path / "fine.nir", lif(**values), readout)).body[0].beta.item() == pytest.approx(0.9)
    with pytest.raises(UserError, match=message):
        import_nir(chain(tmp_path / "other.nir", lif(**values | change), readout, **metadata))


def test_a_graph_without_a_node_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end with an Affine node, the readout's currents; it holds no node"):
        import_nir(chain(tmp_path / "empty.nir", outputs=4))


def stored(cell: Path, **changes: Any) -> nn.Module:
    """The model of a cell that is trained; `changes` are of its study."""
    cell.mkdir()
    options = {"width": 3, "depth": 2, "grid": 2}
    model = create_model("snn_convnet", in_channels=2, **options).eval()
    save_file(model.state_dict(), cell / "model.safetensors")
    raw = yaml.safe_load((Path(__file__).parents[2] / "configs" / "tiny.yaml").read_text()) | changes
    raw["grid"] = {"models": [{"model": "snn_convnet", **options}], "encodings": [{"encoding": "spikes", "steps": 8}]}
    trained_cell = next(cells(parse(raw)))
    (cell / "config.yaml").write_text(yaml.safe_dump(trained_cell.determinants()))
    return model


def test_export_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = tmp_path / "cell"
    model = stored(cell)
    assert main(["export", str(cell), "--out", str(tmp_path / "m.nir"), "--size", "8"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "m.nir")
    made = import_nir(tmp_path / "m.nir")
    assert torch.equal(made(events(8)), fold_norms(model)(events(8)))

    assert main(["export", str(cell), "--out", str(tmp_path / "wide.nir"), "--size", "16x8", "--dt", "1e-3"]) == 0
    square, wide = (nir.read(tmp_path / name).nodes for name in ("m.nir", "wide.nir"))
    assert wide["input"].input_type["input"].tolist() == [2, 8, 16], "channels, height, width"
    slower = [
        slow.tau.max() / fast.tau.max()
        for fast, slow in zip(square.values(), wide.values(), strict=True)
        if hasattr(slow, "tau")
    ]
    assert slower == pytest.approx([10.0] * len(slower))
    assert slower

    assert main(["export", str(cell), "--out", str(tmp_path / "n.nir"), "--size", "8", "--dt", "0"]) == 2
    assert "from 1e-12 to 1e12, got 0" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "n.nir")]) == 2
    assert "name the folder of a trained cell" in capsys.readouterr().err


def test_export_takes_the_size_of_prepared_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clips" / "a.h5"
    clip.parent.mkdir()
    write_clip(clip, EventStream.empty((16, 8)), labels={"t_us": np.array([0])}, attributes={"subject": "p"})
    stored(tmp_path / "cell", regression={"dataset": "prepared", "root": str(clip.parent)}, transfer=None)
    command = ["export", str(tmp_path / "cell"), "--out", str(tmp_path / "m.nir")]
    assert main(command) == 0
    sizes = nir.read(tmp_path / "m.nir").nodes["input"].input_type["input"].tolist()
    assert sizes == [2, 8, 16], "channels, height, width"
    clip.unlink()
    assert main(command) == 2
    assert "learned from are gone, and with them the size of a picture; give --size" in capsys.readouterr().err

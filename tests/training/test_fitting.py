"""Training ends with the same bits whether or not it was interrupted."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import nn

from spikeva.errors import UserError
from spikeva.training import Windows, fit, predict
from spikeva.training.fitting import _cluster, batches, count_devices
from spikeva.training.module import Regression

TRAINING = {
    "epochs": 3, "max_steps": None, "samples_per_clip": 4, "batch_size": 8,
    "learning_rate": 0.01, "weight_decay": 0.01, "loss": "emonet",
}  # fmt: skip
TRAINER = {"accelerator": "cpu", "gradient_clip_val": 1.0}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 12 * 16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Plain(nn.Module):
    """Of which a batch is the sum of its samples: no batch norm, no dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 16, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Killed(Exception):
    pass


@pytest.fixture
def data(clip_files):
    return Windows(clip_files, {"encoding": "tbr", "bits": 4, "dt": 5000}, "ann", 3)


def test_weights_decay_and_biases_and_norms_do_not():
    net = Net()
    module = Regression(net, TRAINING, 10, seed=0)
    decay = {
        id(p): group["weight_decay"]
        for group in module.configure_optimizers()["optimizer"].param_groups
        for p in group["params"]
    }
    found = {name: decay[id(p)] for name, p in net.named_parameters()}
    assert {name for name, value in found.items() if value} == {"layers.1.weight", "layers.5.weight"}
    assert set(found.values()) == {0.0, TRAINING["weight_decay"]}


def test_the_learning_rate_rises_and_falls_once():
    """By cosines: from a 25th of the peak, which stands at a quarter of the steps, to a 250,000th at the last one; beta1 runs against it."""
    made = Regression(Net(), TRAINING, 20, seed=0)
    both = made.configure_optimizers()
    optimizer, schedule = both["optimizer"], both["lr_scheduler"]["scheduler"]
    found, momenta = [], []
    for _ in range(20):
        found.append([group["lr"] for group in optimizer.param_groups])
        momenta.append([group["betas"][0] for group in optimizer.param_groups])
        optimizer.step()
        made.lr_scheduler_step(schedule, None)
    peak = TRAINING["learning_rate"]

    def between(start, end, part):
        return end + (start - end) * (1 + math.cos(math.pi * part)) / 2

    wanted = [between(peak / 25, peak, step / 4) for step in range(4)]
    wanted += [between(peak, peak / 250_000, step / 15) for step in range(16)]
    assert found == [pytest.approx([rate, rate]) for rate in wanted]
    wanted = [between(0.95, 0.85, step / 4) for step in range(4)] + [
        between(0.85, 0.95, step / 15) for step in range(16)
    ]
    assert momenta == [pytest.approx([beta, beta]) for beta in wanted]


@pytest.mark.parametrize(("size", "sizes"), [(8, [8, 8]), (6, [6, 6]), (20, [16])])
def test_a_batch_that_is_not_full_counts_where_it_is_the_only_one(data, size, sizes):
    assert [len(targets) for _, targets in batches(data, TRAINING | {"batch_size": size}, seed=1)] == sizes


def test_cudnn_is_kept_to_what_gives_the_same_bits(data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    fit(Net(), data, TRAINING | {"max_steps": 1}, checkpoint=str(tmp_path / "c.ckpt"), seed=1, trainer=TRAINER)
    assert torch.backends.cudnn.deterministic


def test_no_gradient_is_longer_than_the_limit(data, tmp_path):
    lengths = []
    for limit in (None, 0.01):
        net = Net()
        trainer = TRAINER | {"gradient_clip_val": limit}
        fit(net, data, TRAINING, checkpoint=tmp_path / f"{limit}.ckpt", seed=1, trainer=trainer)
        lengths.append(math.hypot(*(float(p.grad.norm()) for p in net.parameters())))  # of the last step
    assert lengths[0] > 0.02
    assert lengths[1] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_to_the_same_bits(data, tmp_path, workers):
    training = TRAINING | {"workers": workers}
    whole, broken = Net(), Net()
    losses = fit(whole, data, training, checkpoint=tmp_path / "whole.ckpt", seed=1, trainer=TRAINER)
    assert len(losses) == 6

    def stop_in_epoch_2(*_: object) -> None:
        calls.append(1)
        if len(calls) == 4:  # the second batch of the second epoch
            raise Killed

    calls: list[int] = []
    hook = broken.register_forward_pre_hook(stop_in_epoch_2)
    with pytest.raises(Killed):
        fit(broken, data, training, checkpoint=tmp_path / "broken.ckpt", seed=1, trainer=TRAINER)
    hook.remove()
    resumed = Net()
    assert fit(resumed, data, training, checkpoint=tmp_path / "broken.ckpt", seed=1, trainer=TRAINER) == losses
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_needs_no_folder_for_temporary_files(data, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    fit(Net(), data, TRAINING, checkpoint=tmp_path / "c.ckpt", seed=1, trainer=TRAINER)
    assert [path.name for path in tmp_path.iterdir()] == ["c.ckpt"]


def test_a_full_disk_leaves_no_half_of_a_checkpoint(data, tmp_path, monkeypatch):
    def write_half(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match=r"No space left on device: '[^']*/c\.ckpt'$"):
        fit(Net(), data, TRAINING, checkpoint=tmp_path / "c.ckpt", seed=1, trainer=TRAINER)
    assert not list(tmp_path.iterdir())


def test_a_model_that_has_predicted_trains_as_before(data, tmp_path):
    nets = Net(), Net()
    predict(nets[1], data)  # leaves it in evaluation mode
    for i, net in enumerate(nets):
        fit(net, data, TRAINING, checkpoint=tmp_path / f"{i}.ckpt", seed=7, trainer=TRAINER)
    assert all(torch.equal(a, b) for a, b in zip(*(net.state_dict().values() for net in nets), strict=True))


@pytest.mark.parametrize(("devices", "tasks"), [(1, "4"), ("1", "4"), ("auto", "1")])
def test_a_job_of_slurm_trains_the_same(data, tmp_path, monkeypatch, recwarn, devices, tasks):
    """Lightning would take what a job that it put back into the queue has left in this folder for the begin of any training."""
    trainer = TRAINER | {"devices": devices}
    wanted = fit(Net(), data, TRAINING, checkpoint=tmp_path / "plain.ckpt", seed=1, trainer=trainer)
    fit(Net(), data, TRAINING | {"epochs": 1}, checkpoint=tmp_path / "hpc_ckpt_1.ckpt", seed=2, trainer=trainer)
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    for name, value in {"JOB_ID": "7", "NTASKS": tasks, "PROCID": "0", "LOCALID": "0", "NODEID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cell").mkdir()
    net, handlers = Net(), set()
    net.register_forward_pre_hook(lambda *_: handlers.add(signal.getsignal(signal.SIGUSR1)))
    assert fit(net, data, TRAINING, checkpoint=tmp_path / "cell" / "c.ckpt", seed=1, trainer=trainer) == wanted
    assert handlers == {signal.SIG_DFL}
    assert not recwarn.list


@pytest.mark.parametrize("devices", [1, "1", [0], [3], "0,"])
def test_one_device_takes_no_part_in_a_job(devices, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert [type(found) for found in _cluster({"devices": devices})] == [LightningEnvironment]


def test_tasks_that_lightning_does_not_take_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(UserError, match=r"devices: 2.*refused on this machine.*--ntasks-per-node=2"):
        count_devices(TRAINER | {"devices": 2, "strategy": "ddp"})


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(data, tmp_path):
    path, once = tmp_path / "a.ckpt", TRAINING | {"epochs": 1}
    fit(Net(), data, once, checkpoint=path, seed=1, trainer=TRAINER)
    for training, seed, named in ((once | {"learning_rate": 0.1}, 1, "learning_rate"), (once, 2, "seed")):
        with pytest.raises(UserError, match=rf"other settings \({named}\)"):
            fit(Net(), data, training, checkpoint=path, seed=seed, trainer=TRAINER)
    with pytest.raises(UserError, match=r"other settings \(trainer.gradient_clip_val\)"):
        fit(Net(), data, once, checkpoint=path, seed=1, trainer=TRAINER | {"gradient_clip_val": 0.5})
    fit(Net(), data, once | {"workers": 0}, checkpoint=path, seed=1, trainer=TRAINER)


def test_a_checkpoint_of_a_gpu_is_gone_on_from_without_it(data, tmp_path, monkeypatch):
    path, once = tmp_path / "a.ckpt", TRAINING | {"epochs": 1}
    with monkeypatch.context() as on_a_gpu:
        on_a_gpu.setattr(torch.serialization, "location_tag", lambda _: "cuda:7")
        losses = fit(Net(), data, once, checkpoint=path, seed=1, trainer=TRAINER)
    assert fit(Net(), data, once, checkpoint=path, seed=1, trainer=TRAINER) == losses


@pytest.mark.parametrize("left", [0, 100, -10])
def test_a_damaged_checkpoint_is_named(data, tmp_path, left):
    path, once = tmp_path / "a.ckpt", TRAINING | {"epochs": 1}
    fit(Net(), data, once, checkpoint=path, seed=1, trainer=TRAINER)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UserError, match=r"a\.ckpt cannot be read .*; delete it, and the training begins anew"):
        fit(Net(), data, once, checkpoint=path, seed=1, trainer=TRAINER)


class _Code:
    """What runs `open(...)` where a pickle of it is read in full."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_checkpoint_runs_no_code(data, tmp_path):
    path, once = tmp_path / "c.ckpt", TRAINING | {"epochs": 1}
    fit(Net(), data, once, checkpoint=path, seed=1, trainer=TRAINER)
    torch.save(torch.load(path, weights_only=True) | {"callbacks": _Code(tmp_path / "ran")}, path)
    with pytest.raises(UserError, match=r"c\.ckpt cannot be read .*; delete it, and the training begins anew"):
        fit(Net(), data, once, checkpoint=path, seed=1, trainer=TRAINER)
    assert not (tmp_path / "ran").exists()


def test_a_training_with_settings_of_numpy_is_resumed(data, tmp_path):
    path, settings = tmp_path / "c.ckpt", TRAINING | {"epochs": np.int64(1), "learning_rate": np.float64(0.01)}
    losses = fit(Net(), data, settings, checkpoint=path, seed=np.int64(1), trainer=TRAINER)
    assert fit(Net(), data, settings, checkpoint=path, seed=np.int64(1), trainer=TRAINER) == losses


def test_missing_settings_are_named(data, tmp_path):
    few = {name: value for name, value in TRAINING.items() if name not in ("samples_per_clip", "loss")}
    with pytest.raises(UserError, match="lack samples_per_clip, loss; needed are epochs"):
        fit(Net(), data, few, checkpoint=tmp_path / "a.ckpt", seed=1)


def test_another_seed_gives_another_run(data, tmp_path):
    runs = [fit(Net(), data, TRAINING, checkpoint=tmp_path / f"{s}.ckpt", seed=s, trainer=TRAINER) for s in (1, 2)]
    assert runs[0] != runs[1]


@pytest.mark.parametrize("steps", range(1, 6))
def test_steps_can_be_limited(data, tmp_path, steps):
    losses = fit(Net(), data, TRAINING | {"max_steps": steps}, checkpoint=tmp_path / "c.ckpt", seed=1, trainer=TRAINER)
    assert len(losses) == steps


@pytest.mark.parametrize("size", [16, 20])
def test_one_batch_is_a_training(data, tmp_path, size):
    training = TRAINING | {"epochs": 1, "batch_size": size}
    assert len(fit(Net(), data, training, checkpoint=tmp_path / "c.ckpt", seed=1, trainer=TRAINER)) == 1


@pytest.mark.parametrize(("trainer", "steps"), [({}, 6), ({"accumulate_grad_batches": 2}, 3)])
@pytest.mark.parametrize("limit", [None, 2])
def test_the_learning_rate_ends_where_one_cycle_ends(data, tmp_path, trainer, steps, limit):
    path = tmp_path / "c.ckpt"
    fit(Net(), data, TRAINING | {"max_steps": limit}, checkpoint=path, seed=1, trainer=TRAINER | trainer)
    state = torch.load(path, weights_only=False)
    schedule = state["lr_schedulers"][0]
    assert state["global_step"] == schedule["total_steps"] == schedule["last_epoch"] == min(steps, limit or steps)
    assert state["epoch"] == (2 if limit is None else trainer.get("accumulate_grad_batches", 1) - 1)


class Drawing(Net):
    """Keeps the first random number of each forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[float] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.drawn.append(float(torch.rand(1)))
        return super().forward(x)


def test_each_batch_of_a_step_draws_its_own_dropout(data, tmp_path):
    nets = [Drawing(), Drawing()]
    for net, together in zip(nets, (1, 2), strict=True):
        path = tmp_path / f"{together}.ckpt"
        fit(net, data, TRAINING, checkpoint=path, seed=1, trainer=TRAINER | {"accumulate_grad_batches": together})
    assert len(set(nets[0].drawn)) == 6
    assert nets[1].drawn == nets[0].drawn


def test_no_two_seeds_draw_the_same_dropout(data, tmp_path):
    nets = [Drawing(), Drawing()]
    for seed, net in enumerate(nets):
        fit(net, data, TRAINING, checkpoint=tmp_path / f"{seed}.ckpt", seed=seed, trainer=TRAINER)
    assert len({*nets[0].drawn, *nets[1].drawn}) == 12


def test_two_devices_share_the_steps(clip_files, tmp_path):
    code = """if True:
        import json, os, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from test_fitting import TRAINER, TRAINING, Drawing, Windows, fit
        encoding = {"encoding": "tbr", "bits": 4, "dt": 5000}
        data = Windows(sorted(Path(sys.argv[2]).glob("*.h5")), encoding, "ann", 3)
        trainer = TRAINER | {"devices": 2, "strategy": "ddp_fork"}
        training = TRAINING | {"batch_size": 4, "max_steps": 5}
        path = Path(sys.argv[3])

        class Told(Drawing):
            def forward(self, x):
                out = super().forward(x)
                path.with_name(f"drawn_{os.getpid()}").write_text(json.dumps(self.drawn))
                return out

        print(len(fit(Told(), data, training, checkpoint=path, seed=1, trainer=trainer)))
    """  # a process of its own: autograd has threads here, which do not survive a fork
    path = tmp_path / "c.ckpt"
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(clip_files[0].parent), str(path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.stdout.split()[-1:] == ["5"], said.stderr  # losses, of 6 steps in 3 epochs
    drawn = [json.loads(file.read_text()) for file in tmp_path.glob("drawn_*")]
    assert [len(d) for d in drawn] == [5, 5]
    assert len({*drawn[0], *drawn[1]}) == 10, "each device draws its own dropout"
    state = torch.load(path, weights_only=False)
    assert state["global_step"] == state["lr_schedulers"][0]["total_steps"] == 5


BY_TWO_DEVICES = """if True:
    import os, shutil, sys
    from pathlib import Path
    import torch
    sys.path.insert(0, sys.argv[1])
    from test_fitting import TRAINER, TRAINING, Net, Plain, Windows, fit
    out, name = Path(sys.argv[3]), sys.argv[4]
    data = Windows(sorted(Path(sys.argv[2]).glob("*.h5")), {"encoding": "tbr", "bits": 4, "dt": 5000}, "ann", 3)
    trainer = TRAINER | {"devices": 2, "strategy": "ddp"}
    plain, calls, net = Plain(), [], Net()

    def keep(*_):
        calls.append(1)
        if name == "whole" and os.environ["LOCAL_RANK"] == "0" and len(calls) == 4:  # within the second epoch
            shutil.copy(out / "whole.ckpt", out / "resumed.ckpt")

    plain.register_forward_pre_hook(keep)
    training = TRAINING | {"batch_size": 4, "loss": "mse", "workers": 1}
    fit(plain, data, training, checkpoint=out / f"{name}.ckpt", seed=1, trainer=trainer)
    rank = os.environ["LOCAL_RANK"]
    torch.save((len(calls), plain.state_dict()), out / f"{name}_{rank}.pt")
    if name == "whole":
        losses = fit(net, data, TRAINING | {"batch_size": 4}, checkpoint=out / "net.ckpt", seed=1, trainer=trainer)
        torch.save((net.state_dict(), losses), out / f"net_{rank}.pt")
"""


def by_two_devices(clip_files, out, name):
    (out / "train.py").write_text(BY_TWO_DEVICES)
    command = [sys.executable, out / "train.py", Path(__file__).parent, clip_files[0].parent, out, name]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr


@pytest.fixture(scope="module")
def two_devices(clip_files, tmp_path_factory):
    """The folder in which two devices have trained one model after the other."""
    out = tmp_path_factory.mktemp("two-devices")
    by_two_devices(clip_files, out, "whole")
    return out


def test_two_devices_end_with_the_same_model_and_losses(two_devices):
    """Batch norm follows each device's own batches: whichever process wrote last would decide what is found."""
    first, second = (torch.load(two_devices / f"net_{rank}.pt") for rank in range(2))
    kept = torch.load(two_devices / "net.ckpt", weights_only=False)
    assert first[1] == second[1] == kept["history"]
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name]), name
        assert torch.equal(value, kept["state_dict"][f"model.{name}"]), name


def test_two_devices_are_one_with_batches_twice_as_large_also_where_they_were_killed(
    data, clip_files, two_devices, tmp_path
):
    by_two_devices(clip_files, two_devices, "resumed")
    found = {}
    for name, steps in (("whole", 6), ("resumed", 4)):
        calls, found[name] = torch.load(two_devices / f"{name}_0.pt")
        assert calls == steps
    one = Plain()
    fit(one, data, TRAINING | {"loss": "mse"}, checkpoint=tmp_path / "one.ckpt", seed=1, trainer=TRAINER)
    for name, value in one.state_dict().items():
        assert torch.equal(found["whole"][name], found["resumed"][name]), name
        assert torch.allclose(found["whole"][name], value, atol=1e-6), name


def test_spawned_processes_train_the_same_model(data, tmp_path):
    trainer = TRAINER | {"devices": 2, "strategy": "ddp_spawn"}
    training = TRAINING | {"batch_size": 4, "max_steps": 2}
    model, untrained = Net(), Net()
    assert len(fit(model, data, training, checkpoint=tmp_path / "c.ckpt", seed=1, trainer=trainer)) == 2
    assert not torch.equal(model.layers[1].weight, untrained.layers[1].weight)


def test_an_epoch_without_a_batch_is_refused(data, tmp_path):
    with pytest.raises(UserError, match="no batch for each of 1 devices"):
        fit(Net(), data, TRAINING, checkpoint=tmp_path / "c", seed=1, trainer=TRAINER | {"limit_train_batches": 0})


@pytest.mark.parametrize(("value", "loss"), [(math.nan, "nan"), (1e20, "inf")])
def test_a_loss_that_is_not_finite_stops_the_run(data, tmp_path, value, loss):
    net = Net()
    nn.init.constant_(net.layers[-1].bias, value)
    with pytest.raises(UserError, match=f"the loss is {loss} at step 0; lower training.learning_rate"):
        fit(net, data, TRAINING | {"loss": "mse"}, checkpoint=tmp_path / "c.ckpt", seed=1, trainer=TRAINER)


def test_predictions_of_another_shape_stop_the_run(data, tmp_path):
    net = Net()
    net.layers[-1] = nn.Linear(8, 3)
    with pytest.raises(
        ValueError, match=r"a model gives \[B, 2\], valence and arousal: expected \[\d, 2\], got \[\d, 3\]"
    ):
        fit(net, data, TRAINING, checkpoint=tmp_path / "c.ckpt", seed=1, trainer=TRAINER)


def test_predictions_stand_in_the_order_of_the_samples(data):
    net = Net()
    found = predict(net, data, batch_size=5)
    assert found.shape == (len(data), 2)
    net.eval()
    with torch.no_grad():
        one = net(data[7][0][None])[0].numpy()
    assert found[7] == pytest.approx(one, abs=1e-6)


def test_who_stays_on_the_cpu_is_not_warned_of_the_gpu(monkeypatch, recwarn):
    monkeypatch.setattr("lightning.pytorch.accelerators.cuda.CUDAAccelerator.is_available", lambda: True)
    assert count_devices({"accelerator": "cpu"}) == 1
    assert not recwarn.list


def test_who_stays_on_the_cpu_pins_no_memory_for_a_gpu(data, tmp_path, monkeypatch):
    """It would take room on the GPU, which may be full."""
    pinned = []

    def loader(*_, pin_memory, **__):
        pinned.append(pin_memory)
        raise Killed

    for module in ("fitting", "prediction"):
        monkeypatch.setattr(f"spikeva.training.{module}.DataLoader", loader)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(Killed):
        predict(Net(), data)
    with pytest.raises(Killed):
        fit(Net(), data, TRAINING, checkpoint=tmp_path / "c.ckpt", seed=1, trainer=TRAINER)
    assert pinned == [False, False]


def test_processes_that_encode_change_no_prediction(data):
    net = Net()
    assert (predict(net, data, workers=2) == predict(net, data)).all()

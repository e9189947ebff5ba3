"""Cells at once, and cells that two commands want."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack

import pytest
import torch
import yaml

from spikeva.cli import main
from spikeva.datasets.pool import NoWorker
from spikeva.errors import UserError
from spikeva.study import attempts as module
from spikeva.study.attempts import attempts, check_jobs
from spikeva.study.cells import cells
from spikeva.study.claims import claimed, is_claimed
from spikeva.study.config import load, parse
from spikeva.study.run_cell import Material, run_cell
from spikeva.study.runner import prepare, run

STUDY = {
    "study": "s",
    "regression": {"dataset": "afew-va-like", "identities": 4, "clips": 1, "seconds": 0.4, "fps": 50, "size": 32},
    "folds": 2,
    "window": {"frames": 1},
    "grid": {
        "encodings": [{"encoding": "tbr", "bits": 4, "dt": 5000}],
        "models": [{"model": "ann_convnet", "width": 4}, {"model": "snn_convnet", "width": 4}],
        "seeds": [0, 1],
    },
    "training": {"epochs": 2, "samples_per_clip": 2, "batch_size": 2, "workers": 1},
    "evaluation": {"cost_samples": 1},
}
OWN = """
import os
import signal
import time
from pathlib import Path

import torch
from spikeva import register_model


class Means(torch.nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(in_channels, 2)

    def forward(self, x):
        return self.head(x.mean((1, 3, 4)))


@register_model("ann_means")
class Plain(Means):
    pass


@register_model("ann_breaks")
class Breaks(Means):
    def forward(self, x):
        raise KeyError("out of luck")


@register_model("ann_is_killed")
class IsKilled(Means):
    def forward(self, x):
        if "JOBS_TEST" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


@register_model("ann_waits")
class Waits(Means):
    def forward(self, x):
        if "JOBS_TEST" in os.environ:
            Path(os.environ["JOBS_TEST"], str(os.getpid())).touch()
            time.sleep(600)
        return super().forward(x)
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    out = tmp_path_factory.mktemp("clips")
    prepare(parse(STUDY), out, workers=1)
    return out / "data"


@pytest.fixture
def out(clips, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "data").symlink_to(clips)
    return folder


def with_own_models(folder, *names, **changes):
    """A config whose models are in a file beside it."""
    (folder / "own_models_of_a_job.py").write_text(OWN)
    models = [{"model": name} for name in names]
    raw = STUDY | changes | {"modules": ["own_models_of_a_job.py"], "grid": STUDY["grid"] | {"models": models}}
    (folder / "own.yaml").write_text(yaml.safe_dump(raw))
    return folder / "own.yaml"


def files(out):
    """What the cells wrote, but for times."""
    names = ("config.yaml", "model.safetensors", "predictions.csv", "training.csv")
    return {path.relative_to(out): path.read_bytes() for name in names for path in out.glob(f"cells/*/{name}")}


def test_cells_at_once_are_those_one_after_the_other(out, clips, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "data").symlink_to(clips)
    study = parse(STUDY)
    assert os.environ["OMP_NUM_THREADS"] == "1", "the workers compute with as many threads as this process"
    found = run(study, str(out))
    run(study, other, jobs=2)
    one, two = (json.loads((folder / "results.json").read_text()) for folder in (out, other))
    assert json.loads(json.dumps(found)) == one
    assert files(out) == files(other)
    assert len(files(out)) == 4 * 4
    for cell in one["cells"] + two["cells"]:
        del cell["cost"]["latency_ms"]
    assert {cell["cost"].pop("latency_jobs") for cell in one["cells"]} == {1}
    assert {cell["cost"].pop("latency_jobs") for cell in two["cells"]} == {2}
    assert "while up to 2 cells were at work" in (other / "report.html").read_text()
    assert "cells were at work" not in (out / "report.html").read_text()
    assert [results.pop("environment")["jobs"] for results in (one, two)] == [1, 2]
    assert one == two
    said = capsys.readouterr().err
    assert "2 cells run at once" in said
    assert "cells: 4/4" in said
    assert "3/4 train ann_convnet" in said
    assert not list(other.glob("cells/*/.*"))
    done = json.loads(next(other.glob("cells/*/done.json")).read_text())
    assert done["threads"] == 1


def test_a_cell_that_fails_or_dies_leaves_the_others(out, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JOBS_TEST", str(tmp_path))
    config = with_own_models(tmp_path, "ann_means", "ann_breaks", "ann_is_killed")
    study = load(config)
    material = prepare(study, out)
    todo = list(cells(study))
    found = dict(attempts(todo, material, out, jobs=2))
    assert [found[n] is not None for n in range(6)] == [True, False, False] * 2
    said = capsys.readouterr().err
    assert "2/6 failed: ann_breaks · tbr, fold 0, seed 0: KeyError: 'out of luck'" in said
    assert 'own_models_of_a_job.py", line' in said
    assert "6/6 failed: ann_is_killed · tbr, fold 0, seed 1: worker process" in said
    assert "-9: killed" in said
    assert not is_claimed(todo[2].folder(out)), "a dead process holds nothing"


def test_code_that_changes_before_a_process_imports_it_ends_all(out, tmp_path):
    module = tmp_path / "own_model_that_changes.py"
    module.write_text(
        OWN.split("\n@register_model")[0] + '\n@register_model("ann_changes")\nclass Own(Means):\n    pass\n'
    )
    study = parse(STUDY | {"modules": [str(module)], "grid": STUDY["grid"] | {"models": [{"model": "ann_changes"}]}})
    material = prepare(study, out)
    module.write_text(module.read_text() + "X = 1\n")
    with pytest.raises(UserError, match="the code of model ann_changes has changed since this run began"):
        dict(attempts(list(cells(study)), material, out, jobs=2))


def test_what_concerns_all_cells_ends_all(out):
    study = parse(STUDY)
    material = prepare(study, out)
    todo = list(cells(study))
    damaged = todo[0].folder(out) / "training.ckpt"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no checkpoint")
    found = []
    with pytest.raises(UserError, match=r"training\.ckpt cannot be read"):
        found.extend(index for index, _ in attempts(todo, material, out, jobs=2))
    assert 3 not in found


def test_workers_end_with_a_killed_command(out, tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    config = with_own_models(tmp_path, "ann_waits")
    command = [sys.executable, "-m", "spikeva", "train", str(config), "--out", str(out), "--jobs", "2"]
    process = subprocess.Popen(command, env=os.environ | {"JOBS_TEST": str(pids)}, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: len(list(pids.iterdir())) == 2)
        workers = [int(path.name) for path in pids.iterdir()]
        loaders = [int(pid) for worker in workers for pid in _children(worker)]
        assert loaders
        process.send_signal(signal.SIGKILL)
        _until(lambda: not any(map(_lives, workers + loaders)))
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_ends_the_workers_too(out, tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    config = with_own_models(tmp_path, "ann_waits")
    command = [sys.executable, "-m", "spikeva", "compare", str(config), "--out", str(out), "--jobs", "2"]
    process = subprocess.Popen(
        command,
        env=os.environ | {"JOBS_TEST": str(pids)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    _until(lambda: len(list(pids.iterdir())) >= 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "the same command goes on from here" in said
    assert not any(_lives(int(path.name)) for path in pids.iterdir())


def _until(true):
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_another_command_is_at_comes_last_and_is_not_done_twice(out, capsys):
    study = parse(STUDY | {"grid": STUDY["grid"] | {"seeds": [0]}})
    material = prepare(study, out)
    todo = list(cells(study))
    first, second = (cell.folder(out) for cell in todo)
    first.mkdir(parents=True)
    holds, waits = threading.Event(), threading.Event()

    def other():
        with claimed(first, "other"):
            holds.set()
            waits.wait(600)
            time.sleep(0.5)
            (first / "metrics.json").write_text('{"of": "the other"}')
            (first / "done.json").write_text("{}")

    holder = threading.Thread(target=other)
    holder.start()
    assert holds.wait(60)
    assert is_claimed(first)
    found = []
    for index, entry in attempts(todo, material, out):
        found.append((index, entry["hash"] if index else entry["of"]))
        assert not is_claimed(second)
        waits.set()
    holder.join()
    assert found == [(1, todo[1].key), (0, "the other")]
    assert f"1/2 {todo[0].label}: another process is at it; waiting" in capsys.readouterr().err
    assert not (first / "predictions.csv").exists()


def test_a_job_takes_a_free_cell_before_it_waits(out, monkeypatch):
    """Also where the other command took the first ones only after this one began."""
    study = parse(STUDY)
    material = prepare(study, out)
    todo = list(cells(study))
    monkeypatch.setattr(module, "is_claimed", lambda _: False)
    with ExitStack() as held:
        for cell in todo[:2]:
            cell.folder(out).mkdir(parents=True)
            held.enter_context(claimed(cell.folder(out), "other"))
        late = threading.Timer(300, held.close)
        late.daemon = True
        late.start()
        found = []
        for index, entry in attempts(todo, material, out, jobs=2):
            found.append(index)
            assert entry is not None
            if sorted(found) == [2, 3]:
                late.cancel()
                held.close()
    assert sorted(found[:2]) == [2, 3]
    assert sorted(found[2:]) == [0, 1]


def test_clips_that_another_command_makes_are_waited_for(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    second = threading.Thread(target=prepare, args=(parse(STUDY), tmp_path, 0))
    said = ""
    with claimed(data, "other"):
        second.start()
        while "waiting" not in said and second.is_alive():
            said += capsys.readouterr().err
            time.sleep(0.05)
        assert "afew-va-like clips: another process is at it; waiting" in said
        assert not list(data.rglob("*.npz"))
    second.join()
    assert len(list(data.rglob("*.h5"))) == 4
    assert not is_claimed(data)


def test_a_script_without_main_guard_does_not_wait_for_itself(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom spikeva.study.config import parse\nfrom spikeva.study.runner import prepare\n"
        f"prepare(parse({STUDY!r}), Path(__file__).parent, 1)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert "under `if __name__ == '__main__':`" in done.stderr
    assert done.returncode == 1


def test_a_claim_ends_with_its_work(out):
    with claimed(out, "a"):
        loader = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        loader.start()
    try:
        assert not is_claimed(out), "a loader's worker that lives on holds nothing"
    finally:
        loader.kill()
        loader.join()


def test_a_network_disk_asks_a_file_that_may_be_written_for_an_exclusive_lock(out, monkeypatch):
    monkeypatch.setattr("fcntl.flock", fcntl.lockf)  # what NFS does
    with claimed(out, "a"):
        pass
    assert not is_claimed(out)


@pytest.mark.parametrize(("devices", "claims"), [(1, 1), ("1", 1), (2, 0)])
def test_only_devices_that_share_a_cell_come_to_it_together(out, monkeypatch, devices, claims):
    def finish(cell, material, folder, place):
        assert is_claimed(folder) == bool(claims)
        (folder / "metrics.json").write_text("{}")
        (folder / "done.json").write_text("{}")

    monkeypatch.setattr("spikeva.study.run_cell._finish", finish)
    study = parse(STUDY | {"trainer": {"accelerator": "cpu", "devices": devices}})
    assert run_cell(next(cells(study)), Material([], None), out)


def test_workers_that_do_not_start_end_all(out):
    future = Future()
    future.set_exception(NoWorker("a worker process ended while it started"))
    with pytest.raises(UserError, match="while it started"):
        module._result(future, next(cells(parse(STUDY))), "1/4")


def test_a_disk_without_locks_keeps_nobody_away(out, monkeypatch):
    def unsupported(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with claimed(out, "a"), claimed(out, "b"):
        assert not is_claimed(out)


@pytest.mark.parametrize(
    ("jobs", "trainer", "said"),
    [
        (0, {}, "jobs must be at least 1 .*, got 0"),
        (2, {"accelerator": "cpu", "devices": 2}, "2 cells at once, of which each trains on 2 devices"),
    ],
)
def test_refused(jobs, trainer, said):
    with pytest.raises(UserError, match=said):
        check_jobs(jobs, parse(STUDY | {"trainer": trainer}))


@pytest.mark.parametrize(
    ("given", "count", "trainer", "expected"),
    [
        (None, 0, {}, [None, None, None]),
        (None, 1, {}, [None, None, None]),
        (None, 2, {}, ["0", "1", "0"]),
        ("3,GPU-5", 2, {}, ["3", "GPU-5", "3"]),
        (None, 2, {"accelerator": "cpu"}, [None, None, None]),
    ],
)
def test_jobs_take_the_gpus_in_turn(monkeypatch, given, count, trainer, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    monkeypatch.setattr(module, "cores", lambda: 8)
    found = module._environments(3, parse(STUDY | {"trainer": trainer}))
    assert [worker.get("CUDA_VISIBLE_DEVICES") for worker in found] == expected
    assert {(worker["OMP_NUM_THREADS"], worker["NUMBA_NUM_THREADS"]) for worker in found} == {("2", "7")}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], {}),
        (["--model", "snn_*"], {"model": "snn_convnet"}),
        (["--encoding", "spikes"], {"encoding": "spikes"}),
        (["--fold", "1"], {"fold": 1}),
        (["--seed", "0"], {"seed": 0}),
        (["--model", "ann_*", "--encoding", "tbr", "--fold", "0", "--seed", "1"], {"model": "ann_convnet", "encoding": "tbr", "fold": 0, "seed": 1}),
    ],
)  # fmt: skip
def test_train_takes_the_cells_that_match_all_options(options, wanted, tmp_path, monkeypatch):
    encodings = [*STUDY["grid"]["encodings"], {"encoding": "spikes", "steps": 4, "dt": 5000}]
    grid = {**STUDY["grid"], "folds": [0, 1], "encodings": encodings}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**STUDY, "grid": grid}))
    taken = []
    monkeypatch.setattr(module, "attempts", lambda chosen, *_: taken.extend(chosen) or iter(()))
    monkeypatch.setattr("spikeva.study.runner.prepare", lambda *_: None)
    assert main(["train", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "run"), *options]) == 0
    assert len(taken) == 16 / 2 ** len(wanted)
    for cell in taken:
        found = {
            "model": cell.model["model"],
            "encoding": cell.encoding["encoding"],
            "fold": cell.fold,
            "seed": cell.seed,
        }
        assert found | wanted == found

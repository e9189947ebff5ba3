"""The time that a study is said to take before it starts."""

import itertools
import json
from functools import partial

import pytest
import torch

from spikeva.errors import UserError
from spikeva.study import estimate as module
from spikeva.study.cells import cells
from spikeva.study.config import parse
from spikeva.study.estimate import duration, estimate
from spikeva.study.run_cell import create
from spikeva.study.runner import prepare

STUDY = {
    "study": "s",
    "regression": {"dataset": "afew-va-like", "identities": 4, "clips": 1, "seconds": 0.4, "fps": 50, "size": 32},
    "folds": 2,
    "window": {"frames": 2},
    "grid": {
        "encodings": [{"encoding": "tbr", "bits": 4, "dt": 5000}],
        "models": [{"model": "ann_convnet", "width": 4}, {"model": "snn_convnet", "width": 4}],
        "folds": [0, 1],
    },
    "training": {"epochs": 500, "samples_per_clip": 2, "batch_size": 2},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    found = parse(STUDY)
    return found, prepare(found, out, workers=1), out


def test_every_pair_is_timed_once_and_counts_for_its_folds(study, monkeypatch):
    found, material, out = study
    monkeypatch.setattr(module, "_seconds", lambda cell, *_: 10.0 if cell.kind == "ann" else 100.0)
    expected = estimate(list(cells(found)), material, out)
    assert (expected.seconds, expected.cells, expected.timed, expected.known) == (220.0, 4, 2, 0)
    assert "4 cells to run: about 3 min 40 s, an estimate from 3 timed training steps of each of 2 pairs" in str(
        expected
    )
    last = estimate(list(cells(found))[-1:], material, out)
    assert "1 cell to run: about 1 min 40 s, an estimate from 3 timed training steps of 1 pair of model" in str(last)


def test_the_memory_of_timed_steps_is_given_back(study, monkeypatch):
    found, material, out = study
    done = []
    monkeypatch.setattr(module, "_seconds", lambda *_: done.append("timed") or 1.0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("given back"))
    estimate(list(cells(found)), material, out, jobs=2)
    assert done == ["timed", "timed", "given back"]


def test_jobs_take_the_next_cell_with_their_share_of_threads(study, monkeypatch, request):
    found, material, out = study
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(3)
    monkeypatch.setattr(module, "threads_of", lambda jobs: {2: 2, 4: 9}[jobs])
    threads = set()

    def seconds(cell, *_):
        threads.add(torch.get_num_threads())
        return 10.0 if cell.kind == "ann" else 100.0

    monkeypatch.setattr(module, "_seconds", seconds)
    expected = estimate(list(cells(found)), material, out, jobs=2)  # 10 + 10 + 100 and 100
    assert expected.seconds == 120.0
    assert "2 cells run at once" in str(expected)
    assert threads == {2}
    assert torch.get_num_threads() == 3
    assert estimate(list(cells(found)), material, out, jobs=9).seconds == 100.0
    assert threads == {2, 3}, "no more than before"


def test_a_cell_is_its_steps_and_predictions(study, monkeypatch):
    found, material, _ = study
    cell = next(cells(found))
    sizes = module._Sizes.of(cell, material)
    assert sizes.steps == 500 * 2  # two people train, a clip each, two samples of it in batches of two
    clock = itertools.count()  # a second a look: two a step (encoding, the rest), and two a batch of two predictions
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    assert module._seconds(cell, material, sizes) == 2 * sizes.steps + sizes.samples


def test_kernels_that_the_first_prediction_compiles_do_not_count(study, monkeypatch):
    found, material, _ = study
    clock, predicted = [0.0], []

    def forward(model, args):
        if not model.training:
            predicted.append(args[0])
            clock[0] += 100.0 if len(predicted) == 1 else 1.0

    def watched(cell):
        model = create(cell)
        model.register_forward_pre_hook(forward)
        return model

    monkeypatch.setattr(module, "create", watched)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    assert module._seconds(next(cells(found)), material, module._Sizes(steps=1, samples=20)) == 10.0  # batches of two


@pytest.mark.parametrize(
    ("workers", "where", "seconds"),
    [(0, "cuda", 8 + 2), (2, "cuda", 8 / 2), (9, "cuda", 8 / 4), (4, "cpu", 8 + 2)],
)
def test_workers_encode_while_a_gpu_is_busy(monkeypatch, workers, where, seconds):
    monkeypatch.setattr(module, "cores", lambda: 4)
    assert module._together(8.0, 2.0, workers, where) == seconds


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_steps_are_timed_in_their_precision(study, monkeypatch, precision, dtype):
    _, material, _ = study
    cell = next(cells(parse({**STUDY, "trainer": {"accelerator": "cpu", "precision": precision}})))
    seen = []

    def watched(cell):
        model = create(cell)
        model.register_forward_hook(lambda part, _, out: seen.append(out.dtype) if part.training else None)
        return model

    monkeypatch.setattr(module, "create", watched)
    module._seconds(cell, material, module._Sizes(1, 1))
    assert seen == [dtype] * (module.STEPS + 1)


class Moved(Exception):
    """Ends an estimate where its model goes to a device."""


class Movable:
    def to(self, where: torch.device) -> None:
        raise Moved(str(where))


@pytest.mark.parametrize(
    ("devices", "rank", "used"),
    [(1, 0, "cuda:0"), ([1], 0, "cuda:1"), ("3,", 0, "cuda:3"), (2, 0, "cuda:0"), (2, 1, "cuda:1")],
)
def test_steps_are_timed_on_the_gpu_that_trains(study, monkeypatch, devices, rank, used):
    """On the first one, all processes of a training that several GPUs share would meet."""
    _, material, _ = study
    cell = next(cells(parse({**STUDY, "trainer": {"accelerator": "gpu", "devices": devices}})))
    monkeypatch.setattr(module, "create", lambda _: Movable())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("lightning.fabric.accelerators.cuda.num_cuda_devices", lambda: 4)
    monkeypatch.setattr("lightning.pytorch.accelerators.cuda.num_cuda_devices", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    with pytest.raises(Moved, match=used):
        module._seconds(cell, material, module._Sizes(1, 1))


@pytest.mark.parametrize(("devices", "limit", "steps"), [(1, None, 6), (2, None, 3), (3, None, 3), (2, 2, 2)])
def test_devices_share_the_steps(study, monkeypatch, devices, limit, steps):
    _, material, out = study
    monkeypatch.setattr(module, "_seconds", lambda _, __, sizes: float(sizes.steps))
    trainer = {"trainer": {"accelerator": "cpu", "devices": devices}}
    training = {"training": {"epochs": 3, "max_steps": limit, "samples_per_clip": 2, "batch_size": 2}}
    expected = estimate(list(cells(parse({**STUDY, **trainer, **training}))), material, out)
    assert expected.seconds == 4 * steps
    assert (f"{devices} devices share each training" in str(expected)) == (devices > 1)


def test_devices_that_are_not_there(study):
    _, material, out = study
    parsed = parse({**STUDY, "trainer": {"accelerator": "cpu", "devices": [0, 1]}})
    with pytest.raises(UserError, match=r"trainer: .accelerator: cpu, devices: \[0, 1\].* is refused on this machine"):
        estimate(list(cells(parsed)), material, out)


def test_finished_cells_tell_their_own_time(study, monkeypatch, tmp_path):
    found, material, _ = study
    monkeypatch.setattr(module, "_seconds", lambda *_: 10.0)
    todo = list(cells(found))
    done = next(cell for cell in todo if cell.kind == "ann")
    (done.folder(tmp_path)).mkdir(parents=True)
    (done.folder(tmp_path) / "done.json").write_text(json.dumps({"seconds": {"train": 50.0, "evaluate": 4.0}}))
    expected = estimate(todo, material, tmp_path)
    assert (expected.seconds, expected.cells, expected.timed, expected.known) == (74.0, 3, 1, 1)
    for cell in todo:
        cell.folder(tmp_path).mkdir(parents=True, exist_ok=True)
        (cell.folder(tmp_path) / "done.json").write_text('{"seconds": {}}')
    assert estimate(todo, material, tmp_path) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59.6, "1 min"), (454, "7 min 34 s"), (7800, "2 h 10 min"), (90000, "1 d 1 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text

"""What a cell's model is given."""

import os
import sys

import numpy as np
import pytest
import torch

from spikeva.datasets import ClipSet, Split
from spikeva.errors import UserError
from spikeva.events import EventStream, write_clip
from spikeva.report.data import Run
from spikeva.study.cells import cells
from spikeva.study.config import parse
from spikeva.study.files import read_csv, write_json
from spikeva.study.run_cell import Material, create, run_cell, windows, zero_shot
from spikeva.study.runner import _first_untrained, prepare, run
from spikeva.study.trained import load_cell

STUDY = {
    "study": "s",
    "regression": {"dataset": "afew-va-like", "identities": 4, "clips": 1},
    "folds": 2,
    "window": {"frames": 1},
    "grid": {"encodings": [{"encoding": "counts", "dt": 10_000}], "models": [{"model": "ann_convnet"}]},
    "training": {"augment": False, "augment_events": {"drop": 0.5}},
}


@pytest.fixture
def clips(tmp_path):
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 20_000, 600))
    events = EventStream(t, rng.integers(0, 8, 600), rng.integers(0, 8, 600), rng.integers(0, 2, 600), (8, 8))
    labels = {"t_us": np.array([20_000]), "valence": np.float32([0.5]), "arousal": np.float32([-0.5])}
    attributes = {"subject": "p", "clip": "c", "domain": "d", "synthetic": 1}
    write_clip(tmp_path / "c.h5", events, labels=labels, attributes=attributes)
    return ClipSet.read(tmp_path)


def test_events_are_changed_in_training_alone(clips):
    pytest.importorskip("tonic")
    cell = next(cells(parse(STUDY)))
    training, scored = windows(cell, clips, training=True), windows(cell, clips)
    drawn = training.samples[0]._replace(epoch=0)
    assert training.augmentation is None
    whole = scored.encoded(drawn).sum()
    assert 0.3 * whole < training.encoded(drawn).sum() < 0.7 * whole
    np.testing.assert_array_equal(training.encoded(training.samples[0]), scored.encoded(scored.samples[0]))


def test_each_seed_and_fold_starts_from_weights_of_its_own():
    raw = STUDY | {"grid": STUDY["grid"] | {"folds": [0, 1], "seeds": [0, 1]}}
    todo = [*cells(parse(raw)), *cells(parse(raw | {"seed": 1}))]
    first = [next(create(cell).parameters()).detach().numpy().tobytes() for cell in todo]
    assert len(set(first)) == len(todo) == 8
    assert first[0] == next(create(todo[0]).parameters()).detach().numpy().tobytes()


def test_a_finished_cell_is_named_as_the_grid_that_asks_for_it_needs(tmp_path):
    """Two networks that were each run alone are two rows of a grid that holds both."""
    grid = STUDY["grid"]
    widths = [{"model": "ann_convnet", "width": width} for width in (4, 8)]
    for model in widths:
        (cell,) = cells(parse(STUDY | {"grid": grid | {"models": [model]}}))
        write_json(cell.folder(tmp_path) / "metrics.json", {"model": cell.label, "encoding": "counts", "parameters": 1})
        write_json(cell.folder(tmp_path) / "done.json", {})
    both = cells(parse(STUDY | {"grid": grid | {"models": widths}}))
    found = [run_cell(cell, Material([], None), tmp_path) for cell in both]
    assert [entry["model"] for entry in found] == ["ann_convnet(width=4)", "ann_convnet(width=8)"]
    assert all(entry["parameters"] == 1 for entry in found)


def test_an_entry_tells_the_time_steps_of_a_window(tmp_path):
    """Of a finished cell, too, and where the config leaves them at their default."""
    encodings = [{"encoding": "tbr"}, {"encoding": "tbr", "bits": 4}, {"encoding": "voxel"}, {"encoding": "counts"}]
    grid = STUDY["grid"] | {"encodings": encodings, "models": STUDY["grid"]["models"][:1]}
    found = []
    for cell in cells(parse(STUDY | {"grid": grid})):
        for name in ("metrics.json", "done.json"):
            write_json(cell.folder(tmp_path) / name, {})
        found.append(run_cell(cell, Material([], None), tmp_path))
    assert [(entry["encoding"], entry["time_steps"]) for entry in found] == [
        ("tbr", 8), ("tbr(bits=4)", 4), ("voxel", 8), ("counts", 1),
    ]  # fmt: skip


def test_a_finished_cell_keeps_nothing_of_a_kill(tmp_path):
    cell = next(cells(parse(STUDY)))
    folder = cell.folder(tmp_path)
    for name in ("metrics.json", "done.json"):
        write_json(folder / name, {})
    for name in ("training.ckpt", ".metrics.json.0123abcd.part"):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (0, 0))
    run_cell(cell, Material([], None), tmp_path)
    assert {file.name for file in folder.iterdir()} == {"metrics.json", "done.json"}


def test_clips_that_come_while_a_study_runs_end_it(tmp_path):
    """Its cells would bear the name of all clips, and be found as their result."""

    def clip(i):
        labels = {"t_us": np.array([20_000, 40_000]), "valence": np.float32([0.1, i]), "arousal": np.float32([0, -i])}
        attributes = {"subject": f"p{i}", "clip": "c", "domain": "d"}
        write_clip(tmp_path / "clips" / f"{i}.h5", EventStream.empty((8, 8)), labels=labels, attributes=attributes)

    (tmp_path / "clips").mkdir()
    for i in (-1, 0, 1, 0.5):
        clip(i)
    study = parse(STUDY | {"regression": {"dataset": "prepared", "root": str(tmp_path / "clips")}, "training": {}})
    (chosen,) = _first_untrained(study, tmp_path / "out", 1)
    material = prepare(study, tmp_path / "out")
    cell = next(cells(study))
    clip(-0.5)
    assert chosen.key == next(cells(study)).key, "a name from before the clips were read would be of others"
    with pytest.raises(UserError, match=r"clips under regression\.root .* are others than when this run read them"):
        run_cell(cell, material, tmp_path / "out")
    assert not (cell.folder(tmp_path / "out") / "done.json").exists()
    assert prepare(study, tmp_path / "out").prepared != material.prepared


def people(folder, *subjects):
    """A clip "c" of each, with five labels."""
    times = np.arange(1, 6) * 20_000
    for subject in subjects:
        rng = np.random.default_rng([*subject.encode()])
        t = np.sort(rng.integers(0, 100_000, 2000))
        events = EventStream(t, rng.integers(0, 8, 2000), rng.integers(0, 8, 2000), rng.integers(0, 2, 2000), (8, 8))
        labels = {axis: rng.uniform(-1, 1, 5).astype(np.float32) for axis in ("valence", "arousal")}
        labels |= {"t_us": times, "frame": np.arange(3, 8)}
        attributes = {"subject": subject, "clip": "c", "domain": "d", "synthetic": 1}
        write_clip(folder / f"{subject}.h5", events, labels=labels, attributes=attributes)
    return ClipSet.read(folder / f"{subject}.h5" for subject in subjects)


@pytest.mark.parametrize(
    ("during", "gives", "left"),
    [
        ("training.fitting.fit", [], set()),
        ("evaluation.cost.measure", {"parameters": 0}, {"model.safetensors"}),
        ("study.runner.compare", [], {"model.safetensors", "metrics.json", "done.json"}),
    ],
)
def test_no_result_of_other_clips_is_kept_whenever_they_come(during, gives, left, tmp_path, monkeypatch):
    (tmp_path / "clips").mkdir()
    people(tmp_path / "clips", *"abcd")
    monkeypatch.setattr(f"spikeva.{during}", lambda *_, **__: people(tmp_path / "clips", "e") and gives)
    regression = {"dataset": "prepared", "root": str(tmp_path / "clips")}
    with pytest.raises(UserError, match="are others than when this run read them"):
        run(parse(STUDY | {"regression": regression, "training": {"epochs": 1}}), tmp_path / "out")
    (folder,) = (tmp_path / "out" / "cells").iterdir()
    assert {"model.safetensors", "metrics.json", "done.json"} & {file.name for file in folder.iterdir()} == left
    assert not (tmp_path / "out" / "results.json").exists()


def test_predictions_that_another_program_saved_are_refused_and_made_anew(tmp_path):
    """Sorted by a spreadsheet, say: paired differences would be of frames that do not belong together."""
    (tmp_path / "clips").mkdir()
    people(tmp_path / "clips", *"abcd")
    regression = {"dataset": "prepared", "root": str(tmp_path / "clips")}
    study, out = parse(STUDY | {"regression": regression, "training": {"epochs": 1}}), tmp_path / "out"
    run(study, out)
    (path,) = out.glob("cells/*/predictions.csv")
    wrote = path.read_bytes()
    head, *rows = wrote.splitlines(keepends=True)
    for changed in (head + b"".join(rows[::-1]), wrote[:-9], wrote.replace(b"\n", b"\r\n"), None):
        path.unlink() if changed is None else path.write_bytes(changed)
        with pytest.raises(
            UserError, match=r"predictions\.csv is not as the cell wrote it .*; delete .*done\.json and run"
        ):
            run(study, out)
    path.write_bytes(wrote)
    metrics = path.with_name("metrics.json")
    scores = metrics.read_bytes()
    metrics.write_bytes(scores.replace(b'"parameters": ', b'"parameters": 1'))
    with pytest.raises(UserError, match=r"metrics\.json is not as the cell wrote it .*; delete .*done\.json and run"):
        run(study, out)
    metrics.write_bytes(scores)
    path.write_bytes(wrote[:-9])
    with pytest.raises(UserError, match=r"predictions\.csv is not as the cell wrote it"):
        Run.open(out).read(path.parent.name)
    (path.parent / "done.json").unlink()
    run(study, out)
    assert path.read_bytes() == wrote


def test_a_run_may_lie_in_a_folder_whose_name_is_no_utf8(tmp_path, monkeypatch):
    """As on a disk of older days: safetensors takes no such path, and what is printed and the page escape it."""
    (tmp_path / "clips").mkdir()
    people(tmp_path / "clips", *"abcd")
    out = tmp_path / os.fsdecode(b"caf\xe9")
    monkeypatch.setattr(sys, "argv", ["spikeva", "compare", "--out", str(out)])
    regression = {"dataset": "prepared", "root": str(tmp_path / "clips")}
    grid = STUDY["grid"] | {"models": [{"model": "snn_convnet", "width": 4}]}
    run(parse(STUDY | {"regression": regression, "grid": grid, "training": {"epochs": 1}}), out)
    (cell,) = out.glob("cells/*")
    load_cell(cell)
    assert r"caf\udce9" in (out / "report.html").read_text(encoding="utf-8")


def test_a_cell_trains_as_the_study_says_and_scores_what_its_model_predicts(tmp_path, monkeypatch):
    given = {}

    def fit(model, data, training, **options):
        given.update(options, training=training, data=data)
        return []

    monkeypatch.setattr("spikeva.training.fitting.fit", fit)
    raw = STUDY | {
        "training": {"augment": True, "learning_rate": 0.02},
        "trainer": {"accelerator": "cpu", "gradient_clip_val": 0.5},
        "grid": STUDY["grid"] | {"seeds": [0, 1]},
    }
    split = Split(people(tmp_path, "a", "b"), people(tmp_path, "p", "q"))
    seeds = set()
    for cell in cells(parse(raw)):
        entry = run_cell(cell, Material([split], None), tmp_path)
        seeds.add(given["seed"])
    assert len(seeds) == 2
    assert given["training"]["learning_rate"] == 0.02
    assert given["trainer"]["gradient_clip_val"] == 0.5
    assert given["data"].paths == split.train.paths
    assert given["data"].augmentation is not None
    assert given["data"].seed == given["seed"]

    rows = read_csv(cell.folder(tmp_path) / "predictions.csv")
    samples, model = windows(cell, split.test), create(cell).eval()
    assert len(rows) == len(samples) == 10
    assert [(int(row["frame"]), int(row["t_us"])) for row in rows] == [(3 + i, 20_000 * (1 + i)) for i in range(5)] * 2
    for row, (inputs, target) in zip(rows, samples, strict=True):
        with torch.no_grad():
            told = model(inputs[None])[0].tolist()
        assert [float(row["valence_pred"]), float(row["arousal_pred"])] == pytest.approx(told, abs=1e-6)
        assert [float(row["valence"]), float(row["arousal"])] == target.tolist()
    for axis in ("valence", "arousal"):
        y, p = (np.array([float(row[name]) for row in rows]) for name in (axis, f"{axis}_pred"))
        errors = (y - p) ** 2
        found = entry["regression"][axis]
        assert found["rmse"] == pytest.approx(errors.mean() ** 0.5)
        assert found["clip_mean"]["clips"] == 2, "two people's clips of one name"
        assert found["clip_mean"]["rmse"] == pytest.approx(np.mean(errors.reshape(2, 5).mean(1) ** 0.5))


def test_cost_is_measured_on_samples_from_all_of_the_test_set(tmp_path, monkeypatch):
    monkeypatch.setattr("spikeva.training.fitting.fit", lambda *_, **__: [])
    seen = []
    monkeypatch.setattr("spikeva.evaluation.cost.measure", lambda _, batch, __: seen.append(batch) or {"parameters": 0})
    cell = next(cells(parse(STUDY | {"evaluation": {"cost_samples": 4}})))
    split = Split(people(tmp_path, "a", "b"), people(tmp_path, "p", "q"))
    run_cell(cell, Material([split], None), tmp_path)
    samples = windows(cell, split.test)
    assert torch.equal(seen[0], torch.stack([samples[i][0] for i in (0, 3, 6, 9)]))


def test_every_encoding_of_a_grid_is_asked_for_the_same_labels(tmp_path):
    encodings = [{"encoding": "counts", "dt": dt} for dt in (10_000, 60_000)]
    short, long = cells(parse(STUDY | {"grid": STUDY["grid"] | {"encodings": encodings}}))
    clips = people(tmp_path, "a", "b")
    assert windows(short, clips).samples == windows(long, clips).samples
    assert len(windows(short, clips)) == 2 * 3


@pytest.mark.parametrize(
    ("evaluation", "course", "emotion"),
    [
        ({"pooling": "mean"}, [(0.5, 0.28), (0.5, 0.28), (-0.7, -0.35)], "happiness"),
        ({"pooling": "weighted"}, [(0.5, 0.28), (0.5, 0.28), (-0.7, -0.35)], "surprise"),
        ({"pooling": "peak"}, [(0.5, 0.28), (0.5, 0.28), (-0.7, -0.35)], "sadness"),
        ({"method": "angle"}, [(-0.1, 0.13)], "anger"),
        ({"method": "point"}, [(-0.1, 0.13)], "contempt"),
        ({"none_radius": 0.2}, [(-0.1, 0.13)], "None"),
        ({"anchors": "face-like"}, [(-0.5, 0.49)], "anger"),
        ({"anchors": "russell-mehrabian"}, [(-0.5, 0.49)], "fear"),
    ],
)
def test_an_emotion_is_read_as_the_study_says(evaluation, course, emotion):
    transfer = {"dataset": "nefer-like", "identities": 2, "clips": 1}
    cell = next(cells(parse(STUDY | {"transfer": transfer, "evaluation": evaluation})))
    rows = [
        {"subject": subject, "clip": "c", "emotion": "anger", "valence_pred": v, "arousal_pred": a}
        for subject in ("p", "q")  # two recordings
        for v, a in course
    ]
    found = zero_shot(cell, rows)
    told = np.sum(found["confusion"], axis=0)
    assert {name: int(n) for name, n in zip(found["labels"], told, strict=True) if n} == {emotion: 2}

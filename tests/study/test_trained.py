"""A trained cell, read back: it is scored as its study scored it, and says what it cannot be used for."""

import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from spikeva.cli import main
from spikeva.errors import UserError
from spikeva.events import EventStream, write_clip
from spikeva.models import create_model
from spikeva.study.cells import cells
from spikeva.study.config import parse
from spikeva.study.files import write_json, write_yaml
from spikeva.study.run_cell import Material, create, run_cell, spikes
from spikeva.study.run_cell import zero_shot as read
from spikeva.study.trained import learned_from, load_cell

TINY = yaml.safe_load((Path(__file__).parents[2] / "configs" / "tiny.yaml").read_text())


def stored(folder, raw=TINY):
    """The first cell of a study, and its folder as training leaves it."""
    cell = next(cells(parse(raw)))
    write_yaml(folder / "config.yaml", cell.determinants())
    save_file(create(cell).state_dict(), folder / "model.safetensors")
    return cell


def test_it_sees_the_labels_that_its_study_asked_for(tmp_path):
    """Another encoding of the grid needs more of a clip, so that the study left out the first labels for all."""
    raw = deepcopy(TINY)
    raw["grid"]["encodings"][1]["steps"] = 16
    cell = stored(tmp_path, raw)
    found, model = load_cell(tmp_path)
    assert not model.training
    assert cell.encoding["encoding"] == "tbr"
    assert found.history_us == cell.history_us == 2 * 16 * 5000
    assert found.key == cell.key


def test_a_cell_that_began_with_pretrained_weights_does_without_them_and_is_named_after_them(tmp_path):
    weights = tmp_path / "weights.safetensors"
    backbone = create_model("ann_resnet18", in_channels=1).backbone
    raw = deepcopy(TINY)
    raw["grid"]["models"] = [{"model": "ann_resnet18", "pretrained": str(weights)}]
    keys = []
    for value in (0.1, 0.2):
        with torch.no_grad():
            backbone.conv1.weight.fill_(value)
        save_file({**backbone.state_dict(), "conv1.weight": backbone.conv1.weight.repeat(1, 3, 1, 1)}, weights)
        cell = stored(tmp_path, raw)
        keys.append(cell.key)
    assert keys[0] != keys[1]
    weights.unlink()
    found, model = load_cell(tmp_path)
    assert found.model == cell.model
    assert float(model.backbone.conv1.weight.detach().min()) == pytest.approx(0.6)


def test_results_of_another_meaning_are_not_read(tmp_path):
    cell = stored(tmp_path)
    write_yaml(tmp_path / "config.yaml", cell.determinants() | {"results_version": 1})
    with pytest.raises(UserError, match=r"of another version of spikeva \(results_version: found 1, allowed: \d+\)"):
        load_cell(tmp_path)


def test_a_cell_asks_the_clips_of_its_study_alone_for_their_size(tmp_path):
    root = Path(clips(tmp_path / "films", (32, 32)))
    (root / "._0.h5").write_bytes(b"as macOS leaves on other systems' disks")
    clips(root / "A", (64, 48))
    study = {k: v for k, v in TINY.items() if k != "transfer"} | {
        "regression": {"dataset": "prepared", "root": str(root)}
    }
    cell = next(cells(parse(study)))
    assert learned_from(cell) == ((32, 32), False)
    for file in root.glob("?.h5"):
        file.unlink()
    assert learned_from(cell) == (None, False)


def test_a_transfer_says_whom_the_cell_knows(tmp_path, capsys):
    stored(tmp_path / "cell")
    write_json(tmp_path / "cell" / "done.json", {"trained_on": ["mine/p0"]})
    assert main(["transfer", str(tmp_path / "cell"), "--clips", clips(tmp_path / "films", (32, 32))]) == 0
    said = capsys.readouterr().out
    assert "on 2 recordings of 2 people" in said
    assert "1 of these people is among those it was trained on" in said
    assert main(["transfer", str(tmp_path / "cell"), "--clips", clips(tmp_path / "film", (32, 32), people=1)]) == 0
    assert "on 1 recording of 1 person" in capsys.readouterr().out


def clips(folder, size, people=2, emotion="fear"):
    """Clips without an event that tell everything."""
    folder.mkdir()
    labels = {"t_us": np.array([200_000]), "valence": np.float32([0.5]), "arousal": np.float32([0.1])}
    for i in range(people):
        who = {"subject": f"p{i}", "clip": "c", "domain": "mine", "emotion": emotion}
        write_clip(folder / f"{i}.h5", EventStream.empty(size), labels=labels, attributes=who)
    return str(folder)


@pytest.mark.parametrize("command", ["evaluate", "transfer"])
def test_clips_of_another_picture_size_are_refused(command, tmp_path, capsys):
    stored(tmp_path / "cell")
    assert main([command, str(tmp_path / "cell"), "--clips", clips(tmp_path / "large", (64, 48))]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "learned from pictures of 32 x 32 pixels" in said
    assert "0.h5 has 64 x 48" in said


def test_clips_of_one_person_are_refused_before_they_are_predicted(tmp_path, capsys):
    stored(tmp_path / "cell")
    out = tmp_path / "predictions.csv"
    folder = clips(tmp_path / "one", (32, 32), people=1)
    assert main(["evaluate", str(tmp_path / "cell"), "--clips", folder, "--out", str(out)]) == 2
    assert "the clips are all of p0, and an interval needs two people" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_a_transfer_needs_no_interval_and_no_transfer_in_the_study(tmp_path, capsys):
    stored(tmp_path / "cell", {key: value for key, value in TINY.items() if key != "transfer"})
    assert main(["transfer", str(tmp_path / "cell"), "--clips", clips(tmp_path / "one", (32, 32))]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in ("accuracy", "three-way", "valence's sign"))
    assert "accuracy 0.0%  balanced" in told or "accuracy 100.0%  balanced" in told, "alike for all: no interval"


def test_near_to_neutral_none_is_read_where_it_is_asked_for(tmp_path, capsys):
    stored(tmp_path / "cell")
    folder = tmp_path / "films"
    clips(folder, (32, 32), emotion="none")
    for radius, said in (("0", "accuracy 0.0%"), ("100", "accuracy 100.0%")):
        assert main(["transfer", str(tmp_path / "cell"), "--clips", str(folder), "--none-radius", radius]) == 0
        assert said in capsys.readouterr().out
    assert main(["transfer", str(tmp_path / "cell"), "--clips", str(folder), "--none-radius", "-1"]) == 2
    assert "none_radius must be a number from 0 on" in capsys.readouterr().err


def test_evaluate_prints_each_number_under_its_name(tmp_path, capsys, monkeypatch):
    """Valence is predicted as it is, arousal 0.5 too high."""
    stored(tmp_path / "cell")
    folder = clips(tmp_path / "films", (32, 32))
    labels = [("p0", 0.25, -0.5), ("p0", -0.75, 0.5), ("p1", 0.0, -0.5), ("p1", 0.5, 0.5)]
    known = [
        {"subject": who, "clip": "c", "valence": v, "arousal": a, "valence_pred": v, "arousal_pred": a + 0.5}
        for who, v, a in labels
    ]
    monkeypatch.setattr("spikeva.study.run_cell.score_rows", lambda *_: known)
    assert main(["evaluate", str(tmp_path / "cell"), "--clips", folder]) == 0
    told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert told[1].startswith("valence CCC 1.000 [1.000, 1.000] PCC 1.000 RMSE 0.000 SAGR 1.000 (25% of labels are 0)")
    assert told[2].startswith("arousal CCC 0.667 [0.667, 0.667] PCC 1.000 RMSE 0.500 SAGR 0.500 (0% of labels are 0)")


def test_transfer_prints_each_number_under_its_name(tmp_path, capsys, monkeypatch):
    """Happiness is found, and once of three times fear, which is taken for happiness else."""
    stored(tmp_path / "cell")
    folder = clips(tmp_path / "films", (32, 32))
    points = {"happiness": (0.8, 0.45), "fear": (-0.45, 0.8)}
    seen = [
        ("p0", "happiness", "happiness"),
        ("p0", "fear", "fear"),
        ("p1", "fear", "happiness"),
        ("p2", "fear", "happiness"),
    ]
    known = [
        {"subject": who, "clip": str(i), "emotion": shown, "valence_pred": points[to][0], "arousal_pred": points[to][1]}
        for i, (who, shown, to) in enumerate(seen)
    ]
    monkeypatch.setattr("spikeva.study.run_cell.score_rows", lambda *_: known)
    assert main(["transfer", str(tmp_path / "cell"), "--clips", folder]) == 0
    told = capsys.readouterr().out
    number = r"accuracy 50\.0% \[.*\]  balanced 66\.7%  chance 50\.0%  majority 75\.0%"
    assert re.search(rf"^  {number}$", told, re.MULTILINE)
    head, *rows = (line.split() for line in told[told.index("shown / predicted") :].splitlines()[:8])
    columns = head[3:]
    counts = {row[0]: dict(zip(columns, map(int, row[1:]), strict=True)) for row in rows}
    assert counts["happiness"]["happ"] == counts["fear"]["fear"] == 1
    assert counts["fear"]["happ"] == 2
    assert sum(sum(row.values()) for row in counts.values()) == 4


def test_each_option_of_transfer_reaches_what_reads_the_emotion(tmp_path, monkeypatch):
    stored(tmp_path / "cell")
    asked = []
    monkeypatch.setattr(
        "spikeva.study.run_cell.zero_shot", lambda cell, rows: asked.append(cell.study.evaluation) or read(cell, rows)
    )
    options = {"anchors": "russell-mehrabian", "method": "point", "pooling": "peak", "none_radius": 0.25}
    command = ["transfer", str(tmp_path / "cell"), "--clips", clips(tmp_path / "films", (32, 32))]
    assert main(command) == 0
    assert main(command + [part for k, v in options.items() for part in (f"--{k.replace('_', '-')}", str(v))]) == 0
    assert asked[0] == load_cell(tmp_path / "cell")[0].study.evaluation
    assert {name: getattr(asked[1], name) for name in options} == options
    assert all(getattr(asked[0], name) != value for name, value in options.items())


def test_damaged_files_are_named_with_what_to_do(tmp_path):
    cell = stored(tmp_path / "cell")
    weights = tmp_path / "cell" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match=r"model\.safetensors is damaged .* delete the cell's folder"):
        load_cell(tmp_path / "cell")
    weights.unlink()
    with pytest.raises(UserError, match=r"cell is not trained to its end; run its study again"):
        load_cell(tmp_path / "cell")
    folder = cell.folder(tmp_path)
    for name in ("metrics.json", "done.json"):
        write_json(folder / name, {})
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match=r"model\.safetensors is damaged .* delete the cell's folder"):
        spikes(cell, Material([], None), tmp_path)
    (folder / "metrics.json").write_text('{"ha')
    with pytest.raises(UserError, match=r"metrics\.json is damaged .* delete the cell's folder"):
        run_cell(cell, Material([], None), tmp_path)

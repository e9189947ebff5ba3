"""Clips that a study cannot be made of are named before anything is trained."""

import sys

import numpy as np
import pytest
import yaml

from spikeva.cli import main
from spikeva.datasets import ClipSet
from spikeva.errors import UserError
from spikeva.events import EventStream, write_clip
from spikeva.study.checks import check_emotions, check_models
from spikeva.study.config import parse
from spikeva.study.runner import prepare

TIMES = np.array([60_000, 80_000])
VALENCE = np.float32([0.5, 0.1])
BOTH = {"valence": VALENCE, "arousal": VALENCE}


def folder(path, people=4, labels=BOTH, size=(8, 8), times=TIMES, **attributes):
    path.mkdir()
    for person in range(people):
        who = {"subject": f"p{person}", "clip": "c", "domain": "mine", **attributes}
        write_clip(path / f"{person}.h5", EventStream.empty(size), labels={"t_us": times, **labels}, attributes=who)
    return path


def study(regression, transfer=None, folds=2):
    sources = {"regression": {"dataset": "prepared", "root": str(regression)}}
    if transfer is not None:
        sources["transfer"] = {"dataset": "prepared", "root": str(transfer)}
    grid = {"models": [{"model": "ann_convnet"}], "encodings": [{"encoding": "tbr"}], "folds": [folds - 1]}
    return parse({"study": "s", **sources, "folds": folds, "grid": grid})


@pytest.mark.parametrize(
    "labels", [{}, {"valence": VALENCE}, {"valence": VALENCE, "arousal": np.float32([0.5, np.nan])}]
)
def test_every_label_time_needs_valence_and_arousal(labels, tmp_path):
    with pytest.raises(UserError, match=r"0\.h5: no .*arousal at some or all"):
        prepare(study(folder(tmp_path / "films", labels=labels)), tmp_path)


@pytest.mark.parametrize(("values", "largest"), [([7, -2], "7"), ([0, -1.25], "1.25")])
def test_labels_lie_from_minus_1_to_1(values, largest, tmp_path):
    """As AFEW-VA writes them, from -10 to 10, errors and losses would be of another unit."""
    with pytest.raises(UserError, match=rf"0\.h5: arousal goes to {largest}; labels lie from -1 to 1"):
        prepare(study(folder(tmp_path / "films", labels=BOTH | {"arousal": np.float32(values)})), tmp_path)


def test_a_transfer_is_of_strangers(tmp_path):
    films = folder(tmp_path / "films", emotion="fear")
    with pytest.raises(UserError, match=r"transfer: 4 of its people are in regression too, the first is mine/p0"):
        prepare(study(films, films), tmp_path)
    others = folder(tmp_path / "others", emotion="fear", domain="another")
    assert len(prepare(study(films, others), tmp_path).transfer) == 4


@pytest.mark.parametrize("short", ["films", "posed"])
def test_clips_too_short_for_the_windows_are_named_before_a_training(short, tmp_path):
    times = {"films": TIMES, "posed": TIMES} | {short: TIMES // 2}
    films = folder(tmp_path / "films", times=times["films"])
    posed = folder(tmp_path / "posed", times=times["posed"], emotion="fear", domain="another")
    with pytest.raises(UserError, match=rf"{short}/0\.h5: no label has 80 ms of the clip before it"):
        prepare(study(films, posed), tmp_path)


def test_validate_looks_into_prepared_clips(tmp_path, capsys):
    films, others = (
        folder(tmp_path / "films", emotion="fear"),
        folder(tmp_path / "others", people=6, emotion="fear", domain="another"),
    )
    config = tmp_path / "own.yaml"
    for transfer, folds, said in (
        (others, 2, "fine; 1 cell\n"),
        (others, 4, "fold 3 of 4 tests p"),
        (films, 2, "4 of its people are in regression too"),
    ):
        config.write_text(yaml.safe_dump(study(films, transfer, folds).model_dump(mode="json")))
        assert main(["validate", str(config)]) == (0 if "fine" in said else 2)
        printed = capsys.readouterr()
        assert said in printed.out + printed.err


def test_a_transfer_needs_known_emotions(tmp_path):
    films = folder(tmp_path / "films")
    with pytest.raises(UserError, match=r"0\.h5: no attribute 'emotion'"):
        prepare(study(films, films), tmp_path)
    with pytest.raises(UserError, match="the emotion 'boredom'"):
        prepare(study(films, folder(tmp_path / "bored", emotion="boredom")), tmp_path)
    for emotion in ("Fear", "none"):
        check_emotions(ClipSet.read(folder(tmp_path / emotion, emotion=emotion)), "face-like")


def test_clips_of_two_domains_and_one_name_would_be_scored_as_one(tmp_path):
    films, posed = folder(tmp_path / "films"), folder(tmp_path / "posed", emotion="fear")
    again = folder(tmp_path / "again", emotion="anger", domain="another")
    (again / "0.h5").rename(posed / "9.h5")
    with pytest.raises(UserError, match=r"1 clips occur twice, .*\('p0', 'c'\).*posed/0\.h5 and .*posed/9\.h5"):
        prepare(study(films, posed), tmp_path)
    (posed / "9.h5").rename(films / "9.h5")
    with pytest.raises(UserError, match=r"films/0\.h5 and .*films/9\.h5"):
        prepare(study(films), tmp_path)


def test_folds_are_drawn_by_the_studys_seed(tmp_path):
    drawn = study(folder(tmp_path / "films", people=6))
    found = [prepare(drawn.model_copy(update={"seed": seed}), tmp_path).folds for seed in (0, 0, 1, 2, 3)]
    held_out = [folds[0].test.subjects for folds in found]
    assert held_out[0] == held_out[1]
    assert len({*map(tuple, held_out)}) > 1


def test_a_fold_tests_two_people(tmp_path):
    films = folder(tmp_path / "films", people=5)
    assert prepare(study(films), tmp_path).transfer is None
    with pytest.raises(UserError, match=r"fold 2 of 3 tests p\d alone"):
        prepare(study(films, folds=3), tmp_path)


@pytest.mark.parametrize(("films", "posed"), [(0, 1), (1, 0)])
def test_faces_are_called_what_they_are_whatever_the_transfers_are(films, posed, tmp_path):
    recorded = folder(tmp_path / "films", synthetic=films)
    found = prepare(
        study(recorded, folder(tmp_path / "posed", emotion="fear", domain="another", synthetic=posed)), tmp_path
    )
    assert found.clips.synthetic == films
    assert found.transfer.synthetic == posed


def test_pictures_are_of_one_size(tmp_path):
    films, larger = folder(tmp_path / "films"), folder(tmp_path / "larger", size=(16, 8), emotion="fear")
    with pytest.raises(UserError, match=r"larger/0\.h5 has 16 x 8, .*films/0\.h5 has 8 x 8 pixels"):
        prepare(study(films, larger), tmp_path)
    (larger / "0.h5").rename(films / "0.h5")
    with pytest.raises(UserError, match="pictures of one size"):
        prepare(study(films), tmp_path)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"model": "snn_convnet", "width": 0}, "width"),
        ({"model": "ann_convnet", "width": -8}, "width must be a whole number above 0, not -8"),
        ({"model": "snn_convnet", "beta": 5}, "beta must be a number inside (0, 1), got 5"),
        ({"model": "snn_convnet", "theta": 0}, "theta must be a number inside (0, inf), got 0"),
        ({"model": "ann_convnet", "dropout": 3}, "dropout probability has to be between 0 and 1"),
        ({"model": "snn_convnet", "neuron": "alif", "backend": "snntorch"}, "backend 'snntorch' cannot run ALIF"),
        ({"model": "ann_resnet18_fusion", "width": 4, "frames": 7}, "frames: found 7, allowed: 4, as window.frames"),
        ({"model": "snn_resnet18_fusion", "width": 4, "frames": 7}, "frames: found 7, allowed: 4, as window.frames"),
    ],
)
def test_a_model_that_cannot_be_built_is_said(model, said):
    raw = {"regression": {"dataset": "afew-va-like", "identities": 4, "clips": 1}, "study": "s", "folds": 2}
    grid = {"models": [{"model": "ann_convnet", "width": 4}, model], "encodings": [{"encoding": "tbr"}]}
    with pytest.raises(UserError) as error:
        check_models(parse(raw | {"grid": grid}))
    assert str(error.value).startswith("grid.models[1]: ")
    assert said in str(error.value)


def test_changes_of_events_need_tonic_before_a_clip_is_made(tmp_path, monkeypatch):
    raw = {"regression": {"dataset": "afew-va-like", "identities": 4, "clips": 1}, "study": "s", "folds": 2}
    grid = {"models": [{"model": "ann_convnet", "width": 4}], "encodings": [{"encoding": "tbr"}]}
    monkeypatch.setitem(sys.modules, "tonic", None)  # as if it were not installed
    changed = parse(raw | {"grid": grid, "training": {"augment_events": {"drop": 0.1}}})
    with pytest.raises(UserError, match=r"training\.augment_events: needs tonic, .*: pip install 'spikeva\[tonic\]'"):
        prepare(changed, tmp_path)
    assert not list(tmp_path.iterdir())
    check_models(parse(raw | {"grid": grid}))


def test_models_that_go_by_steps_may_fuse_them():
    raw = {"regression": {"dataset": "afew-va-like", "identities": 4, "clips": 1}, "study": "s", "folds": 2}
    model = {"model": "snn_resnet18_fusion", "width": 4, "frames": 8}
    check_models(parse(raw | {"grid": {"models": [model], "encodings": [{"encoding": "spikes", "steps": 8}]}}))

"""What stands beside the models in a zero-shot transfer: chance, majority, and the best that anchors and labels allow."""

import numpy as np
import pytest

from spikeva.datasets import ClipSet
from spikeva.events import EventStream, write_clip
from spikeva.study.baselines import _transfer_baselines, agreement
from spikeva.study.config import parse
from spikeva.study.run_cell import Material

STUDY = {
    "study": "s",
    "regression": {"dataset": "afew-va-like", "identities": 4, "clips": 1},
    "transfer": {"dataset": "nefer-like", "identities": 2, "clips": 2},
    "folds": 2,
    "grid": {"encodings": [{"encoding": "tbr"}], "models": [{"model": "ann_convnet"}]},
}


def clips(folder, told):
    """One clip a pair of (expected, reported) emotions, labelled with the reported one."""
    for i, (expected, reported) in enumerate(told):
        attributes = {"subject": f"p{i}", "clip": "c", "emotion": reported, "domain": "nefer", "synthetic": 0}
        attributes |= {"emotion_expected": expected, "emotion_reported": reported} if expected else {}
        write_clip(
            folder / f"{i}.h5",
            EventStream.empty((8, 8)),
            labels={"t_us": np.array([0], np.int64)},
            attributes=attributes,
        )
    return ClipSet.read(folder)


def found(tmp_path, told, transfer):
    study = parse({**STUDY, "transfer": transfer})
    entries = _transfer_baselines(study, Material([], clips(tmp_path, told), False))
    return {entry["model"]: entry for entry in entries}


def test_agreement_is_counted_where_both_are_told(tmp_path):
    told = [("Fear", "fear"), ("Fear", "Anger"), ("Disgust", "Disgust"), ("", "Sadness")]
    assert agreement(clips(tmp_path, told)) == pytest.approx(2 / 3)


def test_disagreeing_labels_lower_the_ceiling(tmp_path):
    told = [("Fear", "fear"), ("Fear", "Anger"), ("Disgust", "Disgust"), ("Anger", "Anger")]
    rows = found(tmp_path, told, {"dataset": "prepared", "root": str(tmp_path)})
    shares = [rows[f"ceiling (error {e})"]["transfer"]["accuracy"] for e in (0, 0.2, 0.3)]
    assert shares[0] == pytest.approx(0.75, abs=0.01)
    assert shares[0] > shares[1] > shares[2] > rows["chance"]["transfer"]["accuracy"]
    assert rows["ceiling (error 0.2)"]["transfer"]["agreement"] == 0.75
    assert rows["ceiling (error 0.2)"]["synthetic"]  # simulated although the recordings are not
    assert not rows["majority"]["synthetic"]


def test_posed_faces_are_labelled_as_shown(tmp_path):
    rows = found(tmp_path, [("", "fear"), ("", "anger")], STUDY["transfer"])
    assert "ceiling (error 0)" not in rows
    assert rows["ceiling (error 0.2)"]["transfer"]["accuracy"] == pytest.approx(0.61, abs=0.01)


def test_other_anchors_than_the_faces_own_lower_the_ceiling(tmp_path):
    study = {**STUDY, "evaluation": {"anchors": "russell-mehrabian"}}
    material = Material([], clips(tmp_path, [("", "fear"), ("", "anger")]), True)
    foreign, own = (
        {e["model"]: e["transfer"]["accuracy"] for e in _transfer_baselines(parse(s), material)} for s in (study, STUDY)
    )
    assert foreign["ceiling (error 0.2)"] < own["ceiling (error 0.2)"]

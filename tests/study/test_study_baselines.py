"""What stands beside the models in a zero-shot transfer: chance, majority, and the best that anchors and labels allow."""

import numpy as np
import pytest

from spikeva.datasets import ClipSet, Split
from spikeva.evaluation.emotion import ANCHORS, ceiling, transfer
from spikeva.events import EventStream, write_clip
from spikeva.study.baselines import Counts, _transfer_baselines, agreement, baselines
from spikeva.study.cells import cells
from spikeva.study.config import parse
from spikeva.study.run_cell import Material
from spikeva.training import Windows

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


def found(tmp_path, told, source):
    study = parse({**STUDY, "transfer": source})
    entries = _transfer_baselines(study, Material([], clips(tmp_path, told)))
    return {entry["model"]: entry for entry in entries}


def test_agreement_is_counted_where_both_are_told(tmp_path):
    told = [("Fear", "fear"), ("Fear", "Anger"), ("Disgust", "Disgust"), ("", "Sadness"), ("Anger", "")]
    assert agreement(clips(tmp_path, told)) == pytest.approx(2 / 3)


def test_disagreeing_labels_lower_the_ceiling(tmp_path):
    told = [("Fear", "fear"), ("Fear", "Anger"), ("Disgust", "Disgust"), ("Anger", "Anger")]
    rows = found(tmp_path, told, {"dataset": "prepared", "root": str(tmp_path)})
    shares = [rows[f"ceiling (error {e})"]["transfer"]["accuracy"] for e in (0, 0.2, 0.3)]
    assert shares[0] == pytest.approx(0.75, abs=0.01)
    assert shares[0] > shares[1] > shares[2]
    assert rows["ceiling (error 0.2)"]["transfer"]["agreement"] == 0.75
    for row in rows.values():
        assert not row["synthetic"]
        assert not row["transfer"]["synthetic"]


def test_chance_and_majority_are_those_of_the_scores_however_emotions_are_written(tmp_path):
    told = [("", emotion) for emotion in ("Fear", "fear", "none", "None", "Anger", "fear")]
    rows = found(tmp_path, told, {"dataset": "prepared", "root": str(tmp_path)})
    scores = transfer([reported for _, reported in told], ["fear"] * 6, list("abcdef"))
    for name in ("chance", "majority"):
        assert rows[name]["transfer"]["accuracy"] == scores[name] == {"chance": 1 / 3, "majority": 1 / 2}[name]
        for coarse in ("three_way", "valence_sign"):
            assert rows[name]["transfer"][f"{coarse}_accuracy"] == scores[f"{coarse}_{name}"]
    assert rows["majority"]["transfer"]["three_way_accuracy"] == 2 / 3, "fear and anger are negative with high arousal"


def test_posed_faces_are_labelled_as_shown(tmp_path):
    all_seven = [("", name) for name in ANCHORS["face-like"].points]
    rows = found(tmp_path, all_seven, STUDY["transfer"])
    assert "ceiling (error 0)" not in rows
    assert rows["ceiling (error 0.2)"]["transfer"]["accuracy"] == ceiling(error_sd=0.2)


def test_the_ceiling_is_of_the_emotions_that_the_recordings_tell(tmp_path):
    rows = found(tmp_path, [("", "Happiness"), ("", "sadness"), ("", "sadness"), ("", "none")], STUDY["transfer"])
    best = ceiling(error_sd=0.2, shown={"happiness": 1, "sadness": 2})
    assert best > 0.7
    assert rows["ceiling (error 0.2)"]["transfer"]["accuracy"] == pytest.approx(0.75 * best, abs=0.01)


def test_other_anchors_than_the_faces_own_lower_the_ceiling(tmp_path):
    read = {"anchors": "russell-mehrabian", "method": "point", "none_radius": 0.5}
    study = {**STUDY, "seed": 3, "evaluation": read}
    material = Material([], clips(tmp_path, [("", "fear"), ("", "anger")]))
    foreign, own = (
        {e["model"]: e["transfer"]["accuracy"] for e in _transfer_baselines(parse(s), material)} for s in (study, STUDY)
    )
    assert foreign["ceiling (error 0.2)"] < own["ceiling (error 0.2)"]
    shown = {"fear": 1, "anger": 1}
    assert foreign["ceiling (error 0.2)"] == ceiling(error_sd=0.2, seed=3, shown_at="face-like", shown=shown, **read), (
        "faces pose where they are posed, whatever they are read by"
    )


def test_event_rates_tell_when_there_were_more(tmp_path):
    for name, start in (("early", 0), ("late", 15_000)):
        t = start + np.arange(50) * 100
        events = EventStream(t, *(np.zeros(50, int) for _ in range(2)), np.ones(50, int), (8, 8))
        labels = {"t_us": np.array([20_000]), "valence": np.float32([0.5]), "arousal": np.float32([0.5])}
        write_clip(
            tmp_path / f"{name}.h5", events, labels=labels, attributes={"subject": name, "clip": "c", "domain": "d"}
        )
    cell = next(cells(parse(STUDY | {"window": {"frames": 1}})))
    assert Counts(cell, ClipSet.read(tmp_path)).counts.sum(-1).reshape(2, -1).tolist() == [[50, 0, 0, 0], [0, 0, 0, 50]]


def test_baselines_learn_from_the_training_people_alone(tmp_path):
    """Of whom all are happy, at one place: so is everybody to a baseline, whatever the others show."""
    happy, sad = (0.8, 0.45), (-0.7, -0.35)
    sets = {}
    for domain, labels in (("train", [happy] * 4), ("test", [sad, (-0.2, 0.6)]), ("other", [sad, sad])):
        (tmp_path / domain).mkdir()
        for i, (valence, arousal) in enumerate(labels):
            events = EventStream(np.arange(10 * (i + 1)) * 100, *np.zeros((3, 10 * (i + 1)), int), (8, 8))
            who = {"subject": f"{domain}{i}", "clip": "c", "domain": domain, "emotion": "sadness"}
            labelled = {"t_us": [20_000], "valence": np.float32([valence]), "arousal": np.float32([arousal])}
            write_clip(tmp_path / domain / f"{i}.h5", events, labels=labelled, attributes=who)
        sets[domain] = ClipSet.read(tmp_path / domain)
    study = parse(STUDY | {"window": {"frames": 1}})
    material = Material([Split(sets["train"], sets["test"])], sets["other"])
    found = {entry["model"]: entry for entry in baselines(study, material, list(cells(study)))}
    for name in ("mean", "shuffled", "event rate only"):
        assert found[name]["regression"]["valence"]["rmse"] == pytest.approx(np.hypot(1.5, 1.0) / 2**0.5, abs=1e-6)
    scores = found["event rate only"]["transfer"]
    told = np.sum(scores["confusion"], axis=0)
    assert told[scores["labels"].index("happiness")] == 2


def test_baselines_of_several_folds_are_also_scored_together(tmp_path):
    """The mean of the others is a constant in each fold, and over all folds it is wrong in order."""
    t = np.arange(40, dtype=np.int64) * 500
    zeros = np.zeros(40, np.uint16)
    for i, valence in enumerate((-0.8, -0.4, 0.4, 0.8)):
        labels = {"t_us": np.array([20_000]), "valence": np.float32([valence]), "arousal": np.float32([valence / 2])}
        events = EventStream(t, zeros, zeros, np.zeros(40, np.uint8), (8, 8))
        attributes = {"subject": f"p{i}", "clip": "c", "domain": "afew-va", "synthetic": 0}
        write_clip(tmp_path / f"{i}.h5", events, labels=labels, attributes=attributes)
    grid = {"encodings": [{"encoding": "counts", "dt": 10_000}], "models": [{"model": "ann_convnet"}], "folds": [0, 1]}
    study = parse({**STUDY, "transfer": None, "window": {"frames": 1}, "grid": grid})
    people = ClipSet.read(tmp_path)
    material = Material([people.split({"p0", "p1"}), people.split({"p2", "p3"})], None)
    found = [entry for entry in baselines(study, material, list(cells(study))) if entry["model"] == "mean"]
    assert [entry["fold"] for entry in found] == [0, 1]
    assert [entry["regression"]["valence"]["ccc"] for entry in found] == [0, 0]
    y, p = np.array([-0.8, -0.4, 0.4, 0.8]), np.array([0.6, 0.6, -0.6, -0.6])
    ccc = 2 * np.mean(y * p) / (y.var() + p.var())
    assert [entry["pooled"]["valence"]["ccc"] for entry in found] == pytest.approx([ccc, ccc], abs=1e-6)


def test_a_sample_is_counted_once_however_many_folds_it_is_in(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for domain, people in (("a", 6), ("b", 2)):
        (tmp_path / domain).mkdir()
        for i in range(people):
            events = EventStream(np.sort(rng.integers(0, 90_000, 300)), *rng.integers(0, 2, (3, 300)), (8, 8))
            labels = {"t_us": 20_000 * np.arange(1, 4 + i % 2)}
            labels |= {axis: np.float32(rng.uniform(-1, 1, len(labels["t_us"]))) for axis in ("valence", "arousal")}
            who = {"subject": f"{domain}{i}", "clip": "c", "domain": domain, "emotion": "fear"}
            write_clip(tmp_path / domain / f"{i}.h5", events, labels=labels, attributes=who)
    grid = {"encodings": [{"encoding": "tbr"}], "models": [{"model": "ann_convnet"}], "folds": [0, 1, 2]}
    regression = {**STUDY["regression"], "identities": 6}
    study = parse({**STUDY, "regression": regression, "window": {"frames": 1}, "folds": 3, "grid": grid})
    people, others = ClipSet.read(tmp_path / "a"), ClipSet.read(tmp_path / "b")
    counted, encoded = [], Windows.encoded
    monkeypatch.setattr(
        Windows, "encoded", lambda data, s: counted.append((data.paths[s.clip], s.label)) or encoded(data, s)
    )
    found = baselines(study, Material(people.folds(3), others), list(cells(study)))
    assert len(counted) == len(set(counted)) > 20
    for fold in range(3):
        alone = study.model_copy(update={"grid": study.grid.model_copy(update={"folds": [fold]})})
        for entry in baselines(alone, Material(people.folds(3), others), list(cells(alone)))[:3]:
            same = next(e for e in found if (e["model"], e["fold"]) == (entry["model"], fold))
            assert entry == {key: value for key, value in same.items() if key != "pooled"}

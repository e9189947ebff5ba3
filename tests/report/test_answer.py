"""The answer in words says what the numbers say, whichever side they take."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import write_run

from spikeva.report import answer
from spikeva.report.data import AXES, Run, Score


def _sentences(directory: Path) -> list[str]:
    run = Run.open(directory)
    return answer.sentences(run, run.rows())


def test_the_spiking_network_can_lose(tmp_path: Path) -> None:
    first = _sentences(write_run(tmp_path, gallery=0, snn_skill=0.2, people=10))[0]
    assert "loses on valence" in first
    assert "difference −" in first
    assert "wins" not in first


def test_the_spiking_network_can_win(tmp_path: Path) -> None:
    first = _sentences(write_run(tmp_path, gallery=0, snn_skill=1.0, people=10))[0]
    assert "wins on valence" in first
    assert "difference +" in first


def test_the_best_is_so_by_both_ccc_together(tmp_path: Path) -> None:
    rows = [r for r in Run.open(write_run(tmp_path, gallery=0)).rows() if r.kind == "snn"]
    ccc = {"even": (0.5, 0.5), "valence": (0.6, 0.1), "arousal": (0.0, 0.9)}
    rows = [
        replace(rows[0], model=name, ccc=dict(zip(AXES, map(Score, values), strict=True)))
        for name, values in ccc.items()
    ]
    assert answer.headline(rows)["snn"].model == "even"
    assert answer.headline(rows[1:])["snn"].model == "arousal"


def test_a_difference_that_is_not_shown_is_not_claimed(tmp_path: Path) -> None:
    first = _sentences(write_run(tmp_path, gallery=0, snn_skill=0.59, people=4))[0]
    assert "cannot be told from it on" in first


def test_a_model_no_better_than_a_baseline_is_named(tmp_path: Path) -> None:
    lines = _sentences(write_run(tmp_path, gallery=0, snn_skill=0.0))
    assert any("snn_convnet" in line and "Not shown to predict valence" in line for line in lines)


def test_a_model_above_no_skill_and_below_a_baseline_is_named(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, gallery=0))
    floors = {"mean": 0.0, "shuffled": 0.02, "event rate only": 0.15}
    for cell in (*run.cells, *run.baselines):
        for scores in cell.get("regression", {}).values():
            scores |= {"ccc": floors.get(cell["model"], 0.1), "ccc_ci95": [0.05, 0.2]}
    (line,) = (line for line in answer.sentences(run, run.rows()) if line.startswith("Not shown to predict valence"))
    assert line.endswith("The baseline “event rate only” has a CCC of 0.15.")


def test_a_dearer_spiking_network_is_called_dearer(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, gallery=0))
    for cell in run.cells:
        if cell["kind"] == "snn":
            cell["cost"]["energy_pj"] = 1e9
    assert answer.sentences(run, run.rows())[-1].endswith("the SNN needs 2.72 times more.")
    for cell in run.cells:
        if cell["kind"] == "snn":
            cell["cost"]["energy_pj"] = 0
    assert answer.sentences(run, run.rows())[-1].endswith("0 pJ against 368 µJ: no ratio can be given.")


def test_comparison_read_in_either_direction(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, gallery=0, people=10, snn_skill=0.2))
    best = answer.headline(run.rows())
    forward = answer.difference(run, best["snn"], best["ann"], "valence")
    for item in run.comparisons:
        item["a"], item["b"] = item["b"], item["a"]
        item["difference"], item["ci95"] = -item["difference"], [-item["ci95"][1], -item["ci95"][0]]
    turned = answer.difference(run, best["snn"], best["ann"], "valence")
    assert forward
    assert turned
    assert turned == forward
    run.comparisons.clear()
    computed = answer.difference(run, best["snn"], best["ann"], "valence")
    assert computed
    assert computed.value == pytest.approx(forward.value)
    assert computed.interval == pytest.approx(forward.interval)


def test_the_best_on_two_encodings_are_tested_as_those_on_one(tmp_path: Path) -> None:
    """The study compares networks on one encoding; the answer's pair of two gets no easier test than these."""
    run = Run.open(write_run(tmp_path, gallery=0, people=4, snn_skill=1.0))
    rows = {row.name: row for row in run.rows()}
    pair = rows["snn_convnet · tbr"], rows["ann_resnet18_fusion · spikes"]
    found = answer.difference(run, *pair, "valence")
    assert found
    assert found.interval[0] > 0
    assert found.p == 2 / 2**4  # what four people allow at least
    assert not found.shown
    assert str(found).endswith("p = 0.12 uncorrected")


def test_one_family_only(tmp_path: Path) -> None:
    lines = _sentences(write_run(tmp_path, models=("snn_convnet",), gallery=0))
    assert "one family only; on synthetic faces of 6 held-out people, the best model, snn_convnet on tbr," in lines[0]
    assert lines[1].startswith("tbr or spikes for snn_convnet (synthetic data): no difference in valence ")
    assert lines[2].startswith("Trained with one seed")
    assert lines[3].startswith("Zero-shot emotion on synthetic nefer-like: SNN ")
    assert "ANN" not in lines[3]
    assert lines[4].startswith(
        "One prediction takes the SNN 1.8 M accumulates and 900 k multiply-accumulates at a spike"
    )
    assert lines[4].endswith("memory not counted) 5.76 µJ.")


def test_one_family_no_better_than_a_baseline(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, models=("ann_convnet",), dataset="afew-va", gallery=0))
    for cell in run.cells:
        for axis in ("valence", "arousal"):
            cell["regression"][axis] |= {"ccc": -0.2, "ccc_ci95": [-0.3, -0.1]}
    lines = answer.sentences(run, run.rows())
    assert any(
        line.startswith("Not shown to predict valence: ann_convnet on tbr, −0.20 [−0.30, −0.10].") for line in lines
    )
    assert "(data)" not in " ".join(lines)


def test_a_network_that_never_fires_is_named(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, gallery=0))
    assert not any("fires" in line for line in answer.sentences(run, run.rows()))
    for cell in run.cells:
        if cell["kind"] == "snn" and cell["encoding"] == "spikes":
            cell["cost"]["spike_rate"] = 0.0
    assert "No spiking neuron fires in snn_convnet on spikes (spike rate 0" in answer.sentences(run, run.rows())[1]


def test_products_that_were_not_counted_are_named(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, gallery=0))
    assert not any("leave out" in line for line in answer.sentences(run, run.rows()))
    for cell in run.cells:
        cell["cost"]["uncounted"] = {"mm": 8} if (cell["kind"], cell["encoding"]) == ("snn", "tbr") else {}
    told = [line for line in answer.sentences(run, run.rows()) if "leave out" in line]
    assert [line.partition(" leave")[0] for line in told] == ["Operations and energy of snn_convnet on tbr"]


def test_the_accumulates_of_an_ann_on_binary_frames_are_told(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, gallery=0))
    assert "the ANN 80 M multiply-accumulates;" in answer.sentences(run, run.rows())[-1]
    for cell in run.cells:
        if cell["kind"] == "ann":
            cell["cost"]["acs"] = 7_000_000
    assert "the ANN 7 M accumulates and 80 M multiply-accumulates;" in answer.sentences(run, run.rows())[-1]


def test_many_encodings_are_counted_in_one_sentence(tmp_path: Path) -> None:
    names = ("tbr", "spikes", "counts", "voxel", "bitplanes")
    lines = _sentences(write_run(tmp_path, encodings=names, gallery=0))
    counted = [line for line in lines if "4 other encodings" in line]
    assert len(counted) == 1
    assert "on valence" in counted[0]
    assert len(lines) < 7


def test_the_better_encoding_is_named(tmp_path: Path) -> None:
    names = ("tbr", "spikes", "counts", "voxel", "bitplanes")
    run = Run.open(write_run(tmp_path, encodings=names, gallery=0))
    rows = run.rows()
    best = answer.headline(rows)["snn"].encoding
    worse, better, *equal = (name for name in names if name != best)
    run.comparisons = [
        {"a": f"snn_convnet · {best}", "b": f"snn_convnet · {name}", "metric": f"ccc {axis}", "p_holm": 0.01}
        | {"difference": apart, "ci95": [apart - 0.1, apart + 0.1]}
        for name, apart in ((worse, 0.2), (better, -0.2), *((name, 0.05) for name in equal))
        for axis in ("valence", "arousal")
    ]
    counted = next(line for line in answer.sentences(run, rows) if "4 other encodings" in line)
    assert f"on valence ahead of {worse} and behind {better}; on arousal ahead of {worse}" in counted
    few = answer.sentences(run, [row for row in rows if row.encoding in (best, worse, better)])
    for other, winner in ((worse, best), (better, better)):
        (line,) = (line for line in few if line.startswith(f"{best} or {other} for snn_convnet"))
        assert f"{winner} is better in valence (" in line
        assert f"{winner} is better in arousal (" in line


def test_the_transfer_stands_beside_its_ceiling(tmp_path: Path) -> None:
    line = next(line for line in _sentences(write_run(tmp_path, gallery=0)) if line.startswith("Zero-shot"))
    assert "chance 14 %" in line
    assert "ceiling of a flawless readout 61 % at an error of 0.2 in valence and arousal" in line


def test_both_numbers_are_of_the_same_people_in_a_study_that_is_not_finished(tmp_path: Path) -> None:
    """The ANN has both folds, the SNN one: both CCCs and the difference are of that one."""

    def first(*there: tuple[str, int]) -> str:
        run = Run.open(tmp_path)
        run.cells = [cell for cell in run.cells if (cell["kind"], cell["fold"]) in there]
        run.comparisons.clear()
        return answer.sentences(run, run.rows())[0]

    write_run(tmp_path, encodings=("tbr",), folds=2, gallery=0)
    assert first(("ann", 0), ("ann", 1), ("snn", 0)) == first(("ann", 0), ("snn", 0))
    assert "difference −" in first(("ann", 0), ("snn", 0))
    assert first(("ann", 0), ("ann", 1), ("snn", 0)) != first(("ann", 0), ("ann", 1), ("snn", 0), ("snn", 1))
    apart = first(("ann", 0), ("snn", 1))
    assert "have no fold and seed in common yet" in apart
    assert "CCC" not in apart


def test_one_training_is_said_to_be_one(tmp_path):
    for seeds, said in ((1, 1), (2, 0)):
        lines = _sentences(write_run(tmp_path / str(seeds), gallery=0, seeds=seeds))
        assert sum(line.startswith("Trained with one seed") for line in lines) == said

"""Tables: means over cells, intervals from the pooled predictions, and the same rows in every format."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import write_run
from rich.console import Console

from spikeva._atomic import write_bytes
from spikeva.errors import UserError
from spikeva.evaluation import emotion, metrics
from spikeva.report import table_text, terminal_table
from spikeva.report.data import Run
from spikeva.report.text import count, joules, number, ratio


def test_folds_are_pooled_and_seeds_averaged(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, encodings=("tbr",), folds=2, seeds=3, gallery=0))
    row = next(r for r in run.rows() if r.kind == "snn")
    assert len(row.cells) == 6
    expected = []
    for seed in range(3):
        parts = [run.read(c["hash"]) for c in row.cells if c["seed"] == seed]
        label, guess = (np.concatenate([getattr(p, n)[:, 0] for p in parts]) for n in ("label", "predicted"))
        expected.append(metrics.regression(label, guess)["ccc"])
    score = row.ccc["valence"]
    assert score.value == pytest.approx(np.mean(expected))
    assert score.seeds == pytest.approx((min(expected), max(expected)))
    assert score.interval
    assert score.interval[0] < score.value < score.interval[1]


def test_confusions_are_summed_also_where_one_cell_alone_predicts_none(tmp_path: Path) -> None:
    """As with a `none_radius` on labels that do not know it."""
    run = Run.open(write_run(tmp_path, encodings=("tbr",), seeds=2, gallery=0))
    row = next(r for r in run.rows() if r.kind == "snn")
    true, who = ["anger", "fear", "fear", "sadness"], [*"aabb"]
    for cell, second in zip(row.cells, ("fear", "None"), strict=True):
        cell["transfer"] = emotion.transfer(true, ["anger", second, "anger", "sadness"], who)
    found = row.confusion()
    assert found is not None
    counts, names = found
    assert names == [*sorted(emotion.ANCHORS["face-like"].points), "None"]
    assert counts.sum() == 8
    assert [counts[names.index("fear"), names.index(n)] for n in ("anger", "fear", "None")] == [2, 1, 1]


def test_a_number_that_one_cell_lacks_has_no_mean(tmp_path: Path) -> None:
    row = Run.open(write_run(tmp_path, encodings=("tbr",), seeds=2, gallery=0)).rows()[0]
    assert row.mean("cost", "latency_ms") == 7.5
    row.cells[1]["cost"]["latency_ms"] = None
    assert row.mean("cost", "latency_ms") is None


def test_clips_of_one_name_are_of_different_people(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, people=6, clips=3, frames=20, gallery=0))
    found = run.predictions(run.rows()[0])
    assert found
    labels, predicted = found.clip_means()
    assert labels == pytest.approx(found.label.reshape(18, 20, 2).mean(1))
    assert predicted == pytest.approx(found.predicted.reshape(18, 20, 2).mean(1))


def test_baselines_are_pooled_as_models_are(tmp_path: Path) -> None:
    directory = write_run(tmp_path, folds=2, gallery=0)
    results = json.loads((directory / "results.json").read_text())
    mean = next(b for b in results["baselines"] if b["model"] == "mean")
    together = {axis: scores | {"ccc": -0.1, "ccc_ci95": [-0.2, 0.0]} for axis, scores in mean["regression"].items()}
    folds = [mean | {"fold": fold, "pooled": together} for fold in (0, 1)]
    row = next(r for r in Run({**results, "baselines": folds}, directory).rows() if r.kind == "baseline")
    assert (row.ccc["valence"].value, row.ccc["valence"].interval) == (-0.1, (-0.2, 0.0))


def test_a_study_that_is_not_finished_counts_the_seeds_with_all_folds(tmp_path: Path) -> None:
    directory = write_run(tmp_path, encodings=("tbr",), folds=2, seeds=3, gallery=0)
    results = json.loads((directory / "results.json").read_text())

    def score(**cut: int) -> Any:
        cells = [c for c in results["cells"] if c["kind"] == "snn" and c["seed"] <= cut["seed"]]
        kept = [c for c in cells if c["seed"] < cut["seed"] or c["fold"] <= cut["fold"]]
        return Run({**results, "cells": kept}, directory).rows()[0].ccc["valence"]

    assert score(seed=2, fold=0) == score(seed=1, fold=1)
    assert score(seed=2, fold=1) != score(seed=1, fold=1)


def test_transfer_keeps_an_interval_over_folds(tmp_path: Path) -> None:
    row = Run.open(write_run(tmp_path, encodings=("tbr",), folds=2, seeds=2, gallery=0)).rows()[0]
    ends = np.mean([c["transfer"]["accuracy_ci95"] for c in row.cells], axis=0)
    found = row.transfer()
    assert found
    assert found.interval == pytest.approx(tuple(ends))
    assert found.interval[0] < found.value < found.interval[1]


def test_without_predictions_there_is_no_interval(tmp_path: Path) -> None:
    run = Run.open(write_run(tmp_path, folds=2, gallery=0))
    for file in tmp_path.rglob("predictions.csv"):
        file.unlink()
    row = run.rows()[0]
    assert row.ccc["valence"].interval is None
    assert row.ccc["valence"].value == pytest.approx(np.mean([c["regression"]["valence"]["ccc"] for c in row.cells]))


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "all.csv", b"model")
    assert not list(tmp_path.iterdir())


def test_csv_holds_every_digit(run_dir: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(table_text(run_dir, form="csv"))))
    cells = json.loads((run_dir / "results.json").read_text())["cells"]
    assert len(rows) == len(cells) + 6
    for row, cell in zip(rows, cells, strict=False):
        for axis, scores in cell["regression"].items():
            assert [float(row[f"{axis}_ccc{end}"]) for end in ("", "_low", "_high")] == [
                scores["ccc"],
                *scores["ccc_ci95"],
            ]
            for name in ("rmse", "pcc", "sagr", "zero_share"):
                assert float(row[f"{axis}_{name}"]) == scores[name]
        for name in ("macs", "acs", "spike_rate", "energy_pj", "latency_ms", "peak_memory_bytes"):
            assert row[name] == ("" if cell["cost"][name] is None else str(float(cell["cost"][name])))
        assert float(row["parameters"]) == cell["parameters"]
        ends = [float(row[f"transfer_{name}"]) for name in ("accuracy", "low", "high")]
        assert ends == [cell["transfer"]["accuracy"], *cell["transfer"]["accuracy_ci95"]]
        assert float(row["transfer_balanced_accuracy"]) == cell["transfer"]["balanced_accuracy"]
        for name in ("three_way_accuracy", "valence_sign_accuracy"):
            ends = [float(row[f"transfer_{name}{end}"]) for end in ("", "_low", "_high")]
            assert ends == [cell["transfer"][name], *cell["transfer"][f"{name}_ci95"]]
        assert row["valence_ccc_seed_low"] == "", "of one seed there is no range"
        assert row["synthetic"] == "1"


def test_of_recorded_data_the_ceiling_alone_is_simulated(tmp_path: Path) -> None:
    rows = Run.open(write_run(tmp_path, dataset="afew-va", gallery=0)).rows()
    assert {row.model for row in rows if row.data == "simulated"} == {"ceiling (error 0.2)"}
    assert {row.data for row in rows} == {"recorded", "simulated"}


def test_csv_has_the_range_over_seeds(tmp_path: Path) -> None:
    run = write_run(tmp_path, encodings=("tbr",), seeds=3, gallery=0)
    row = next(csv.DictReader(io.StringIO(table_text(run, form="csv"))))
    seeds = Run.open(run).rows()[0].ccc["valence"].seeds
    assert seeds
    assert (float(row["valence_ccc_seed_low"]), float(row["valence_ccc_seed_high"])) == seeds


def test_every_column_shows_the_number_that_its_head_names(run_dir: Path) -> None:
    found: dict[str, str] = {}
    for line in table_text(run_dir, form="md").splitlines():
        parts = [part.strip() for part in line.strip("|").split(" | ")]
        if parts[0] == "model":
            heads = parts
        elif parts[:2] == ["snn_convnet", "tbr"]:
            found |= dict(zip(heads, parts, strict=True))
    cells = json.loads((run_dir / "results.json").read_text())["cells"]
    cell = next(c for c in cells if (c["model"], c["encoding"]) == ("snn_convnet", "tbr"))
    for axis, scores in cell["regression"].items():
        for name in ("rmse", "pcc", "sagr"):
            assert found[f"{name.upper()} {axis}"] == number(scores[name])
    assert found["balanced accuracy"].startswith(f"{100 * cell['transfer']['balanced_accuracy']:.1f} %")
    for head, name in (
        ("zero-shot accuracy", "accuracy"),
        ("three-way accuracy", "three_way_accuracy"),
        ("accuracy of valence's sign", "valence_sign_accuracy"),
    ):
        assert found[head].startswith(f"{100 * cell['transfer'][name]:.0f} ["), head
    cost = {"parameters": "390 k", "MACs": "900 k", "ACs": "1.8 M", "spike rate": "11.0 %", "latency": "3.1 ms"}
    cost |= {"energy (45 nm)": "5.76 µJ", "peak memory": "30 MB"}
    assert {head: found[head] for head in cost} == cost


def test_markdown_and_latex(run_dir: Path) -> None:
    markdown = table_text(run_dir, form="md")
    assert "| snn_convnet | tbr | afew-va-like (synthetic) |" in markdown
    assert "event rate only" in markdown
    latex = table_text(run_dir, form="latex")
    assert latex.count(r"\begin{tabular}") == 3
    assert r"snn\_convnet & tbr" in latex
    with pytest.raises(UserError, match="unknown table format 'html': allowed are md, csv, latex"):
        table_text(run_dir, form="html")


def test_columns_without_anything_to_show_are_left_out(tmp_path: Path) -> None:
    def heads() -> set[str]:
        lines = [line for line in table_text(run).splitlines() if line.startswith("| model")]
        return {head for line in lines for head in line.strip("| ").split(" | ")}

    run = write_run(tmp_path, gallery=0)
    results, before = json.loads((run / "results.json").read_text()), heads()
    for one in (*results["cells"], *results["baselines"]):
        one.pop("transfer", None)
    (run / "results.json").write_text(json.dumps(results))
    of_transfer = {"zero-shot accuracy", "balanced accuracy", "three-way accuracy", "accuracy of valence's sign"}
    assert before - heads() == of_transfer
    columns = terminal_table(results, run).columns
    assert [str(column.header) for column in columns] == ["model", "data", "CCC valence", "CCC arousal"]


def test_latex_sets_a_name_as_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path, ("ann_a", r"snn_b(path=C:\{x}^~$1)"), gallery=0)
    latex = table_text(run, form="latex")
    assert r"snn\_b(path=C:\textbackslash{}\{x\}\^{}\~{}\$1)" in latex


def test_tables_say_what_is_pooled_and_what_is_a_mean(run_dir: Path, tmp_path: Path) -> None:
    words = "CCC is of all folds' people together, all other numbers are means over folds"
    several = write_run(tmp_path, folds=2, gallery=0)
    for form in ("md", "latex"):
        assert words not in table_text(run_dir, form=form)
        assert words in table_text(several, form=form)


def test_what_pcc_and_sagr_cannot_tell_stands_beside_them(run_dir: Path) -> None:
    """A constant prediction has no correlation, and the sign of a label of 0 is never met."""
    metrics = table_text(run_dir, form="md").split("\n\n")[1].splitlines()
    lines = {cells[0]: cells for line in metrics[2:] if (cells := line.strip("| ").split(" | "))}
    head = metrics[0].strip("| ").split(" | ")
    assert lines["mean"][head.index("PCC valence")] == "0.00 (constant)"
    assert "constant" not in " ".join(lines["snn_convnet"])
    zeros = json.loads((run_dir / "results.json").read_text())["cells"][0]["regression"]
    told = "; ".join(f"{100 * zeros[axis]['zero_share']:.1f} %" for axis in ("valence", "arousal"))
    assert lines["snn_convnet"][head.index("labels that are 0 (valence; arousal)")] == told != "0.0 %; 0.0 %"
    coarse = json.loads((run_dir / "results.json").read_text())["cells"][0]["transfer"]
    shown = f"{100 * coarse['three_way_accuracy']:.0f} ["
    assert lines["ann_resnet18_fusion"][head.index("three-way accuracy")].startswith(shown)
    assert lines["chance"][head.index("labels that are 0 (valence; arousal)")] == "–"


def test_tables_of_several_runs_name_the_study(run_dir: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", gallery=0)
    heads = [line for line in table_text(run_dir, other, form="md").splitlines() if "| model |" in line]
    assert len(heads) == 3
    assert all(line.startswith("| study | model |") for line in heads)
    assert f"| invented ({other}) | snn_convnet | tbr |" in table_text(run_dir, other, form="md")
    assert r"study & model" in table_text(run_dir, other, form="latex")


def test_terminal_table_shows_intervals_and_baselines(run_dir: Path) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(json.loads((run_dir / "results.json").read_text()), run_dir))
    text = console.export_text()
    for word in (
        "snn_convnet",
        "synthetic",
        "mean",
        "shuffled",
        "event rate only",
        "[0.76, 0.88]",
        "zero-shot",
        "ceiling (error 0.2)",
        "61 %",
    ):
        assert word in text


def test_terminal_table_of_long_names_keeps_every_number(tmp_path: Path) -> None:
    models = ("ann_resnet18_fusion(fusion=attention)", "ann_resnet18_transformer")
    run = write_run(tmp_path, models, ("tbr(bits=16, dt=2500)",), gallery=0)
    results = json.loads((run / "results.json").read_text())
    for cell in results["cells"]:
        cell["regression"]["valence"] |= {"ccc": -0.1, "ccc_ci95": [-0.12, -0.08]}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(results, run))
    text = console.export_text()
    assert text.count("synthetic") == 2 + 6
    assert text.count("[−0.12, −0.08]") == 2
    assert "…" not in text
    first = [line[:20].strip() for line in text.splitlines()]
    assert {"ann_resnet18_fusion", "(fusion=attention)", "tbr", "ceiling (error 0.2)"} <= set(first)


def test_terminal_table_keeps_names_that_look_like_markup(tmp_path: Path) -> None:
    run = write_run(tmp_path, ("ann_a", "snn_b(path=[/x][red])"), gallery=0)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(json.loads((run / "results.json").read_text()), run))
    assert "(path=[/x][red])" in console.export_text()


def test_numbers() -> None:
    assert number(-0.001) == "0.00"
    assert number(-0.12) == "−0.12"
    assert number(None) == "–"
    assert count(1_234_567) == "1.23 M"
    assert joules(5.76e6) == "5.76 µJ"
    assert [count(n) for n in (0, 999, 999_700, 999_700_000, 3e12)] == ["0", "999", "1 M", "1 G", "3,000 G"]
    assert [joules(pj) for pj in (0, 999.7, 999_700, 2e12)] == ["0 pJ", "1 nJ", "1 µJ", "2 J"]
    assert ratio(1, 4) == "4 times less"
    assert ratio(6, 4) == "1.5 times more"
    assert ratio(1, 1.001) == ratio(1, 1) == "about the same"
    assert ratio(99.96, 1) == "100 times more"
    assert ratio(1, 12_345) == "12,345 times less"

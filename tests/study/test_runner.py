"""The whole of a tiny study, undisturbed and killed in every stage: the same results."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from spikeva.cli import main
from spikeva.events import EventStream, write_clip
from spikeva.progress import console, is_first
from spikeva.study import runner
from spikeva.study.files import read_csv

ROOT = Path(__file__).parents[2]
STAGES = ("render afew-va-like", "simulate afew-va-like", "1/4 train", "2/4 train", "3/4 evaluate", "4/4 transfer")


def _hear_ctrl_c() -> None:
    """A background job of a shell ignores Ctrl-C, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_tiny(out: Path, stop_at: str | None = None, with_signal: int = signal.SIGKILL) -> tuple[int, str]:
    """Run the tiny study through the command; signal it and its workers when `stop_at` shows. Exit code and output."""
    config = str(ROOT / "configs" / "tiny.yaml")
    command = [sys.executable, "-m", "spikeva", "compare", config, "--out", str(out)]
    log = out.with_suffix(".log")
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_hear_ctrl_c
        )
        sent = False
        while process.poll() is None:
            if not sent and stop_at is not None and stop_at in log.read_text():
                os.killpg(process.pid, with_signal)
                sent = True
            time.sleep(0.02)
    return process.returncode, log.read_text()


def compare(out: Path) -> str:
    """The output of the tiny study, run to its end."""
    code, text = run_tiny(out)
    assert code == 0, text
    return text


def gallery(out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "gallery.npz") as arrays:
        return dict(arrays)


def comparable(out: Path) -> str:
    """results.json without times and environment, as text."""
    results = json.loads((out / "results.json").read_text())
    del results["environment"]
    for cell in results["cells"]:
        del cell["cost"]["latency_ms"]
    return json.dumps(results)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "whole"
    return out, compare(out)


def test_every_file_is_there(undisturbed):
    out, text = undisturbed
    assert "report.html" in text
    assert text.index("4 cells to run: about") < text.index("1/4 train")
    results = json.loads((out / "results.json").read_text())
    assert set(results) == {"study", "cells", "baselines", "comparisons", "environment"}
    assert results["environment"]["command"] == f"spikeva compare {ROOT / 'configs' / 'tiny.yaml'} --out {out}"
    assert len(results["cells"]) == len(list((out / "cells").iterdir())) == 4
    for cell in results["cells"]:
        folder = out / "cells" / cell["hash"]
        names = {"config.yaml", "model.safetensors", "predictions.csv", "metrics.json", "done.json"}
        assert names <= {file.name for file in folder.iterdir()}
        assert len({file.stat().st_mode for file in folder.iterdir()}) == 1  # who may read one may read all
        rows = read_csv(folder / "predictions.csv")
        assert list(rows[0]) == [
            "subject",
            "clip",
            "frame",
            "t_us",
            "valence",
            "arousal",
            "valence_pred",
            "arousal_pred",
        ]
        for axis in ("valence", "arousal"):
            assert {"rmse", "pcc", "ccc", "sagr", "ccc_ci95"} <= set(cell["regression"][axis])
            assert cell["regression"][axis]["clip_mean"]["clips"] == len({(r["subject"], r["clip"]) for r in rows})
        assert {"dataset", "accuracy", "balanced_accuracy", "chance", "confusion"} <= set(cell["transfer"])
        assert cell["transfer"]["synthetic"] is True
        wanted = {"macs", "acs", "spike_rate", "energy_pj", "latency_ms", "peak_memory_bytes"}
        assert wanted <= set(cell["cost"])
        assert (cell["cost"]["spike_rate"] is None) == (cell["kind"] == "ann")
    floors = {"mean", "shuffled", "event rate only", "chance", "majority"}
    ceilings = {"ceiling (error 0.2)", "ceiling (error 0.3)"}
    assert {b["model"] for b in results["baselines"]} == floors | ceilings
    assert all({"a", "b", "metric", "difference", "ci95", "p", "unit"} <= set(c) for c in results["comparisons"])
    assert (out / "report.html").stat().st_size > 10_000
    assert list((out / "figures").glob("*.svg"))
    assert not list(out.rglob("*.part"))


def test_a_silent_network_gets_one_plain_line(undisturbed):
    out, text = undisturbed
    cells = json.loads((out / "results.json").read_text())["cells"]
    rates = {c["hash"]: [layer["spike_rate"] for layer in c["cost"]["layers"]] for c in cells}
    silent = [c for c in cells if any(rate is not None and rate < 0.001 for rate in rates[c["hash"]])]
    said = [line for line in text.splitlines() if "silent" in line]
    assert len(said) == len(silent)
    for line, cell in zip(said, silent, strict=True):
        assert f"evaluate {cell['model']} · {cell['encoding']}: spiking layer" in line
    assert "Warning" not in text
    assert "norm='bn'" not in text


def test_nobody_is_both_trained_and_tested_on(undisturbed):
    out, _ = undisturbed
    results = json.loads((out / "results.json").read_text())
    tested = {row["subject"] for row in read_csv(out / "cells" / results["cells"][0]["hash"] / "predictions.csv")}
    assert 0 < len(tested) < results["study"]["subjects"]


def test_stopped_in_every_stage_it_ends_with_the_same_results(undisturbed, tmp_path):
    """Killed, but for Ctrl-C in the first training, which says how to go on."""
    out = tmp_path / "stopped"
    for stage in STAGES:
        ctrl_c = stage == "1/4 train"
        code, text = run_tiny(out, stage, signal.SIGINT if ctrl_c else signal.SIGKILL)
        assert code == (130 if ctrl_c else -signal.SIGKILL), text
        assert ("interrupted; the same command goes on from here" in text) == ctrl_c
        assert "Traceback" not in text or not ctrl_c
        assert not (out / "results.json").exists()
    text = compare(out)
    assert comparable(out) == comparable(undisturbed[0])
    assert "1/4 train" not in text, "a finished cell was trained again"
    assert "2/4 train" not in text, "a finished training was done again"


def test_the_pictures_are_of_the_cells_that_were_run(undisturbed, tmp_path):
    """The first of the cells has no spikes to show; once all are there, the page shows what it does without that stop."""
    whole, out = undisturbed[0], tmp_path / "in-two-goes"
    first = json.loads((whole / "results.json").read_text())["cells"][0]["hash"]
    shutil.copytree(whole / "data", out / "data")
    shutil.copytree(whole / "cells" / first, out / "cells" / first)
    command = ["compare", str(ROOT / "configs" / "tiny.yaml"), "--out", str(out)]
    assert main([*command, "--max-cells", "0"]) == 0
    assert len(json.loads((out / "results.json").read_text())["cells"]) == 1
    assert not any(name.startswith("raster/") for name in gallery(out))
    shutil.copytree(whole / "cells", out / "cells", dirs_exist_ok=True)
    assert main(command) == 0
    found, wanted = gallery(out), gallery(whole)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_run_again_computes_nothing(undisturbed, capsys):
    out, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*")}
    assert main(["compare", str(ROOT / "configs" / "tiny.yaml"), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "report" in said.out
    assert "train" not in said.err
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*")} == before


def test_events_and_tbr_picture_are_of_one_window(undisturbed):
    """The tiny study's TBR has four bits, and a picture 256 values."""
    arrays = gallery(undisturbed[0])
    for i in range(2):
        events = arrays[f"{i}/on"] + arrays[f"{i}/off"]
        np.testing.assert_array_equal(arrays[f"{i}/tbr"] > 0, events > 0)
        assert set(np.unique(arrays[f"{i}/tbr"])) <= {17 * code for code in range(16)}


@pytest.mark.parametrize(
    ("count", "said"),
    [
        ("0", "no cell is finished yet in {out}: max_cells must be at least 1, got 0"),
        ("-1", "max_cells must be 0 (the report of what is there) or more, got -1"),
    ],
)
def test_no_results_without_a_cell(count, said, tmp_path, capsys):
    out = tmp_path / "none"
    assert main(["compare", str(ROOT / "configs" / "tiny.yaml"), "--out", str(out), "--max-cells", count]) == 2
    assert capsys.readouterr().err == f"spikeva compare: {said.format(out=out)}\n"
    assert not out.exists(), "nothing is rendered first"


def test_a_process_that_begins_later_takes_the_same_cells(tmp_path, monkeypatch):
    """As those of a training on several devices do, when the first one has scored what an interrupted command had trained."""
    todo = [SimpleNamespace(folder=lambda out, name=name: out / name) for name in "abcd"]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.safetensors").touch()
    monkeypatch.setattr(runner, "cells", lambda study: todo)
    first = runner._first_untrained(None, tmp_path, 2)
    (tmp_path / "a" / "done.json").touch()
    assert runner._first_untrained(None, tmp_path, 2) == first == todo[:3]
    assert runner._first_untrained(None, tmp_path, 0) == todo[:1]


def test_a_trained_cell_is_scored_on_other_clips(undisturbed, capsys):
    out, _ = undisturbed
    results = json.loads((out / "results.json").read_text())
    cell = next(c for c in results["cells"] if c["kind"] == "snn" and c["encoding"] == "spikes")
    films, recordings = (next((out / "data" / "events").glob(f"{d}-*")) for d in ("afew-va-like", "nefer-like"))
    folder = str(out / "cells" / cell["hash"])
    assert main(["evaluate", folder, "--clips", str(films), "--out", str(out / "again.csv")]) == 0
    told = capsys.readouterr().out
    assert "4 clips of 4 people (synthetic)" in told
    assert "2 of these people are among those it was trained on" in told
    before = {
        (r["clip"], r["frame"]): r["valence_pred"] for r in read_csv(out / "cells" / cell["hash"] / "predictions.csv")
    }
    again = {(r["clip"], r["frame"]): r["valence_pred"] for r in read_csv(out / "again.csv")}
    assert set(before) < set(again)
    assert {k: float(again[k]) for k in before} == pytest.approx({k: float(v) for k, v in before.items()}, abs=1e-6)
    assert main(["transfer", folder, "--clips", str(recordings), "--method", "point"]) == 0
    assert "4 recordings of 2 people (synthetic)" in capsys.readouterr().out
    unnamed = out / "unnamed"
    unnamed.mkdir()
    stream, labels = EventStream.empty((32, 32)), {"t_us": np.array([200_000])}
    write_clip(unnamed / "a.h5", stream, labels=labels, attributes={"subject": "a", "clip": "a", "domain": "mine"})
    assert main(["transfer", folder, "--clips", str(unnamed)]) == 2
    assert "no attribute 'emotion'" in capsys.readouterr().err
    assert main(["evaluate", folder, "--clips", str(recordings)]) == 2
    assert "spikeva transfer" in capsys.readouterr().err
    assert main(["evaluate", str(out), "--clips", str(films)]) == 2
    assert "name the folder of a trained cell" in capsys.readouterr().err
    damaged = out / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "config.yaml").write_text("model: {}")
    assert main(["evaluate", str(damaged), "--clips", str(films)]) == 2
    assert "damaged or of another version" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["howto/report.md", "howto/study.md"])
def test_code_of_the_docs_that_needs_a_study_runs(page, undisturbed, tmp_path, monkeypatch, capsys):
    out, _ = undisturbed
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```py(?:thon)?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    cells = [c["hash"] for c in json.loads((out / "results.json").read_text())["cells"] if c["kind"] == "ann"]
    hashes = iter([cells[0], cells[0], cells[1], cells[1]] * 2)  # of the two rows that are compared, two folds each
    code = re.sub("<hash>", lambda _: next(hashes), code)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quick").symlink_to(out)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "quick.yaml").symlink_to(ROOT / "configs" / "tiny.yaml")
    (tmp_path / "clip.h5").symlink_to(next((out / "data" / "events").glob("afew-va-like-*/*.h5")))
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    exec(compile(code, page, "exec"), {})
    pyplot.close("all")
    if page == "howto/study.md":
        difference, interval, p, *course = capsys.readouterr().out.splitlines()
        low, high = map(float, re.findall(r"-?\d\S*\d", interval))
        assert low <= float(difference) <= high
        assert 0 <= float(p) <= 1
        assert len(course) > 10
    else:
        assert (tmp_path / "course.svg").stat().st_size > 1000


def test_train_takes_the_cells_that_match(undisturbed, capsys):
    out, _ = undisturbed
    config = str(ROOT / "configs" / "tiny.yaml")
    assert main(["train", config, "--out", str(out), "--model", "snn_*"]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "snn_convnet · tbr",
        "snn_convnet · spikes",
    ]
    assert main(["train", config, "--model", "cnn"]) == 2
    assert "no cell of" in capsys.readouterr().err


def test_processes_of_several_devices_do_not_cross(undisturbed, tmp_path):
    """Lightning runs the whole command again for the second device; both go through every stage."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "data").symlink_to(undisturbed[0] / "data")
    config = tmp_path / "two.yaml"
    config.write_text((ROOT / "configs" / "tiny.yaml").read_text() + "trainer: {accelerator: cpu, devices: 2}\n")
    command = [sys.executable, "-m", "spikeva", "train", str(config), "--model", "snn_*", "--encoding", "tbr"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder,) = (out / "cells").iterdir()
    assert (folder / "done.json").is_file()
    assert not list(folder.glob(".*"))
    assert done.stderr.count("tbr: 2/2") == 1
    assert done.stdout.count("CCC") == 1


@pytest.mark.parametrize(
    ("command", "devices", "rank", "tells"),
    [("compare", 2, "1", False), ("train", 2, "1", False), ("train", 2, "0", True), ("train", 1, "1", True)],
)
def test_one_of_several_processes_tells(
    undisturbed, command, devices, rank, tells, tmp_path, monkeypatch, capsys, request
):
    """On one device there is no other one: a rank is left over from another program, and nothing may be hidden for it."""
    request.addfinalizer(lambda: setattr(console, "quiet", False))
    shutil.copytree(undisturbed[0], tmp_path / "run")
    monkeypatch.setattr(runner, "devices_of", lambda _: devices)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert main([command, str(ROOT / "configs" / "tiny.yaml"), "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert ("snn_convnet" in said.out) == tells
    assert console.quiet != tells


@pytest.mark.parametrize("rank", ["RANK", "LOCAL_RANK", "NODE_RANK"])
def test_the_first_of_several_processes(rank, monkeypatch):
    assert is_first()
    monkeypatch.setenv(rank, "0")
    assert is_first()
    monkeypatch.setenv(rank, "1")
    assert not is_first()


FAILING = """
import torch
from spikeva import register_model


class Means(torch.nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.head, self.calls = torch.nn.Linear(in_channels, 2), 0

    def forward(self, x):
        return self.head(x.mean((1, 3, 4)))


@register_model("ann_breaks")
class Breaks(Means):
    def forward(self, x):
        self.calls += 1
        if self.calls > 1:
            raise KeyError("out of luck")
        return super().forward(x)


@register_model("ann_diverges")
class Diverges(Means):
    def forward(self, x):
        return super().forward(x) / 0


@register_model("ann_diverges_last")
class DivergesLast(Means):
    def forward(self, x):
        return super().forward(x) / (1 if self.training else 0)
"""


def test_a_cell_that_fails_is_named_and_the_others_go_on(undisturbed, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "data").symlink_to(undisturbed[0] / "data")
    (tmp_path / "failing.py").write_text(FAILING)
    text = (ROOT / "configs" / "tiny.yaml").read_text()
    text = text.replace(
        "    - {model: ann_resnet18_fusion, width: 8}\n",
        "    - {model: ann_diverges}\n    - {model: ann_breaks}\n    - {model: ann_diverges_last}\n",
    ).replace("    - {encoding: spikes, steps: 4, dt: 5000}\n", "")
    config = tmp_path / "failing.yaml"
    config.write_text(f"modules: [failing.py]\n{text}")
    command = [sys.executable, "-m", "spikeva", "compare", str(config), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert "2/4 failed: ann_breaks · tbr, fold 0, seed 0: KeyError: 'out of luck'" in done.stderr
    assert "1/4 failed: ann_diverges · tbr, fold 0, seed 0: the loss is " in done.stderr
    assert "3/4 failed: ann_diverges_last · tbr, fold 0, seed 0: 18 of 18 predictions are NaN" in done.stderr
    assert 'failing.py", line' in done.stderr, "where in the user's code"
    assert "lightning" not in done.stderr
    assert "3 cells failed" in done.stdout
    results = json.loads((out / "results.json").read_text())
    assert [cell["model"] for cell in results["cells"]] == ["snn_convnet"]
    assert len(results["failed"]) == 3
    assert "3 of 4 cells are not finished" in done.stdout

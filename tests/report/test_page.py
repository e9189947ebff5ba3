"""The page: whole, offline, honest about synthetic numbers, the same bytes every time."""

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from fake_run import write_run
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from spikeva._results import RESULTS_VERSION
from spikeva.errors import UserError
from spikeva.report import figures, table_text, terminal_table, viewer, write_report
from spikeva.report.data import AXES, Run
from spikeva.report.figures import style
from spikeva.report.page import provenance
from spikeva.report.sections import Figures, _forest


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn into the figures, which is most of a report's time: for tests of words and of what is handed to a figure."""
    monkeypatch.setattr(style, "svg", lambda _: '<svg viewBox="0 0 1 1"></svg>')


def test_parts_and_figures_are_there(run_dir: Path) -> None:
    page = (run_dir / "report.html").read_text()
    for head in ("The table", "What they see", "Predictions against labels", "A clip over time", "Paired differences",
                 "Zero-shot emotion", "What it costs", "One window, every encoding", "What compression adds",
                 "Person by person", "Where the numbers come from"):  # fmt: skip
        assert f"<h2>{head}</h2>" in page or f'">{head}</h2>' in page, head
    figures = {p.stem for p in (run_dir / "figures").glob("*.svg")}
    assert {
        "plane-snn",
        "trajectories-1",
        "forest",
        "confusion-ann",
        "cost-valence",
        "faces-afew-va-like",
        "people-arousal",
        "rates",
        "raster",
    } <= figures
    assert "nothing was run" in page
    assert "torch 0.0" in page
    assert not list(run_dir.rglob("*.part"))


def test_the_page_says_where_its_numbers_come_from(tmp_path: Path) -> None:
    run = write_run(tmp_path, folds=2, gallery=0)
    results = json.loads((run / "results.json").read_text())
    results["study"]["recipes"] = {"afew-va-like": {"size": 64, "pixel": {"preset": "clean"}}}
    (run / "results.json").write_text(json.dumps(results))
    found = provenance(Run.open(run))
    assert found["facts"] == {
        "command": "nothing was run",
        "packages": "torch 0.0",
        "spikeva": "0.0.0",
        "results_version": str(RESULTS_VERSION),
        "python": "3.11",
        "note": "invented numbers, for tests only",
        "afew-va-like clips, as prepared": "size 64, pixel preset clean",
        "results.json (SHA-256)": hashlib.sha256((run / "results.json").read_bytes()).hexdigest(),
    }
    assert found["config"] == "study: invented\nseed: 0\n"
    names = ("hash", "model", "encoding", "fold", "seed")
    assert found["cells"] == [{name: cell[name] for name in names} for cell in results["cells"]]


class _Attributes(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in {"src", "href", "xlink:href", "srcset", "action"}:
                self.addresses.append(str(value))


def test_nothing_is_loaded_from_elsewhere_and_ids_are_unique(run_dir: Path) -> None:
    page = (run_dir / "report.html").read_text()
    found = _Attributes()
    found.feed(page)
    assert all(a.startswith(("data:", "#")) for a in found.addresses)
    assert len(found.ids) == len(set(found.ids))
    assert not re.search(r"@import|url\((?!data:|#|\$)", page)
    for address in (a for a in found.addresses if a.startswith("#")):
        assert address[1:] in found.ids


def test_every_row_and_figure_of_synthetic_data_says_so(run_dir: Path) -> None:
    page = (run_dir / "report.html").read_text()
    for table in re.findall(r'<table class="sortable">.*?</table>', page, flags=re.DOTALL):
        for row in re.findall(r'<tr class="\w+">.*?</tr>', table):
            assert "synthetic" in row
    for name in (
        "plane-ann",
        "trajectories-1",
        "forest",
        "confusion-snn",
        "cost-valence",
        "faces-afew-va-like",
        "people-valence",
        "rates",
    ):
        assert "synthetic" in (run_dir / "figures" / f"{name}.svg").read_text(), name
    answer = re.search(r'<section class="answer".*?<p>(.*?)</p>', page, flags=re.DOTALL)
    assert answer
    assert "synthetic" in answer[1]


def test_recorded_data_are_not_called_synthetic(tmp_path: Path) -> None:
    run = write_run(tmp_path, dataset="afew-va", gallery=0)
    results = json.loads((run / "results.json").read_text())
    for entry in [*results["cells"], *results["baselines"]]:
        if "transfer" in entry:
            entry["transfer"]["dataset"] = "nefer"
    (run / "results.json").write_text(json.dumps(results))
    write_report(run)
    body = re.sub(r"<style>.*?</style>", "", (run / "report.html").read_text(), flags=re.DOTALL)
    assert "synthetic" not in body
    assert "afew-va (simulated)" in body  # the ceiling of a readout


def test_synthetic_is_what_the_results_say_whatever_the_name(tmp_path: Path) -> None:
    """Clips of an own folder go by any name, be they recorded or rendered."""

    def page(rendered: bool) -> tuple[str, str]:
        run = write_run(tmp_path / str(rendered), dataset="mine", gallery=2)
        results = json.loads((run / "results.json").read_text())
        for cell in results["cells"]:
            cell["synthetic"] = rendered
            cell["transfer"] |= {"dataset": "mine", "synthetic": rendered}
        (run / "results.json").write_text(json.dumps(results))
        with np.load(run / "gallery.npz") as arrays:
            kept = {k: v for k, v in arrays.items() if not k.startswith("compression")}
        np.savez(run / "gallery.npz", **kept, **{f"{i}/synthetic": np.array(rendered) for i in (0, 1)})
        text = write_report(run).read_text()
        figures = [run / "figures" / f"{name}.svg" for name in ("confusion-snn", "faces-afew-va-like")]
        return text, "".join(figure.read_text() for figure in figures)

    words = ("Zero-shot emotion on synthetic mine", "one sample (synthetic input)", "afew-va-like, synthetic)")
    text, drawn = page(rendered=True)
    assert [word for word in words if word not in text] == []
    assert drawn.count("(synthetic)") == 2
    text, drawn = page(rendered=False)
    assert [word for word in words if word in text] == []
    assert "synthetic" not in drawn


def test_a_transfer_to_synthetic_recordings_says_so_beside_recorded_faces(tmp_path: Path) -> None:
    run = write_run(tmp_path, dataset="afew-va", gallery=0)  # and nefer-like
    text = write_report(run).read_text()
    assert '<span class="tag">synthetic</span>' in text
    assert "On faces of 6 held-out people" in text
    assert "afew-va (synthetic)" not in text
    rows = [
        row for row in re.findall(r'<tr class="(?:ann|snn)">.*?</tr>', text, flags=re.DOTALL) if " % (synthetic)" in row
    ]
    assert len(rows) == 2 * 4  # accuracy and balanced accuracy
    assert "Zero-shot emotion on synthetic nefer-like" in text
    told = csv.DictReader(io.StringIO(table_text(run, form="csv")))
    assert [(row["synthetic"], row["transfer_synthetic"]) for row in told][:4] == [("0", "1")] * 4
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(json.loads((run / "results.json").read_text()), run))
    assert console.export_text().count("synthetic") >= 4


@pytest.mark.usefixtures("undrawn")
def test_the_viewer_shows_no_prediction_before_there_is_one(tmp_path: Path) -> None:
    """A model needs a while of a clip before it: the first prediction is not drawn earlier than it was made."""
    run = write_run(tmp_path)
    for path in run.glob("cells/*/predictions.csv"):
        head, *lines = path.read_text().splitlines()
        path.write_text("\n".join([head, *(line for line in lines if int(line.split(",")[3]) > 120_000)]))
    found = re.search(r'<script type="application/json">(.*?)</script>', write_report(run).read_text(), flags=re.DOTALL)
    assert found
    first = json.loads(found[1])[0]
    assert first["t_us"] == [*range(160_000, 840_000, 40_000)]
    of = Run.open(run).rows()[0]
    part = Run.open(run).predictions(of)
    assert part
    own = part.clip_of("fold0-person00", "clip1")
    for who, values in first["values"]:
        wanted = own.label if who == "label" else own.predicted
        if who in ("label", of.kind):
            assert values == np.round(wanted, 3).tolist()


def test_same_run_gives_the_same_bytes(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "again", ignore=shutil.ignore_patterns("report.html", "figures"))
    write_report(tmp_path / "again")

    def hashes(root: Path) -> dict[str, str]:
        files = [root / "report.html", *(root / "figures").glob("*.svg")]
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    assert hashes(tmp_path / "again") == hashes(run_dir)


@pytest.mark.usefixtures("undrawn")
def test_recordings_that_several_cells_were_shown_are_called_so(run_dir: Path, tmp_path: Path) -> None:
    several = write_report(write_run(tmp_path, encodings=("tbr",), folds=2, seeds=2, gallery=0)).read_text()
    assert "Counts of recordings, summed over the 4 cells (folds and seeds);" in several
    assert "Counts of recordings;" in (run_dir / "report.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_what_shows_one_seed_of_several_says_so(run_dir: Path, tmp_path: Path) -> None:
    words = ("the model says little. Of several seeds, the first.", "the arrow the last. Of several seeds, the first.",
             "Predictions: of several seeds, the first.", "spiking network. Of its 2 cells (folds and seeds), the first.",
             "RMSE, mean over seeds, left is better")  # fmt: skip
    text = (run_dir / "report.html").read_text()
    assert [word for word in words if word in text] == []
    run = write_run(tmp_path, seeds=2)
    text = write_report(run).read_text()
    assert [word for word in words if word not in text] == []


@pytest.mark.usefixtures("undrawn")
def test_the_error_of_a_person_is_the_mean_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(figures, "subjects", lambda names, values, name, ax: drawn.update({name: (names, values)}))
    run = Run.open(write_run(tmp_path, encodings=("tbr",), seeds=3, gallery=0))
    write_report(run.directory)
    names, values = drawn["RMSE arousal"]
    for row in run.rows()[:2]:
        of_all = [p.select(p.subject == names[0]) for p in run.seeds(row.cells)]
        wanted = np.mean([np.sqrt(((p.label - p.predicted)[:, 1] ** 2).mean()) for p in of_all])
        assert values[row.kind][0] == pytest.approx(wanted)


def watch(monkeypatch: pytest.MonkeyPatch, *names: str, of: Any = figures) -> dict[str, list[tuple[Any, ...]]]:
    """What the functions of these names are called with from here on, and, last, the axes that they draw on."""
    drawn: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names}

    def watched(name: str, draw: Any) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            axes = draw(*given, **options)
            drawn[name].append((*(one for one in given if one is not axes), axes))
            return axes

        return call

    for name in names:
        monkeypatch.setattr(of, name, watched(name, getattr(of, name)))
    return drawn


def title(axes: Axes) -> str:
    return " ".join(axes.get_title(loc="left").split())


@pytest.mark.usefixtures("undrawn")
def test_a_figure_shows_what_its_title_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is drawn from the predictions and results of its model, on its axis."""
    drawn = watch(monkeypatch, "plane", "trajectories", "time_course", "confusion", "cost", "subjects")
    run = Run.open(write_run(tmp_path, encodings=("tbr",), gallery=0))
    write_report(run.directory)
    rows = {row.kind: row for row in run.rows() if row.kind != "baseline"}
    found = {kind: part for kind, row in rows.items() if (part := run.predictions(row))}
    named = {kind: f"{kind.upper()}: {row.name}" for kind, row in rows.items()}
    for (label, predicted, kind, ax), own in zip(drawn["plane"], rows, strict=True):
        assert (kind, title(ax)) == (own, f"{named[own]} (synthetic)")
        np.testing.assert_array_equal((label, predicted), found[own].clip_means())
    names = found["ann"].clips()
    names.sort(key=lambda name: -found["ann"].clip_of(*name).label.std(0).sum())
    first = [next(n for n in names if n[0] == person) for person in dict.fromkeys(person for person, _ in names)][:3]
    for (label, ways, ax), name in zip(drawn["trajectories"], first, strict=True):
        assert title(ax) == f"{', '.join(name)} (synthetic)"
        np.testing.assert_array_equal(label, found["ann"].clip_of(*name).label)
        for kind in rows:
            np.testing.assert_array_equal(ways[kind], found[kind].clip_of(*name).predicted)
    for (t_us, label, guesses, axis, _), (i, own) in zip(drawn["time_course"], enumerate(AXES), strict=True):
        parts = {kind: part.clip_of(*first[0]) for kind, part in found.items()}
        assert axis == own
        np.testing.assert_array_equal((t_us, label), (parts["ann"].t_us, parts["ann"].label[:, i]))
        for kind in rows:
            np.testing.assert_array_equal(guesses[kind], parts[kind].predicted[:, i])
    assert title(drawn["time_course"][0][-1]) == f"{', '.join(first[0])} (synthetic)"
    for (matrix, _, ax), row in zip(drawn["confusion"], rows.values(), strict=True):
        assert title(ax) == f"{named[row.kind]} nefer-like (synthetic)"
        assert matrix.tolist() == row.cells[0]["transfer"]["confusion"]
    for (points, name, ax), axis in zip(drawn["cost"], AXES, strict=True):
        assert (name, title(ax)) == (f"CCC {axis}", f"{axis} (synthetic)")
        for point, row in zip(points, rows.values(), strict=True):
            score = row.ccc[axis]
            assert (point["label"], point["kind"]) == (row.name, row.kind)
            assert point["energy_pj"] == row.cells[0]["cost"]["energy_pj"]
            assert (point["value"], (point["low"], point["high"])) == (score.value, score.interval)
    people = sorted({*found["ann"].subject.tolist()})
    of_one = {kind: [part.select(part.subject == person) for person in people] for kind, part in found.items()}
    error = {kind: np.array([np.sqrt(((p.label - p.predicted) ** 2).mean(0)) for p in of_one[kind]]) for kind in rows}
    order = np.argsort(error["snn"][:, 0] - error["ann"][:, 0])
    for (listed, values, name, ax), (i, axis) in zip(drawn["subjects"], enumerate(AXES), strict=True):
        assert (name, title(ax)) == (f"RMSE {axis}", f"{axis} (synthetic)")
        assert listed == [people[n] for n in order]
        for kind in rows:
            assert values[kind] == pytest.approx(error[kind][order, i])


@pytest.mark.usefixtures("undrawn")
def test_pictures_are_those_of_the_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = watch(monkeypatch, "strip", "encodings", "compression", "raster")
    run = write_run(tmp_path, encodings=("tbr",), gallery=5)
    with np.load(run / "gallery.npz") as stored:
        arrays = dict(stored)
    arrays["raster/head"] = arrays["raster/blocks.0.act"][:, :9]
    arrays["3/off"] = arrays["3/off"] * np.uint16(5)  # other windows are lively
    arrays["1/subject"] = np.array("someone")
    arrays["compression/lossless_frame"] = arrays["compression/compressed_frame"] + np.uint8(1)
    np.savez(run / "gallery.npz", **arrays)
    write_report(run)
    ((examples, _),) = drawn["strip"]
    assert [example["title"] for example in examples] == [
        "fold0-person00",
        "someone",
        "fold0-person02",
        "fold0-person03",
    ]
    for i, example in enumerate(examples):
        events = (arrays[f"{i}/on"].astype(int) + arrays[f"{i}/off"]).sum((1, 2))
        at = [n for n in range(20) if (example["on"] == arrays[f"{i}/on"][n]).all()]
        (n,) = [n for n in at if (example["off"] == arrays[f"{i}/off"][n]).all()]
        assert sorted(events)[15] == events[n]  # lively, not the liveliest
        np.testing.assert_array_equal(example["tbr"], arrays[f"{i}/tbr"][n])
        np.testing.assert_array_equal(example["frame"], arrays[f"{i}/frames"][n])
    ((window, _),) = drawn["encodings"]
    assert [*window] == ["tbr", "bitplanes"]
    for name, channels in window.items():
        np.testing.assert_array_equal(channels, arrays[f"0/enc/{name}"])
    ((*sides, _),) = drawn["compression"]
    for name, side in zip(("lossless", "compressed"), sides, strict=True):
        for key, picture in side.items():
            np.testing.assert_array_equal(picture, arrays[f"compression/{name}_{key}"])
    assert [name for _, name, _ in drawn["raster"]] == ["blocks.0.act", "head"]
    for spikes, name, _ in drawn["raster"]:
        np.testing.assert_array_equal(spikes, arrays[f"raster/{name}"])


def test_of_many_comparisons_those_of_the_families_are_drawn_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = watch(monkeypatch, "forest")
    run = Run.open(write_run(tmp_path, gallery=0))
    between = run.comparisons
    alone = {**between[0], "a": "snn_convnet · tbr", "b": "snn_convnet · spikes"}
    for many, said in ((20, ""), (21, "The first 24 of 25, SNN against ANN before others;")):
        run.comparisons = [*[alone] * many, *between]
        (section,) = _forest(run, run.rows(), Figures(tmp_path))
        assert drawn["forest"].pop()[0] == [*between, *[alone] * 20]
        assert ("The first" in section["caption"], said in section["caption"]) == (bool(said), True)


def unpacked(strip: str, width: int) -> list[npt.NDArray[np.uint8]]:
    """The pictures of a strip of the viewer, each `width` pixels wide."""
    data = np.frombuffer(base64.b64decode(strip.removeprefix("data:image/webp;base64,")), np.uint8)
    sheet = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return np.split(sheet, sheet.shape[1] // width, axis=1)


def test_pictures_and_numbers_of_the_viewer_are_of_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long clip that is not square, with a model that begins late in it: 48 moments from its first prediction to the last."""
    courses = watch(monkeypatch, "time_course", of=viewer)["time_course"]
    run = write_run(tmp_path, gallery=5, frames=110)
    with np.load(run / "gallery.npz") as stored:
        arrays = {
            key: value[:, :30] if key[0].isdigit() and value.ndim == 3 and "enc/" not in key else value
            for key, value in stored.items()
        }
    np.savez(run / "gallery.npz", **arrays)
    for path in sorted(run.glob("cells/*/predictions.csv"))[::2]:  # of the ANN
        head, *lines = path.read_text().splitlines()
        path.write_text("\n".join([head, *(line for line in lines if int(line.split(",")[3]) > 120_000)]))
    text = write_report(run).read_text()
    clips = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text)[1])
    assert len(clips) == 3  # of a domain
    for i, clip in enumerate(clips):
        at = np.unique(np.linspace(3, 109, 48).round().astype(int))
        assert clip["t_us"] == arrays[f"{i}/t_us"][at].tolist()
        assert clip["aspect"] == "48 / 30"
        place = courses[2 * i][-1].get_position()
        assert clip["span"] == [pytest.approx(place.x0, abs=1e-4), pytest.approx(place.x1, abs=1e-4)]
        face, events, codes = (unpacked(strip, 48) for strip in clip["strips"])
        assert np.abs(np.float64(face) - arrays[f"{i}/frames"][at]).mean() < 2
        np.testing.assert_array_equal(events, figures.polarity(arrays[f"{i}/on"][at], arrays[f"{i}/off"][at]))
        np.testing.assert_array_equal(codes, figures.tbr(arrays[f"{i}/tbr"][at]))
        values = dict(clip["values"])
        for row in Run.open(run).rows()[:2]:
            part = Run.open(run).predictions(row).clip_of(f"fold0-person{i:02}", "clip1")  # type: ignore[union-attr]  # there are some
            part = part.select(np.isin(part.t_us, clip["t_us"]))
            assert values[row.kind] == np.round(part.predicted, 3).tolist()
            assert values["label"] == np.round(part.label, 3).tolist()
            for n, (t_us, label, guesses, axis, _) in enumerate(courses[2 * i : 2 * i + 2]):
                assert (t_us.tolist(), axis) == (clip["t_us"], AXES[n])
                np.testing.assert_array_equal((label, guesses[row.kind]), (part.label[:, n], part.predicted[:, n]))


def test_strips_that_a_picture_cannot_hold_are_shrunk_whole() -> None:
    pictures = np.arange(0, 200, 5, dtype=np.uint8)[:, None, None] * np.ones((1, 100, 600), np.uint8)
    found = unpacked(viewer._strip(pictures), 16_000 // 40)
    assert [one.shape for one in found] == [(67, 400)] * 40
    assert [{*one.ravel().tolist()} for one in found] == [{n} for n in range(0, 200, 5)]


def test_clips_without_a_video_are_shown_by_their_events(tmp_path: Path) -> None:
    run = write_run(tmp_path, dataset="afew-va", video=False)
    text = write_report(run).read_text()
    assert "What the cameras and networks see: the events of one window" in text
    assert "One window, every encoding</h2>" in text
    assert "What compression adds" not in text
    clips = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text)[1])
    assert [[bool(strip) for strip in clip["strips"]] for clip in clips] == [[False, True, True]] * 3
    drawn = (run / "figures" / "faces-afew-va-like.svg").read_text()
    assert ">events<" in drawn
    assert ">face<" not in drawn


@pytest.mark.parametrize("gallery", [0, 1])
def test_one_family_has_its_results_per_person_too(gallery: int, tmp_path: Path) -> None:
    text = write_report(write_run(tmp_path, models=("snn_convnet",), gallery=gallery)).read_text()
    assert "Person by person</h2>" in text
    assert "left is better): filled circle SNN. Sorted by the error in valence." in text
    assert "both models" not in text
    assert "abel and predictions of the model" in text  # of the course, with a gallery that under the slider


@pytest.mark.usefixtures("undrawn")
def test_what_compression_adds_is_counted(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "run")
    with np.load(run_dir / "gallery.npz") as stored:
        arrays = {key: value for key, value in stored.items() if not key.startswith("compression/")}
    frame = np.zeros((4, 4), np.uint8)
    lossless, compressed = ({"on": frame.copy(), "off": frame.copy()} for _ in range(2))
    lossless["on"][0, 0], compressed["on"][0, 0] = 3, 1  # two are missing
    compressed["off"][0, 0] = 2  # no stand-in for them: of the other polarity
    compressed["off"][3, 3] = 5
    for side, counts in (("lossless", lossless), ("compressed", compressed)):
        arrays |= {f"compression/{side}_{key}": value for key, value in (counts | {"frame": frame}).items()}
    np.savez(tmp_path / "run" / "gallery.npz", **arrays, **{"compression/note": np.array("a codec")})
    text = write_report(tmp_path / "run").read_text()
    assert (
        "lossless frames (3 events in this window, synthetic) and from strongly compressed ones (8; a codec). 7 of"
        in text
    )
    assert "without compression. 2 events are missing." in text


def test_the_plane_shows_how_the_study_reads_it(run_dir: Path, tmp_path: Path) -> None:
    assert (
        "Rays bound the directions that are read as each emotion (anchors: face-like)"
        in (run_dir / "report.html").read_text()
    )
    run = write_run(tmp_path, people=2, clips=1, gallery=0)
    results = json.loads((run / "results.json").read_text())
    results["study"]["config"]["evaluation"] = {"anchors": "russell-mehrabian", "method": "point"}
    (run / "results.json").write_text(json.dumps(results))
    page = write_report(run).read_text()
    assert "those nearest to its anchor, a cross (anchors: russell-mehrabian)" in page
    assert "Rays" not in page
    assert "None is read" not in page
    results["study"]["config"]["evaluation"]["none_radius"] = 0.1
    (run / "results.json").write_text(json.dumps(results))
    assert "Within the small circle, None is read." in write_report(run).read_text()
    assert "The path of 2 clips through the plane" in page


@pytest.mark.usefixtures("undrawn")
def test_a_study_that_is_not_finished_says_so_everywhere(tmp_path: Path) -> None:
    run = write_run(tmp_path, gallery=0)
    results = json.loads((run / "results.json").read_text())
    entries = [{"encoding": "tbr"}, {"encoding": "spikes"}]
    grid = {"models": [{}, {}], "encodings": entries, "folds": [0], "seeds": [0]}

    def told(said: str, **changed: list[Any]) -> list[bool]:
        results["study"]["config"]["grid"] = grid | changed
        (run / "results.json").write_text(json.dumps(results))
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(terminal_table(results, run))
        texts = [
            write_report(run).read_text(),
            console.export_text(),
            *(table_text(run, form=f) for f in ("md", "latex")),
        ]
        return [said in " ".join(text.split()) for text in texts]

    assert told("4 of 8 cells are not finished", seeds=[0, 1]) == [True] * 4
    assert told("1 of 5 cells is not finished", models=[{}] * 5, encodings=[{}]) == [True] * 4
    assert told("not finished") == [False] * 4


@pytest.mark.usefixtures("undrawn")
def test_numbers_of_another_version_are_called_so(run_dir: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path, gallery=0)
    results = json.loads((run / "results.json").read_text())
    assert "made by another spikeva" not in write_report(run).read_text() + table_text(run)
    for found, said in ((3, "results version 3"), (None, "an early version")):
        results["environment"]["results_version"] = found
        (run / "results.json").write_text(json.dumps(results))
        for text in (write_report(run_dir, run, out=tmp_path / "both.html").read_text(), table_text(run_dir, run)):
            assert f"invented ({run}): made by another spikeva ({said}; this one has" in text
            assert f"invented ({run_dir}): made by" not in text


@pytest.mark.usefixtures("undrawn")
def test_runs_are_joined(run_dir: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", encodings=("voxel",), gallery=0)
    results = json.loads((other / "results.json").read_text())
    results["study"] |= {"name": "second", "question": "Why?"}
    (other / "results.json").write_text(json.dumps(results))
    assert '<p class="question">Why?</p>' in write_report(other).read_text()
    page = write_report(run_dir, other, out=tmp_path / "both.html").read_text()
    assert "invented and second" in page
    assert page.count('<p class="question">second: Why?</p>') == page.count('class="question"') == 1
    assert page.count('<section class="answer"') == 2
    assert "voxel" in page
    assert (tmp_path / "figures" / "2-plane-ann.svg").is_file()


@pytest.mark.usefixtures("undrawn")
def test_runs_of_one_name_are_kept_apart(run_dir: Path, tmp_path: Path) -> None:
    """Two runs of one config, as with another seed: each answer is of its own run, and a row says which it is of."""
    other = write_run(tmp_path / "other", snn_skill=0.9, gallery=0)
    write_report(other)

    def answers(page: Path) -> list[list[str]]:
        found = re.findall(r'<section class="answer".*?</section>', page.read_text(), re.DOTALL)
        return [re.sub(r"<h2>.*?</h2>", "", text).split() for text in found]

    both = write_report(run_dir, other, out=tmp_path / "both.html")
    assert answers(both) == [*answers(run_dir / "report.html"), *answers(other / "report.html")]
    for directory in (run_dir, other):
        assert both.read_text().replace("<wbr>", "").count(f">invented ({directory})</td>") >= 14


def test_hundred_cells_are_small_enough(tmp_path: Path) -> None:
    run = write_run(
        tmp_path, ("ann_resnet18_fusion", "snn_convnet"), ("tbr", "spikes", "counts", "voxel", "bitplanes"), folds=2,
        seeds=5, people=6, clips=4, frames=24, gallery=6, size=96,
    )  # fmt: skip
    began = time.perf_counter()
    path = write_report(run)
    print(f"100 cells: {time.perf_counter() - began:.1f} s, {path.stat().st_size / 1e6:.2f} MB")
    assert path.stat().st_size < 5_000_000
    assert len(re.findall(r"cells/[0-9a-f]{16}", path.read_text())) == 100


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no results\.json.*spikeva compare"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UserError, match="not the results of a study"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text('{"study": {"name": "x"}, "cells": []}')
    with pytest.raises(UserError, match="no finished cell"):
        write_report(tmp_path)
    with pytest.raises(UserError, match="at least one run"):
        write_report()
    run = write_run(tmp_path / "run", folds=2, gallery=0)
    path = next(run.glob("cells/*/predictions.csv"))
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:-60],
        whole.replace(b".", b","),
        whole.replace(b",", b";"),
        whole.decode().encode("utf-16"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"predictions\.csv is damaged .*; delete done\.json beside it and run"):
            write_report(run)


def test_a_damaged_gallery_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path, gallery=1)
    path = run / "gallery.npz"
    for damaged in (path.read_bytes()[:999], b"", b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"gallery\.npz is damaged; delete it and run the study again"):
            write_report(run)


def test_text_of_the_user_is_escaped(tmp_path: Path) -> None:
    run = write_run(tmp_path, gallery=1)
    results = json.loads((run / "results.json").read_text())
    results["study"]["name"] = "<script>alert(1)</script>"
    for cell in results["cells"]:
        cell["model"] = f"{cell['model']}(<script>alert(2))"
    (run / "results.json").write_text(json.dumps(results))
    assert "<script>alert" not in write_report(run).read_text()


def test_datasets_whose_names_differ_in_unsafe_letters_alone_have_files_of_their_own(tmp_path: Path) -> None:
    drawn = {}
    for name in ("a b", "a/b", "a-b-2", "y" * 50, "y" * 51):
        drawn[name] = Figure(figsize=(2, 2))
        drawn[name].text(0.1, 0.5, name)
    files = Figures(tmp_path)
    ids = [re.findall(r' id="([^"]*)"', panel["svg"]) for panel in files.add("strip", drawn, "Windows.")["panels"]]
    assert len({one for found in ids for one in found}) == sum(len(found) for found in ids)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "strip-a-b-2-2.svg",
        "strip-a-b-2.svg",
        "strip-a-b.svg",
        f"strip-{'y' * 39}-2.svg",
        f"strip-{'y' * 39}.svg",
    ]


@pytest.mark.parametrize(
    "domain", ['x"><img src=x onerror=alert(1)>', "/../../../outside", "my faces (a\\1)", "y" * 300]
)
def test_a_dataset_of_any_name_stays_in_its_files_and_ids(domain: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "in" / "run", gallery=1)
    with np.load(run / "gallery.npz") as arrays:
        np.savez(run / "gallery.npz", **{**arrays, "0/domain": np.array(domain)})
    page = write_report(run).read_text()
    assert "<img" not in page
    found = _Attributes()
    found.feed(page)
    assert not [one for one in found.ids if set(one) & set(" ()\\\"'<>/")]
    assert len([*(run / "figures").glob("faces-*.svg")]) == 1
    assert not [*run.rglob("outside.svg"), *tmp_path.glob("*.svg"), *tmp_path.glob("in/*.svg")]


def test_a_dollar_in_a_name_is_no_formula(tmp_path: Path) -> None:
    run = write_run(tmp_path, gallery=0)
    for path in run.glob("cells/*/predictions.csv"):
        path.write_text(path.read_text().replace("-person", r"$\frac$"))
    assert r"fold0$\frac$00" in write_report(run).read_text()

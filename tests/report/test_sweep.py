"""The part of the page for a sweep over bits and encodings."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import write_run
from matplotlib.figure import Figure
from matplotlib.text import Text

from spikeva.report import figures, write_report
from spikeva.report.data import Run
from spikeva.report.figures import style
from spikeva.report.sections import Figures
from spikeva.report.sweep import sweep

SWEEP = {"tbr(dt=5000)": 8, "tbr(bits=1, dt=40000)": 1, "bitplanes(bits=2)": 2, "bitplanes": 8, "voxel": 4}
MODELS = ("ann_resnet18_fusion", "snn_convnet", "snn_resnet18_fusion")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("sweep") / "run", MODELS, tuple(SWEEP), gallery=0)
    results = json.loads((run / "results.json").read_text())
    for cell in results["cells"]:
        cell["time_steps"] = SWEEP[cell["encoding"]]
    (run / "results.json").write_text(json.dumps(results))
    return run


def test_a_sweep_has_its_part_of_the_page(swept: Path) -> None:
    page = write_report(swept).read_text()
    assert "<h2>How many bits, and at what cost</h2>" in page
    assert {"sweep-bits", "sweep-operations", "sweep-energy"} <= {p.stem for p in (swept / "figures").glob("*.svg")}
    drawn = (swept / "figures" / "sweep-bits.svg").read_text()
    for words in ("tbr (synthetic)", "bitplanes", "others", "CCC valence", "CCC arousal", "time steps in a window"):
        assert f">{words}" in drawn, words


def test_one_size_of_each_encoding_is_no_sweep(run_dir: Path) -> None:
    assert "How many bits" not in (run_dir / "report.html").read_text()


def test_every_size_is_a_point_whether_or_not_the_label_tells_it(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its encoding's column, at its score on the row's axis, beside the best of the baselines."""
    drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr(figures, "sweep", lambda *given: drawn.append(given))
    rows = Run.open(swept).rows()
    sweep(rows, Figures(swept.parent))
    panels = itertools.product(("bits", "operations", "energy"), ("valence", "arousal"), ("tbr", "bitplanes", "others"))
    for (curves, floor, base, ax), (plot, axis, column) in zip(drawn, panels, strict=True):
        assert floor == max(row.ccc[axis].value for row in rows if row.kind == "baseline" and row.ccc)
        assert base == (2 if plot == "bits" else 10)
        assert ax.get_ylabel() in ("", f"CCC {axis}")
        assert ax.get_title().partition(" ")[0] in ("", column)
        name = "voxel" if column == "others" else column
        assert [(curve["kind"], curve["name"]) for curve in curves] == [(model[:3], name) for model in MODELS]
        for curve, model in zip(curves, MODELS, strict=True):
            own = [row for row in rows if row.model == model and row.encoding.partition("(")[0] == name]
            own.sort(key=lambda row: SWEEP[row.encoding])
            cost = [row.cells[0]["cost"] for row in own]
            x = {
                "bits": [SWEEP[row.encoding] for row in own],
                "operations": [one["macs"] + one["acs"] for one in cost],
                "energy": [one["energy_pj"] for one in cost],
            }[plot]
            score = [row.ccc[axis] for row in own]
            assert [point["x"] for point in curve["points"]] == x
            assert [point["size"] for point in curve["points"]] == [SWEEP[row.encoding] for row in own]
            assert [point["value"] for point in curve["points"]] == [one.value for one in score]
            assert [(point["low"], point["high"]) for point in curve["points"]] == [one.interval for one in score]


def test_curves_hold_their_points_and_intervals() -> None:
    ax = Figure().subplots()
    points = [
        {"x": 10.0**n, "size": 2**n, "value": 0.1 * n, "low": 0.1 * n - 0.1, "high": 0.1 * n + 0.1} for n in (1, 2)
    ]
    curves = [
        {"kind": "snn", "name": "tbr", "points": points},
        {"kind": "ann", "name": "voxel", "points": points[:1]},
    ]
    figures.sweep(curves, floor=0.05, base=10, ax=ax)
    data = [line.get_xydata().tolist() for line in ax.get_lines()]
    assert [[10.0, 0.1], [100.0, 0.2]] in data
    assert [[0, 0.05], [1, 0.05]] in data
    assert [[100.0, 0.1], [100.0, pytest.approx(0.3)]] in data
    assert [t.get_text() for t in ax.texts] == ["2", "4", "voxel 2"]
    assert [t.xy for t in ax.texts] == [(10, 0.1), (100, 0.2), (10, 0.1)]
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize("width", [5.5, 9.9])  # inches for two columns: as a report has it, and wider
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_names_of_ten_encodings_overlap_neither_each_other_nor_a_point(width: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    curves = []
    for kind, (name, factor, value) in itertools.product(
        ("ann", "snn"), [(f"encoding_{i}", *rng.normal(0, spread, 2)) for i in range(10)]
    ):
        at = {
            "x": 1e8 * 10 ** (factor - (kind == "snn")),
            "value": 0.5 + value,
            "low": 0.4 + value,
            "high": 0.6 + value,
        }
        curves.append({"kind": kind, "name": name, "points": [{**at, "size": 4}]})
    with style.context():
        figure, axes = style.panels(2, width, 5.6, rows=2, sharex=True, sharey="row")
        for ax in axes:
            figures.sweep(curves, base=10, ax=ax)
        figure.draw_without_rendering()
    for ax in axes:
        boxes = [Text.get_window_extent(text) for text in ax.texts]
        assert len(boxes) == 20
        inside = ax.bbox.padded(1)
        assert all(inside.contains(*corner) for box in boxes for corner in box.corners())
        assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.padded(-0.5).overlaps(b)]
        points = ax.transData.transform([(c["points"][0]["x"], c["points"][0]["value"]) for c in curves])
        assert not [p for p in points for box in boxes if box.contains(*p)]
        moved = [text for text in ax.texts if text.arrow_patch.get_visible()]
        assert len(moved) >= (18 if spread == 0 else 1)


def test_a_name_with_room_stays_beside_its_point() -> None:
    curves = [
        {"kind": kind, "name": "voxel", "points": [{"x": 4.0, "size": 4, "value": 0.5, "low": 0.4, "high": 0.6}]}
        for kind in ("ann", "snn")
    ]
    figure, (ax,) = style.panels(1, 3.3, 2.8)
    figures.sweep(curves, ax=ax)
    figure.draw_without_rendering()
    assert [t.xyann for t in ax.texts] == [(-7, 0), (7, 0)]
    assert not any(t.arrow_patch.get_visible() for t in ax.texts)


def test_ticks_of_costs_close_together_do_not_overlap() -> None:
    curves = [
        {"kind": kind, "name": "tbr", "points": [{"x": x, "size": 4, "value": 0.5, "low": 0.4, "high": 0.6}]}
        for kind, x in (("ann", 1.1e5), ("snn", 1.8e4))
    ]
    figure, (ax,) = style.panels(1, 3.3, 2.8)
    figures.sweep(curves, base=10, ax=ax)
    figure.draw_without_rendering()
    labels = [*ax.get_xticklabels(), *ax.get_xticklabels(minor=True)]
    left, right = ax.bbox.intervalx
    boxes = [Text.get_window_extent(t) for t in labels if t.get_text() and left <= t.get_window_extent().x0 <= right]
    assert boxes
    assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]

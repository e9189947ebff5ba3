"""Figures as functions: they draw what they are given, on given axes, without pyplot's state."""

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from spikeva.errors import UserError
from spikeva.evaluation import emotion
from spikeva.report import figures, sections
from spikeva.report.data import Row
from spikeva.report.figures import style


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def test_sectors_bound_what_the_classifier_calls_each_emotion(ax: Axes) -> None:
    figures.sectors("face-like", ax=ax)
    borders = sorted(
        float(np.degrees(np.arctan2(*line.get_xydata()[1][::-1])) % 360)
        for line in ax.get_lines()
        if len(line.get_xydata()) == 2
        and np.allclose(line.get_xydata()[0], 0)
        and not np.allclose(line.get_xydata()[1], 0)
        and line.get_transform() == ax.transData
    )
    assert len(borders) == 7
    for border in borders:
        around = np.radians([border - 0.5, border + 0.5])
        names = emotion.classify(np.stack([np.cos(around), np.sin(around)], 1))
        assert names[0] != names[1]


def test_nearest_anchors_have_borders_halfway_between_them(ax: Axes) -> None:
    figures.plane(np.zeros((1, 2)), np.zeros((1, 2)), anchors="russell-mehrabian", method="point", ax=ax)
    corners = [p.vertices for c in ax.collections for p in c.get_paths() if len(p.vertices)]
    assert len(corners) == 7
    _, places = emotion.anchor_points("russell-mehrabian")
    for x, y in np.concatenate(corners)[::7]:
        near = np.sort(np.hypot(places[:, 0] - x, places[:, 1] - y))
        assert near[0] == pytest.approx(near[1], abs=0.02)
    with pytest.raises(UserError, match="'angle' or 'point', not 'nearest'"):
        figures.sectors(method="nearest", ax=ax)


def test_events_picture() -> None:
    picture = figures.polarity([[0, 1, 3, 9]], [[0, 0, 6, 0]])
    assert picture.tolist() == [[128, 170, 0, 255]]
    wide = np.array([[0, 65535]], np.uint16)
    assert figures.polarity(wide, 0 * wide)[0, 1] == 255


def test_a_tbr_picture_of_any_number_of_bits_uses_all_greys() -> None:
    codes = np.array([[0, 1, 8, 15]], np.uint8)
    assert figures.tbr(codes, bits=4).tolist() == [[0, 17, 136, 255]]
    assert figures.tbr(codes, bits=8).tolist() == figures.tbr(codes).tolist() == codes.tolist()
    assert figures.tbr(np.array([[0, 1, 65535]], np.uint16), bits=16).tolist() == [[0, 1, 255]]


def test_confusion_counts_are_written(ax: Axes) -> None:
    figures.confusion([[3, 1], [0, 4]], ["fear", "anger"], ax)
    assert [t.get_text() for t in ax.texts] == ["3", "1", "0", "4"]


def test_forest_tells_shown_from_not_shown(ax: Axes) -> None:
    items = [
        {"a": "x", "b": "y", "metric": "ccc", "difference": 0.1, "ci95": [0.05, 0.15]},
        {"a": "x", "b": "z", "metric": "ccc", "difference": 0.1, "ci95": [-0.05, 0.25]},
    ]
    figures.forest(items, ax)
    markers = [line.get_marker() for line in ax.get_lines() if len(line.get_xdata()) == 1]
    assert markers == ["D", "o"]


def test_long_names_of_models_leave_room_for_the_intervals() -> None:
    long = "snn_convnet(beta=0.5, learn_theta=False, width=32) · spikes(steps=8)"
    items = [{"a": long, "b": long, "metric": "ccc valence", "difference": 0.1, "ci95": [0.05, 0.15]}]
    with style.context():
        figure, (ax,) = style.panels(1, 9.5, 1.6)
        figures.forest(items, ax)
        figure.draw_without_rendering()
    whole, words = figure.bbox, ax.xaxis.get_label().get_window_extent()
    assert ax.get_window_extent().width > 0.4 * whole.width
    assert whole.x0 <= words.x0 < words.x1 <= whole.x1


def test_long_titles_stay_within_their_figure() -> None:
    row = Row("run", "snn_convnet(beta=0.5, learn_theta=False, width=32)", "snn", "spikes(steps=8)", "d", True, ())
    with style.context():
        figure, (ax,) = style.panels(1, 4.8, 4.0)
        ax.set_title(sections._title("snn", row))
        figure.draw_without_rendering()
    assert "(synthetic)" in ax.get_title(loc="left")
    assert ax._left_title.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize("name", ["time_course", "trajectories", "raster", "layer_rates", "cost", "subjects", "plane"])
def test_drawn_on_the_axes_given(name: str, ax: Axes) -> None:
    way = np.linspace(-0.5, 0.5, 10)
    both = np.stack([way, way], 1)
    arguments: dict[str, tuple[Any, ...]] = {
        "time_course": (np.arange(10) * 40_000, way, {"snn": way}),
        "trajectories": (both, {"ann": 0.5 * both}),
        "raster": (np.eye(10, dtype=bool),),
        "layer_rates": ([{"name": "a", "spike_rate": 0.1}, {"name": "b", "spike_rate": None}],),
        "cost": ([{"label": "m", "kind": "snn", "energy_pj": 1e6, "value": 0.3, "low": 0.1, "high": 0.5}],),
        "subjects": (["p"], {"ann": [0.2], "snn": [0.3]}),
        "plane": (both, 0.5 * both, "ann"),
    }
    kw = {"ax": ax}
    assert getattr(figures, name)(*arguments[name], **kw) is ax
    assert ax.has_data()


@pytest.mark.parametrize("n", [2, 4])
def test_every_model_of_one_energy_lies_inside_the_axes(n: int) -> None:
    figure, (ax,) = style.panels(1, 4.8, 4.0)
    rows = [{"label": str(i), "kind": "ann", "energy_pj": 1e8, "value": 0.5, "low": 0.4, "high": 0.6} for i in range(n)]
    figures.cost([*rows, rows[0] | {"kind": "snn", "energy_pj": 1e6}], "CCC", ax)
    figure.canvas.draw()
    frame = ax.get_window_extent()
    places = [line.get_transform().transform(line.get_xydata())[0, 0] for line in ax.lines if line.get_marker() == "s"]
    assert len(set(np.round(places))) == n
    assert frame.x0 + 5 < min(places) <= max(places) < frame.x1 - 5


@pytest.mark.parametrize("n", [5, 16])
def test_many_models_of_one_energy_stand_at_it_and_their_numbers_apart(n: int) -> None:
    figure, (ax,) = style.panels(1, 4.8, 4.0)
    common = {"kind": "ann", "low": 0.4, "high": 0.6}
    figures.cost([common | {"label": str(i), "energy_pj": 4e7, "value": 0.5 + 0.001 * i} for i in range(n)], "CCC", ax)
    figure.draw_without_rendering()
    markers = [line for line in ax.lines if line.get_marker() == "s"]
    places = [line.get_transform().transform(line.get_xydata())[0, 0] for line in markers]
    at = ax.transData.transform((40, 0.5))[0]
    assert places == pytest.approx([at] * n)
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    assert sorted(text.get_text() for text in ax.texts) == sorted(str(i + 1) for i in range(n))
    assert not any(a.padded(-0.5).overlaps(b) for a, b in combinations(boxes, 2))


def test_of_points_side_by_side_the_cheaper_stands_left() -> None:
    figure, (ax,) = style.panels(1, 4.8, 4.0)
    energies = (1.84e6, 1.68e6, 1.76e6, 1.76e6, 3e7)
    common = {"kind": "snn", "value": 0.0, "low": -0.1, "high": 0.1}
    figures.cost([common | {"label": str(i), "energy_pj": e} for i, e in enumerate(energies)], "CCC", ax)
    figure.canvas.draw()
    places = [float(t.get_transform().transform(t.get_position())[0]) for t in ax.texts]
    assert np.argsort(places).tolist() == [1, 2, 3, 0, 4]
    (zero,) = (line for line in ax.lines if line.get_transform() == ax.get_yaxis_transform())
    assert zero.get_zorder() < min(line.get_zorder() for line in ax.lines if line is not zero)


@pytest.mark.parametrize("energies", [(33, 379), (33, 35), (2.7, 46, 379), (0.01, 900), (1e-5, 1e7)])
def test_energies_do_not_run_together(energies: tuple[float, ...]) -> None:
    common = {"kind": "snn", "label": "m", "value": 0.0, "low": -0.1, "high": 0.1}
    with style.context():
        figure, (ax,) = style.panels(1, 4.8, 4.0)
        figures.cost([common | {"energy_pj": e * 1e6} for e in energies], "CCC", ax)
        figure.draw_without_rendering()
    inside = ax.get_window_extent()
    ticks = [t.label1 for t in (*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks()) if t.label1.get_text()]
    boxes = sorted((t.get_window_extent() for t in ticks), key=lambda box: box.x0)
    boxes = [box for box in boxes if inside.x0 - 1 <= (box.x0 + box.x1) / 2 <= inside.x1 + 1]
    assert len(boxes) >= 2
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_encodings_and_strip(ax: Axes) -> None:
    figures.encodings({"tbr": np.eye(4)[None], "voxel": np.eye(4)[None] - 0.5}, ax=ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["tbr", "voxel"]
    sheet = np.asarray(ax.images[0].get_array())
    assert sheet.shape == (11, 4, 4)
    assert sheet[0, 0, 0] == 255
    assert sheet[0, 1, 0] == 0


def test_a_page_keeps_every_digit_of_the_words() -> None:
    figure, (ax,) = style.panels(1, 3, 2)
    ax.set_xticks([0.00025, 0.0005], ["0.00025", "snn_convnet(beta=0.9344)"])
    document = style.svg(figure)
    page = style.inline(document, "one", "ticks of 0.00025")
    assert ">0.00025</text>" in page
    assert ">snn_convnet(beta=0.9344)</text>" in page
    assert 'aria-label="ticks of 0.00025"' in page
    assert len(page) < 0.9 * len(document)


def test_a_course_has_a_line_for_each_model_of_any_name(ax: Axes) -> None:
    way = np.linspace(-1, 1, 10)
    figures.time_course(np.arange(10) * 40_000, way, {"snn": way, "mine, lif": -way}, ax=ax).legend()
    legend = ax.get_legend()
    assert legend
    assert [text.get_text() for text in legend.get_texts()] == ["label", "SNN", "mine, lif"]

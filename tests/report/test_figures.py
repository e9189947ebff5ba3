"""Figures as functions: they draw what they are given, on given axes, without pyplot's state."""

from itertools import combinations, pairwise, product
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
from spikeva.report.figures.scores import PEOPLE, subjects_height


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


def points(ax: Axes) -> dict[str, list[list[float]]]:
    """The points of each line with a label."""
    return {str(line.get_label()): line.get_xydata().tolist() for line in ax.get_lines() if line.get_label()[0] != "_"}


def test_a_line_of_the_plane_leads_from_the_label_to_the_prediction(ax: Axes) -> None:
    label, predicted = [[0.5, 0.1], [0.2, -0.3]], [[0.4, 0.0], [-0.1, -0.2]]
    figures.plane(np.array(label), np.array(predicted), "ann", ax=ax, none_radius=0.25)
    assert points(ax) == {"label": label, "prediction": predicted}
    hollow = {line.get_label(): line.get_markerfacecolor() == style.PAPER for line in ax.get_lines()}
    assert (hollow["label"], hollow["prediction"]) == (True, False)
    lines = [line.get_xydata().tolist() for line in ax.get_lines()]
    assert all([a, b] in lines for a, b in zip(label, predicted, strict=True))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("valence", "arousal")
    assert any(np.allclose(np.hypot(*line.get_xydata().T), 0.25) for line in ax.get_lines())


def test_marks_of_many_clips_do_not_hide_each_other(ax: Axes) -> None:
    many = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 600, 2))
    figures.plane(*many, ax=ax)
    assert points(ax) == {"label": many[0].tolist(), "prediction": many[1].tolist()}
    sizes = [line.get_markersize() for line in ax.get_lines() if line.get_label()[0] != "_"]
    assert max(sizes) < 2


def test_a_marker_is_where_a_trajectory_begins_and_an_arrow_where_it_ends(ax: Axes) -> None:
    label, predicted = [[0.0, 0.0], [0.2, 0.1], [0.5, 0.4]], [[0.1, 0.3], [-0.2, 0.3], [-0.4, 0.1]]
    figures.trajectories(np.array(label), {"snn": np.array(predicted)}, ax=ax)
    assert points(ax) == {"label": label, "snn": predicted}
    lines = [line.get_xydata().tolist() for line in ax.get_lines()]
    arrows = [(list(text.xyann), list(text.xy)) for text in ax.texts if text.get_text() == ""]
    assert [label[:1] in lines, predicted[:1] in lines] == [True, True]
    assert arrows == [(way[1], way[2]) for way in (label, predicted)]


def test_names_stand_at_their_anchors() -> None:
    for method in ("angle", "point"):
        ax = Figure().subplots()
        figures.sectors("face-like", method, ax, none_radius=0.25)
        anchors = dict(zip(*emotion.anchor_points("face-like"), strict=True))
        found = {text.get_text(): np.array(text.xy) for text in ax.texts}
        assert found.keys() == anchors.keys()
        for name, place in anchors.items():
            assert found[name] == pytest.approx(1.04 * place / np.hypot(*place) if method == "angle" else place)
        crosses = [line.get_xydata()[0].tolist() for line in ax.get_lines() if line.get_marker() == "+"]
        assert crosses == ([] if method == "angle" else [place.tolist() for place in anchors.values()])
        rounds = [np.hypot(*line.get_xydata().T) for line in ax.get_lines() if len(line.get_xydata()) > 100]
        assert [(one.min(), one.max()) for one in rounds] == [(pytest.approx(r), pytest.approx(r)) for r in (1, 0.25)]


def test_confusion_counts_are_written(ax: Axes) -> None:
    figures.confusion([[3, 1], [0, 4]], ["fear", "anger"], ax)
    assert [(t.get_text(), t.get_position()) for t in ax.texts] == [
        ("3", (0, 0)),
        ("1", (1, 0)),
        ("0", (0, 1)),
        ("4", (1, 1)),
    ]
    assert np.asarray(ax.images[0].get_array()).tolist() == [[0.75, 0.25], [0, 1]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "shown")
    for axis in (ax.xaxis, ax.yaxis):
        assert [t.get_text() for t in axis.get_ticklabels()] == ["fear", "anger"]


def test_forest_tells_shown_from_not_shown(ax: Axes) -> None:
    ends = [(0.05, 0.15), (-0.05, 0.25), (-0.3, -0.1)]
    items = [
        {"a": "x", "b": b, "metric": "ccc", "difference": (low + high) / 2, "ci95": [low, high]}
        for b, (low, high) in zip("yzw", ends, strict=True)
    ]
    figures.forest(items, ax)
    drawn = [line for line in ax.get_lines()[1:] if line.get_marker() != "None"]
    assert [line.get_marker() for line in drawn] == ["D", "o", "D"]
    assert [line.get_xydata()[0].tolist() for line in drawn] == [[i["difference"], n] for n, i in enumerate(items)]
    bars = [line.get_xydata().tolist() for line in ax.get_lines()[1:] if line.get_marker() == "None"]
    assert bars == [[[low, n], [high, n]] for n, (low, high) in enumerate(ends)]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["x − y: ccc", "x − z: ccc", "x − w: ccc"]
    assert ax.yaxis_inverted()


def test_a_row_of_people_holds_the_marks_of_its_person(ax: Axes) -> None:
    figures.subjects(["p", "q"], {"ann": [0.2, 0.5], "snn": [0.3, 0.4]}, ax=ax)
    assert points(ax) == {"ANN": [[0.2, 0], [0.5, 1]], "SNN": [[0.3, 0], [0.4, 1]]}
    spans = [span.tolist() for span in ax.collections[0].get_segments()]
    assert spans == [[[0.2, 0], [0.3, 0]], [[0.4, 1], [0.5, 1]]]
    hollow = [line.get_label() for line in ax.get_lines() if line.get_markerfacecolor() == style.PAPER]
    assert hollow == ["ANN"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["p", "q"]
    assert ax.yaxis_inverted()


def test_a_figure_of_many_people_grows_no_further(ax: Axes) -> None:
    people = [f"p{n}" for n in range(240)]
    figures.subjects(people, {"snn": [0.01 * n for n in range(240)]}, ax=ax)
    assert points(ax) == {"SNN": [[0.01 * n, n] for n in range(240)]}
    assert not ax.get_yticklabels()
    assert ax.get_ylabel() == "240 people, one row each"
    assert subjects_height(10) < subjects_height(PEOPLE) == subjects_height(240) < 12


def test_what_happens_stands_at_its_time() -> None:
    course, raster, rates = (Figure().subplots() for _ in range(3))
    figures.time_course([0, 500_000, 1_500_000], [0.1, 0.2, 0.3], {"snn": [0.0, -0.1, 0.4]}, ax=course)
    assert points(course) == {
        "label": [[0, 0.1], [0.5, 0.2], [1.5, 0.3]],
        "SNN": [[0, 0.0], [0.5, -0.1], [1.5, 0.4]],
    }
    assert (course.get_xlim(), course.get_ylim()) == ((0, 1.5), (-1, 1))
    spikes = np.zeros((5, 3), bool)
    spikes[4, 0] = spikes[1, 2] = True
    figures.raster(spikes, ax=raster)
    assert raster.get_lines()[0].get_xydata().tolist() == [[1, 2], [4, 0]]
    assert (raster.get_xlim(), raster.get_ylim()) == ((-0.5, 4.5), (-0.5, 2.5))
    layers = [{"name": "a", "spike_rate": 0.125}, {"name": "b", "spike_rate": None}, {"name": "c", "spike_rate": 0.5}]
    figures.layer_rates(layers, rates)
    assert [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in rates.patches] == [(0, 12.5), (1, 50)]
    assert [t.get_text() for t in rates.get_yticklabels()] == ["a", "c"]
    assert [t.get_text() for t in rates.texts] == ["12.5 %", "50.0 %"]
    assert rates.yaxis_inverted()


def test_a_point_of_cost_has_its_score_and_interval(ax: Axes) -> None:
    rows = [
        {"label": "m", "kind": "ann", "energy_pj": 2e8, "value": 0.5, "low": 0.4, "high": 0.7},
        {"label": "n", "kind": "snn", "energy_pj": 3e6, "value": 0.3, "low": 0.1, "high": 0.4},
    ]
    figures.cost(rows, ax=ax)
    assert points(ax) == {"1  m": [[200, 0.5]], "2  n": [[3, 0.3]]}
    assert [(t.get_text(), t.get_position()) for t in ax.texts] == [("1", (200, 0.5)), ("2", (3, 0.3))]
    lines = [line.get_xydata().tolist() for line in ax.get_lines()]
    assert [[200, 0.4], [200, 0.7]] in lines
    assert [[3, 0.1], [3, 0.4]] in lines


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


def test_names_of_encodings_stay_within_their_figure() -> None:
    window = {"bitplanes": np.zeros((4, 4, 4)), "counts": np.zeros((2, 4, 4)), "tbr": np.zeros((1, 4, 4))}
    with style.context():
        figure, (ax,) = style.panels(1, 3.6, 2.1)  # more room than the pictures take
        figures.encodings(window, ax=ax)
        figure.draw_without_rendering()
    assert min(name.get_window_extent().x0 for name in ax.get_yticklabels()) >= figure.bbox.x0


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


def pictures(ax: Axes, size: int) -> dict[tuple[str, str], list[list[int]]]:
    """The grey picture at each name of a row and title of a column."""
    sheet = np.asarray(ax.images[0].get_array())
    found = {}
    for row, column in product(ax.get_yticklabels(), ax.get_xticklabels()):
        y, x = (round(v - size / 2) for v in (row.get_position()[1], column.get_position()[0]))
        found[row.get_text(), column.get_text()] = sheet[y : y + size, x : x + size, 0].tolist()
    return found


def test_a_strip_has_a_column_an_example(ax: Axes) -> None:
    one, two = np.zeros((2, 2), np.uint8), np.array([[9, 0], [0, 9]], np.uint8)
    figures.strip(
        [
            {"title": "a", "frame": one + 40, "on": two, "off": one, "tbr": one + 7},
            {"title": "b", "frame": one + 50, "on": one, "off": two, "tbr": one + 8},
        ],
        ax,
    )
    grey = {number: [[number, number]] * 2 for number in (7, 8, 40, 50)}
    assert pictures(ax, 2) == {
        ("face", "a"): grey[40],
        ("face", "b"): grey[50],
        ("events", "a"): [[255, 128], [128, 255]],
        ("events", "b"): [[0, 128], [128, 0]],
        ("TBR", "a"): grey[7],
        ("TBR", "b"): grey[8],
    }


def test_what_compression_added_is_bright_and_what_it_removed_dark(ax: Axes) -> None:
    grey, events = np.full((2, 2), 60, np.uint8), np.zeros((2, 2), np.uint8)
    lossless, compressed = ({"frame": grey + n, "on": events.copy(), "off": events.copy()} for n in (0, 1))
    lossless["on"][0, 0], compressed["off"][0, 1] = 3, 3
    lossless["off"][1, 0], compressed["on"][1, 0] = 1, 1
    figures.compression(lossless, compressed, ax)
    found = pictures(ax, 2)
    assert [found[side, "frame"][0][0] for side in ("lossless", "compressed")] == [60, 61]
    assert found["lossless", "events"] == [[255, 128], [85, 128]]
    assert found["compressed", "events"] == [[128, 0], [170, 128]]
    assert found["compressed", "added − removed"] == [[0, 255], [128, 128]]


def test_channels_of_an_encoding_stand_in_order(ax: Axes) -> None:
    ramp = np.array([0.0, 1.0, 2.0]).reshape(3, 1, 1)
    figures.encodings({"up": ramp, "signed": ramp - 2}, ax=ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["up", "signed"]
    sheet = np.asarray(ax.images[0].get_array())[..., 0]
    assert sheet[[0, 4]][:, [0, 4, 8]].tolist() == [[0, 128, 255], [0, 64, 128]]


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

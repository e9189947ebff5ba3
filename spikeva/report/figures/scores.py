"""Scores: paired differences, confusion of emotions, cost against CCC, sweeps, results per person."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.text import Annotation, Text
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox, ScaledTranslation

from spikeva.report.figures.style import COLOURS, GRID, INK, LINES, MARKERS, MUTED, PAPER, axes

_SHADES = LinearSegmentedColormap.from_list("spikeva", ["#ffffff", "#b7d6ea", "#0072b2", "#00324f"])
NAMES = 64  # letters of two models beside the intervals, in one line
PEOPLE = 48  # whose rows bear their names; with more, rows get thinner instead
_LIGHT, _DARK = "#ffffff", "#10131a"  # on a shaded cell: the same in light and dark mode


def forest(comparisons: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Axes with one row a comparison ("a", "b", "metric", "difference", "ci95"): the difference a - b and its interval."""
    ax = axes(ax, 7.6, 0.9 + 0.3 * len(comparisons))
    ax.axvline(0, color=INK, linewidth=0.9)
    for row, item in enumerate(comparisons):
        low, high = item["ci95"]
        colour = COLOURS["snn"] if low > 0 or high < 0 else MUTED
        ax.plot([low, high], [row, row], color=colour, linewidth=1.8)
        ax.plot(item["difference"], row, "D" if low > 0 or high < 0 else "o", color=colour, markersize=5)
    names = forest_names(comparisons)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set(xlabel="difference a − b, 95 % over subjects\n(right of 0: a is better)", ylim=(len(names) - 0.4, -0.6))
    ax.grid(visible=True, axis="x")
    return ax


def forest_names(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """What `forest` calls its rows: of one line each, or of two where one would leave little room for the intervals."""
    gap = "\n" if any(len(item["a"]) + len(item["b"]) > NAMES for item in comparisons) else " "
    return [f"{item['a']}{gap}− {item['b']}: {item['metric']}" for item in comparisons]


def confusion(matrix: npt.ArrayLike, classes: Sequence[str], ax: Axes | None = None) -> Axes:
    """Axes with counts of true (rows) against predicted (columns) emotions, shaded by the row's share."""
    counts = np.asarray(matrix, float)
    ax = axes(ax, 4.4, 4.0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap=_SHADES, vmin=0, vmax=1, interpolation="none")
    for i, j in np.ndindex(*counts.shape):
        colour = _LIGHT if shares[i, j] > 0.45 else _DARK
        ax.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(classes)), classes, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="predicted", ylabel="shown")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def cost(rows: Sequence[Mapping[str, Any]], name: str = "CCC", ax: Axes | None = None) -> Axes:
    """Axes with one numbered point a model ("label", "kind", "energy_pj", "value", "low", "high"): energy against a score.

    Up to four points of (nearly) one energy stand side by side. Where there are more, all points stand at their energies and their
    numbers beside them. The handles for a legend carry number and label.
    """
    ax = axes(ax, 5.2, 3.6)
    figure = ax.get_figure(root=True)
    assert figure is not None  # axes that are drawn on always have one
    energies = np.array([float(row["energy_pj"]) / 1e6 for row in rows])
    alike = np.abs(np.log(energies[:, None] / energies)) < 0.1
    rank = np.argsort(np.argsort(energies, kind="stable"))  # left is cheaper, beside one another too
    crowded = alike.sum(1).max() > 4  # half an inch of a logarithmic axis tells quite another energy
    aside = 11 / 72 * ((alike & (rank < rank[:, None])).sum(1) - (alike.sum(1) - 1) / 2) * (not crowded)  # inches
    words, bars = [], []
    for i, (row, x) in enumerate(zip(rows, energies.tolist(), strict=True), 1):
        place = ax.transData + ScaledTranslation(float(aside[i - 1]), 0, figure.dpi_scale_trans)
        colour = COLOURS[row["kind"]]
        ax.plot([x, x], [row["low"], row["high"]], color=colour, linewidth=1.4, transform=place)
        ax.plot(
            x, row["value"], MARKERS[row["kind"]], color=colour, markersize=4.5 if crowded else 10, label=f"{i}  {row['label']}",
            transform=place,
        )  # fmt: skip
        if crowded:
            words.append(_word(ax, str(i), (x, row["value"]), row["kind"]))
            bars.append([(x, row["low"]), (x, row["high"])])
        else:
            ax.text(
                x, row["value"], str(i), color=PAPER, fontsize=7, ha="center", va="center_baseline", transform=place,
                zorder=4,
            )  # fmt: skip
        ax.update_datalim([(x, row["low"]), (x, row["high"])])
    ax.add_artist(_Apart(words, bars))
    ax.set_xscale("log")
    ax.axhline(0, color=INK, linewidth=0.5, zorder=0.9)  # below the markers and their numbers
    ax.set(xlabel="energy of one prediction (µJ, 45 nm model)", ylabel=name)
    room = min(0.45, (np.abs(aside).max() + 0.1) / (0.8 * figure.get_figwidth()))  # share of the width, on either side
    ax.margins(x=max(0.3, room / (1 - 2 * room)))
    ax.autoscale_view()
    _widen(ax)
    ax.grid(visible=True, color=GRID)
    return ax


def _widen(ax: Axes) -> None:
    """A logarithmic x of at least one and a half decades, labelled at 1, 2 and 5 of each where there are few: else labels would run together."""
    middle, half = np.log10(ax.get_xlim()).mean(), max(0.75, np.ptp(np.log10(ax.get_xlim())) / 2)
    ax.set_xlim(10 ** (middle - half), 10 ** (middle + half))
    low, high = ax.get_xlim()
    few = low > 1e-3 and high < 1e5
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if half < 1.25 else (1,)) if few else LogLocator(numticks=6))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


# where a word stands in a sweep: by how many points away from its point, and how it is aligned
BESIDE = {"ann": ((-7, 0), "right", "center"), "snn": ((7, 0), "left", "center")}
_EPS = 0.01  # pixels


class _Apart(Artist):
    """Draws nothing itself: before `words` are drawn, it moves each to the nearest place inside the axes where it covers no other
    word and none of `bars` [n, 2, 2] (data). A thin line leads from a moved word to its point."""

    def __init__(self, words: Sequence[Annotation], bars: Sequence[npt.ArrayLike]) -> None:
        super().__init__()
        self.words, self.bars = [(word, word.xyann) for word in words], bars
        self.set(zorder=2.9, in_layout=False)  # words have 3

    def draw(self, renderer: RendererBase) -> None:
        assert self.axes is not None  # what is drawn is on some
        (x0, y0, x1, y1), point = self.axes.bbox.extents, float(np.asarray(renderer.points_to_pixels(1)))
        bars = [Bbox(self.axes.transData.transform(bar)).padded(4.5 * point, point) for bar in self.bars]
        taken = np.array([bar.extents for bar in bars])  # [n, 4]: left, bottom, right, top, in pixels
        for word, (right, up) in sorted(self.words, key=lambda entry: float(entry[0].xy[1])):
            word.xyann = right, up
            word.update_positions(renderer)
            box = np.array(Text.get_window_extent(word, renderer).extents)  # an Annotation's own is with its line
            beside = np.array([0, x0 - box[0], x1 - box[2], *(taken[:, 2] - box[0]), *(taken[:, 0] - box[2])])
            above = np.array([0, y0 - box[1], y1 - box[3], *(taken[:, 3] - box[1]), *(taken[:, 1] - box[3])])
            moves = np.stack(np.meshgrid(beside, above), -1).reshape(-1, 2)
            low, high = box[:2] + moves + _EPS, box[2:] + moves - _EPS
            met = ((low[:, None] < taken[:, 2:]) & (taken[:, :2] < high[:, None])).all(-1).any(-1)
            outside = ((low < (x0, y0)) | ((x1, y1) < high)).any(-1)
            far = np.hypot(3 * moves[:, 0], moves[:, 1])  # words stand rather one above the other
            best = np.lexsort((far, outside, met))[0]
            move = moves[best]
            taken = np.vstack([taken, box + np.tile(move, 2) + [-3 * point, 0, 3 * point, 0]])
            word.xyann = right + move[0] / point, up + move[1] / point
            assert word.arrow_patch is not None  # made so below
            word.arrow_patch.set_visible(np.hypot(*move) > (box[3] - box[1]) / 2)


def _word(ax: Axes, text: str, at: tuple[float, float], kind: str) -> Annotation:
    """A word for `_Apart`, beside the point `at`."""
    offset, ha, va = BESIDE[kind]
    line = {"arrowstyle": "-", "linewidth": 0.4, "color": COLOURS[kind], "shrinkA": 0, "shrinkB": 0}
    return ax.annotate(
        text, at, offset, textcoords="offset points", fontsize=6, color=COLOURS[kind], ha=ha, va=va,
        arrowprops=line,
    )  # fmt: skip


def sweep(
    curves: Sequence[Mapping[str, Any]], floor: float | None = None, base: int = 2, ax: Axes | None = None
) -> Axes:
    """Axes with one curve a model and encoding: scores with intervals over a logarithmic x.

    Args:
        curves: "kind", "name" and "points", each with "x", "size" (told beside it where x is not the size), "value", "low" and
            "high". A curve of one point bears its name.
        floor: a score that is drawn dotted, such as a baseline's.
        base: of the logarithm; with 2 the x are sizes.
    """
    ax = axes(ax, 3.2, 2.8)
    figure = ax.get_figure(root=True)
    assert figure is not None  # axes that are drawn on always have one
    ax.axhline(0, color=INK, linewidth=0.5)
    if floor is not None:
        ax.axhline(floor, color=MUTED, linestyle=":", linewidth=1.1)
    words, bars = [], []
    for curve in curves:
        kind, points = curve["kind"], curve["points"]
        # intervals side by side
        aside = ScaledTranslation((2 if kind == "snn" else -2) / 72, 0, figure.dpi_scale_trans)
        style: dict[str, Any] = {"color": COLOURS[kind], "transform": ax.transData + aside}
        at = [point["x"] for point in points]
        ax.plot(
            at, [p["value"] for p in points], LINES[kind], marker=MARKERS[kind], markersize=4.5, linewidth=1.4, **style
        )
        for point in points:
            ax.plot([point["x"]] * 2, [point["low"], point["high"]], linewidth=0.9, **style)
            ax.update_datalim([(point["x"], point["low"]), (point["x"], point["high"])])
            told = [curve["name"]] * (len(points) == 1) + [str(point["size"])] * (base != 2)
            if told:
                words.append(_word(ax, " ".join(told), (point["x"], point["value"]), kind))
            bars.append([(point["x"], point["low"]), (point["x"], point["high"])])
    ax.add_artist(_Apart(words, bars))
    ax.set_xscale("log", base=base)
    if base == 2:
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.margins(x=0.2, y=0.1)
    ax.autoscale_view()
    if base != 2:
        _widen(ax)
    ax.grid(visible=True, axis="y", color=GRID)
    return ax


def subjects(
    names: Sequence[str],
    values: Mapping[str, npt.ArrayLike],
    name: str = "RMSE",
    ax: Axes | None = None,
) -> Axes:
    """Axes with one row a person and one marker a model; keys of `values` are "ann" or "snn", each [people].

    Up to `PEOPLE` rows bear their names; more share the height of these.
    """
    ax = axes(ax, 5, 0.6 + subjects_height(len(names)))
    table = {kind: np.asarray(v, float) for kind, v in values.items()}
    stack, rows, few = np.stack(list(table.values())), np.arange(len(names)), len(names) <= PEOPLE
    ax.hlines(rows, np.nanmin(stack, 0), np.nanmax(stack, 0), color=GRID, linewidth=2 if few else 1, zorder=0)
    for kind, column in table.items():
        ax.plot(
            column, rows, MARKERS[kind], color=COLOURS[kind], markersize=5 if few else 2.5, label=kind.upper(),
            markerfacecolor=PAPER if kind == "ann" else COLOURS[kind], markeredgewidth=None if few else 0.6,
        )  # fmt: skip
    if few:
        ax.set_yticks(rows, names, fontsize=7.5)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{len(names)} people, one row each")
    ax.set(xlabel=name, ylim=(len(names) - 0.4, -0.6))
    ax.grid(visible=True, axis="x")
    return ax


def subjects_height(people: int) -> float:
    """Inches that the rows of `subjects` take."""
    return 0.2 + 0.22 * min(people, PEOPLE)

"""The valence-arousal plane: emotion sectors, predictions against labels, trajectories of a clip."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from spikeva.evaluation import emotion
from spikeva.report.figures.style import COLOURS, GRID, INK, LINES, MARKERS, MUTED, PAPER, axes

Array = npt.NDArray[np.float64]


def sectors(anchors: str = "face-like", ax: Axes | None = None) -> Axes:
    """Axes of the plane with the sector of each emotion: the angles that `evaluation.emotion` reads as that emotion."""
    ax = axes(ax, 4.6, 4.6)
    points = emotion.ANCHORS[anchors].points
    angles = sorted((float(np.arctan2(a, v)) % (2 * np.pi), name) for name, (v, a) in points.items())
    turn = np.linspace(0, 2 * np.pi, 181)
    ax.plot(np.cos(turn), np.sin(turn), color=GRID, linewidth=1, zorder=0)
    for (angle, name), (following, _) in zip(angles, [*angles[1:], (angles[0][0] + 2 * np.pi, "")], strict=True):
        border = (angle + following) / 2
        ax.plot([0, np.cos(border)], [0, np.sin(border)], color=GRID, linewidth=1, zorder=0)
        side = "left" if np.cos(angle) > 0.2 else "right" if np.cos(angle) < -0.2 else "center"
        ax.annotate(
            name, (1.04 * np.cos(angle), 1.04 * np.sin(angle)), ha=side, va="center", color=MUTED, fontsize=8, zorder=0
        )
    ax.set(xlim=(-1.42, 1.42), ylim=(-1.12, 1.12), aspect="equal", xlabel="valence", ylabel="arousal")
    ax.set_xticks([-1, 0, 1])
    ax.set_yticks([-1, 0, 1])
    ax.spines[:].set_visible(False)
    ax.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    ax.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    return ax


def plane(label: Array, predicted: Array, kind: str = "snn", ax: Axes | None = None) -> Axes:
    """Axes with one line a clip from its label (hollow) to the prediction (filled); both [clips, 2], valence first."""
    ax = sectors(ax=ax)
    label, predicted = np.asarray(label, float), np.asarray(predicted, float)
    for true, guess in zip(label, predicted, strict=True):
        ax.plot(*np.stack([true, guess]).T, color=COLOURS[kind], linewidth=0.6, alpha=0.5, zorder=1)
    ax.plot(*label.T, "o", color=INK, markerfacecolor=PAPER, markersize=4, label="label", zorder=2)
    ax.plot(*predicted.T, MARKERS[kind], color=COLOURS[kind], markersize=3.6, label="prediction", zorder=3)
    return ax


def trajectories(label: Array | None, predictions: Mapping[str, Array], ax: Axes | None = None) -> Axes:
    """Axes with the way of one clip through the plane; `label` (if known) and predictions [frames, 2], keys "ann", "snn".

    The dot marks the first frame, the arrow the last.
    """
    ax = sectors(ax=ax)
    for kind, path in [*([] if label is None else [("label", label)]), *predictions.items()]:
        path = np.asarray(path, float)
        colour, style = COLOURS[kind], LINES.get(kind, "-")
        ax.plot(*path.T, style, color=colour, linewidth=2.2 if kind == "label" else 1.4, label=kind)
        ax.plot(*path[0], MARKERS.get(kind, "o"), color=colour, markersize=5)
        distant = np.flatnonzero(np.hypot(*(path - path[-1]).T) > 0.02)
        if len(distant):
            arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 11}
            ax.annotate("", path[-1], path[distant[-1]], arrowprops=arrow)
    return ax

"""The valence-arousal plane: emotion sectors, predictions against labels, trajectories of a clip."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from spikeva.errors import UserError
from spikeva.evaluation import emotion
from spikeva.report.figures.style import COLOURS, GRID, INK, LINES, MARKERS, MUTED, PAPER, axes

Array = npt.NDArray[np.float64]
CLIPS = 100  # whose marks do not yet hide each other


def sectors(
    anchors: str = "face-like", method: str = "angle", ax: Axes | None = None, none_radius: float = 0.0
) -> Axes:
    """Axes of the plane with the borders within which `evaluation.emotion.classify` reads a point as each emotion.

    method "angle" draws rays, "point" the lines halfway between the anchors, which are marked by crosses; within a circle of
    `none_radius` the point is "None". Raises UserError for another method.
    """
    ax = axes(ax, 4.6, 4.6)
    ax.set(xlim=(-1.42, 1.42), ylim=(-1.12, 1.12), aspect="equal", xlabel="valence", ylabel="arousal")
    ax.set_xticks([-1, 0, 1])
    ax.set_yticks([-1, 0, 1])
    ax.spines[:].set_visible(False)
    ax.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    ax.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    turn = np.linspace(0, 2 * np.pi, 181)
    for radius in [1.0, *([none_radius] if none_radius else [])]:
        ax.plot(radius * np.cos(turn), radius * np.sin(turn), color=GRID, linewidth=1, zorder=0)
    names, places = emotion.anchor_points(anchors)
    if method == "angle":
        _rays(names, places, ax)
    elif method == "point":
        _halfway(names, places, ax)
    else:
        raise UserError(f"method must be 'angle' or 'point', not {method!r}")
    return ax


def _rays(names: Sequence[str], places: Array, ax: Axes) -> None:
    angles = sorted(zip(np.arctan2(places[:, 1], places[:, 0]) % (2 * np.pi), names, strict=True))
    for (angle, name), (following, _) in zip(angles, [*angles[1:], (angles[0][0] + 2 * np.pi, "")], strict=True):
        border = (angle + following) / 2
        ax.plot([0, np.cos(border)], [0, np.sin(border)], color=GRID, linewidth=1, zorder=0)
        side = "left" if np.cos(angle) > 0.2 else "right" if np.cos(angle) < -0.2 else "center"
        ax.annotate(
            name, (1.04 * np.cos(angle), 1.04 * np.sin(angle)), ha=side, va="center", color=MUTED, fontsize=8, zorder=0
        )


def _halfway(names: Sequence[str], places: Array, ax: Axes) -> None:
    x, y = np.meshgrid(np.linspace(-1.1, 1.1, 111), np.linspace(-1.1, 1.1, 111))
    far = np.hypot(x[..., None] - places[:, 0], y[..., None] - places[:, 1]) ** 2
    for i, (name, place) in enumerate(zip(names, places, strict=True)):
        others = np.delete(places, i, 0)
        ax.contour(x, y, far[..., i] - np.delete(far, i, -1).min(-1), [0], colors=GRID, linewidths=1, zorder=0)
        ax.plot(*place, "+", color=MUTED, markersize=5, zorder=0)
        right = place[0] >= others[np.hypot(*(others - place).T).argmin()][0]  # away from the nearest other
        ax.annotate(
            name, place, (4 if right else -4, 0), textcoords="offset points", ha="left" if right else "right",
            va="center", color=MUTED, fontsize=8, zorder=0,
        )  # fmt: skip


def plane(
    label: Array,
    predicted: Array,
    kind: str = "snn",
    anchors: str = "face-like",
    method: str = "angle",
    ax: Axes | None = None,
    none_radius: float = 0.0,
) -> Axes:
    """Axes with one line a clip from its label (hollow) to the prediction (filled); both [clips, 2], valence first.

    Of more than `CLIPS` all is drawn the finer. `anchors`, `method` and `none_radius` as for `sectors`.
    """
    ax = sectors(anchors, method, ax, none_radius)
    label, predicted = np.asarray(label, float), np.asarray(predicted, float)
    fine, colour = min(1.0, (CLIPS / max(1, len(label))) ** 0.5), COLOURS[kind]
    for true, guess in zip(label, predicted, strict=True):
        ax.plot(*np.stack([true, guess]).T, color=colour, linewidth=0.6 * fine, alpha=0.5, zorder=1)
    ax.plot(
        *label.T, "o", color=INK, markerfacecolor=PAPER, markersize=4 * fine, markeredgewidth=fine, label="label",
        zorder=2,
    )  # fmt: skip
    ax.plot(*predicted.T, MARKERS[kind], color=colour, markersize=3.6 * fine, label="prediction", zorder=3)
    return ax


def trajectories(
    label: Array | None,
    predictions: Mapping[str, Array],
    anchors: str = "face-like",
    method: str = "angle",
    ax: Axes | None = None,
    none_radius: float = 0.0,
) -> Axes:
    """Axes with the way of one clip through the plane; `label` (if known) and predictions [frames, 2], keys "ann", "snn".

    The dot marks the first frame, the arrow the last. `anchors`, `method` and `none_radius` as for `sectors`.
    """
    ax = sectors(anchors, method, ax, none_radius)
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

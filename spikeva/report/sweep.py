"""The part of the page for a sweep: CCC against the bits of a window, against operations and against energy."""

from collections.abc import Callable, Sequence
from typing import Any

from spikeva.report import figures as draw
from spikeva.report.data import AXES, Row
from spikeva.report.figures import style
from spikeva.report.sections import Figures, Section, data_word

FEWEST = 2  # sizes of one encoding that make a sweep
OTHERS = "others"


def sweep(rows: Sequence[Row], figures: Figures) -> list[Section]:
    """Three figures of a study that has an encoding in several sizes; else nothing.

    Rows of figures are valence and arousal, columns the encodings that come in several sizes, and one for all others.
    """
    sized = [
        (row, (row.encoding.partition("(")[0], int(size)))
        for row in rows
        if row.kind != "baseline" and (size := row.mean("time_steps")) is not None
    ]
    sizes: dict[str, set[int]] = {}
    for _, (name, size) in sized:
        sizes.setdefault(name, set()).add(size)
    swept = [name for name, found in sizes.items() if len(found) >= FEWEST]
    if not swept:
        return []
    columns = swept + [OTHERS] * (len(swept) < len(sizes))
    trivial = [row for row in rows if row.kind == "baseline" and row.ccc]

    def figure(x: Callable[[Row, int], float | None], label: str, base: int) -> Any:
        drawn, axes = style.panels(len(columns), 1.1 + 2.2 * len(columns), 5.6, rows=2, sharex=True, sharey="row")
        for place, ax in enumerate(axes):
            axis, column = AXES[place // len(columns)], columns[place % len(columns)]
            own = [(row, n, size) for row, (n, size) in sized if (n if n in swept else OTHERS) == column]
            floor = max((row.ccc[axis].value for row in trivial), default=None)
            draw.sweep(_curves(own, axis, x), floor, base, ax)
            if place < len(columns):
                ax.set_title(column + data_word(rows[0]) if place == 0 else column)
            if place % len(columns) == 0:
                ax.set_ylabel(f"CCC {axis}")
        drawn.supxlabel(label, fontsize=9)
        return drawn

    captions = {
        "bits": "CCC against the number of time steps in a window: bits of a TBR value, bit planes, or steps of "
        "spikes. Windows are equally long if the config says so.",
        "operations": "CCC against the operations of one prediction, multiply-accumulates and accumulates together, counted on "
        "the study's own samples. Small numbers: time steps.",
        "energy": "CCC against the energy of one prediction under the 45 nm model (memory not counted). Small numbers: time steps.",
    }
    shared = " Bars: 95 % intervals over people; dotted: the best baseline that sees no face."
    plots = {
        "bits": figure(lambda _, size: float(size), "time steps in a window (bits, steps)", 2),
        "operations": figure(lambda row, _: _operations(row), "operations of one prediction (MACs + ACs)", 10),
        "energy": figure(
            lambda row, _: row.mean("cost", "energy_pj"), "energy of one prediction (pJ, 45 nm model)", 10
        ),
    }
    return [figures.add(f"sweep-{n}", one, captions[n] + shared, wide=True) for n, one in plots.items()]


def _operations(row: Row) -> float | None:
    parts = row.mean("cost", "macs"), row.mean("cost", "acs")
    return None if parts[0] is None or parts[1] is None else parts[0] + parts[1]


def _curves(
    own: Sequence[tuple[Row, str, int]], axis: str, x: Callable[[Row, int], float | None]
) -> list[dict[str, Any]]:
    """One curve a model and encoding: its points by size."""
    curves: dict[tuple[str, str], dict[str, Any]] = {}
    for row, name, size in sorted(own, key=lambda entry: entry[2]):
        if not (at := x(row, size)):
            continue
        score = row.ccc[axis]
        low, high = score.interval or (score.value, score.value)
        curve = curves.setdefault((row.model, name), {"kind": row.kind, "name": name, "points": []})
        curve["points"].append({"x": at, "size": size, "value": score.value, "low": low, "high": high})
    return list(curves.values())

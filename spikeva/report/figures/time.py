"""What happens over time: labels and predictions along a clip, spikes of a layer, rates per layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from spikeva.report.figures.style import COLOURS, INK, LINES, axes


def time_course(
    t_us: npt.ArrayLike,
    label: npt.ArrayLike,
    predictions: Mapping[str, npt.ArrayLike],
    name: str = "valence",
    ax: Axes | None = None,
) -> Axes:
    """Axes with one dimension's label and predictions along a clip; `ax.legend()` names them.

    The keys "ann" and "snn" of `predictions` have the report's colours, other keys have matplotlib's.
    """
    ax = axes(ax, 7, 2.2)
    seconds = np.asarray(t_us) / 1e6
    ax.axhline(0, color=INK, linewidth=0.5)
    ax.plot(seconds, label, color=COLOURS["label"], linewidth=2.4, label="label")
    for kind, values in predictions.items():
        known = kind in LINES
        ax.plot(seconds, values, LINES.get(kind, "-"), color=COLOURS.get(kind), label=kind.upper() if known else kind)
    ax.set(xlabel="time in the clip (s)", ylabel=name, ylim=(-1, 1))
    ax.set_xlim(float(seconds[0]), float(seconds[-1]) if len(seconds) > 1 else float(seconds[0]) + 1)
    ax.grid(visible=True, axis="y")
    return ax


def raster(spikes: npt.NDArray[Any], name: str = "", ax: Axes | None = None) -> Axes:
    """Axes with a dot for each spike of `spikes` [steps, neurons] (bool)."""
    ax = axes(ax, 6, 2.2)
    step, neuron = np.nonzero(spikes)
    ax.plot(step, neuron, "|", color=COLOURS["snn"], markersize=2.4, markeredgewidth=0.8)
    ax.set(xlabel="time step", ylabel=f"{spikes.shape[1]} neurons", xlim=(-0.5, len(spikes) - 0.5), title=name)
    ax.set_ylim(-0.5, spikes.shape[1] - 0.5)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def layer_rates(layers: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Axes with a bar a spiking layer: the share of neurons that spike in a time step ("name", "spike_rate")."""
    spiking = [layer for layer in layers if layer.get("spike_rate") is not None]
    ax = axes(ax, 5, 0.6 + 0.28 * len(spiking))
    rates = [100 * float(layer["spike_rate"]) for layer in spiking]
    bars = ax.barh(range(len(spiking)), rates, color=COLOURS["snn"], height=0.62)
    ax.bar_label(bars, fmt="%.1f %%", padding=3, fontsize=8)
    ax.set_yticks(range(len(spiking)), [str(layer["name"]) for layer in spiking])
    ax.set(xlabel="neurons that spike in a time step (%)", xlim=(0, 1.15 * max([*rates, 1])))
    ax.invert_yaxis()
    return ax

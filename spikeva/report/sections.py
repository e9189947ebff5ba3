"""The parts of the page that belong to one run: which figures, of what, under which words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spikeva.evaluation import metrics
from spikeva.report import figures as draw
from spikeva.report.data import AXES, Predictions, Row, Run
from spikeva.report.figures import style
from spikeva.report.files import write_text

Section = dict[str, Any]


class Figures:
    """Takes finished figures: writes each as an SVG file, and hands it on for the page."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder, self._prefix = folder, prefix

    def add(self, name: str, figure: Figure, caption: str, wide: bool = True) -> dict[str, Any]:
        """What the template shows: inline SVG, caption, width."""
        from markupsafe import Markup

        document = style.svg(figure)
        write_text(self._folder / f"{self._prefix}{name}.svg", document)
        body = style.inline(document, f"{self._prefix}{name}", caption)
        pixels = round(115 * figure.get_figwidth())
        return {"name": name, "svg": Markup(body), "caption": caption, "wide": wide, "pixels": pixels}


def run_sections(run: Run, rows: Sequence[Row], best: Mapping[str, Row], figures: Figures) -> dict[str, list[Section]]:
    """Figures by section name; a section without data is an empty list."""
    predictions = {kind: p for kind, row in best.items() if (p := run.predictions(row)) is not None}
    gallery = run.gallery()
    models = [row for row in rows if row.kind != "baseline"]
    return {
        "strip": _strip(gallery, figures),
        "plane": _plane(best, predictions, figures),
        "trajectories": _trajectories(predictions, best, figures),
        "course": _course(predictions, best, figures) if not gallery else [],
        "forest": _forest(run, models, figures),
        "confusion": _confusion(best, figures),
        "cost": _cost(models, figures),
        "spikes": _spikes(best, gallery, figures),
        "encodings": _encodings(gallery, figures),
        "compression": _compression(gallery, figures),
        "people": _people(best, predictions, figures),
    }


def data_word(row: Row) -> str:
    """`(synthetic)` where that is so."""
    return " (synthetic)" if row.synthetic else ""


def _title(kind: str, row: Row) -> str:
    return f"{kind.upper()}: {row.name}{data_word(row)}"


def _strip(gallery: Mapping[str, Any], figures: Figures) -> list[Section]:
    examples = []
    for key, group in sorted(gallery.items()):
        if key.isdigit():
            busiest = (group["on"].astype(int) + group["off"]).sum((1, 2))
            at = int(np.argsort(busiest, kind="stable")[int(0.8 * (len(busiest) - 1))])
            word = "\nsynthetic" if str(group["domain"]).endswith("-like") else ""
            title = f"{group['subject']}{word}"
            examples.append(
                {"frame": group["frames"][at], "title": title} | {k: group[k][at] for k in ("on", "off", "tbr")}
            )
    if not examples:
        return []
    shape = examples[0]["frame"].shape
    examples = [e for e in examples if e["frame"].shape == shape][:8]
    figure, (ax,) = style.panels(1, 0.8 + 1.15 * len(examples), 0.4 + 3.5 * shape[0] / shape[1])
    draw.strip(examples, ax)
    caption = (
        "What the cameras and networks see: the face, the events of one window (bright: ON, dark: OFF), and the same "
        "window as a TBR picture (the newest events are brightest)."
    )
    return [figures.add("faces", figure, caption)]


def _plane(best: Mapping[str, Row], found: Mapping[str, Predictions], figures: Figures) -> list[Section]:
    if not found:
        return []
    figure, both = style.panels(len(found), 4.9 * len(found), 4.6)
    for ax, (kind, part) in zip(both, found.items(), strict=True):
        draw.plane(*part.clip_means(), kind, ax)
        ax.set_title(_title(kind, best[kind]), pad=14)
    caption = (
        "One line a clip, from the mean label (hollow circle) to the mean prediction (filled). Rays bound the directions "
        "that are read as each emotion. Short lines are good; lines that all point to the middle show a model that says little."
    )
    return [figures.add("plane", figure, caption)]


def _varied(part: Predictions, n: int) -> list[Predictions]:
    """The n clips whose labels travel farthest, of different people where there are enough."""
    clips = [part.clip_of(*name) for name in part.clips()]
    clips.sort(key=lambda c: -float(c.label.std(0).sum()))
    first: dict[str, Predictions] = {}
    for clip in clips:
        first.setdefault(str(clip.subject[0]), clip)
    return [*first.values(), *(c for c in clips if all(c is not f for f in first.values()))][:n]


def _same_clip(found: Mapping[str, Predictions], clip: Predictions) -> dict[str, Predictions]:
    name = str(clip.subject[0]), str(clip.clip[0])
    return {kind: c for kind, p in found.items() if len((c := p.clip_of(*name)).t_us)}


def _trajectories(found: Mapping[str, Predictions], best: Mapping[str, Row], figures: Figures) -> list[Section]:
    if not found:
        return []
    clips = _varied(next(iter(found.values())), 3)
    figure, all_axes = style.panels(len(clips), 3.9 * len(clips), 3.8)
    for ax, clip in zip(all_axes, clips, strict=True):
        draw.trajectories(clip.label, {k: c.predicted for k, c in _same_clip(found, clip).items()}, ax)
        word = data_word(next(iter(best.values())))
        ax.set_title(f"{clip.subject[0]}, {clip.clip[0]}{word}", pad=14, fontsize=9)
    caption = "The way of three clips through the plane: the label and both models. A marker shows the first frame, the arrow the last."
    return [figures.add("trajectories", figure, caption)]


def _course(found: Mapping[str, Predictions], best: Mapping[str, Row], figures: Figures) -> list[Section]:
    if not found:
        return []
    clip = _varied(next(iter(found.values())), 1)[0]
    figure, both = style.panels(1, 9.5, 3.3, rows=2, sharex=True)
    for i, (axis, ax) in enumerate(zip(AXES, both, strict=True)):
        guesses = {k: c.predicted[:, i] for k, c in _same_clip(found, clip).items()}
        draw.time_course(clip.t_us, clip.label[:, i], guesses, axis, ax)
    word = data_word(next(iter(best.values())))
    both[0].set(xlabel="", title=f"{clip.subject[0]}, {clip.clip[0]}{word}")
    return [
        figures.add("time-course", figure, "Label and predictions of both models along the clip that changes most.")
    ]


def _forest(run: Run, models: Sequence[Row], figures: Figures) -> list[Section]:
    if not run.comparisons:
        return []
    figure, (ax,) = style.panels(1, 9.5, 1.1 + 0.3 * len(run.comparisons))
    draw.forest(run.comparisons, ax)
    ax.set_title("Paired differences" + data_word(models[0]))
    caption = (
        "Differences between two models on the same people, with 95 % intervals over people. A diamond marks an interval that "
        "leaves out 0, a grey circle one that does not: there the study cannot tell the two apart."
    )
    return [figures.add("forest", figure, caption)]


def _confusion(best: Mapping[str, Row], figures: Figures) -> list[Section]:
    found = {kind: counts for kind, row in best.items() if (counts := row.confusion()) is not None}
    if not found:
        return []
    figure, both = style.panels(len(found), 4.9 * len(found), 4.4)
    for ax, (kind, (matrix, classes)) in zip(both, found.items(), strict=True):
        draw.confusion(matrix, classes, ax)
        to = str(best[kind].cells[0]["transfer"]["dataset"])
        word = " (synthetic)" if to.endswith("-like") else ""
        ax.set_title(f"{kind.upper()}: {best[kind].name}\n{to}{word}")
    caption = (
        "Zero-shot emotion on the second domain, read from the direction of the predicted point in the plane. Counts of "
        "recordings; the darker, the larger the share of the row. The diagonal is right."
    )
    return [figures.add("confusion", figure, caption)]


def _cost(models: Sequence[Row], figures: Figures) -> list[Section]:
    rows = [row for row in models if row.mean("cost", "energy_pj")]
    if not rows:
        return []
    figure, both = style.panels(2, 11.2, 3.7, sharey=True)
    for axis, ax in zip(AXES, both, strict=True):
        points = []
        for row in rows:
            score = row.ccc[axis]
            low, high = score.interval or (score.value, score.value)
            points.append(
                {"label": row.name, "kind": row.kind, "energy_pj": row.mean("cost", "energy_pj")}
                | {"value": score.value, "low": low, "high": high}
            )
        draw.cost(points, f"CCC {axis}", ax)
        ax.set_title(f"{axis}{data_word(rows[0])}")
    both[1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), handletextpad=0.6, markerscale=0.8, labelspacing=0.8)
    caption = (
        "Energy of one prediction under a model of 45 nm arithmetic (4.6 pJ a multiply-accumulate, 0.9 pJ an accumulate; memory "
        "not counted) against CCC with its 95 % interval. Up and left is better. Energy is never one number: see the table."
    )
    return [figures.add("cost", figure, caption)]


def _spikes(best: Mapping[str, Row], gallery: Mapping[str, Any], figures: Figures) -> list[Section]:
    out = []
    if (snn := best.get("snn")) is not None:
        layers = [c for c in (snn.cells[0].get("cost") or {}).get("layers") or [] if c.get("spike_rate") is not None]
        if layers:
            figure, (ax,) = style.panels(1, 6.4, 0.9 + 0.3 * len(layers))
            draw.layer_rates(layers, ax)
            ax.set_title(f"{snn.name}{data_word(snn)}")
            out.append(figures.add("rates", figure, "Spike rate of each layer of the spiking network.", wide=False))
    if raster := gallery.get("raster"):
        figure, all_axes = style.panels(1, 6.4, 1.5 * len(raster), rows=len(raster), sharex=True)
        for ax, (name, spikes) in zip(all_axes, raster.items(), strict=True):
            draw.raster(spikes, name, ax)
            ax.set_xlabel("")
        all_axes[-1].set_xlabel("time step")
        out.append(
            figures.add("raster", figure, "Spikes of some neurons of each layer for one sample (synthetic input).")
        )
    return out


def _encodings(gallery: Mapping[str, Any], figures: Figures) -> list[Section]:
    window = {key.partition("/")[2]: v for key, v in gallery.get("0", {}).items() if key.startswith("enc/")}
    if not window:
        return []
    _, height, width = next(iter(window.values())).shape
    columns = min(16, max(map(len, window.values())))
    figure, (ax,) = style.panels(1, 1.1 + 0.62 * columns, 0.2 + 0.64 * len(window) * height / width)
    draw.encodings(window, ax=ax)
    return [figures.add("encodings", figure, "The same window in every encoding: one picture a channel, oldest first.")]


def _compression(gallery: Mapping[str, Any], figures: Figures) -> list[Section]:
    found = gallery.get("compression")
    if not found:
        return []
    sides = [{k: found[f"{side}_{k}"] for k in ("frame", "on", "off")} for side in ("lossless", "compressed")]
    events = [int(side["on"].sum()) + int(side["off"].sum()) for side in sides]
    height, width = sides[0]["frame"].shape
    figure, (ax,) = style.panels(1, 6.2, 0.4 + 3.5 * height / width)
    draw.compression(sides[0], sides[1], ax)
    caption = (
        f"What video compression does to simulated events: the same clip from lossless frames ({events[0]:,} events in this "
        f"window, synthetic) and from strongly compressed ones ({events[1]:,}; {found['note']})."
    )
    return [figures.add("compression", figure, caption)]


def _people(best: Mapping[str, Row], found: Mapping[str, Predictions], figures: Figures) -> list[Section]:
    if len(found) < 2:
        return []
    shared = sorted(set.intersection(*({*p.subject.tolist()} for p in found.values())))
    error = {
        kind: {
            axis: np.array(
                [
                    metrics.regression(p.label[who, i], p.predicted[who, i])["rmse"]
                    for n in shared
                    for who in [p.subject == n]
                ]
            )
            for i, axis in enumerate(AXES)
        }
        for kind, p in found.items()
    }
    figure, both = style.panels(2, 10.4, 1.0 + 0.21 * len(shared), sharey=True)
    order = np.argsort(error["snn"]["valence"] - error["ann"]["valence"], kind="stable")
    for axis, ax in zip(AXES, both, strict=True):
        draw.subjects([shared[i] for i in order], {k: e[axis][order] for k, e in error.items()}, f"RMSE {axis}", ax)
        ax.set_title(f"{axis}{data_word(best['snn'])}")
    caption = (
        "Error for each person (RMSE, left is better): filled circle SNN, hollow square ANN. Sorted by how much the SNN gains "
        "on the ANN in valence."
    )
    return [figures.add("people", figure, caption)]

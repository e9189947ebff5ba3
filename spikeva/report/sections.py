"""The parts of the page that belong to one run: which figures, of what, under which words."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spikeva._atomic import write_bytes
from spikeva.evaluation import metrics
from spikeva.report import figures as draw
from spikeva.report.data import AXES, Predictions, Row, Run, is_synthetic
from spikeva.report.figures import style
from spikeva.report.figures.pictures import CHANNELS
from spikeva.report.figures.scores import forest_names, subjects_height

Section = dict[str, Any]
FOREST = 24  # comparisons that are drawn
LONGEST = 40  # letters of a figure's name in that of its file
LETTERS = 46  # in a line above a figure of half the page's width
# How a point is read where a study does not say.
READING = {"anchors": "face-like", "method": "angle", "none_radius": 0.0}


class Figures:
    """Takes finished figures: writes each as an SVG file, and hands it on for the page."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder, self._prefix = folder, prefix
        self._places: set[str] = set()

    def add(self, name: str, figure: Figure | Mapping[str, Figure], caption: str, wide: bool = False) -> dict[str, Any]:
        """What the template shows: inline SVG, caption, width. Figures by name stand side by side where there is room.

        Names may be a dataset's, as its clips give it: files and ids have what is safe of them.

        `wide`: on a small screen the figure is scrolled rather than shrunk.
        """
        from markupsafe import Markup

        panels = {f"-{key}": one for key, one in figure.items()} if isinstance(figure, Mapping) else {"": figure}
        shown = []
        for key, one in panels.items():
            document = style.svg(one)
            place = self._free(self._prefix + name + re.sub(r"[^\w.-]", "-", key)[:LONGEST])
            write_bytes(self._folder / f"{place}.svg", document.encode())
            body = style.inline(document, place, f"{caption} {key[1:]}".strip())
            shown.append({"svg": Markup(body), "pixels": round(115 * one.get_figwidth())})
        return {"panels": shown, "caption": caption, "wide": wide}

    def _free(self, place: str) -> str:
        """`place`, numbered where another figure has it: names may differ in what is not safe of them."""
        numbered = (f"{place}-{n}" for n in count(2))
        free = next(one for one in chain([place], numbered) if one not in self._places)
        self._places.add(free)
        return free


def run_sections(run: Run, rows: Sequence[Row], best: Mapping[str, Row], figures: Figures) -> dict[str, list[Section]]:
    """Figures by section name; a section without data is an empty list."""
    predictions = {kind: p for kind, row in best.items() if (p := run.predictions(row)) is not None}
    gallery, examples = run.gallery(), run.examples()
    models = [row for row in rows if row.kind != "baseline"]
    return {
        "strip": _strip(examples, figures),
        "plane": _plane(best, predictions, _reading(run), figures),
        "trajectories": _trajectories(predictions, best, _reading(run), figures),
        "course": _course(predictions, best, figures) if not examples else [],
        "forest": _forest(run, models, figures),
        "confusion": _confusion(best, figures),
        "cost": _cost(models, figures),
        "spikes": _spikes(best, gallery, figures),
        "encodings": _encodings(gallery, figures),
        "compression": _compression(gallery, figures),
        "people": _people(run, best, figures),
    }


def data_word(row: Row) -> str:
    """`(synthetic)` where that is so."""
    return " (synthetic)" if row.synthetic else ""


def first_seed(best: Mapping[str, Row]) -> str:
    """A sentence for a figure of the first seed alone, where there are several."""
    return " Of several seeds, the first." if any(row.several_seeds for row in best.values()) else ""


def of_models(found: Mapping[str, Any]) -> str:
    """Whose predictions a figure shows, of one family or of two."""
    return "both models" if len(found) > 1 else "the model"


def _title(kind: str, row: Row) -> str:
    return fill(f"{kind.upper()}: {row.name}{data_word(row)}", LETTERS)


def _strip(clips: Sequence[Mapping[str, Any]], figures: Figures) -> list[Section]:
    domains: dict[str, list[dict[str, Any]]] = {}
    word: dict[str, str] = {}
    for group in clips:
        events = (group["on"].astype(int) + group["off"]).sum((1, 2))
        at = int(np.argsort(events, kind="stable")[int(0.8 * (len(events) - 1))])  # a lively window, not the liveliest
        title = str(group.get("emotion", "")) or str(group["subject"])
        example = {"title": title} | {k: group[k][at] for k in ("on", "off", "tbr")}
        if "frames" in group:
            example["frame"] = group["frames"][at]
        domains.setdefault(domain := str(group["domain"]), []).append(example)
        word[domain] = " (synthetic)" if is_synthetic(group) else ""
    figure = {}
    for domain, examples in domains.items():
        height, width = examples[0]["on"].shape
        examples = [e for e in examples if e["on"].shape == (height, width) and e.keys() == examples[0].keys()][:4]
        rows = 3 if "frame" in examples[0] else 2
        figure[domain], (ax,) = style.panels(1, 0.8 + len(examples), 0.6 + (rows + 0.05) * height / width)
        draw.strip(examples, ax)
        figure[domain].suptitle(f"{domain}{word[domain]}", fontsize=10)
    face = "the face, " if any("frames" in group for group in clips) else ""
    caption = (
        f"What the cameras and networks see: {face}the events of one window (bright: ON, dark: OFF), and the same "
        "window as a TBR picture (the newest events are brightest)."
    )
    return [figures.add("faces", figure, caption)] if figure else []


def _reading(run: Run) -> dict[str, Any]:
    """How the study reads an emotion from a point: `anchors`, `method` and `none_radius`."""
    settings = run.config.get("evaluation") or {}
    return {key: settings.get(key, own) for key, own in READING.items()}


def _plane(
    best: Mapping[str, Row], found: Mapping[str, Predictions], reading: Mapping[str, Any], figures: Figures
) -> list[Section]:
    if not found:
        return []
    figure = {}
    for kind, part in found.items():
        figure[kind], (ax,) = style.panels(1, 4.8, 4.0)
        draw.plane(*part.clip_means(), kind, **reading, ax=ax)
        ax.set_title(_title(kind, best[kind]), pad=14)
    borders = (
        "Rays bound the directions that are read as each emotion"
        if reading["method"] == "angle"
        else "Thin borders enclose the points that are read as each emotion, those nearest to its anchor, a cross"
    )
    none = " Within the small circle, None is read." if reading["none_radius"] else ""
    caption = (
        "One line a clip, from the mean label (hollow circle) to the mean prediction (filled). "
        f"{borders} (anchors: {reading['anchors']}).{none} Short lines are good. If all lines point to the middle, the model says little."
        f"{first_seed(best)}"
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


def _trajectories(
    found: Mapping[str, Predictions], best: Mapping[str, Row], reading: Mapping[str, Any], figures: Figures
) -> list[Section]:
    if not found:
        return []
    clips = _varied(next(iter(found.values())), 3)
    figure = {}
    for number, clip in enumerate(clips, 1):
        figure[str(number)], (ax,) = style.panels(1, 4.0, 3.4)
        ways = {kind: c.predicted for kind, c in _same_clip(found, clip).items()}
        draw.trajectories(clip.label, ways, **reading, ax=ax)
        word = data_word(next(iter(best.values())))
        ax.set_title(f"{clip.subject[0]}, {clip.clip[0]}{word}", pad=14, fontsize=9)
    which = "one clip" if len(clips) == 1 else f"{len(clips)} clips"
    caption = (
        f"The path of {which} through the plane: the label and {of_models(found)}. A marker shows the first frame, the arrow the last."
        f"{first_seed(best)}"
    )
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
    caption = f"Label and predictions of {of_models(found)} along the clip that changes most.{first_seed(best)}"
    return [figures.add("time-course", figure, caption, wide=True)]


def _forest(run: Run, models: Sequence[Row], figures: Figures) -> list[Section]:
    if not run.comparisons:
        return []
    kinds = {row.name: row.kind for row in models}
    shown = sorted(run.comparisons, key=lambda c: kinds.get(c["a"]) == kinds.get(c["b"]))[:FOREST]  # SNN to ANN first
    lines = 1 + forest_names(shown)[0].count("\n")
    figure, (ax,) = style.panels(1, 9.5, 1.2 + (0.14 + 0.16 * lines) * len(shown))
    draw.forest(shown, ax)
    ax.set_title("Paired differences" + data_word(models[0]))
    caption = (
        "Differences between two models on the same people, with 95 % intervals over people. A diamond marks an interval without "
        "0, a grey circle one that includes 0: there the study cannot tell the two apart. The intervals are not corrected for "
        "how many there are; p (Holm) is."
    )
    if len(shown) < len(run.comparisons):
        caption += f" The first {len(shown)} of {len(run.comparisons)}, SNN against ANN before others; all are in the table below."
    return [figures.add("forest", figure, caption, wide=True)]


def _confusion(best: Mapping[str, Row], figures: Figures) -> list[Section]:
    found = {kind: counts for kind, row in best.items() if (counts := row.confusion()) is not None}
    if not found:
        return []
    figure = {}
    for kind, (matrix, classes) in found.items():
        figure[kind], (ax,) = style.panels(1, 4.6, 4.3)
        draw.confusion(matrix, classes, ax)
        to = best[kind].cells[0]["transfer"]
        word = " (synthetic)" if is_synthetic(to) else ""
        ax.set_title(f"{fill(f'{kind.upper()}: {best[kind].name}', LETTERS)}\n{to['dataset']}{word}")
    several = len(next(iter(best.values())).cells)
    together = f", summed over the {several} cells (folds and seeds)" if several > 1 else ""
    caption = (
        "Zero-shot emotion on the second domain, read from the predicted point in the plane. Counts of "
        f"recordings{together}; the darker, the larger the share of the row. The diagonal holds the correct ones."
    )
    return [figures.add("confusion", figure, caption)]


def _cost(models: Sequence[Row], figures: Figures) -> list[Section]:
    rows = [row for row in models if row.mean("cost", "energy_pj")]
    if not rows:
        return []
    figure = {}
    columns = 2 if max(len(row.name) for row in rows) <= 36 else 1  # of the legend, in letters that half of it holds
    for axis in AXES:
        figure[axis], (ax,) = style.panels(1, 4.8, 3.5 + 0.2 * -(-len(rows) // columns))
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
        figure[axis].legend(loc="outside lower left", ncols=columns, fontsize=7.5, markerscale=0.8, handletextpad=0.3)
    caption = (
        "Energy of one prediction under a model of 45 nm arithmetic (4.6 pJ a multiply-accumulate, 0.9 pJ an accumulate; memory "
        "not counted) against CCC with its 95 % interval. Up and left is better. Up to four points of nearly the same energy are drawn side by side. "
        "Energy depends on the model: see the table and the page on cost in the documentation."
    )
    return [figures.add("cost", figure, caption)]


def _spikes(best: Mapping[str, Row], gallery: Mapping[str, Any], figures: Figures) -> list[Section]:
    out = []
    if (snn := best.get("snn")) is not None:
        layers = [c for c in snn.values("cost", "layers")[0] or [] if c.get("spike_rate") is not None]
        if layers:
            figure, (ax,) = style.panels(1, 6.4, 0.9 + 0.3 * len(layers))
            draw.layer_rates(layers, ax)
            ax.set_title(fill(f"{snn.name}{data_word(snn)}", LETTERS))
            several = f" Of its {len(snn.cells)} cells (folds and seeds), the first." if len(snn.cells) > 1 else ""
            out.append(figures.add("rates", figure, f"Spike rate of each layer of the spiking network.{several}"))
    if raster := gallery.get("raster"):
        figure, all_axes = style.panels(1, 6.4, 0.5 + 1.0 * len(raster), rows=len(raster), sharex=True)
        for ax, (name, spikes) in zip(all_axes, raster.items(), strict=True):
            draw.raster(spikes, name, ax)
            ax.set_xlabel("")
        all_axes[-1].set_xlabel("time step")
        word = " (synthetic input)" if snn is not None and snn.synthetic else ""
        out.append(figures.add("raster", figure, f"Spikes of some neurons of each layer for one sample{word}."))
    return out


def _encodings(gallery: Mapping[str, Any], figures: Figures) -> list[Section]:
    window = {key.partition("/")[2]: v for key, v in gallery.get("0", {}).items() if key.startswith("enc/")}
    if not window:
        return []
    _, height, width = next(iter(window.values())).shape
    columns = min(CHANNELS, max(map(len, window.values())))
    figure, (ax,) = style.panels(1, 1.1 + 0.62 * columns, 0.2 + 0.64 * len(window) * height / width)
    draw.encodings(window, ax=ax)
    return [
        figures.add(
            "encodings",
            figure,
            "The same window in every encoding: one picture a channel, oldest first, ON before OFF.",
        )
    ]


def _compression(gallery: Mapping[str, Any], figures: Figures) -> list[Section]:
    found = gallery.get("compression")
    if not found:
        return []
    sides = [{k: found[f"{side}_{k}"] for k in ("frame", "on", "off")} for side in ("lossless", "compressed")]
    counts = [np.stack([side["on"], side["off"]]).astype(np.int64) for side in sides]
    events = [int(count.sum()) for count in counts]
    more = counts[1] - counts[0]  # at each pixel, ON and OFF apart
    false, gone = int(np.maximum(more, 0).sum()), int(np.maximum(-more, 0).sum())
    height, width = sides[0]["frame"].shape
    figure, (ax,) = style.panels(1, 6.2, 0.4 + 3.5 * height / width)
    draw.compression(sides[0], sides[1], ax)
    caption = (
        f"What video compression does to simulated events: the same clip from lossless frames ({events[0]:,} events in this "
        f"window, synthetic) and from strongly compressed ones ({events[1]:,}; {found['note']}). {false:,} of these are false: beyond "
        f"what the same pixel fires, ON and OFF apart, without compression. {gone:,} events are missing."
    )
    return [figures.add("compression", figure, caption)]


def _people(run: Run, best: Mapping[str, Row], figures: Figures) -> list[Section]:
    found = {kind: seeds for kind, row in best.items() if (seeds := run.seeds(row.cells))}
    if not found:
        return []
    shared = sorted(set.intersection(*({*seeds[0].subject.tolist()} for seeds in found.values())))
    error = {
        kind: {
            axis: np.array([np.mean([_rmse(p, name, i) for p in seeds]) for name in shared])
            for i, axis in enumerate(AXES)
        }
        for kind, seeds in found.items()
    }
    both = len(error) == 2
    first = next(iter(error.values()))["valence"]
    order = np.argsort(error["snn"]["valence"] - error["ann"]["valence"] if both else first, kind="stable")
    figure = {}
    for axis in AXES:
        figure[axis], (ax,) = style.panels(1, 4.8, 0.8 + subjects_height(len(shared)))
        draw.subjects([shared[i] for i in order], {k: e[axis][order] for k, e in error.items()}, f"RMSE {axis}", ax)
        ax.set_title(f"{axis}{data_word(next(iter(best.values())))}")
    marks = {"snn": "filled circle SNN", "ann": "hollow square ANN"}
    caption = (
        f"Error for each person (RMSE{', mean over seeds' if max(map(len, found.values())) > 1 else ''}, left is better): "
        f"{', '.join(text for kind, text in marks.items() if kind in found)}. "
        f"Sorted by {'how much better the SNN is in valence' if both else 'the error in valence'}."
    )
    return [figures.add("people", figure, caption)]


def _rmse(part: Predictions, name: str, axis: int) -> float:
    who = part.subject == name
    return float(metrics.regression(part.label[who, axis], part.predicted[who, axis])["rmse"])

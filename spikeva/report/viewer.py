"""The clip viewer: face (where there is a video), events and TBR picture of a clip under one slider, the time course below."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spikeva.report.data import AXES, Predictions, Row, Run, is_synthetic
from spikeva.report.figures import polarity, tbr, time_course
from spikeva.report.figures.style import panels
from spikeva.report.sections import Figures, first_seed, of_models

FRAMES = 48  # of a clip, so that the page stays small
CLIPS = 3  # of each domain


def viewer(run: Run, best: Mapping[str, Row], figures: Figures) -> dict[str, Any] | None:
    """The clips of the run's gallery for the page, None where there is no gallery."""
    found = {kind: run.predictions(row) for kind, row in best.items()}
    clips, courses, names = [], [], []
    for i, group in enumerate(_chosen(run.examples())):
        subject, clip = str(group["subject"]), str(group["clip"])
        predictions = {k: p.clip_of(subject, clip) for k, p in found.items() if p is not None}
        at = _predicted(group["t_us"], predictions)
        if not len(at):
            continue
        pick = at[np.unique(np.linspace(0, len(at) - 1, FRAMES).round().astype(int))]
        t_us = group["t_us"][pick]
        series = _series(predictions, t_us)
        course, span = _course(series, t_us, f"clip-{i + 1}", f"{subject}, {clip}", figures)
        strips = [
            _strip(group["frames"][pick], 80) if "frames" in group else None,
            _strip(polarity(group["on"][pick], group["off"][pick])),
            _strip(tbr(group["tbr"][pick])),
        ]
        values = [[who, np.round(v, 3).tolist()] for who, v in series.items()]
        aspect = f"{group['on'].shape[2]} / {group['on'].shape[1]}"
        clips.append({"aspect": aspect, "t_us": t_us.tolist(), "strips": strips, "values": values, "span": span})
        courses.append(course)
        shown = str(group.get("emotion", ""))
        synthetic = ", synthetic" if is_synthetic(group) else ""
        names.append(f"{subject}, {clip}{': ' + shown if shown else ''} ({group['domain']}{synthetic})")
    if not clips:
        return None
    text = json.dumps(clips, separators=(",", ":")).replace("<", "\\u003c")
    return {"names": names, "courses": courses, "json": text, "note": first_seed(best)}


def _chosen(examples: list[dict[str, npt.NDArray[Any]]]) -> list[dict[str, npt.NDArray[Any]]]:
    """The first clips of each domain."""
    count: dict[str, int] = {}
    out = []
    for group in examples:
        domain = str(group["domain"])
        count[domain] = count.get(domain, 0) + 1
        if count[domain] <= CLIPS:
            out.append(group)
    return out


def _predicted(t_us: npt.NDArray[Any], predictions: Mapping[str, Predictions]) -> npt.NDArray[np.intp]:
    """Which frames all models predict that know the clip: none before they have seen enough of it. Of a clip that none knows, all."""
    known = [np.isin(t_us, part.t_us) for part in predictions.values() if len(part.t_us)]
    return np.flatnonzero(np.all(known, axis=0)) if known else np.arange(len(t_us))


def _series(predictions: Mapping[str, Predictions], t_us: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
    """ "label", "ann" and "snn" [frames, 2] at the times, which the predictions have; empty where the clip has none."""
    out: dict[str, npt.NDArray[np.float64]] = {}
    for kind, part in predictions.items():
        if len(part.t_us):
            at = np.searchsorted(part.t_us, t_us)
            out.setdefault("label", part.label[at])
            out[kind] = part.predicted[at]
    return out


def _course(
    series: Mapping[str, npt.NDArray[np.float64]], t_us: npt.NDArray[Any], name: str, title: str, figures: Figures
) -> tuple[dict[str, Any] | None, list[float]]:
    """The time course as a figure of the page, and where its axes begin and end (shares of the width)."""
    if not series:
        return None, [0, 1]
    predicted = {kind: values for kind, values in series.items() if kind != "label"}
    figure, both = panels(1, 9.5, 3.3, rows=2, sharex=True)
    for i, (axis, ax) in enumerate(zip(AXES, both, strict=True)):
        time_course(t_us, series["label"][:, i], {kind: v[:, i] for kind, v in predicted.items()}, axis, ax)
    both[0].set_xlabel("")
    caption = f"Time course of {title}: label and predictions of {of_models(predicted)}."
    shown = figures.add(name, figure, caption, wide=True)
    place = both[0].get_position()
    return shown, [round(float(place.x0), 4), round(float(place.x1), 4)]


def _strip(pictures: npt.NDArray[Any], quality: int = 101) -> str:
    """Pictures [n, H, W] side by side as one WebP data address; 101 is lossless."""
    import cv2

    sheet = np.concatenate(list(pictures), axis=1)
    if sheet.shape[1] > 16_000:  # WebP ends at 16383 pixels
        shrink = 16_000 // len(pictures) / pictures.shape[2]
        size = 16_000 // len(pictures), max(1, round(pictures.shape[1] * shrink))
        sheet = np.concatenate([cv2.resize(p, size, interpolation=cv2.INTER_NEAREST) for p in pictures], axis=1)
    done, data = cv2.imencode(".webp", sheet, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not write a WebP picture")
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()

"""Example clips for the report: the video, the events and the TBR picture at each label's time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._atomic import remove_parts, whole_file
from spikeva.datasets import ClipSet
from spikeva.datasets.clips import Clip
from spikeva.encode import encode, span_us, spec
from spikeva.encode.base import name_and_options
from spikeva.events import EventClip
from spikeva.simulate import DVSPixel
from spikeva.study import panels
from spikeva.study.comparisons import AXES
from spikeva.study.config import Study

MADE_FROM = "made_from"
GALLERY_VERSION = 4  # goes up when the same cells give other pictures
COUNT = 6  # clips of each set that are shown


def gallery_made_from(path: Path) -> str | None:
    """What the gallery at `path` says it was made from; None where there is none that says so, or it is damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return str(arrays[MADE_FROM])
    except Exception:  # a damaged archive fails in whatever layer meets the damage first
        return None


def write_gallery(
    path: Path, study: Study, *sets: ClipSet, raster: panels.Arrays | None = None, made_from: str = ""
) -> None:
    """`<i>/{on, off, tbr, t_us, subject, clip, domain, emotion, synthetic}` of a few clips of each set, of different people.

    Also `<i>/{valence, arousal}` where a clip tells them, `<i>/frames` where it has a video, `0/enc/<encoding>`,
    `compression/...` of the first clip that has a video, `raster/<layer>` and `made_from` as given.
    """
    from spikeva.report import figures  # matplotlib

    arrays: dict[str, NDArray[np.generic]] = {f"raster/{layer}": spikes for layer, spikes in (raster or {}).items()}
    arrays[MADE_FROM] = np.array(made_from)
    chosen = [clip for clips in sets for clip in _spread(clips)]
    options = _tbr(study) | {"polarity": "merge"}
    span, full = span_us("tbr", **options), spec("tbr", **options)
    for i, one in enumerate(chosen):
        with EventClip(one.path) as clip:
            times = np.asarray(clip.labels["t_us"], np.int64)
            times = times[times >= span]
            events = clip.events()
            video = one.path.parent / str(clip.attributes.get("frames", ""))
            simulator = str(clip.attributes.get("simulator", "{}"))
            labels = {k: v for k, v in clip.labels.items() if k in AXES}
            keep = np.isin(clip.labels["t_us"], times)
        counts = encode(events, "counts", ends=times, dt=span)
        arrays |= {
            f"{i}/on": counts[:, 0, 0].astype(np.uint16),
            f"{i}/off": counts[:, 0, 1].astype(np.uint16),
            f"{i}/tbr": figures.tbr(encode(events, "tbr", ends=times, **options)[:, 0], full["bits"]),
            f"{i}/t_us": times,
            f"{i}/subject": np.array(one.subject),
            f"{i}/clip": np.array(one.clip),
            f"{i}/domain": np.array(one.domain),
            f"{i}/emotion": np.array(one.emotion or ""),
            f"{i}/synthetic": np.array(one.synthetic),
            **{f"{i}/{axis}": values[keep] for axis, values in labels.items()},
        }
        if not len(times):
            continue
        lively = int(times[np.argsort(counts.sum(axis=(1, 2, 3, 4)), kind="stable")[len(times) * 4 // 5]])
        if i == 0:
            window = panels.every_encoding(events, lively, full["bits"], full["dt"])
            arrays |= {f"{i}/enc/{name}": a for name, a in window.items()}
        if video.suffix == ".npz" and video.is_file():
            with np.load(video) as rendered:
                arrays[f"{i}/frames"] = rendered["frames"][panels.newest(rendered["times"], times)]
                if "compression/note" not in arrays:
                    pixel = DVSPixel(**json.loads(simulator))
                    sides = panels.compression(rendered["frames"], rendered["times"], lively, span, pixel)
                    arrays |= {f"compression/{name}": a for name, a in sides.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes a bool for every keyword
    remove_parts(path.parent, path.name)


def _tbr(study: Study) -> dict[str, Any]:
    """The parameters of the study's TBR, the finest of several; where it has none, of one with eight bits that sees the window of
    its first encoding."""
    encodings = [name_and_options(encoding) for encoding in study.grid.encodings]
    if found := [options for name, options in encodings if name == "tbr"]:
        return max(found, key=lambda options: spec("tbr", **options)["bits"])
    name, options = encodings[0]
    return {"bits": 8, "dt": max(span_us(name, **options) // 8, 1)}


def _spread(clips: ClipSet) -> list[Clip]:
    """One clip of each of a few people, with different emotions as far as there are."""
    chosen, seen = [], set()
    for subject in clips.subjects:
        own = list(clips.of([subject]))
        own.sort(key=lambda clip: clip.emotion in seen)  # stable: the first whose emotion is new
        seen.add(own[0].emotion)
        chosen.append(own[0])
        if len(chosen) == COUNT:
            break
    return chosen

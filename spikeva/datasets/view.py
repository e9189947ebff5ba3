"""Pictures of event files for people: an animation or a contact sheet, with labels and predictions below where there are."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from glob import escape
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spikeva._atomic import check_length, remove_parts, whole_file
from spikeva.errors import UserError
from spikeva.events import EventClip, EventFileError, EventReader, open_events
from spikeva.progress import counted, track

Picture = NDArray[np.uint8]  # [H, W, 3], RGB

PAPER, ON, OFF = (24, 26, 30), (240, 228, 66), (86, 180, 233)  # Okabe and Ito's yellow and sky blue on near black
TEXT, DIM = (225, 225, 225), (110, 114, 120)
LINES = {"valence": (0, 158, 115), "arousal": (213, 94, 0)}  # of the labels; predictions are dots in the text's colour
FULL = 3  # events of one pixel in one window that show in full colour
TOP, BOTTOM, ROW = 24, 72, 17  # of the labels' curves in the strip below, and the height of a line of text, in pixels
WIDTHS = (320, 960)  # pictures are enlarged to at least, or reduced to at most so many pixels in width
SHEET, CELL = (4, 3), 480  # windows on a contact sheet: columns, rows; their largest width in pixels
MOST = 2**16  # pictures of an animation: three quarters of an hour at 25 a second
FORMATS = (".gif", ".webp", ".mp4", ".png")


@dataclass(frozen=True)
class Labels:
    """What is written below a clip."""

    title: str
    times: NDArray[np.float64]  # s [L]
    curves: dict[str, NDArray[np.float32]]  # valence and arousal [L] where they are known


@dataclass(frozen=True)
class Predictor:
    """A trained model that `show` asks what it says along the recording.

    `at` gets equally spaced times (us) [n] and returns (valence, arousal) [n, 2] at each, from what lies before it; NaN
    where there is none.
    """

    legend: tuple[str, ...]  # which model it is, one text a line
    history_us: int  # a prediction needs so much of the recording before it
    at: Callable[[NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Predictions:
    """What is drawn over the labels."""

    legend: tuple[str, ...]
    times: NDArray[np.float64]  # s [n]
    values: NDArray[np.float64]  # [n, 2]
    span: tuple[float, float]  # s, first and last time of the view


@dataclass(frozen=True)
class View:
    """What `show` wrote."""

    pictures: int
    events: int  # in the time shown
    seconds: float
    cut: bool  # the recording goes on after it
    predictions: int = 0

    def __str__(self) -> str:
        text = f"{counted(self.pictures, 'picture')} of {self.seconds:.2f} s with {counted(self.events, 'event')}"
        text += f" and {counted(self.predictions, 'prediction')}" if self.predictions else ""
        return text + (" (the recording goes on: --start, --seconds)" if self.cut else "")


def show(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    start: float = 0.0,
    seconds: float = 10.0,
    fps: float = 25.0,
    speed: float = 1.0,
    size: tuple[int, int] | None = None,
    predictor: Predictor | None = None,
) -> View:
    """Writes `out` (.gif, .webp, .mp4: an animation; .png: 12 windows on a sheet) of an event file and returns what is on it.

    A picture shows the events of `speed / fps` seconds: ON yellow, OFF blue. A clip of the store has its labels below, and
    `predictor` adds what it says at the end of each picture's time, up to that picture.
    The file is read in blocks, from `start` s after its first event (after 0 in a clip of the store) and for `seconds` at
    most. Raises UserError or EventFileError.
    """
    path, out = Path(path), Path(out)
    check_name(out)
    for name, value in (("seconds", seconds), ("speed", speed)):
        if not 0 < value < math.inf:
            raise UserError(f"{name} must be above 0 and finite, got {value:g}")
    if not 0 <= start < math.inf:
        raise UserError(f"start must be 0 or more and finite, got {start:g}")
    if not 0.01 <= fps <= 50:  # a GIF holds a picture for eleven minutes at most
        raise UserError(
            f"fps must be at least 0.01 and at most 50 (viewers show no more), got {fps:g}; lower speed to see more"
        )
    reader, labels = open_events(path, size), _labels(path)
    window = max(1, round(1e6 * speed / fps))
    origin, last, events, cut = _scan(reader, None if labels is None else 0, start, seconds)
    if not events:
        raise UserError(f"{path}: no events in the {seconds:g} s from {start:g} s on, so there is nothing to see")
    count = max(1, -(-(last - origin) // window))  # the last one contains its end, as the last bin of a histogram
    predicted = None if predictor is None else _predict(predictor, origin, start, window, count)
    if out.suffix.lower() == ".png":
        widest = CELL
        wanted = np.unique(np.linspace(0, count - 1, SHEET[0] * SHEET[1]).round().astype(int))
    elif count > MOST:
        raise UserError(
            f"{out}: an animation holds at most {MOST:,} pictures, found {count:,} of {window / 1e6:g} s; "
            "show fewer seconds, or raise speed"
        )
    else:
        wanted, widest = np.arange(count), WIDTHS[1]
    elapsed = start + (wanted + 1) * window / 1e6
    counts = _windows(reader, origin, last, window, wanted)
    digits = 2 if window >= 10_000 else 4
    pictures = (
        _page(_picture(c, widest), float(t), f"{t:.{digits}f} s", labels, predicted)
        for c, t in zip(counts, elapsed, strict=True)
    )
    with whole_file(out) as part:
        if out.suffix.lower() == ".png":
            _save(part, "PNG", [_sheet(list(pictures))], fps, 1)
        else:
            _save(part, out.suffix[1:].upper(), track(pictures, "draw", len(wanted)), fps, len(wanted))
    remove_parts(out.parent, escape(out.name))
    return View(len(wanted), events, count * window / 1e6, cut, len(predicted.times) if predicted else 0)


def check_name(out: Path) -> None:
    """Raises UserError where no picture can be written to `out`, also where the package for videos is missing."""
    if out.suffix.lower() not in FORMATS:
        raise UserError(f"{out}: the name of a picture ends in {', '.join(FORMATS)}")
    if out.suffix.lower() == ".mp4" and find_spec("av") is None:
        raise UserError(f"{out}: video files need PyAV; install it with `pip install spikeva[video]`, or choose .gif")
    if not out.parent.is_dir():
        raise UserError(f"{out}: its folder does not exist; create it first")
    check_length(out)


def _predict(predictor: Predictor, origin: int, start: float, window: int, count: int) -> Predictions:
    """What the model says at the end of each of the view's `count` windows that has enough of the recording before it."""
    zero = origin - round(start * 1e6)
    ends = origin + window * np.arange(1, count + 1)
    due = ends[ends >= zero + predictor.history_us]
    values = predictor.at(due) if len(due) else np.empty((0, 2))
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        raise UserError(
            f"{predictor.legend[0]} needs {predictor.history_us / 1000:g} ms of a recording before its first prediction; "
            f"the time to show ends {(ends[-1] - zero) / 1000:g} ms after its start: show more --seconds, or a longer one"
        )
    span = (start, float(ends[-1] - zero) / 1e6)
    return Predictions(predictor.legend, (due[known] - zero) / 1e6, values[known], span)


def _scan(reader: EventReader, zero: int | None, start: float, seconds: float) -> tuple[int, int, int, bool]:
    """Time (us) at which the view starts, time of its last event, number of its events, whether there are later ones."""
    origin, last, count = zero, 0, 0
    for block in reader.blocks():
        if not len(block):
            continue
        origin = int(block.t[0]) if origin is None else origin
        begin = origin + round(start * 1e6)
        end = begin + round(seconds * 1e6)
        part = block.slice_time(begin, end)
        if len(part):
            last, count = int(part.t[-1]), count + len(part)
        if block.t[-1] >= end:
            return begin, last, count, True
    return (origin or 0) + round(start * 1e6), last, count, False


def _windows(
    reader: EventReader, origin: int, last: int, window: int, wanted: NDArray[np.int64]
) -> Iterator[NDArray[np.uint8]]:
    """Counts [2, H, W] (ON, OFF; at most 255) of the wanted windows, in order; the last one ends with the event at `last`."""
    width, height = reader.size
    counts = np.zeros(2 * height * width, np.int64)
    at = 0
    for block in reader.blocks():
        while at < len(wanted):
            begin = origin + int(wanted[at]) * window
            end = last + 1 if at == len(wanted) - 1 else begin + window
            part = block.slice_time(begin, end)
            if len(part):
                place = ((1 - part.p.astype(np.int64)) * height + part.y) * width + part.x
                counts += np.bincount(place, minlength=len(counts))
            if not len(block) or block.t[-1] < end:
                break  # the window may go on in the next block
            yield np.minimum(counts, 255).astype(np.uint8).reshape(2, height, width)
            counts[:] = 0
            at += 1
        else:
            return  # what comes later is not read
    for _ in wanted[at:]:
        yield np.minimum(counts, 255).astype(np.uint8).reshape(2, height, width)
        counts[:] = 0


def _picture(counts: NDArray[np.uint8], widest: int) -> Picture:
    """Event counts [2, H, W] in colour, enlarged or reduced."""
    shares = np.minimum(counts.astype(np.float32) / FULL, 1.0)
    colours = np.array([ON, OFF], np.float32) - np.array(PAPER, np.float32)
    image = np.array(PAPER, np.float32) + np.einsum("phw,pc->hwc", shares, colours)
    height, width = image.shape[:2]
    scale = max(1, -(-WIDTHS[0] // width)) if width < WIDTHS[0] else min(1.0, widest / width)
    how = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
    side = (round(width * scale), max(1, round(height * scale)))
    return np.asarray(np.clip(cv2.resize(image, side, interpolation=how), 0, 255), np.uint8)


def _page(events: Picture, elapsed: float, time: str, labels: Labels | None, predicted: Predictions | None) -> Picture:
    """A picture with its time below, of a clip its title and labels, and what a model has said up to now."""
    width = events.shape[1]
    curves = labels.curves if labels else {}
    names = list(LINES) if predicted else list(curves)
    lines = (1 if names else 0) + (1 + len(predicted.legend) if predicted else 0)
    bottom = BOTTOM + (24 if predicted else 0)
    strip = np.full((bottom + 7 + lines * ROW if names else 22, width, 3), PAPER, np.uint8)
    _write(strip, time, (6, 15), TEXT)
    _write(strip, labels.title if labels else "", (90, 15), DIM)
    first, last = (0.0, float(labels.times.max(initial=1e-6))) if labels else (0.0, 1e-6)
    if predicted:
        first, last = (first, max(last, predicted.span[1])) if curves else predicted.span
    for i, name in enumerate(names):
        # Two plots side by side where predictions come in, one for both where labels are alone.
        left, right = (6 + i * width // 2, (i + 1) * width // 2 - 6) if predicted else (6, width - 6)
        text = left if predicted else left + 140 * i

        def place(t: Any, v: Any, left: int = left, right: int = right) -> NDArray[np.int32]:
            across = (np.asarray(t, np.float64) - first) / (last - first)
            up = (np.clip(v, -1, 1) + 1) / 2
            points = np.stack([left + (right - left) * np.clip(across, 0, 1), bottom - (bottom - TOP) * up], axis=-1)
            return np.asarray(points.round(), np.int32)

        if predicted or i == 0:
            cv2.line(strip, (left, (TOP + bottom) // 2), (right, (TOP + bottom) // 2), DIM, 1)
        said = name
        if labels and name in curves:
            now = float(np.interp(elapsed, labels.times, curves[name]))
            said = f"{name} {now:+.2f}"
            cv2.polylines(strip, [place(labels.times, curves[name])], False, LINES[name], 1, cv2.LINE_AA)
            cv2.circle(strip, place(elapsed, now).tolist(), 3, LINES[name], -1, cv2.LINE_AA)
        _write(strip, said, (text, bottom + ROW), LINES[name])
        if predicted:
            past = int(np.searchsorted(predicted.times, elapsed + 1e-7, side="right"))  # 1e-7: rounding
            dots = place(predicted.times[:past], predicted.values[:past, i]).tolist()
            for j, dot in enumerate(dots):
                cv2.circle(strip, dot, 3 if j == past - 1 else 1, TEXT, -1, cv2.LINE_AA)
            value = f"{predicted.values[past - 1, i]:+.2f}" if past else "-"
            _write(strip, f"predicted {value}", (text, bottom + 2 * ROW), TEXT)
    for j, line in enumerate(predicted.legend if predicted else ()):
        _write(strip, f"dots: {line}" if j == 0 else line, (6, bottom + (3 + j) * ROW), DIM)
    return np.concatenate([events, strip])


def _write(image: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def _sheet(pictures: list[Picture]) -> Picture:
    """The pictures in rows, left to right."""
    columns = min(SHEET[0], len(pictures))
    blank = np.full_like(pictures[0], PAPER)
    padded = pictures + [blank] * (-len(pictures) % columns)
    rows = [np.concatenate(padded[i : i + columns], axis=1) for i in range(0, len(padded), columns)]
    return np.concatenate(rows)


def _save(path: Path, kind: str, pictures: Iterable[Picture], fps: float, count: int) -> None:
    if kind == "MP4":
        _film(path, pictures, fps)
        return
    from PIL import Image

    images = (Image.fromarray(p) for p in pictures)
    first = next(images)
    if kind == "PNG":
        first.save(path, format=kind)
        return
    options: dict[str, Any] = {"save_all": True, "append_images": images, "loop": 0}
    if kind == "WEBP":
        options |= {"duration": round(1000 / fps), "quality": 80, "method": 3}
    else:  # a GIF counts in hundredths of a second: some pictures stay one longer than others, so that the whole lasts as long as it should
        options["duration"] = (10 * np.diff(np.rint(np.arange(count + 1) * 100 / fps))).astype(int).tolist()
    first.save(path, format=kind, **options)


def _film(path: Path, pictures: Iterable[Picture], fps: float) -> None:
    """The pictures as H.264 in an MP4, as browsers and slides play it."""
    import av

    # Four pixels share their colour, so that width and height must be even.
    even = (np.pad(p, ((0, p.shape[0] % 2), (0, p.shape[1] % 2), (0, 0)), "edge") for p in pictures)
    first = next(even)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
        stream = film.add_stream("h264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "18"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in chain([first], even):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())


def _labels(path: Path) -> Labels | None:
    """The labels of a clip of the store; None for any other file."""
    if path.suffix.lower() not in {".h5", ".hdf5"}:
        return None
    try:
        with EventClip(path) as clip:
            stored, attributes = clip.labels, clip.attributes
    except EventFileError:
        return None  # another program's HDF5
    parts = [str(attributes[k]) for k in ("domain", "subject", "emotion") if attributes.get(k)]
    if attributes.get("synthetic"):
        parts.append("synthetic")
    times = np.asarray(stored.get("t_us", ()), np.float64) / 1e6
    curves = {name: stored[name] for name in LINES if name in stored and 0 < len(times) == len(stored[name])}
    return Labels(", ".join(parts), times, curves)

"""A clip: one person, one script, one scene, rendered with its exact labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.faces.identity import check_domain
from spikeva.faces.render import Pose, Renderer
from spikeva.faces.rig import Rig, cached_rig
from spikeva.faces.scenes import draw_scene
from spikeva.faces.script import EMOTIONS, Moments, Script
from spikeva.registry import unknown

Array = NDArray[np.float64]
Float = NDArray[np.float32]

MOST = 10**6  # frames or labels a clip: more would not fit into the memory of any machine, or never end

# Parameters of spikeva.simulate.DVSPixel for each domain's camera: nefer-like has another sensor under a lamp (chosen
# here).
PIXELS: dict[str, dict[str, float]] = {
    "afew-va-like": {},
    "nefer-like": {
        "pos_thres": 0.25,
        "neg_thres": 0.25,
        "sigma_thres": 0.05 * 0.25,
        "cutoff_hz": 200.0,
        "leak_rate_hz": 0.1,
        "leak_jitter_fraction": 0.1,
        "noise_rate_cov_decades": 0.6,  # its tail are the hot pixels
        "shot_noise_rate_hz": 0.5,
        "refractory_period_s": 0.0005,
    },
}
# How hard the task is: what is not expression, and how variously an emotion is shown.
PRESETS: dict[str, dict[str, float]] = {
    "easy": {"nuisance": 0.15, "style": 0.15},
    "default": {"nuisance": 0.6, "style": 0.7},
    "hard": {"nuisance": 1.0, "style": 1.0},
}


def pixel(domain: str) -> dict[str, float]:
    """Keyword arguments for `spikeva.simulate.DVSPixel` that make the camera of `domain`."""
    return dict(PIXELS[check_domain(domain)])


@dataclass(frozen=True)
class FaceClip:
    """T frames and L labels of one performance; everything in it is synthetic.

    `frames` [T, H, W] float32 luma on the 8-bit display scale, at `times` [T] s; at `label_times` [L] s: exact
    `valence`, `arousal` float32 [L], the same as a rater would give them (`valence_rated`, `arousal_rated`: tenths,
    late, smoothed, noisy), the strongest state `emotions` [L], `landmarks` [L, 68, 2] in pixels (iBUG order, pixel
    centres at .5), `box` [L, 4] x0, y0, x1, y1, `action_units` [L, A, 2] in the order of `faces.ACTION_UNITS` for the
    left and right half of the picture. `emotion`: the posed one (nefer-like) or the most frequent one. `rgb` [T, H,
    W, 3] uint8 when asked for.
    """

    domain: str
    subject: str
    name: str
    fps: float
    frames: Float
    times: Array
    label_times: Array
    valence: Float
    arousal: Float
    valence_rated: Float
    arousal_rated: Float
    emotion: str
    emotions: NDArray[np.str_]
    landmarks: Array
    box: Array
    action_units: Float
    rgb: NDArray[np.uint8] | None = None

    def __repr__(self) -> str:
        (frames, height, width), labels = self.frames.shape, len(self.label_times)
        what = f"{frames} frames of {width} x {height} at {self.fps:g} fps, {labels} labels, {self.emotion}"
        return f"FaceClip({self.domain} {self.name} of {self.subject}, {what}; synthetic)"


def _size(size: Any) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, Integral) else size
    if not (isinstance(sides, Sequence) and len(sides) == 2 and all(isinstance(side, Integral) for side in sides)):
        raise UserError(f"size is a whole number of pixels or (width, height), got {size!r}")
    w, h = map(int, sides)
    if min(w, h) < 16:
        raise UserError(f"size is at least 16 pixels each way, got {w} x {h}")
    return w, h


def _check_numbers(whole: Mapping[str, Any], real: Mapping[str, Any]) -> None:
    for name, value in {**whole, **real}.items():
        if not isinstance(value, Integral if name in whole else Real) or isinstance(value, bool):
            raise UserError(f"{name} is a {'whole ' if name in whole else ''}number, got {value!r}")


def make_clip(
    domain: str,
    identity: int,
    clip: int,
    *,
    seed: int = 0,
    fps: float = 100.0,
    label_fps: float = 25.0,
    seconds: float = 1.6,
    size: int | tuple[int, int] = 96,
    nuisance: float = 0.6,
    style: float = 0.7,
    arousal_motion: float = 0.0,
    flicker: float = 0.0,
    emotion: str | None = None,
    colour: bool = False,
) -> FaceClip:
    """Clip number `clip` of person number `identity`: a pure function of its arguments, so clips can be made in any
    order and process.

    `size` is the side of a square face crop or (width, height) of a wide shot. `nuisance` scales head motion, speech,
    noise and light, `style` how variously an emotion is shown (`faces.PRESETS`); `arousal_motion` lets the head move
    more in aroused moments (a leak, kept for showing it); `flicker` is the depth of a 100 Hz lamp's flicker. A
    nefer-like clip poses `emotion`, by default the seven emotions in turn over the clips. Labels at `label_fps` start
    at 0 s. Raises UserError.
    """
    check_domain(domain)
    _check_numbers(
        {"identity": identity, "clip": clip, "seed": seed},
        {"fps": fps, "label_fps": label_fps, "seconds": seconds, "nuisance": nuisance, "style": style}
        | {"arousal_motion": arousal_motion, "flicker": flicker},
    )
    if clip < 0:
        raise UserError(f"clip counts from 0, got {clip}")
    if not all(0 < value < np.inf for value in (fps, label_fps, seconds)) or seconds * min(fps, label_fps) < 1:
        raise UserError(
            f"fps, label_fps and seconds are positive and finite and give at least one frame, got {fps}, {label_fps}, {seconds}"
        )
    if seconds * max(fps, label_fps) > MOST:
        raise UserError(f"a clip has at most {MOST} frames and labels, got {seconds * max(fps, label_fps):g}")
    if not 0 <= flicker < 1 or (flicker and fps < 400):
        raise UserError(f"flicker lies in 0..1 and needs at least 400 frames a second, got {flicker} at {fps}")
    posed = None
    if domain == "nefer-like":
        posed = EMOTIONS[clip % len(EMOTIONS)] if emotion is None else str(emotion).lower()
    elif emotion is not None:
        raise UserError("emotion= belongs to nefer-like clips; an afew-va-like clip goes through several")
    if posed is not None and posed not in EMOTIONS:
        raise UserError(unknown("emotion", emotion, EMOTIONS))
    width, height = _size(size)
    rig = cached_rig(domain, identity, seed, 1.0)
    rng = rig.who.rng(clip, 51)
    script = Script(rig.who, rng, seconds, posed, nuisance, style, arousal_motion)
    scene = draw_scene(rig.who, domain, rng)
    film = domain == "afew-va-like"
    if width == height:  # a face crop: brows to chin fill the picture, as in a crop from landmarks
        scale = height * rng.uniform(*((0.29, 0.34) if film else (0.27, 0.31)))
        eyes = np.array([0.5, 0.29]) + rng.uniform(-1, 1, 2) * 0.015
    else:
        scale = height * rng.uniform(*((0.11, 0.17) if film else (0.128, 0.142)))
        eyes = np.array([0.5, 0.42]) + rng.uniform(-1, 1, 2) * [0.08, 0.03]
    renderer = Renderer(rig, (width, height), scene, density=2.6 * scale)

    times = np.arange(round(seconds * fps)) / fps
    moments = script.at(times)
    moments.light[:] *= 1 + flicker * np.cos(2 * np.pi * 100 * times)
    pose = _pose(moments, scale, eyes * [width, height])
    features = rig.features(moments.units, moments.gaze)
    frames = np.empty((len(times), height, width), np.float32)
    rgb = np.empty((len(times), height, width, 3), np.uint8) if colour else None
    picture = np.empty((height, width, 3), np.float32)
    for t in range(len(times)):
        renderer.draw(moments.units, features, pose, t, picture, frames[t])
        if rgb is not None:
            rgb[t] = np.rint(picture)

    label_times = np.arange(round(seconds * label_fps)) / label_fps
    labels = script.at(label_times)
    landmarks = _landmarks(rig, renderer, labels, _pose(labels, scale, eyes * [width, height]))
    margin = 0.12 * np.ptp(landmarks, axis=1)
    box = np.concatenate([landmarks.min(1) - margin, landmarks.max(1) + margin], 1)
    states = np.array(labels.emotions)
    names, counts = np.unique(states, return_counts=True)
    raters = rig.who.rng(clip, 52)
    return FaceClip(
        domain=domain,
        subject=rig.who.name,
        name=f"{rig.who.name}_{clip:03d}",
        fps=fps,
        frames=frames,
        times=times,
        label_times=label_times,
        valence=labels.valence.astype(np.float32),
        arousal=labels.arousal.astype(np.float32),
        valence_rated=rate(labels.valence, raters),
        arousal_rated=rate(labels.arousal, raters),
        emotion=posed or str(names[counts.argmax()]),
        emotions=states,
        landmarks=landmarks,
        box=box,
        action_units=labels.units.astype(np.float32),
        rgb=rgb,
    )


def rate(exact: Array, rng: np.random.Generator) -> Float:
    """[L] float32 in tenths: `exact` [L] as a rater gives it, averaged over the last 5 labels, off by up to a step,
    in integers / 10.
    """
    padded = np.concatenate([np.full(4, exact[0]), exact])
    late = np.convolve(padded, np.full(5, 0.2), mode="valid")
    slips = np.repeat(rng.integers(-1, 2, len(exact) // 5 + 1), 5)[: len(exact)]
    return np.asarray(np.clip(np.rint(10 * late + 0.7 * slips), -10, 10) / 10, np.float32)


def _pose(moments: Moments, scale: float, centre: Array) -> Pose:
    size = scale * moments.zoom
    return Pose(
        moments.angles, centre + moments.shift * scale, size, moments.light, 6.0 + 5.0 * np.tanh(moments.pan / 5.0)
    )


def _landmarks(rig: Rig, renderer: Renderer, moments: Moments, pose: Pose) -> Array:
    """[L, 68, 2] in pixels; 0-16 lie on the outline as it is seen, like iBUG's."""
    features = rig.features(moments.units, moments.gaze)
    marks = np.empty((len(moments.valence), 68, 2))
    for t in range(len(marks)):
        marks[t] = renderer.project(features.landmarks[t], pose, t)
        places = renderer.project(features.contour[t].reshape(-1, 3), pose, t).reshape(17, -1, 2)
        right = marks[t, 45] - marks[t, 36]  # from the left eye's outer corner in the picture to the right one's
        across = places @ right
        best = np.where(np.arange(17) < 8, across.argmin(1), across.argmax(1))
        marks[t, :17] = places[np.arange(17), best]
    return marks

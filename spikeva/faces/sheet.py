"""Contact sheets: who there is and how each emotion looks, for people to look at."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from spikeva.faces.identity import draw_identity
from spikeva.faces.render import Pose, Renderer, Scene
from spikeva.faces.rig import Rig, build_rig
from spikeva.faces.scenes import exposure
from spikeva.faces.script import EMOTIONS, expression

Picture = NDArray[np.uint8]
_LIGHTS = np.array([[0.43, 0.47, 0.77, 1.0, 0.95, 0.88], [-0.80, 0.10, 0.59, 0.22, 0.24, 0.28]])


def portrait(rig: Rig, emotion: str, side: int, yaw: float = 0.0, pitch: float = 0.0, strength: float = 1.0) -> Picture:
    """[side, side, 3] uint8 RGB: the person of `rig` with an emotion (or "neutral") at a head pose in radians, studio
    light.
    """
    gain = exposure(rig.who)
    background = np.full((8, 8, 3), 0.16 / gain, np.float32)
    renderer = Renderer(rig, (side, side), Scene(_LIGHTS, np.array([0.22, 0.23, 0.25]), background, 0.5, gain))
    units = np.clip(rig.who.resting + strength * expression(emotion), 0, 1.15)[None]
    scale = 0.245 * side
    pose = Pose(
        np.array([[yaw, pitch, 0.0]]),
        np.array([[side / 2, side / 2]]),
        np.array([scale]),
        np.ones(1),
        np.ones((1, 2)),
    )
    picture = np.empty((side, side, 3), np.float32)
    gaze = np.array([[-0.8 * yaw, -0.8 * pitch]])
    renderer.draw(units, rig.features(units, gaze), pose, 0, picture, np.empty((side, side), np.float32))
    return np.rint(picture).astype(np.uint8)


def contact_sheet(
    domain: str,
    identities: Iterable[int] = range(8),
    seed: int = 0,
    side: int = 160,
    yaw: float = 0.0,
    pitch: float = 0.0,
    emotions: Sequence[str] = ("neutral", *EMOTIONS),
) -> Picture:
    """RGB picture with one row a person and one column an emotion, names above and beside; all of it synthetic."""
    rows = []
    for identity in identities:
        rig = build_rig(draw_identity(domain, identity, seed))
        faces = [portrait(rig, emotion, side, yaw, pitch) for emotion in emotions]
        rows.append(np.hstack([_text(rig.who.name, 26, side, upright=True), *faces]))
    head = [_text("", 26, 26)] + [_text(emotion, side, 26) for emotion in emotions]
    return np.vstack([np.hstack(head), *rows])


def _text(text: str, width: int, height: int, upright: bool = False) -> Picture:
    """A grey field [height, width, 3] with a centred word, smaller where it is longer, written upwards where `upright`."""
    w, h = (height, width) if upright else (width, height)
    field = np.full((h, w, 3), 245, np.uint8)
    (tw, th), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    size = 0.5 * min(1.0, (w - 6) / max(tw, 1))
    (tw, th), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    place = (w - tw) // 2, (h + th) // 2
    cv2.putText(field, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 1, cv2.LINE_AA)
    return np.ascontiguousarray(np.rot90(field)) if upright else field

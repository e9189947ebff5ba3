"""What an event camera sees of a face: nothing when it is still, the same at any frame rate, and no arousal in the
rate alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spikeva import faces
from spikeva.faces import render
from spikeva.simulate import DVSPixel, simulate


def angry_face(identity: int, centre: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    """Luma [T, side, side] of a nefer-like face that does nothing but be at `centre` [T, 2]."""
    rig, steps = faces.build_rig(faces.draw_identity("nefer-like", identity)), len(centre)
    units = np.repeat(faces.expression("anger")[None], steps, 0)
    scene = faces.Scene(np.array([[0.3, 0.5, 0.8, 1, 1, 1.0]]), np.full(3, 0.2), np.full((8, 8, 3), 0.2, np.float32))
    pose = faces.Pose(
        np.tile([0.1, 0.0, 0.05], (steps, 1)),
        centre,
        np.full(steps, 0.23 * side),
        np.ones(steps),
        np.ones((steps, 2)),
    )
    renderer = faces.Renderer(rig, (side, side), scene)
    features = rig.features(units, np.zeros((steps, 2)))
    frames = np.empty((steps, side, side), np.float32)
    for t in range(steps):
        renderer.draw(units, features, pose, t, np.empty((side, side, 3), np.float32), frames[t])
    return frames


def test_still_face_makes_no_event() -> None:
    frames = angry_face(1, np.full((12, 2), 24.0), 48)
    assert len(simulate(frames, np.arange(12) / 100, DVSPixel())) == 0


@pytest.mark.parametrize("way", [0.5, 2.0])
def test_rims_that_move_by_parts_of_a_pixel_make_no_events_of_their_own(
    way: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (np.arange(8) + 0.5) / 8 - 0.5
    grid = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
    centre = 32 + np.linspace(0, way, 33)[:, None] * [1, 0.37]  # pixels
    counts = {}
    for name, samples in (("as it is", render.RIM), ("64 a sample", grid), ("one", render.CENTRE)):
        monkeypatch.setattr(render, "RIM", samples)
        counts[name] = sum(
            len(simulate(angry_face(identity, centre, 64), np.arange(33) / 100, DVSPixel())) for identity in range(3)
        )
    assert abs(counts["as it is"] / counts["64 a sample"] - 1) < 0.03
    assert counts["one"] / counts["64 a sample"] - 1 > 0.05, "without them there would be events of rims that jump"


def test_event_rate_does_not_depend_on_the_frame_rate() -> None:
    counts = []
    for fps in (50.0, 200.0):
        clip = faces.make_clip("afew-va-like", 1, 0, size=64, fps=fps, seconds=1.2)
        upto = clip.times <= 1.18  # both rates have a frame there
        counts.append(len(simulate(clip.frames[upto], clip.times[upto], DVSPixel())))
    assert counts[0] > 1000
    assert abs(counts[0] / counts[1] - 1) < 0.10


def test_nefer_like_camera_is_another_one() -> None:
    film, posed = (DVSPixel(**faces.pixel(d)) for d in faces.DOMAINS)  # type: ignore[arg-type]  # keys are the fields'
    assert posed.pos_thres > film.pos_thres
    assert posed.leak_rate_hz > 0
    assert posed.refractory_period_s > 0

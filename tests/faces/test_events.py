"""What an event camera sees of a face: nothing when it is still, the same at any frame rate, and no arousal in the
rate alone."""

import numpy as np

from spikeva import faces
from spikeva.simulate import DVSPixel, simulate


def test_still_face_makes_no_event() -> None:
    rig = faces.build_rig(faces.draw_identity("nefer-like", 1))
    steps = 12
    units = np.repeat(faces.expression("anger")[None], steps, 0)
    scene = faces.Scene(np.array([[0.3, 0.5, 0.8, 1, 1, 1.0]]), np.full(3, 0.2), np.full((8, 8, 3), 0.2, np.float32))
    pose = faces.Pose(
        np.tile([0.1, 0.0, 0.05], (steps, 1)),
        np.full((steps, 2), 24.0),
        np.full(steps, 11.0),
        np.ones(steps),
        np.ones((steps, 2)),
    )
    renderer = faces.Renderer(rig, (48, 48), scene)
    features = rig.features(units, np.zeros((steps, 2)))
    frames = np.empty((steps, 48, 48), np.float32)
    for t in range(steps):
        renderer.draw(units, features, pose, t, np.empty((48, 48, 3), np.float32), frames[t])
    assert len(simulate(frames, np.arange(steps) / 100, DVSPixel())) == 0


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

"""A clip is a pure function of its arguments and carries its exact labels."""

import numpy as np
import pytest

from spikeva import faces
from spikeva.errors import UserError

SMALL = {"size": 48, "seconds": 0.16, "fps": 50.0}


@pytest.mark.parametrize("domain", faces.DOMAINS)
def test_clip_has_the_declared_shapes(domain: str) -> None:
    clip = faces.make_clip(domain, 1, 2, **SMALL)
    assert clip.frames.shape == (8, 48, 48)
    assert clip.frames.dtype == np.float32
    assert clip.frames.min() >= 0
    assert clip.frames.max() <= 255
    assert len(clip.times) == 8
    assert clip.landmarks.shape == (4, 68, 2)
    assert clip.box.shape == (4, 4)
    assert clip.valence.dtype == np.float32
    for label in (clip.valence, clip.arousal, clip.valence_rated, clip.arousal_rated):
        assert label.shape == (4,)
        assert np.abs(label).max() <= 1
    tenths = 10 * clip.valence_rated
    assert np.allclose(tenths, np.rint(tenths))


def test_a_clip_shows_itself_in_a_line() -> None:
    shown = repr(faces.make_clip("nefer-like", 0, 1, **SMALL, emotion="fear"))
    assert (
        shown == "FaceClip(nefer-like user_00_001 of user_00, 8 frames of 48 x 48 at 50 fps, 4 labels, fear; synthetic)"
    )


def test_same_arguments_same_bits_whatever_came_before() -> None:
    first = faces.make_clip("afew-va-like", 3, 1, **SMALL)
    faces.make_clip("nefer-like", 0, 0, **SMALL)
    again = faces.make_clip("afew-va-like", 3, 1, **SMALL)
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.landmarks, again.landmarks)
    assert not np.array_equal(first.frames, faces.make_clip("afew-va-like", 3, 1, **{**SMALL, "seed": 1}).frames)


def test_numbers_of_numpy_are_numbers() -> None:
    plain = faces.make_clip("afew-va-like", 3, 1, **SMALL)
    of_numpy = {name: np.asarray(value)[()] for name, value in SMALL.items()}
    other = faces.make_clip("afew-va-like", np.int64(3), np.uint8(1), **of_numpy)
    assert np.array_equal(plain.frames, other.frames)
    assert plain.subject == other.subject


def test_frame_rate_does_not_change_the_performance() -> None:
    slow = faces.make_clip("afew-va-like", 0, 0, **SMALL)
    fast = faces.make_clip("afew-va-like", 0, 0, **{**SMALL, "fps": 200.0})
    assert np.array_equal(slow.frames, fast.frames[::4])
    assert np.array_equal(slow.valence, fast.valence)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domain": "nefer"}, "did you mean 'nefer-like'"),
        ({"clip": -1}, "counts from 0"),
        ({"fps": 0.0}, "positive"),
        ({"seconds": float("inf")}, "positive and finite"),
        ({"label_fps": float("nan")}, "positive and finite"),
        ({"nuisance": float("nan")}, "nuisance must be a number from 0 on, got nan"),
        ({"size": 8}, "at least 16"),
        ({"size": 32.5}, r"whole number of pixels or \(width, height\), got 32.5"),
        ({"size": (32,)}, r"whole number of pixels or \(width, height\), got \(32,\)"),
        ({"identity": 1.5}, "identity is a whole number, got 1.5"),
        ({"seed": None}, "seed is a whole number, got None"),
        ({"clip": True}, "clip is a whole number, got True"),
        ({"fps": "100"}, "fps is a number, got '100'"),
        ({"seconds": 1e30}, "at most 1000000 frames and labels"),
        ({"label_fps": 1e9}, "at most 1000000 frames and labels"),
        ({"emotion": "anger"}, "belongs to nefer-like"),
        ({"domain": "nefer-like", "emotion": 3}, "unknown emotion 3"),
        ({"domain": "nefer-like", "emotion": "happines"}, r"did you mean 'happiness'\? \(there are: happiness, "),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        faces.make_clip(**{"domain": "afew-va-like", "identity": 0, "clip": 0, **change})  # type: ignore[arg-type]  # bad on purpose

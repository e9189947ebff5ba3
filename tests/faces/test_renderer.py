"""Drawn features lie under the landmarks; mirrored expressions make mirrored pictures; nothing moves where nothing
moves."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikeva import faces
from spikeva.faces import sheet
from spikeva.faces.action_units import INDEX
from spikeva.faces.features import LID_LOW, LID_UP
from spikeva.faces.texture import SkinTexture, paint

SIDE = 128


def plain_scene() -> faces.Scene:
    """Light from straight ahead and above, so that it does not break the mirror symmetry."""
    lights = np.array([[0.0, 0.5, 0.85, 0.9, 0.9, 0.9]])
    lights[:, :3] /= np.linalg.norm(lights[:, :3])
    return faces.Scene(lights, np.full(3, 0.25), np.full((8, 8, 3), 0.2, np.float32), 0.5, 1.0)


def draw(
    rig: faces.Rig,
    units: NDArray[np.float64],
    angles: tuple[float, float, float] = (0, 0, 0),
    scene: faces.Scene | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """RGB picture [SIDE, SIDE, 3] and landmarks [68, 2] of action units [A, 2]."""
    renderer = faces.Renderer(rig, (SIDE, SIDE), scene or plain_scene())
    pose = faces.Pose(
        np.array([angles]),
        np.array([[SIDE / 2, 0.53 * SIDE]]),
        np.array([0.235 * SIDE]),
        np.ones(1),
        np.ones((1, 2)),
    )
    features = rig.features(units[None], np.zeros((1, 2)))
    picture = np.empty((SIDE, SIDE, 3), np.float32)
    renderer.draw(units[None], features, pose, 0, picture, np.empty((SIDE, SIDE), np.float32))
    return picture, renderer.project(features.landmarks[0], pose, 0)


def people(test: Callable[[faces.Identity], bool], n: int = 40) -> list[int]:
    """Numbers of the first identities for which `test(identity)` holds."""
    return [i for i in range(n) if test(faces.draw_identity("afew-va-like", i))]


def around(picture: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """The 3 x 3 pixels around a point, mean over colours."""
    x, y = int(at[0]), int(at[1])
    return picture[y - 1 : y + 2, x - 1 : x + 2].mean(2)


def test_pupil_mouth_and_brow_are_where_the_landmarks_say() -> None:
    clear = people(lambda who: not who.glasses and who.skin.mean() > 0.25 and who.hair.mean() < 0.1 and who.beard < 0.3)
    assert len(clear) >= 4
    units = np.zeros((len(faces.ACTION_UNITS), 2))
    units[INDEX[25]] = units[INDEX[26]] = 1.0
    for identity in clear[:4]:
        rig = faces.build_rig(faces.draw_identity("afew-va-like", identity))
        for angles in ((0.0, 0.0, 0.0), (0.35, 0.0, 0.1), (-0.35, 0.1, -0.1)):
            picture, marks = draw(rig, units, angles)
            cheek = around(picture, marks[30] * 0.35 + marks[[2, 14]].mean(0) * 0.65).mean()
            for eye in (range(36, 42), range(42, 48)):
                assert around(picture, marks[list(eye)].mean(0)).min() < 0.6 * cheek, "pupil"
            assert around(picture, marks[[62, 66]].mean(0)).mean() < 0.6 * cheek, "open mouth"
            for brow in (19, 24):
                assert around(picture, marks[brow]).min() < 0.75 * cheek, "brow"
            lips = picture[tuple(marks[[51, 57]].mean(0)[::-1].astype(int))]
            assert not np.allclose(lips, picture[2, 2], atol=5)


@pytest.mark.parametrize("domain", faces.DOMAINS)
def test_landmarks_stay_inside_the_picture(domain: str) -> None:
    for identity in range(12):
        clip = faces.make_clip(domain, identity, identity % 7, size=32, fps=5, label_fps=10, seconds=1.0)
        assert clip.landmarks.min() > 0
        assert clip.landmarks.max() < 32
        inside = (clip.box[:, None, :2] < clip.landmarks) & (clip.landmarks < clip.box[:, None, 2:])
        assert inside.all()


def mirrored_texture(who: faces.Identity, density: float) -> SkinTexture:
    """The person's skin made the same on both sides (the grain of skin is not)."""
    skin = paint(who, density)
    return SkinTexture((skin.albedo + skin.albedo[:, ::-1]) / 2, skin.wrinkles, skin.density)


@settings(max_examples=6, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=38, max_size=38), st.sampled_from([-0.4, 0.0, 0.3]))
def test_mirrored_action_units_make_the_mirrored_picture(values: list[float], yaw: float) -> None:
    rig = faces.build_rig(faces.draw_identity("afew-va-like", people(lambda who: not who.glasses)[0]))
    rig.textures[80] = mirrored_texture(rig.who, 80)
    rig.strands[:] = 0
    rig.fringe[:] = 0
    units = np.array(values).reshape(-1, 2)
    one, marks = draw(rig, units, (yaw, 0.1, 0.05))
    other, marks_mirrored = draw(rig, units[:, ::-1], (-yaw, 0.1, -0.05))
    assert np.abs(one - other[:, ::-1]).mean() < 0.6  # of 255; diagonals of the mesh's cells are not mirrored
    assert np.isclose(marks[30, 0], SIDE - marks_mirrored[30, 0], atol=1e-3)
    assert np.allclose(marks[48], [SIDE, 0] + marks_mirrored[54] * [-1, 1], atol=1e-3)


action_units = st.lists(st.floats(0, 1.2), min_size=38, max_size=38).map(lambda v: np.array(v).reshape(-1, 2))


@settings(max_examples=30, derandomize=True)
@given(st.integers(0, 20), action_units, st.floats(-1, 1), st.floats(-1, 1))
def test_lips_never_cross_and_closed_eyes_are_closed(
    identity: int, units: NDArray[np.float64], right: float, up: float
) -> None:
    rig = faces.build_rig(faces.draw_identity("nefer-like", identity), detail=0.3)
    features = rig.features(units[None], np.array([[right, up]]))
    assert np.diff(features.mouth[0], axis=0).max() <= 1e-12  # outer upper, inner upper, inner lower, outer lower
    assert features.corners[0, 0] < features.corners[0, 1]
    units[INDEX[43]] = 1.0
    lids = rig.features(units[None], np.array([[right, up]])).eyes[0][:, [LID_UP, LID_LOW]]
    assert np.allclose(lids.sum(1), 0, atol=1e-9)


@settings(max_examples=10, derandomize=True)
@given(st.integers(0, 30), action_units, st.floats(-0.55, 0.55), st.floats(-0.3, 0.3), st.sampled_from(faces.DOMAINS))
def test_no_hole_in_a_face(identity: int, units: NDArray[np.float64], yaw: float, pitch: float, domain: str) -> None:
    rig = faces.build_rig(faces.draw_identity(domain, identity))
    scene = plain_scene()
    magenta = faces.Scene(scene.lights, scene.ambient, np.tile(np.float32([3, 0, 3]), (8, 8, 1)), 0.3, 1.0)
    picture, marks = draw(rig, units, (yaw, pitch, 0.0), scene=magenta)
    hull = cv2.convexHull(np.vstack([marks[27:36], marks[48:68], marks[36:48]]).astype(np.float32))
    inside = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(inside, hull.round().astype(np.int32), 1)
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8)).astype(bool)
    assert inside.sum() > 200
    shows = np.minimum(picture[..., 0], picture[..., 2]) - picture[..., 1]
    assert shows[inside].max() < 120, "the background shows through"


def test_one_sided_expression_is_one_sided() -> None:
    rig = faces.build_rig(faces.draw_identity("afew-va-like", 0))
    _, left = draw(rig, faces.expression("contempt", side=0))
    rise = left[54, 1] - left[48, 1]
    assert rise > 1.0  # the corner on the picture's left is higher (y grows downward)


def test_shading_only_the_person_gives_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = {"size": (480, 288), "fps": 5, "seconds": 0.2, "label_fps": 5}
    boxed = faces.make_clip("afew-va-like", 2, 0, **wide).frames
    everything = np.array([0, 0, 960, 576]), np.array([0, 0, 480, 288])
    monkeypatch.setattr(faces.Renderer, "_boxes", lambda self: everything)
    whole = faces.make_clip("afew-va-like", 2, 0, **wide).frames
    assert np.abs(boxed - whole).max() < 1.0  # of 255: the lens blurs the background a little more where it is shaded


def test_contact_sheet_has_a_row_a_person_and_a_column_an_emotion() -> None:
    picture = sheet.contact_sheet("nefer-like", range(2), side=48)
    assert picture.shape == (26 + 2 * 48, 26 + 8 * 48, 3)
    faces_only = picture[26:, 26:].reshape(2, 48, 8, 48, 3).swapaxes(1, 2).reshape(16, -1).astype(float)
    apart = [np.abs(faces_only[i] - faces_only[j]).mean() for i in range(16) for j in range(i)]
    assert min(apart) > 0.1  # no two cells show the same face


@pytest.mark.parametrize("side", [32, 64, 160])
def test_the_words_of_a_contact_sheet_are_whole(side: int) -> None:
    picture = sheet.contact_sheet("nefer-like", range(1), side=side)
    for words in (picture[:26, 26:], picture[26:, :26].swapaxes(0, 1)):
        fields = words.reshape(26, -1, side, 3)
        assert (fields.min((0, 2, 3)) < 200).all()
        assert (fields[:, :, [0, -1]] == 245).all()  # no stroke at a field's border


def test_bad_names_and_numbers() -> None:
    with pytest.raises(ValueError, match="count from 0"):
        faces.draw_identity("afew-va-like", -1)
    with pytest.raises(ValueError, match="400 frames"):
        faces.make_clip("afew-va-like", 0, 0, flicker=0.1)

"""AFEW-VA in every layout it is met in, and what is said of a damaged tree."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from spikeva.datasets import AFEWVA
from spikeva.datasets.afew_va import frames_of
from spikeva.datasets.crop import Square, cut, square_around, square_of_landmarks
from spikeva.errors import UserError

LAYOUTS = (
    "official", "zips", "nested", "jpg", "cropped", "cropped beside", "original and cropped", "labels as floats",
    "labels as text", "labels above", "no landmarks", "linked",
)  # fmt: skip


def test_layouts_are_all_tested(afew_va_data):
    assert tuple(afew_va_data.LAYOUTS) == LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_labels(layout, afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, layout)
    films = AFEWVA(tmp_path)
    assert [f.name for f in films] == [f"{i:03d}" for i in range(1, 9)]
    for i, film in enumerate(films, 1):
        expected = np.array(afew_va_data.labels_of(i, 6), np.float32) / 10
        np.testing.assert_array_equal(np.stack([film.valence, film.arousal], 1), expected.astype(np.float32))
        assert film.actor == afew_va_data.ACTORS[i % 5].casefold()
        np.testing.assert_allclose(film.times, np.arange(6) / 25)
        frames = list(frames_of(film))
        assert len(frames) == 6
        np.testing.assert_allclose(frames[3], afew_va_data.picture(i, 3)[0], atol=30 if layout == "jpg" else 0)
    allowed = {
        "cropped": {"cropped by others"},
        "cropped beside": {"cropped by others"},
        "no landmarks": {"no landmarks"},
    }
    assert {f.kind for f in films.findings} == allowed.get(layout, set())
    assert [film.face == Square(12, 0, 72) for film in films] == [layout in allowed] * 8, "the middle of 96 x 72 pixels"


def test_every_planted_fault_is_one_named_finding(afew_va_data, tmp_path):
    planted = afew_va_data.write_faulty(tmp_path)
    films = AFEWVA(tmp_path)
    assert sorted(f.kind for f in films.findings) == sorted(planted)
    assert len(planted) >= 12
    report = films.report()
    assert all(f"  {kind} (" in report for kind in planted)
    assert "  label out of range (2 in 1 place): " in report
    lost = {"no actor", "unreadable labels", "no labels", "no images", "too little left"}
    assert len(films) == len(planted) + 2 - len(lost)
    where = {f.kind: f.where for f in films.findings}
    by_name = {f.name: f for f in films}
    assert len(by_name[where["missing image"]].labelled) == 5
    np.testing.assert_allclose(by_name[where["missing image"]].times, np.array([0, 1, 3, 4, 5]) / 25)
    np.testing.assert_array_equal(by_name[where["broken image"]].labelled, [0, 1, 3, 4, 5])
    np.testing.assert_array_equal(by_name[where["other image size"]].numbers, [0, 1, 3, 4, 5])
    np.testing.assert_array_equal(by_name[where["label out of range"]].labelled, [0, 1, 4, 5])
    assert len(by_name[where["image without label"]].images) == 6
    first, second = afew_va_data.labels_of(int(where["frame labelled twice"]), 6)[2]
    twice = by_name[where["frame labelled twice"]]
    assert (twice.valence[2], twice.arousal[2]) == (np.float32(first / 10), np.float32(second / 10))
    assert "somebody else" not in {film.actor.casefold() for film in films}


def test_frames_go_by_their_numbers_and_times_from_the_first_picture(afew_va_data, tmp_path):
    """Whatever their order in the folder and in the json, and whether the first one has a label."""
    content = afew_va_data.write_clip(tmp_path / "1", 1, json_at=tmp_path / "1" / "1.json")
    valence = [content["frames"][f"{i:05d}"]["valence"] / 10 for i in range(1, 6)]
    for i in range(6):
        (tmp_path / "1" / f"{i:05d}.png").rename(tmp_path / "1" / f"frame_{8 + i}.png")
    content["frames"] = {str(8 + i): content["frames"][f"{i:05d}"] for i in range(5, 0, -1)}
    (tmp_path / "1" / "1.json").write_text(json.dumps(content))
    films = AFEWVA(tmp_path)
    assert [(clip.clip, clip.labels) for clip in films.clips] == [("001", 5)]
    assert films[0].images == tuple(f"frame_{i}.png" for i in range(8, 14))
    np.testing.assert_allclose(films[0].times, np.arange(6) / 25)
    np.testing.assert_array_equal(films[0].labelled, range(9, 14))
    np.testing.assert_allclose(films[0].label_times, np.arange(1, 6) / 25)
    np.testing.assert_allclose(films[0].valence, valence)


def test_of_a_clip_that_is_there_twice_the_first_is_used(afew_va_data, tmp_path):
    """By name, in whatever order a folder lists them."""
    first, second = {}, {"suffix": ".jpg", "number": lambda label: -label}
    for clip in range(1, 5):
        for place, how in (("a", first), ("b", second))[:: 1 if clip % 2 else -1]:
            afew_va_data.write_clip(tmp_path / f"{clip}{place}" / f"{clip:03d}", clip, **how)
    films = AFEWVA(tmp_path)
    assert [(f.kind, f.where) for f in films.findings] == [("clip twice", film.name) for film in films]
    for clip, film in enumerate(films, 1):
        assert (film.folder, film.images[0]) == (tmp_path / f"{clip}a" / film.name, "00000.png")
        np.testing.assert_allclose(10 * film.valence, [v for v, _ in afew_va_data.labels_of(clip, 6)], rtol=1e-6)


def test_folds_never_part_an_actor(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=15)
    films = AFEWVA(tmp_path)
    for fold in films.folds(5, seed=0):
        assert len(fold.test.subjects) == 1
        assert len(fold.test) == 3
        assert not set(fold.test.subjects) & set(fold.train.subjects)


def test_a_tree_of_rendered_faces_says_so(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=2)
    for domain, synthetic, title in (
        ("afew-va", False, "AFEW-VA at "),
        ("afew-va-like", True, "afew-va-like (synthetic) at "),
    ):
        films = AFEWVA(tmp_path)
        assert (films.domain, films.clips.synthetic, films.clips.domain) == (domain, synthetic, domain)
        assert films.report().startswith(title)
        assert "2 clips, 2 actors, 12 labelled frames, nothing wrong" in films.report()
        (tmp_path / "SYNTHETIC.txt").touch()


def test_two_spellings_of_an_actor_are_one_person(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=6)
    afew_va_data.FAULTS["actor spelled twice"](tmp_path / "006")
    films = AFEWVA(tmp_path)
    assert films[0].actor == films[5].actor


def test_a_person_has_one_name_whatever_else_is_in_the_tree(afew_va_data, tmp_path):
    """The zips may be extracted and prepared one after the other."""
    names = set()
    actors = "Ada Strau\u00df", "ada  strauss", "ADA\u00a0STRAUSS.", "\uff21da Strauss", "Ada Str\u0430uss", "?"
    for clip, actor in enumerate(actors):
        content = afew_va_data.write_clip(tmp_path / str(clip) / "001", 1)
        (tmp_path / str(clip) / "001" / "001.json").write_text(json.dumps({**content, "actor": actor}))
        if clip < 5:
            names.add(AFEWVA(tmp_path / str(clip))[0].actor)
    assert names == {"ada strauss", "ada str\u0430uss"}, "a letter of another alphabet is another name"
    with pytest.raises(UserError, match="no actor"):
        AFEWVA(tmp_path / "5")


@pytest.mark.parametrize("actor", [None, 7, [], "", " ."])
def test_clips_of_an_actor_without_a_name_are_left_out(actor, afew_va_data, tmp_path):
    """As one person called None, they would share that person with nobody, and their true one with any fold."""
    afew_va_data.write_layout(tmp_path, "official", clips=3)
    for clip in ("001", "002"):
        path = tmp_path / clip / f"{clip}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "actor": actor}))
    films = AFEWVA(tmp_path)
    assert [film.name for film in films] == ["003"]
    assert [(f.kind, f.where) for f in films.findings] == [("no actor", "001"), ("no actor", "002")]
    assert all("the clip is left out" in f.effect for f in films.findings)


def test_an_accent_is_no_other_person(afew_va_data, tmp_path):
    for clip, actor in ((1, "Pen\u00e9lope Example"), (2, "Pene\u0301lope  example"), (3, "Penelope Example")):
        content = afew_va_data.write_clip(tmp_path / f"{clip:03d}", clip)
        (tmp_path / f"{clip:03d}" / f"{clip:03d}.json").write_text(json.dumps({**content, "actor": actor}))
    films = AFEWVA(tmp_path)
    assert films[0].actor == films[1].actor != films[2].actor
    assert [f.kind for f in films.findings] == ["actor spelled twice"]


def test_of_a_bad_label_its_values_are_shown(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=1)
    path = next(tmp_path.rglob("001.json"))
    content = json.loads(path.read_text())
    frame = content["frames"]["00001"]
    content["frames"]["00001"] = {"landmarks": frame["landmarks"], "valence": "3,5", "arousal": 1}
    path.write_text(json.dumps(content))
    (found,) = [f for f in AFEWVA(tmp_path).findings if f.kind == "bad label" and f.where == "001"]
    assert "'valence': '3,5'" in found.detail


def test_a_copy_of_a_picture_takes_no_other_place(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=1)
    folder = tmp_path / "001"
    for copy, of in (("00000 2", "00000"), ("(1) 00003", "00003")):  # the first as macOS names them
        (folder / f"{copy}.png").write_bytes((folder / f"{of}.png").read_bytes())
    films = AFEWVA(tmp_path)
    assert films[0].images == tuple(f"{i:05d}.png" for i in range(6))
    twice = ("frame twice", "00003.png and (1) 00003.png")
    assert [(f.kind, f.detail) for f in films.findings] == [twice, ("unnumbered image", "00000 2.png")]


def test_a_sound_twin_of_a_broken_picture_keeps_its_label(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=1)
    folder = tmp_path / "001"
    (folder / "00003.jpg").write_bytes(b"broken")
    cv2.imwrite(str(folder / "00004.jpg"), afew_va_data.picture(1, 4)[0])
    (folder / "00004.png").write_bytes(b"broken")
    (film,) = AFEWVA(tmp_path)
    np.testing.assert_array_equal(film.labelled, range(6))
    assert film.images[3:5] == ("00003.png", "00004.jpg")


def test_of_a_png_and_a_jpeg_the_one_without_artefacts_is_used(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=1)
    afew_va_data.write_layout(tmp_path, "jpg", clips=1)
    (film,) = AFEWVA(tmp_path)
    assert film.images == tuple(f"{i:05d}.png" for i in range(6))


@pytest.mark.parametrize("layout", ["official", "jpg"])
def test_luma_of_a_picture_in_colour(layout, afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, layout, clips=1)
    (film,) = AFEWVA(tmp_path)
    path = film.folder / film.images[2]
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8))
    blue, green, red = np.moveaxis(cv2.imread(str(path)).astype(float), -1, 0)
    wanted = 0.299 * red + 0.587 * green + 0.114 * blue
    np.testing.assert_allclose(list(frames_of(film))[2], wanted, rtol=0, atol=0.51)


def test_pictures_go_by_their_content_not_their_name(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "jpg", clips=1)
    for path in (tmp_path / "001").glob("*.jpg"):
        path.rename(path.with_suffix(".png"))
    films = AFEWVA(tmp_path)
    assert films.findings == []
    assert len(list(frames_of(films[0]))) == 6


@pytest.mark.parametrize(
    ("lost", "kind"), [("00002.png", "broken image"), ("001.json", "unreadable labels"), ("", "unreadable folder")]
)
def test_what_cannot_be_opened_is_a_finding(lost, kind, afew_va_data, tmp_path, monkeypatch):
    afew_va_data.write_layout(tmp_path, "official", clips=2)
    if lost:  # the link to a disk that is not mounted
        (tmp_path / "001" / lost).unlink()
        (tmp_path / "001" / lost).symlink_to(tmp_path / "absent")
    else:  # os.scandir is what os.walk reads folders with; who runs this may read them all

        def scandir(path: str) -> Any:
            if Path(path).name == "001":
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        scan = os.scandir
        monkeypatch.setattr(os, "scandir", scandir)
    films = AFEWVA(tmp_path)
    assert [(f.kind, f.where) for f in films.findings] == [(kind, "001")]
    assert films[-1].name == "002"


def test_one_point_far_away_does_not_make_the_box_large(afew_va_data, tmp_path):
    content = afew_va_data.write_clip(tmp_path / "001", 1)
    for frame in content["frames"].values():  # at the right: further than the picture is high
        frame["landmarks"] = np.add(frame["landmarks"], (31, 0)).tolist()
    (tmp_path / "001" / "001.json").write_text(json.dumps(content))
    sound = AFEWVA(tmp_path)[0].face
    content["frames"]["00001"]["landmarks"][7] = [-100.0, 40.0]
    content["frames"]["00002"]["landmarks"][7] = [3000.0, 40.0]
    out_of_the_picture = {"00003": (80, 0), "00004": (-80, 0), "00005": (0, 60)}  # the whole face
    for frame, beside in out_of_the_picture.items():
        content["frames"][frame]["landmarks"] = np.add(content["frames"][frame]["landmarks"], beside).tolist()
    (tmp_path / "001" / "001.json").write_text(json.dumps(content))
    films = AFEWVA(tmp_path)
    assert [(f.kind, f.count) for f in films.findings] == [("bad landmarks", 5)]
    assert films[0].face.side <= sound.side


def test_a_tree_without_a_clip_that_can_be_used_is_an_error(afew_va_data, tmp_path):
    afew_va_data.write_clip(tmp_path / "001", 1, images=None)
    with pytest.raises(UserError, match=r"none of the 1 clips here can be used\n.*no images"):
        AFEWVA(tmp_path)


def test_face_box_holds_the_face_in_every_frame_and_stands_still(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=1)
    film = AFEWVA(tmp_path)[0]
    low, high = film.landmarks.min((0, 1)), film.landmarks.max((0, 1))
    assert film.face.x <= low[0]
    assert film.face.y <= low[1]
    assert film.face.x + film.face.side >= high[0]
    assert film.face.y + film.face.side >= high[1]


@pytest.mark.parametrize("layout", ["official", "jpg"])
def test_a_tag_that_turns_pictures_does_not_count(layout, afew_va_data, tmp_path):
    """Landmarks are of the pixels as they are stored."""
    from PIL import Image

    afew_va_data.write_layout(tmp_path, layout)
    film = AFEWVA(tmp_path)[0]
    stored = []
    for file in film.images:
        with Image.open(film.folder / file) as image:
            exif = image.getexif()
            exif[0x0112] = 6  # a quarter turn
            image.save(film.folder / file, exif=exif)
        with Image.open(film.folder / file) as image:
            stored.append(np.asarray(image.convert("L"), float))
    for found, wanted in zip(frames_of(AFEWVA(tmp_path)[0]), stored, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2)


def test_the_square_is_a_quarter_larger_than_the_landmarks():
    assert square_around((10, 20, 30, 60)) == Square(-5, 15, 50)
    assert square_around((20, 10, 60, 30)) == Square(15, -5, 50)
    points = np.full((2, 68, 2), (15, 40), np.float32)
    points[0, 0], points[1, 0], points[1, 1] = (10, 20), (30, 60), np.nan
    assert square_of_landmarks(points) == Square(-5, 15, 50)


def test_a_crop_made_smaller_is_the_mean_of_what_it_covers():
    image = np.zeros((8, 12), np.uint8)
    image[0, 4] = 160  # at the edge of its block, where an interpolation would not look
    np.testing.assert_array_equal(cut(image, Square(4, 0, 8), 2), [[10, 0], [0, 0]])
    assert cut(image, Square(4, 0, 8), 16).max() > 100
    assert cut(np.array([[0, 80]] * 2, np.uint8), Square(0, 0, 2), 4)[0].tolist() == [0, 20, 60, 80], "larger, no steps"


def test_a_clip_of_broken_pictures_alone_is_left_out(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=2)
    for image in (tmp_path / "001").glob("*.png"):
        image.write_bytes(b"")
    films = AFEWVA(tmp_path)
    assert [film.name for film in films] == ["002"]
    assert [f.kind for f in films.findings] == ["broken image"] * 6 + ["too little left"]


def test_a_clip_without_a_label_is_left_out(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=2)
    path = tmp_path / "001" / "001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "frames": {}}))
    films = AFEWVA(tmp_path)
    assert [film.name for film in films] == ["002"]
    assert [f.kind for f in films.findings] == ["image without label", "too little left"]


def test_two_pictures_are_a_film(afew_va_data, tmp_path):
    afew_va_data.write_clip(tmp_path / "001", 1, frames=2)
    (film,) = AFEWVA(tmp_path)
    assert film.images == ("00000.png", "00001.png")


def test_a_tree_in_a_folder_whose_name_is_no_utf8(afew_va_data, tmp_path):
    """OpenCV ends the whole process where it is given such a name as text."""
    afew_va_data.write_layout(tmp_path / "root", "official", clips=1)
    (tmp_path / "root").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    (film,) = AFEWVA(tmp_path / os.fsdecode(b"caf\xe9"))
    assert len(list(frames_of(film))) == 6


def test_frames_a_second_stretch_the_times(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path, "official", clips=1)
    (film,) = AFEWVA(tmp_path, fps=50)
    np.testing.assert_allclose(film.times, np.arange(6) / 50)
    np.testing.assert_allclose(film.label_times, np.arange(6) / 50)


def test_crop_beyond_the_edge_repeats_the_border():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(cut(image, Square(-1, 1, 3), 3), [[4, 4, 5], [8, 8, 9], [8, 8, 9]])
    np.testing.assert_array_equal(cut(image, Square(2, -1, 3), 3), [[2, 3, 3], [2, 3, 3], [6, 7, 7]])


@pytest.mark.parametrize(
    ("fps", "message"), [(25, "no AFEW-VA clip here"), (0, "fps must be above 0"), (np.inf, "fps must be above 0")]
)
def test_what_cannot_be_read_is_said(fps, message, tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(UserError, match=message):
        AFEWVA(tmp_path, fps=fps)
    with pytest.raises(UserError, match="no such folder"):
        AFEWVA(tmp_path / "absent")

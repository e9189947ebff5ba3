"""NEFER in the layouts it is met in, its real annotations, and what is said of a damaged tree."""

import os
import shutil
from collections import Counter
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from spikeva.datasets import NEFER
from spikeva.datasets.nefer import EMOTIONS, TRAIN_USERS, VALIDATION_USERS, is_saturated, read_annotations
from spikeva.errors import UserError

LAYOUTS = ("official", "annotations gzipped", "deeper", "recordings in one folder", "dat", "linked")


def test_layouts_are_all_tested(nefer_data):
    assert tuple(nefer_data.LAYOUTS) == LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("labels", ["expected", "reported"])
def test_every_layout_gives_the_same_labels(layout, labels, nefer_data, tmp_path):
    nefer_data.LAYOUTS[layout](tmp_path)
    found = NEFER(tmp_path, labels=labels)
    assert found.findings == []
    rows = [(s, u, v, (e, r)[labels == "reported"].lower()) for s, u, v, e, r in nefer_data.videos()]
    assert [(r.split, r.user, r.video, r.emotion) for r in found] == rows
    assert set(found.split.test.subjects) == {"user_03"}
    assert set(found.split.train.subjects) == {"user_01", "user_02"}
    assert all(r.path.stem.removesuffix("_cd") == r.video for r in found)


def test_every_planted_fault_is_one_named_finding(nefer_data, tmp_path):
    planted = nefer_data.write_faulty(tmp_path)
    found = NEFER(tmp_path)
    assert sorted(f.kind for f in found.findings) == sorted(planted)
    assert len(planted) >= 12
    videos = {v for _, _, v, *_ in nefer_data.videos()}
    where = {f.kind: f.where for f in found.findings}
    counts = {f.kind: f.count for f in found.findings}
    assert (counts["user in both splits"], counts["bad row"]) == (1, 1)
    assert where["recording without label"] == "event_raw/user09_2022.raw"
    assert [r.emotion for r in found if r.video == where["rows disagree"]] == ["fear"], "as most rows say"
    lost = {where[kind] for kind in ("missing recording", "other user", "no expected label", "empty recording")}
    assert {r.video for r in found} == videos - lost
    assert "train 4 videos of 2 users, validation 1 video of 1 user (not the official list of users)" in found.report()


def test_what_is_said_of_one_split_is_of_that_split(nefer_data, tmp_path):
    """Somebody who fetched the test people's recordings alone, as the docs say, misses nothing."""
    nefer_data.LAYOUTS["official"](tmp_path)
    for recording in NEFER(tmp_path, split="train"):
        recording.path.unlink()
    found = NEFER(tmp_path, split="validation")
    assert found.findings == []
    assert "emotions: validation 3 videos of 1 user (not the official list of users), nothing wrong" in found.report()
    assert {f.kind for f in NEFER(tmp_path).findings} == {"missing recording"}
    with pytest.raises(UserError, match="6 videos of the train split are annotated and none of their recordings"):
        NEFER(tmp_path, split="train")


def test_recordings_of_the_other_split_are_no_finding(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    assert NEFER(tmp_path, split="validation").findings == []


def test_a_split_with_all_its_users_is_called_official(nefer_data, tmp_path, monkeypatch):
    monkeypatch.setitem(nefer_data.USERS, "validation", VALIDATION_USERS)
    nefer_data.LAYOUTS["official"](tmp_path)
    assert "validation 18 videos of 6 users (the official users)" in NEFER(tmp_path, split="validation").report()
    assert "(not the official list of users)" in NEFER(tmp_path).report()


@pytest.mark.parametrize("damage", [lambda b: b[:40] + b"\xff" * 8 + b[48:], lambda b: b[:-30], lambda b: b[9:]])
def test_damaged_annotations_are_a_finding(damage, nefer_data, tmp_path):
    nefer_data.LAYOUTS["annotations gzipped"](tmp_path)
    path = tmp_path / "train_event.csv.gz"
    path.write_bytes(damage(path.read_bytes()))
    found = NEFER(tmp_path)
    assert [(f.kind, f.where) for f in found.findings if f.kind.startswith("unr")] == [
        ("unreadable annotations", path.name)
    ]
    assert {r.split for r in found} == {"validation"}


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r"), lambda t: t.replace("\n", "\r\n")])
def test_line_ends_of_other_systems(change, nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    for path in tmp_path.rglob("*.csv"):
        path.write_bytes(change(path.read_text()).encode())
    assert NEFER(tmp_path).findings == []


def test_a_stray_quote_is_a_finding(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    path = tmp_path / "annotations" / "expected_emotions" / "train_event.csv"
    path.write_text('"' + path.read_text() + " " * 140_000)
    assert [f.kind for f in NEFER(tmp_path).findings if f.kind.startswith("unr")] == ["unreadable annotations"]


@pytest.mark.parametrize("spelling", ["user_1", "user01", "User_01"])
def test_a_number_spelled_otherwise_is_no_other_person(spelling, nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    path = tmp_path / "annotations" / "expected_emotions" / "train_event.csv"
    path.write_text(path.read_text().replace("user_01,", f"{spelling},"))
    found = NEFER(tmp_path)
    assert set(found.split.train.subjects) == {"user_01", "user_02"}
    assert found.findings == []


def test_a_tree_of_rendered_faces_says_so(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    for domain, synthetic, title in (("nefer", False, "NEFER at "), ("nefer-like", True, "nefer-like (synthetic) at ")):
        found = NEFER(tmp_path)
        assert (found.domain, found.clips.synthetic, found.clips.domain) == (domain, synthetic, domain)
        assert found.report().startswith(title)
        (tmp_path / "SYNTHETIC.txt").touch()


def test_pictures_go_by_their_number(tmp_path):
    for number in (10, 9, 100):
        cv2.imwrite(str(tmp_path / f"frame_{number}.png"), np.full((4, 6), number, np.uint8))
    frames = NEFER.frames(SimpleNamespace(source="frames"), SimpleNamespace(path=tmp_path))
    assert frames[:, 0, 0].tolist() == [9, 10, 100]


def test_a_user_without_a_number_is_another_than_the_videos(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    path = tmp_path / "annotations" / "expected_emotions" / "train_event.csv"
    path.write_text(path.read_text().replace("user_01,", "somebody,"))
    found = [f for f in NEFER(tmp_path).findings if f.kind == "other user"]
    assert len(found) == 3
    assert {f.detail for f in found} == {"the CSV says 'somebody'"}


def test_none_is_an_emotion_that_is_reported_not_expected(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    path = tmp_path / "annotations" / "expected_emotions" / "train_event.csv"
    path.write_text(path.read_text().replace("Anger", "None"))
    found = NEFER(tmp_path)
    assert [f.kind for f in found.findings] == ["unknown emotion", "no expected label"]
    assert len(found) == 8


def test_a_second_set_of_annotations_does_not_replace_the_first(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    first = [(r.video, r.emotion) for r in NEFER(tmp_path)]
    old = tmp_path / "annotations_old" / "train_event.csv"
    old.parent.mkdir()
    text = (tmp_path / "annotations" / "expected_emotions" / "train_event.csv").read_text()
    old.write_text(text)
    assert NEFER(tmp_path).findings == []
    old.write_text(text.replace("Anger", "Sadness"))
    found = NEFER(tmp_path)
    assert [(r.video, r.emotion) for r in found] == first
    assert {f.kind for f in found.findings} == {"labels disagree"}


def test_a_sound_recording_stands_for_an_empty_one(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    videos = [r.video for r in NEFER(tmp_path)]
    first = NEFER(tmp_path)[0].path
    (tmp_path / "again").mkdir()
    first.rename(tmp_path / "again" / first.name)
    (tmp_path / "again").rename(tmp_path / "zz")
    first.write_bytes(b"")
    found = NEFER(tmp_path)
    assert [r.video for r in found] == videos
    assert [f.kind for f in found.findings] == ["empty recording"]


def test_a_link_to_nothing_is_a_finding(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    path = NEFER(tmp_path)[0].path
    path.unlink()
    path.symlink_to(tmp_path / "absent")
    found = NEFER(tmp_path)
    assert [f.kind for f in found.findings] == ["unreadable recording"]
    assert len(found) == 8


@pytest.mark.parametrize("change", [lambda t: t.replace(",", ";").encode(), lambda t: t.encode("utf-16")])
def test_annotations_none_of_which_can_be_read_are_an_error(change, nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path)
    for path in tmp_path.rglob("*.csv"):
        path.write_bytes(change(path.read_text()))
    with pytest.raises(UserError, match=r"(?s)no recording can be used\n.*(bad row|unreadable annotations)"):
        NEFER(tmp_path)


def test_a_split_that_nobody_is_in_is_an_error(nefer_data, tmp_path):
    """As of the rendered stand-in, whose people are all of the training split."""
    nefer_data.LAYOUTS["official"](tmp_path)
    for path in tmp_path.rglob("validation_*.csv"):
        path.unlink()
    for video in {r.video for r in NEFER(tmp_path, split="train")} ^ {p.stem for p in tmp_path.rglob("*.raw")}:
        next(tmp_path.rglob(f"{video}.raw")).unlink()
    with pytest.raises(UserError, match=r"no recording of the validation split can be used\nno video .* is annotated"):
        NEFER(tmp_path, split="validation")


@pytest.mark.recordings
def test_real_annotations(shared):
    annotations, findings = read_annotations(shared / "nefer_annotations")
    assert findings == []
    by_split = {s: [a for a in annotations.values() if a.split == s] for s in ("train", "validation")}
    assert {s: len(a) for s, a in by_split.items()} == {"train": 420, "validation": 125}
    assert sorted({a.user for a in by_split["train"]}) == list(TRAIN_USERS)
    assert sorted({a.user for a in by_split["validation"]}) == list(VALIDATION_USERS)
    agree = np.mean([a.expected == a.reported for a in annotations.values()])
    assert round(100 * agree, 1) == 65.1
    agree = np.mean([a.expected == a.reported for a in by_split["validation"]])
    assert round(100 * agree, 1) == 75.2
    for kind, majority in (("expected", 14.4), ("reported", 16.8)):
        counts = Counter(getattr(a, kind) for a in by_split["validation"])
        assert round(100 * counts.most_common(1)[0][1] / 125, 1) == majority
        assert set(counts) == {*EMOTIONS, "none"} if kind == "reported" else set(counts) == set(EMOTIONS)


def test_saturated_pictures_are_noticed(nefer_data, tmp_path):
    for name, divisor in (("sound", 255), ("saturated", 128)):
        nefer_data.write_annotations(tmp_path / name / "annotations")
        nefer_data.write_frames(tmp_path / name, divisor)
    video = next((tmp_path / "sound" / "event_frames").glob("*/*"))
    shutil.copytree(video, tmp_path / "sound" / "rgb_frames" / video.name)  # of the other camera
    no_utf8 = tmp_path / os.fsdecode(b"caf\xe9")  # as text, such a name makes OpenCV end the whole process
    (tmp_path / "sound").rename(no_utf8)
    sound = NEFER(no_utf8, source="frames")
    assert sound.findings == []
    assert sound.frames(sound[0]).shape == (51, 48, 64)
    with pytest.raises(UserError, match="source='frames'"):
        NEFER.frames(SimpleNamespace(source="raw"), sound[0])
    (finding,) = NEFER(tmp_path / "saturated", source="frames").findings
    assert finding.kind == "saturated frames"
    assert "source='raw'" in finding.effect


@pytest.mark.parametrize("rounding", [np.floor, np.rint])
def test_saturation_is_told_from_few_codes(rounding):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, 10_000)
    cut = rounding(np.minimum(codes * 255 / 128, 255)).astype(int)
    assert is_saturated(np.bincount(cut, minlength=256))
    assert not is_saturated(np.bincount(cut[cut < 255], minlength=256)), "nothing is cut to 255"
    assert not is_saturated(np.bincount(codes, minlength=256))
    assert not is_saturated(np.bincount(codes[codes < 128], minlength=256))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "felt"}, "unknown labels 'felt'"),
        ({"source": "rgb"}, "unknown source 'rgb'"),
        ({}, "9 videos are annotated and none of their recordings"),
    ],
)
def test_what_cannot_be_used_is_said(arguments, message, nefer_data, tmp_path):
    nefer_data.write_annotations(tmp_path / "tree" / "annotations")
    with pytest.raises(UserError, match=message):
        NEFER(tmp_path / "tree", **arguments)
    with pytest.raises(UserError, match="no such folder"):
        NEFER(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no annotations here"):
        NEFER(tmp_path / "empty")

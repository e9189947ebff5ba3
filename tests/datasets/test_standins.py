"""Stand-in datasets: the same bytes however they are made, nothing made twice, nothing stale read."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from spikeva.datasets import standin
from spikeva.errors import UserError
from spikeva.events import EventClip
from spikeva.faces import make_clip, pixel
from spikeva.simulate import DVSPixel

TINY = {"identities": 2, "clips": 2, "size": 32, "seconds": 0.2, "fps": 50.0}


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*.*"))}


@pytest.mark.parametrize("domain", ["afew-va-like", "nefer-like"])
def test_workers_change_no_byte(domain, pool, tmp_path):
    standin(domain, tmp_path / "here", workers=0, **TINY)
    standin(domain, tmp_path / "two", workers=pool, **TINY)
    assert contents(tmp_path / "here") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "here")) >= 8


def test_a_run_goes_on_from_what_is_there(tmp_path):
    first = standin("afew-va-like", tmp_path, workers=0, **TINY)
    whole = contents(tmp_path)
    kept, *others = first.paths
    stamp = kept.stat().st_mtime_ns
    for path in others:
        path.unlink()
    next(tmp_path.glob("frames/*/i0001_c01.npz")).unlink()
    part = kept.with_name(f".{kept.name}.0a1b2c3d.part")
    part.write_bytes(b"left by a killed worker")
    os.utime(part, (0, 0))
    again = standin("afew-va-like", tmp_path, workers=0, **TINY)
    assert again == first
    assert kept.stat().st_mtime_ns == stamp
    assert contents(tmp_path) == whole
    more = standin("afew-va-like", tmp_path, workers=0, **{**TINY, "identities": 3})
    assert more[:4] == first
    assert kept.stat().st_mtime_ns == stamp


def test_other_arguments_go_to_other_folders(tmp_path):
    base = standin("afew-va-like", tmp_path, workers=0, **TINY)
    dim = standin("afew-va-like", tmp_path, workers=0, pixel=DVSPixel(pos_thres=0.3), **TINY)
    other = standin("afew-va-like", tmp_path, workers=0, seed=1, **TINY)
    folders = {s[0].path.parent for s in (base, dim, other)}
    assert len(folders) == 3
    assert len(list((tmp_path / "frames").iterdir())) == 2  # another pixel sees the same frames
    own = [[seed, 0, person, clip] for seed in (0, 1) for person in (0, 1) for clip in (0, 1)]  # 0: the domain
    for path, entropy in zip((*base.paths, *other.paths), own, strict=True):
        assert EventClip(path).attributes["seed"] == np.random.SeedSequence(entropy).generate_state(1)[0]


def test_other_code_makes_other_files(tmp_path, monkeypatch):
    """That of rendering other frames, and that of simulation and of events other events: nothing old is read."""
    files = {name: tmp_path / "spikeva" / name / "code.py" for name in ("faces", "simulate", "events")}
    for file in files.values():
        file.parent.mkdir(parents=True)
        file.touch()
    monkeypatch.setattr("spikeva.datasets.standins.__file__", str(tmp_path / "spikeva" / "datasets" / "standins.py"))
    frames, events = [], []
    for file in (None, *files.values()):
        if file is not None:
            file.write_text("changed")
        (clip,) = standin("afew-va-like", tmp_path, workers=0, **{**TINY, "identities": 1, "clips": 1})
        events.append(clip.path.parent.name)
        frames.append(Path(EventClip(clip.path).attributes["frames"]).parent.name)
    assert len(set(events)) == 4
    assert frames[0] != frames[1] == frames[2] == frames[3]


def test_clip_files_say_what_a_study_needs(tmp_path):
    shown = make_clip("afew-va-like", 1, 0, size=32, seconds=0.2, fps=50.0, label_fps=30.0)
    for labels in ("exact", "rated"):
        clips = standin("afew-va-like", tmp_path, workers=0, labels=labels, label_fps=30.0, **TINY)
        assert clips.synthetic
        assert len(clips.subjects) == 2
        assert clips[2].subject == shown.subject
        with EventClip(clips[2].path) as clip:
            assert json.loads(clip.attributes["simulator"]) == asdict(DVSPixel.preset("clean"))
            seen = np.load(clips[2].path.parent / clip.attributes["frames"])["frames"]
            np.testing.assert_array_equal(seen, np.rint(shown.frames))
            assert clip.size == (32, 32)
            assert clip.event_count > 0
            np.testing.assert_array_equal(clip.labels["t_us"], [0, 33_333, 66_667, 100_000, 133_333, 166_667])
            for axis in ("valence", "arousal"):
                exact, rated = ((axis, f"{axis}_rated"), (f"{axis}_exact", axis))[labels == "rated"]
                np.testing.assert_array_equal(clip.labels[exact], getattr(shown, axis))
                np.testing.assert_array_equal(clip.labels[rated], getattr(shown, f"{axis}_rated"))


def test_posed_domain_has_emotions_and_no_valence(tmp_path):
    clips = standin("nefer-like", tmp_path, workers=0, **TINY)
    assert [c.emotion for c in clips] == ["happiness", "surprise"] * 2
    with EventClip(clips[0].path) as clip:
        assert set(clip.labels) == {"t_us"}
        assert json.loads(clip.attributes["simulator"]) == asdict(DVSPixel(**pixel("nefer-like")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domain": "NEFER"}, "unknown stand-in domain 'NEFER'"),
        ({"clips": 0}, "at least one"),
        ({"labels": "x"}, "labels"),
    ],
)
def test_bad_arguments_are_refused(change, message, tmp_path):
    with pytest.raises(UserError, match=message):
        standin(**{"domain": "nefer-like", "out": tmp_path, "workers": 0, **TINY, **change})

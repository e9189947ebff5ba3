"""From a dataset's tree to event clips: the same bytes wherever the work is done, nothing lost, every failure named."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from spikeva.cli import main
from spikeva.datasets import AFEWVA, NEFER, ClipSet, cluster, prepare
from spikeva.datasets.crop import Square, box_of_events, square_around
from spikeva.datasets.preparing import _listing, _open, _whole_blocks
from spikeva.datasets.recipe import keep_recipe
from spikeva.errors import UserError
from spikeva.events import (
    EventClip,
    EventReader,
    EventStream,
    downscale,
    open_events,
    read_events,
    read_manifest,
    write_events,
)
from spikeva.study.cells import cells
from spikeva.study.config import parse
from spikeva.study.run_cell import PREDICTIONS, create, score_rows


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def films(afew_va_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    afew_va_data.write_layout(root, "zips")
    return AFEWVA(root)


@pytest.fixture(scope="module")
def here(films, tmp_path_factory):
    """The films prepared in this process."""
    out = tmp_path_factory.mktemp("here") / "out"
    prepare(films, out, size=32, workers=0)
    return out


def test_films_become_clips(films, here):
    clips = ClipSet.read(here)
    assert [c.clip for c in clips] == [f"{i:03d}" for i in range(1, 9)]
    assert [c.subject for c in clips] == [f.actor for f in films]
    assert not clips.synthetic
    told = {"dataset", "fps", "size", "pixel", "interpolate", "timing", "seed", "spikeva"}
    assert set(json.loads((here / "recipe.json").read_text())) == told
    assert sum(entry["events"] for entry in read_manifest(here)) > 1000
    for film, clip in zip(films, clips, strict=True):
        with EventClip(clip.path) as stored:
            assert stored.size == (32, 32)
            np.testing.assert_array_equal(stored.labels["t_us"], np.arange(6) * 40_000)
            np.testing.assert_array_equal(stored.labels["valence"], film.valence)
            assert stored.attributes["face_side"] == film.face.side


def test_each_film_has_a_seed_of_its_own(here):
    seeds = [EventClip(path).attributes["seed"] for path in sorted(here.glob("*.h5"))]
    assert len(set(seeds)) == len(seeds) == 8


def test_times_of_labels_are_rounded_to_microseconds(afew_va_data, tmp_path):
    afew_va_data.write_clip(tmp_path / "root" / "001", 1, frames=4)
    prepare(AFEWVA(tmp_path / "root", fps=30), tmp_path / "out", size=16, interpolate="none", workers=0)
    with EventClip(tmp_path / "out" / "001.h5") as clip:
        assert clip.labels["t_us"].tolist() == [0, 33_333, 66_667, 100_000]


def test_clips_of_rendered_faces_say_so(afew_va_data, tmp_path):
    afew_va_data.write_clip(tmp_path / "root" / "001", 1, frames=2)
    (tmp_path / "root" / "SYNTHETIC.txt").touch()
    prepare(AFEWVA(tmp_path / "root"), tmp_path / "out", size=16, interpolate="none", workers=0)
    (clip,) = ClipSet.read(tmp_path / "out")
    assert (clip.domain, clip.synthetic) == ("afew-va-like", True)


def test_where_the_face_is_in_the_picture_does_not_matter(afew_va_data, tmp_path):
    """Of a film with a border of 8 columns and 6 rows, the same events come from the same face."""
    content = afew_va_data.write_clip(tmp_path / "plain" / "001", 1)
    shutil.copytree(tmp_path / "plain", tmp_path / "framed")
    for image in (tmp_path / "framed" / "001").glob("*.png"):
        cv2.imwrite(str(image), cv2.copyMakeBorder(cv2.imread(str(image)), 6, 0, 8, 0, cv2.BORDER_REPLICATE))
    for frame in content["frames"].values():
        frame["landmarks"] = np.add(frame["landmarks"], (8, 6)).tolist()
    (tmp_path / "framed" / "001" / "001.json").write_text(json.dumps(content))

    def events(name: str, **options: Any) -> EventStream:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        given = {"size": 24, "interpolate": "none", "pixel": "noisy", **options}
        prepare(AFEWVA(tmp_path / name), out, workers=0, **given)
        return read_events(out / "001.h5")

    plain = events("plain")
    assert len(plain) > 100
    assert events("framed") == plain
    for other in ({"seed": 1}, {"interpolate": "linear"}, {"timing": "v2e"}, {"pixel": "clean"}):
        assert events("plain", **other) != plain


def test_each_option_of_the_command_reaches_the_clips(afew_va_data, nefer_data, tmp_path):
    afew_va_data.write_layout(tmp_path / "films", "official", clips=1)
    nefer_data.LAYOUTS["official"](tmp_path / "recordings")
    options = {"size": 16, "pixel": "noisy", "interpolate": "none", "timing": "v2e", "seed": 3}
    prepare(AFEWVA(tmp_path / "films", fps=50), tmp_path / "a", workers=0, **options)
    command = ["prepare", "--dataset", "afew-va", "--root", str(tmp_path / "films"), "--out", str(tmp_path / "b")]
    given = [part for name, value in {**options, "fps": 50}.items() for part in (f"--{name}", str(value))]
    assert main([*command, *given, "--workers", "0"]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    told = NEFER(tmp_path / "recordings", labels="reported", split="train")
    prepare(told, tmp_path / "c", size=16, pool="all", workers=0)
    command = ["prepare", "--dataset", "nefer", "--root", str(tmp_path / "recordings"), "--out", str(tmp_path / "d")]
    given = ["--labels", "reported", "--split", "train", "--pool", "all", "--size", "16"]
    assert main([*command, *given, "--workers", "0"]) == 0
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


def test_local_pool_gives_the_same_bytes(films, here, pool, tmp_path):
    prepare(films, tmp_path / "out", size=32, workers=pool)
    assert contents(tmp_path / "out") == contents(here)


def test_dask_cluster_gives_the_same_bytes(films, here, tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(**options) as running, cluster(running.scheduler_address) as executor:
        prepare(films, tmp_path / "out", size=32, workers=executor)
    assert contents(tmp_path / "out") == contents(here)


def test_what_is_there_is_not_made_again(films, here, tmp_path):
    out = tmp_path / "out"
    prepare(films, out, size=32, workers=0)
    stamps = {p.name: p.stat().st_mtime_ns for p in out.glob("*.h5")}
    for name in ("003.h5", "account.json"):  # as after a kill
        os.utime((out / name).rename(out / f".{name}.killed.part"), (0, 0))
    again = prepare(films, out, size=32, workers=0)
    assert not list(out.glob(".*"))
    assert (again.account.done, len(again.account.skipped)) == (1, 7)
    assert {p.name for p in out.glob("*.h5") if p.stat().st_mtime_ns != stamps[p.name]} == {"003.h5"}
    assert contents(out) == contents(here)
    with pytest.raises(UserError, match="size was 32 and is now 48"):
        prepare(films, out, size=48, workers=0)
    with pytest.raises(UserError, match=r"timing was '?crossing'? and is now '?v2e"):
        prepare(films, out, size=32, timing="v2e", workers=0)
    with pytest.raises(UserError, match="timing"):
        prepare(films, tmp_path / "other", size=32, timing="crosing", workers=0)


def test_what_was_made_of_another_source_is_made_again(afew_va_data, tmp_path):
    """A picture fetched again, a label put right; not an actor who is spelled otherwise in clips that come later."""
    root, out = tmp_path / "root", tmp_path / "out"
    afew_va_data.write_layout(root, "official", clips=3)
    sound = (root / "001" / "00003.png").read_bytes()
    (root / "001" / "00003.png").write_bytes(b"")
    prepare(AFEWVA(root), out, size=32, workers=0)
    (root / "001" / "00003.png").write_bytes(sound)
    afew_va_data.write_clip(root / "002", 2, number=lambda label: -label)
    for clip, actor in ((3, "Di Specimen"), (4, "DI  specimen"), (5, "DI  specimen")):
        content = afew_va_data.write_clip(root / f"{clip:03d}", clip)
        (root / f"{clip:03d}" / f"{clip:03d}.json").write_text(json.dumps({**content, "actor": actor}))
    films = AFEWVA(root)
    done = prepare(films, out, size=32, workers=0)
    assert (done.again, len(done.account.skipped)) == (2, 1)
    assert "2 clips made again: what was there was of other pictures or labels" in str(done)
    assert contents(out) == contents_of_fresh(films, tmp_path)
    assert ClipSet.read(out).subjects == films.clips.subjects
    assert prepare(films, out, size=32, workers=0).again == 0


def test_whatever_is_said_of_a_clip_decides_whether_it_is_made_again(films, nefer_data, tmp_path):
    film = films[0]
    changed = [replace(film, **{name: -getattr(film, name)}) for name in ("labelled", "valence", "arousal")]
    changed += [replace(film, **c) for c in ({"actor": "else"}, {"face": Square(0, 0, 2)}, {"images": film.images[1:]})]
    nefer_data.LAYOUTS["official"](tmp_path)
    recording, other = NEFER(tmp_path)[:2]
    told = [replace(recording.annotation, **{name: "else"}) for name in ("user", "split", "expected", "reported")]
    changed += [replace(recording, annotation=annotation) for annotation in told]
    changed += [replace(recording, emotion="else"), replace(recording, path=other.path)]
    assert len({_listing(clip) for clip in (film, recording, *changed)}) == 2 + len(changed)


def test_a_stale_clip_that_cannot_be_made_again_is_not_read(afew_va_data, tmp_path):
    root, out = tmp_path / "root", tmp_path / "out"
    afew_va_data.write_layout(root, "official", clips=3)
    prepare(AFEWVA(root), out, size=32, workers=0)
    (out / "003.h5").write_bytes(b"damaged")
    image = root / "002" / "00003.png"
    sound = image.read_bytes()
    image.write_bytes(sound[:60] + b"\0" * 40 + sound[100:])  # its head and end look sound, and its size is the same
    assert prepare(AFEWVA(root), out, size=32, workers=0).again == 1
    afew_va_data.write_clip(root / "001", 1, number=lambda label: -label)
    image.write_bytes(sound[:60] + b"\0" * 50 + sound[100:])
    films = AFEWVA(root)
    done = prepare(films, out, size=32, workers=0)
    assert (done.again, list(done.account.errors)) == (1, [1])
    assert sorted(p.name for p in out.glob("*.h5")) == ["001.h5", "003.h5"]
    image.write_bytes(sound)
    lost = AFEWVA(root)
    prepare(lost, out, size=32, workers=0)
    (root / "002" / "00003.png").unlink()  # a disk that is gone says nothing of what was made from it
    assert list(prepare(lost, out, size=32, workers=0).account.errors) == [1]
    assert (out / "002.h5").exists()


def contents_of_fresh(films: AFEWVA, tmp_path: Path) -> dict[str, bytes]:
    prepare(films, tmp_path / "fresh", size=32, workers=0)
    return contents(tmp_path / "fresh")


def test_predictions_go_by_the_films_frame_numbers(afew_va_data, tmp_path):
    """Of a film without its first picture, another one and a label, times and places of labels are not those of the json."""
    content = afew_va_data.write_clip(tmp_path / "root" / "001", 1, frames=12)
    del content["frames"]["00005"]
    (tmp_path / "root" / "001" / "001.json").write_text(json.dumps(content))
    for lost in (0, 7):
        (tmp_path / "root" / "001" / f"{lost:05d}.png").unlink()
    prepare(AFEWVA(tmp_path / "root"), tmp_path / "out", size=32, workers=0)
    grid = {"models": [{"model": "ann_convnet", "width": 4}], "encodings": [{"encoding": "tbr", "bits": 4, "dt": 5000}]}
    source = {"dataset": "prepared", "root": str(tmp_path / "out")}
    cell = next(cells(parse({"study": "s", "regression": source, "window": {"frames": 4}, "grid": grid})))
    rows = score_rows(cell, create(cell), ClipSet.read(tmp_path / "out"), PREDICTIONS, None)
    assert [int(row["frame"]) for row in rows] == [3, 4, 6, 8, 9, 10, 11]
    expected = np.array(afew_va_data.labels_of(1, 12), np.float32) / 10
    for row in rows:
        frame = int(row["frame"])
        assert int(row["t_us"]) == 40_000 * (frame - 1)
        assert (float(row["valence"]), float(row["arousal"])) == pytest.approx(expected[frame], abs=1e-6)


def test_clips_that_are_no_more_in_the_dataset_are_named(afew_va_data, tmp_path):
    """They may be of a part of it that was prepared before, or of what is left out by now: a study reads them all."""
    root, out = tmp_path / "root", tmp_path / "out"
    afew_va_data.write_layout(root, "official", clips=3)
    first = prepare(AFEWVA(root), out, size=32, workers=0)
    assert "others" not in str(first)
    assert repr(first) == str(first), "what a notebook shows"
    afew_va_data.FAULTS["no actor"](root / "002")
    done = prepare(AFEWVA(root), out, size=32, workers=0)
    assert "1 other clip there before, not of this dataset as it is now (002.h5): a study reads" in str(done)
    assert json.loads((out / "account.json").read_text())["others"] == ["002.h5"]


def test_a_damaged_recipe_is_named(afew_va_data, tmp_path):
    afew_va_data.write_layout(tmp_path / "root", "official", clips=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "recipe.json").write_text('{"size": 3')
    with pytest.raises(UserError, match=r"recipe\.json is damaged .* make the clips again, in another folder"):
        prepare(AFEWVA(tmp_path / "root"), tmp_path / "out", size=32, workers=0)


def test_a_corrected_emotion_reaches_the_clip(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path / "root")
    prepare(NEFER(tmp_path / "root"), tmp_path / "out", size=16, workers=0)
    table = tmp_path / "root" / "annotations" / "expected_emotions" / "train_event.csv"
    table.write_text(table.read_text().replace("Anger", "Sadness"))
    recordings = NEFER(tmp_path / "root")
    assert prepare(recordings, tmp_path / "out", size=16, workers=0).again > 0
    emotions = {c.clip: c.emotion for c in ClipSet.read(tmp_path / "out")}
    assert emotions == {r.video: r.emotion for r in recordings}


def test_of_two_recipes_at_once_the_first_decides(tmp_path, monkeypatch):
    keep_recipe(tmp_path / "recipe.json", {"seed": 0}, "*.h5")
    there = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != "recipe.json" and there(path))  # as seen before that
    with pytest.raises(UserError, match="seed was 0 and is now 1"):
        keep_recipe(tmp_path / "recipe.json", {"seed": 1}, "*.h5")
    keep_recipe(tmp_path / "recipe.json", {"seed": 0}, "*.h5")
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"seed": 0}


def test_a_recipe_with_more_or_less_in_it_is_another(tmp_path):
    keep_recipe(tmp_path / "recipe.json", {"seed": 0}, "*.h5")
    for other, told in (({"seed": 0, "size": 32}, "size was None and is now 32"), ({}, "seed was 0 and is now None")):
        with pytest.raises(UserError, match=told):
            keep_recipe(tmp_path / "recipe.json", other, "*.h5")
    (tmp_path / "recipe.json").rename(tmp_path / "clip.h5")
    with pytest.raises(UserError, match=r"holds clip\.h5 and no recipe\.json: it was made otherwise"):
        keep_recipe(tmp_path / "recipe.json", {"seed": 0}, "*.h5")


@pytest.mark.parametrize(("wrong", "message"), [({"seed": -1}, "seed must be"), ({"size": 15}, "size must be")])
def test_a_bad_argument_leaves_no_recipe(wrong, message, films, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare(films, tmp_path / "out", workers=0, **{"size": 32, **wrong})
    assert not (tmp_path / "out").exists()


def test_files_that_other_systems_leave_are_no_clips(films, here, tmp_path):
    shutil.copytree(here, tmp_path / "out")
    (tmp_path / "out" / "._001.h5").write_bytes(b"AppleDouble")
    assert len(ClipSet.read(tmp_path / "out")) == 8
    assert len(prepare(films, tmp_path / "out", size=np.int64(32), workers=0).account.skipped) == 8


def test_a_clip_that_fails_is_named_and_the_others_are_made(afew_va_data, tmp_path, capsys):
    afew_va_data.write_layout(tmp_path / "root", "official", clips=4)
    image = tmp_path / "root" / "002" / "00003.png"
    image.write_bytes(image.read_bytes()[:60] + b"\0" * 40 + image.read_bytes()[100:])  # its head and end look sound
    command = ["prepare", "--dataset", "afew-va", "--root", str(tmp_path / "root"), "--out", str(tmp_path / "out")]
    assert main([*command, "--size", "32", "--workers", "0"]) == 1
    printed = capsys.readouterr().out
    assert "1 clip failed" in printed
    assert "002: UserError" in printed
    assert "00003.png" in printed
    assert sorted(p.name for p in (tmp_path / "out").glob("*.h5")) == ["001.h5", "003.h5", "004.h5"]
    assert list(json.loads((tmp_path / "out" / "account.json").read_text())["failed"]) == ["002"]
    cv2.imwrite(str(image), afew_va_data.picture(2, 3)[0])
    assert main([*command, "--size", "32", "--workers", "0"]) == 0
    assert "4 clips" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers through /proc")
def test_a_worker_killed_with_signal_9_loses_nothing(films, here, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "spikeva", "prepare", "--dataset", "afew-va", "--root", str(films.root)]
    run = subprocess.Popen([*command, "--out", str(out), "--size", "32", "--workers", "2"], stdout=subprocess.PIPE)
    victim = None
    while run.poll() is None and victim is None:  # until a worker has written something
        if any(out.glob("*.h5")):
            threads = Path(f"/proc/{run.pid}/task").iterdir()
            children = [pid for t in threads for pid in (t / "children").read_text().split()]
            workers = [p for p in children if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]
            victim = int(workers[0])
            os.kill(victim, signal.SIGKILL)
        time.sleep(0.005)
    assert victim is not None
    printed = run.communicate(timeout=120)[0].decode()
    assert run.returncode == 0, printed
    assert contents(out) == contents(here)


def test_recordings_become_face_clips(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path / "root")
    recordings = NEFER(tmp_path / "root", split="train")
    done = prepare(recordings, tmp_path / "out", size=16, workers=0)
    assert done.account.done == 6
    told = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert set(told) == {"dataset", "labels", "size", "pool", "spikeva"}
    clips = ClipSet.read(tmp_path / "out")
    assert clips.subjects == ["user_01", "user_02"]
    assert [c.emotion for c in clips] == [r.emotion for r in recordings]
    with EventClip(clips[0].path) as clip:
        events = clip.events()
        assert clip.size == (16, 16)
        assert clip.attributes["emotion_reported"] == recordings[0].annotation.reported
        assert set(clip.labels) == {"t_us"}
        whole = nefer_data.recording(0)
        x0, y0, factor = (int(clip.attributes[k]) for k in ("face_x", "face_y", "factor"))
        found = square_around(box_of_events(whole.counts()), margin=1.0)
        assert (Square(x0, y0, 16 * factor), factor) == _whole_blocks(found, 16, whole.size)
        face = whole.crop(x0, y0, 16 * factor, 16 * factor)
        (inside,) = downscale([face], factor, "mean")
        assert clip.attributes["pool"] == "mean"
        assert 0 < len(events) < len(face)
        assert events == EventStream(inside.t - whole.t[0], inside.x, inside.y, inside.p, inside.size)
        assert clip.attributes["split"] == "train"
        np.testing.assert_array_equal(clip.labels["t_us"], np.arange(0, whole.t[-1] - whole.t[0] + 1, 40_000))
    with EventClip(clips[1].path) as clip:
        assert [clip.attributes[f"emotion{kind}"] for kind in ("", "_expected", "_reported")] == ["contempt"] * 2 + [
            "none"
        ]


def test_a_recording_of_many_blocks_is_one(nefer_data, tmp_path, monkeypatch):
    """Its face, the time of its first event and the number of its label times are of the whole."""
    nefer_data.LAYOUTS["official"](tmp_path / "root")
    recordings = NEFER(tmp_path / "root", split="validation")
    prepare(recordings, tmp_path / "one", size=16, workers=0)
    kind = type(open_events(recordings[0].path))
    whole = kind.blocks

    def in_parts(reader: EventReader) -> Iterator[EventStream]:
        for block in whole(reader):
            yield from (block[i : i + 1990] for i in range(-1990, len(block), 1990))  # none, nearly all, ten events

    monkeypatch.setattr(kind, "blocks", in_parts)
    prepare(recordings, tmp_path / "many", size=16, workers=0)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_a_recording_that_does_not_say_its_size_is_of_the_papers_sensor(tmp_path):
    path = tmp_path / "a.dat"
    write_events(path, EventStream([1], [1279], [719], [1], (1280, 720)))
    path.write_bytes(re.sub(rb"% (Width|Height) \d+\n", b"", path.read_bytes()))
    assert _open(path).size == (1280, 720)


@pytest.mark.parametrize(
    ("square", "size", "sensor", "wanted"),
    [
        (Square(500, 200, 300), 128, (1280, 720), (Square(522, 222, 256), 2)),
        (Square(500, 200, 330), 128, (1280, 720), (Square(473, 173, 384), 3)),
        (Square(-60, -40, 300), 128, (1280, 720), (Square(0, 0, 256), 2)),
        (Square(1200, 600, 300), 128, (1280, 720), (Square(1024, 464, 256), 2)),
        (Square(-20, -30, 200), 64, (140, 130), (Square(12, 2, 128), 2)),  # the face does not fit the sensor
        (Square(2, 3, 30), 64, (80, 60), (Square(0, 0, 64), 1)),  # nor a block of one pixel each
    ],
)
def test_the_square_of_a_face_is_whole_blocks_on_the_sensor(square, size, sensor, wanted):
    assert _whole_blocks(square, size, sensor) == wanted


def test_all_events_of_a_recordings_pixels(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path / "root")
    recordings = NEFER(tmp_path / "root", split="train")
    assert prepare(recordings, tmp_path / "out", size=16, pool="all", workers=0).account.done == 6
    with EventClip(ClipSet.read(tmp_path / "out")[0].path) as clip:
        whole = nefer_data.recording(0)
        x0, y0, factor = (int(clip.attributes[k]) for k in ("face_x", "face_y", "factor"))
        inside = whole.crop(x0, y0, 16 * factor, 16 * factor).downsample(factor)
        events = clip.events()
        assert clip.attributes["pool"] == "all"
        assert events.t[0] < 10_000  # counted from the recording's first event
        np.testing.assert_array_equal(events.x, inside.x)
        np.testing.assert_array_equal(events.t, inside.t - whole.t[0])
    with pytest.raises(UserError, match="pool"):
        prepare(recordings, tmp_path / "out", size=16, workers=0)


def test_the_account_is_of_its_own_split(nefer_data, tmp_path):
    nefer_data.LAYOUTS["official"](tmp_path / "root")
    out = tmp_path / "both"
    prepare(NEFER(tmp_path / "root", split="validation"), out, size=16, workers=0)
    prepare(NEFER(tmp_path / "root", split="train"), out, size=16, workers=0)
    alone = prepare(NEFER(tmp_path / "root", split="train"), tmp_path / "alone", size=16, workers=0)
    account = json.loads((out / "account.json").read_text())
    assert (account["clips"], account["events"]) == (6, alone.events)
    assert len(ClipSet.read(out)) > 6


def head(height: int, x: int, y: int, width: int, shoulders: bool) -> np.ndarray:
    """Counts of a drawn head: hair, outline, eyes, mouth; (x, y) is the middle of the crown."""
    counts = np.random.default_rng(0).poisson(0.05, (height, 2 * height)).astype(np.uint8)
    counts[5, 7] = 200  # a hot pixel
    middle = (x, y + round(0.8 * width))
    cv2.ellipse(counts, middle, (width // 2, round(0.8 * width)), 0, 0, 360, 9, max(2, height // 90))
    for dx, dy, r in ((-0.2, 0.8, 0.07), (0.2, 0.8, 0.07), (0, 1.3, 0.12)):
        cv2.circle(counts, (x + round(dx * width), y + round(dy * width)), round(r * width), 9, -1)
    if shoulders:
        cv2.ellipse(counts, (x, y + round(2.5 * width)), (round(1.1 * width), round(0.7 * width)), 0, 180, 360, 9, 3)
    return counts


@pytest.mark.parametrize("shoulders", [False, True])
@pytest.mark.parametrize(
    ("height", "x", "y", "width"), [(360, 300, 40, 100), (720, 500, 100, 220), (720, 900, 200, 150)]
)
def test_face_is_found_in_the_events(height, x, y, width, shoulders):
    x0, y0, x1, y1 = box_of_events(head(height, x, y, width, shoulders))
    wanted = (x - width / 2, y + 0.52 * width, x + width / 2, y + 1.65 * width)
    inside = (min(x1, wanted[2]) - max(x0, wanted[0])) * (min(y1, wanted[3]) - max(y0, wanted[1]))
    assert inside > 0.75 * ((x1 - x0) * (y1 - y0) + 1.13 * width**2 - inside)


def test_face_is_found_where_it_is_known_to_be():
    """The benchmark whose figures the how-to has, on two short recordings."""
    script = Path(__file__).parents[2] / "benchmarks" / "nefer_face_box.py"
    command = [sys.executable, script, "--identities", "2", "--seconds", "0.4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    told = dict(re.findall(r"^  (.*?) +IoU .* worst (\S+)$", done.stdout, re.MULTILINE))
    assert set(told) == {"face box", "square crop"}
    assert min(map(float, told.values())) > 0.7
    assert "not found at all: 0" in done.stdout


def test_no_face_in_noise():
    with pytest.raises(UserError, match="no face stands out"):
        box_of_events(np.random.default_rng(0).poisson(0.3, (360, 640)))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--dataset", "afewva", "--check"], "did you mean 'afew-va'"),
        (["--dataset", "afew-va"], "give --out DIR"),
        (
            ["--dataset", "afew-va", "--out", "x", "--cluster", "tcp://127.0.0.1:1", "--workers", "2"],
            "--workers is for local",
        ),
        (["--dataset", "afew-va", "--check"], "no such folder"),
        (["--dataset", "afew-va", "--out", "x", "--size", "3"], "size must be a whole number from 16 on, got 3"),
        (["--dataset", "nefer", "--out", "x", "--workers", "-2"], "workers must be 0 (this process) or a number of"),
        (["--dataset", "afew-va", "--out", "x", "--pixel", "cleen"], "did you mean 'clean'"),
        (["--dataset", "nefer", "--out", "x", "--pool", "mena"], "unknown pool 'mena'; did you mean 'mean'?"),
    ],
)
def test_mistakes_are_said(extra, message, tmp_path, capsys):
    assert main(["prepare", "--root", str(tmp_path / "absent"), *extra]) == 2
    assert message in capsys.readouterr().err

"""Trees on disk: read by the loaders of the real datasets, whole clip by whole clip, the same whoever writes them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from spikeva import faces
from spikeva.cli import main
from spikeva.datasets.afew_va import AFEWVA
from spikeva.datasets.nefer import NEFER
from spikeva.events import read_events
from spikeva.faces import layouts

FILM = ["faces", "--identities", "2", "--clips", "2", "--seconds", "0.16"]


def digest(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_afew_va_like_tree_is_read_by_the_real_loader(tmp_path: Path) -> None:
    root = tmp_path / "films"
    assert main([*FILM, "--workers", "0", "--out", str(root)]) == 0
    films = AFEWVA(root)
    assert not films.findings
    assert [f.name for f in films] == ["001", "002", "003", "004"]
    assert {f.actor for f in films} == {"actor_000", "actor_001"}
    assert films[0].image_size == layouts.FILM_SIZE
    clip = faces.make_clip("afew-va-like", 1, 0, size=48, fps=25, label_fps=25, seconds=0.16)
    assert np.allclose(films[2].valence, clip.valence_rated)
    exact = np.load(root / "exact" / "003.npz")
    assert np.array_equal(exact["arousal"], clip.arousal)
    labels = json.loads((root / "003" / "003.json").read_text())
    assert set(labels) == {"actor", "video_id", "frames"}
    assert set(labels["frames"]) == {f"{i:05d}" for i in range(4)}
    assert cv2.imread(str(root / "003" / "00003.png")).shape == (576, 720, 3)


def test_tree_does_not_depend_on_workers_or_interruptions(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*FILM, "--workers", "0", "--out", str(one)]) == 0
    assert main([*FILM, "--workers", "2", "--out", str(two)]) == 0
    assert digest(one) == digest(two)
    whole = digest(one)
    for lost in ("002/00001.png", "002/002.json"):
        (one / lost).unlink()
    left = [one / ".002.killed.part", one / "exact" / ".002.npz.killed.part"]
    (one / "002").rename(left[0])
    (one / "exact" / "002.npz").rename(left[1])
    for part in left:
        os.utime(part, (0, 0))
    assert main([*FILM, "--workers", "0", "--out", str(one)]) == 0
    assert digest(one) == whole


KILLED = """
import json, os
from pathlib import Path
from spikeva.faces import layouts

json.dumps = lambda _: os._exit(1)  # the labels come last
layouts.write_film(layouts.Job(0, 1, 1), Path(), seconds=0.16)
"""


def test_what_a_kill_left_of_a_film_goes_with_the_next_run(tmp_path: Path) -> None:
    assert main([*FILM, "--workers", "0", "--out", str(tmp_path)]) == 0
    shutil.rmtree(tmp_path / "002")
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, timeout=120, check=False)
    assert [path.name for path in tmp_path.glob(".002.*.part/*")] != []
    own = layouts.part_of(tmp_path / "002")
    own.mkdir()  # of a process that is at work
    assert main([*FILM, "--workers", "0", "--out", str(tmp_path)]) == 0
    assert list(tmp_path.rglob("*.part")) == [own]


def test_nefer_like_tree_has_the_layout(tmp_path: Path) -> None:
    def record(frames, times, path) -> None:  # type: ignore[no-untyped-def]  # a test double
        shapes = {f.shape for f in frames}
        path.write_bytes(f"{shapes} {len(times)}".encode())

    videos = [layouts.Job(3, 0, 0), layouts.Job(0, 6, 1)]
    layouts.start_tree(tmp_path, "nefer-like")
    for job in videos:
        layouts.write_video(job, tmp_path, record, seconds=0.1, fps=20, size=(96, 64))
    layouts.write_annotations(videos, tmp_path)
    name = "user03_2000-01-01_00-00-00_cd"
    raw = tmp_path / "event_raw" / "user_03" / "user03_2000-01-01_00-00-00.raw"
    assert raw.read_bytes() == b"{(64, 96)} 2"
    rows = (tmp_path / "annotations/expected_emotions/validation_event.csv").read_text().splitlines()
    assert len(rows) == 51
    assert rows[7] == f"user_03,{name},../event_frame_NEW/user_03/{name}/frame_07.png,Happiness"
    found = NEFER(tmp_path)
    assert not found.findings
    assert [(r.user, r.split, r.emotion) for r in found] == [
        ("user_00", "train", "sadness"),
        ("user_03", "validation", "happiness"),
    ]
    train = (tmp_path / "annotations/expected_emotions/train_event.csv").read_text()
    assert train.count("Sadness") == 51
    box = np.load(tmp_path / "exact" / f"{name}.npz")["box"]
    assert (box[:, 2] - box[:, 0]).min() > 5
    assert box.max() < 96


def test_a_smaller_run_keeps_the_labels_of_a_larger_tree(tmp_path: Path) -> None:
    out = tmp_path / "posed"
    few = ["faces", "--domain", "nefer-like", "--clips", "1", "--seconds", "0.05", "--workers", "0", "--out", str(out)]
    assert main([*few, "--identities", "2"]) == 0
    before = digest(out)
    assert main([*few, "--identities", "1"]) == 0
    assert digest(out) == before
    assert {r.user for r in NEFER(out)} == {"user_00", "user_01"}


def test_reported_emotions_agree_with_the_posed_ones_about_as_often_as_in_nefer() -> None:
    jobs = layouts.jobs(60, 7)
    same = [layouts._reported(faces.EMOTIONS[j.clip], j, 0) == faces.EMOTIONS[j.clip] for j in jobs]
    assert 0.58 < np.mean(same) < 0.72


def test_nefer_like_recording_is_an_evt3_file(tmp_path: Path) -> None:
    out = tmp_path / "posed"
    arguments = ["faces", "--domain", "nefer-like", "--identities", "1", "--clips", "1", "--seconds", "0.05"]
    assert main([*arguments, "--workers", "0", "--out", str(out)]) == 0
    (raw,) = out.glob("event_raw/user_00/*.raw")
    events = read_events(raw)
    assert events.size == (1280, 720)
    assert len(events) > 1000
    assert events.duration < 60_000
    table = out / "annotations" / "expected_emotions" / "train_event.csv"
    for file in (raw, table):
        part = file.with_name(f".{file.name}.killed.part")
        part.touch()
        os.utime(part, (0, 0))
    assert main([*arguments, "--workers", "0", "--out", str(out)]) == 0
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--domain", "nefer"], "did you mean 'nefer-like'"),
        (["--preset", "esay", "--out", "x"], "did you mean 'easy'"),
        ([], "--out DIR for a dataset or --sheet"),
        (["--sheet", "x.jpg"], "a .png file"),
        (["--identities", "0", "--out", "x"], "at least 1"),
        (["--seed", "-1", "--out", "x"], "at least 0"),
        (["--fps", "1", "--seconds", "0.5", "--out", "x"], "at least two frames"),
        (["--seconds", "0.03", "--out", "x"], "at least two frames"),
        (["--domain", "nefer-like", "--seconds", "0.03", "--out", "x"], "at least 0.04 s"),
        (["--seconds", "inf", "--workers", "0", "--out", "x"], "at least two frames"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["faces", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_tree_of_other_settings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "films"
    short = ["faces", "--identities", "1", "--clips", "1", "--seconds", "0.08", "--workers", "0", "--out", str(out)]
    assert main(short) == 0
    assert main([*short, "--seed", "1"]) == 2
    assert "made by another recipe: seed was 0 and is now 1" in capsys.readouterr().err


def test_each_option_reaches_the_pictures(tmp_path: Path) -> None:
    def pictures(*options: str) -> dict[str, str]:
        out = tmp_path / "_".join(options)
        arguments = ["--identities", "1", "--clips", "1", "--workers", "0", "--out", str(out)]
        assert main(["faces", "--seconds", "0.08", *arguments, *options]) == 0
        return {name: made for name, made in digest(out).items() if name.endswith(".png")}

    plain = pictures("--seed", "0")
    assert len(plain) == 2
    for name, value, count in (
        ("--seed", "1", 2),
        ("--preset", "hard", 2),
        ("--fps", "50", 4),
        ("--seconds", "0.12", 3),
    ):
        found = pictures(name, value)
        assert (len(found), found != plain) == (count, True), name

"""Stand-in clips on disk, in the very layouts of AFEW-VA and NEFER, so that the loaders of the real datasets read them.

Beside the layout lies what the real datasets do not have: `exact/<clip>.npz` with the exact labels, landmarks, box
and action units, and `SYNTHETIC.txt`. A clip appears whole or not at all, and is a function of its numbers alone, so
any number of workers may write.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spikeva._atomic import part_of, whole_file
from spikeva.faces.clip import FaceClip, make_clip
from spikeva.faces.script import EMOTIONS

FILM_SIZE = (720, 576)
CAMERA_SIZE = (1280, 720)
FRAMES_A_VIDEO = 51  # rows that NEFER's annotations hold for each video
# writes the events of frames (luma 0..255 [H, W], one after the other) at times [T] s to a file, whole or not at all
Recorder = Callable[[Iterator[NDArray[np.float32]], NDArray[np.float64], Path], None]

_NOTE = """SYNTHETIC: faces rendered by spikeva, domain {domain}, in the layout of {like}.
No person, no film and no recording is in these files. Exact labels are in exact/.
"""


@dataclass(frozen=True)
class Job:
    """One clip to write: which person, which clip, and its place in the dataset (from 0)."""

    identity: int
    clip: int
    index: int

    def __str__(self) -> str:
        return f"identity {self.identity}, clip {self.clip}"


def jobs(identities: int, clips: int) -> list[Job]:
    """Every clip of a dataset of `identities` people with `clips` clips each, in order."""
    return [Job(i, c, i * clips + c) for i in range(identities) for c in range(clips)]


def folders(root: Path) -> list[Path]:
    """The folders of a tree in which its files, and the folders of its films, appear."""
    return [root, *(folder for of in ("exact", "event_raw/*", "annotations/*") for folder in root.glob(of))]


def start_tree(root: Path, domain: str) -> None:
    """Make the folders of a tree and the note that says it is synthetic."""
    film = domain == "afew-va-like"
    for folder in ("exact",) if film else ("exact", "event_raw", "annotations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    note = _NOTE.format(domain=domain, like="AFEW-VA" if film else "NEFER")
    with whole_file(root / "SYNTHETIC.txt") as part:
        part.write_text(note)


def film_name(job: Job) -> str:
    """AFEW-VA's name of a clip: "001", "002", ..."""
    return f"{job.index + 1:03d}"


def film_done(job: Job, root: Path) -> bool:
    """Whether the film of `job` is there."""
    return (root / film_name(job)).is_dir() and (root / "exact" / f"{film_name(job)}.npz").is_file()


def write_film(job: Job, root: Path, **make: Any) -> None:
    """Write one clip as AFEW-VA has it: `001/00000.png`, ... and `001/001.json` with the rater's labels, -10..10.

    `make` goes to `make_clip`; one frame a label.
    """
    fps = float(make.pop("fps", 25.0))
    clip = make_clip(
        "afew-va-like", job.identity, job.clip, colour=True, **{"size": FILM_SIZE, **make, "fps": fps, "label_fps": fps}
    )
    assert clip.rgb is not None
    name = film_name(job)
    frames = {}
    for i, marks in enumerate(clip.landmarks):
        frames[f"{i:05d}"] = {
            "landmarks": np.round(marks, 2).tolist(),
            "valence": float(np.rint(10 * clip.valence_rated[i])),
            "arousal": float(np.rint(10 * clip.arousal_rated[i])),
        }
    _write_exact(root, name, clip)
    with _whole_folder(root / name) as part:
        for i, picture in enumerate(clip.rgb):
            _, png = cv2.imencode(".png", picture[..., ::-1])
            (part / f"{i:05d}.png").write_bytes(png.tobytes())
        labels = {"actor": clip.subject, "frames": frames, "video_id": name}
        (part / f"{name}.json").write_text(json.dumps(labels))


def video_name(job: Job) -> str:
    """NEFER's name of a video, `user03_<date>_<time>_cd`; the date is none on which anything was recorded."""
    return f"user{job.identity:02d}_2000-01-01_{job.index // 3600 % 24:02d}-{job.index // 60 % 60:02d}-{job.index % 60:02d}_cd"


def video_file(job: Job, root: Path) -> Path:
    """Where the events of `job` lie."""
    return root / "event_raw" / f"user_{job.identity:02d}" / f"{video_name(job).removesuffix('_cd')}.raw"


def video_done(job: Job, root: Path) -> bool:
    """Whether the video of `job` is there."""
    return video_file(job, root).is_file() and (root / "exact" / f"{video_name(job)}.npz").is_file()


def write_video(job: Job, root: Path, record: Recorder, **make: Any) -> None:
    """Write one posed video as NEFER has it: a 1280 x 720 event recording.

    Rendered at half the size and enlarged (cubic): the nefer-like lens resolves no more. `record` makes events of the
    frames.
    """
    width, height = make.pop("size", CAMERA_SIZE)
    clip = make_clip("nefer-like", job.identity, job.clip, size=(width // 2, height // 2), **make)
    enlarged = (cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in clip.frames)
    path = video_file(job, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    record((np.clip(f, 0, 255) for f in enlarged), clip.times, path)
    _write_exact(root, video_name(job), clip, zoom=2.0)


def people(root: Path) -> int:
    """One more than the highest number of a person of whom a recording is there; 0 where there is none."""
    numbers = (int(folder.name.removeprefix("user_")) for folder in (root / "event_raw").glob("user_*"))
    return max(numbers, default=-1) + 1


def write_annotations(videos: Sequence[Job], root: Path, seed: int = 0) -> None:
    """Write NEFER's CSVs: expected emotions, and reported ones, which agree with them in about two of three videos.

    As in the original there is no header, the paths are stale (`../event_frame_NEW/...`) and every video has 51 rows.
    Every fourth person is in validation.
    """
    folder = root / "annotations"
    for kind in ("expected", "reported"):
        suffix = "" if kind == "expected" else "_subjective"
        (folder / f"{kind}_emotions").mkdir(parents=True, exist_ok=True)
        for split in ("train", "validation"):
            lines = []
            for job in videos:
                if (job.identity % 4 == 3) != (split == "validation"):
                    continue
                emotion = EMOTIONS[job.clip % len(EMOTIONS)]
                label = emotion if kind == "expected" else _reported(emotion, job, seed)
                user, video = f"user_{job.identity:02d}", video_name(job)
                for frame in range(FRAMES_A_VIDEO):
                    picture = f"../event_frame_NEW/{user}/{video}/frame_{frame:02d}.png"
                    lines.append(f"{user},{video},{picture},{label.capitalize()}\n")
            with whole_file(folder / f"{kind}_emotions" / f"{split}_event{suffix}.csv") as part:
                part.write_text("".join(lines))


def _reported(emotion: str, job: Job, seed: int) -> str:
    """What the person says to have felt: the posed emotion in 65 % of videos, else another one or none."""
    rng = np.random.default_rng([seed, job.identity, job.clip, 91])
    if rng.random() < 0.65:
        return emotion
    return str(rng.choice([e for e in (*EMOTIONS, "none") if e != emotion]))


def _write_exact(root: Path, name: str, clip: FaceClip, zoom: float = 1.0) -> None:
    with whole_file(root / "exact" / f"{name}.npz") as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            label_times=clip.label_times,
            valence=clip.valence,
            arousal=clip.arousal,
            emotions=clip.emotions,
            emotion=np.array(clip.emotion),
            landmarks=(zoom * clip.landmarks).astype(np.float32),
            box=(zoom * clip.box).astype(np.float32),
            action_units=clip.action_units,
            subject=np.array(clip.subject),
            synthetic=np.array(1),
        )


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to `path` when the block ends well."""
    part = part_of(path)
    part.mkdir()
    try:
        yield part
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)

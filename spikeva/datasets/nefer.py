"""NEFER (Berlincioni et al., CVPR Workshops 2023): event recordings of people who watch videos, for transfer without training.

As distributed: `event_raw/` (recordings), `event_frames/` (TBR pictures), and
`annotations/{expected_emotions,reported_emotions}/{train,validation}_event[_subjective].csv`, whose rows are
``user_01,user01_2022-06-08_12-20-03_cd,../event_frame_NEW/user_01/.../frame_00.png,Happiness`` without a header. The paths
in them are stale: user, video and frame name alone are used. There is no valence or arousal, and no face box.
"""

import csv
import gzip
import io
import os
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._picture import read_picture
from spikeva.datasets.clips import Clip, ClipSet, Split
from spikeva.datasets.findings import Finding, few, summary, told
from spikeva.datasets.tree import walk
from spikeva.errors import UserError
from spikeva.progress import counted
from spikeva.registry import unknown

EMOTIONS = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
REPORTED = (*EMOTIONS, "none")  # "none": the person felt no emotion
TRAIN_USERS = tuple(f"user_{i:02d}" for i in (1, 2, 4, 5, 6, *range(8, 17), *range(21, 27)))
VALIDATION_USERS = tuple(f"user_{i:02d}" for i in (3, 7, 17, 19, 27, 28))
FRAMES = 51  # rows a video has in the CSVs
SENSOR = (1280, 720)  # where a file does not say: a Prophesee Gen4, as the paper states
RECORDINGS = (".raw", ".dat")
LABELS = ("expected", "reported")
SOURCES = ("raw", "frames")
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Annotation:
    """What the CSVs say of one video."""

    video: str  # without the "_cd" that the CSVs append
    user: str
    split: str  # "train" or "validation"
    expected: str | None = None  # the emotion that the video shown was meant to raise, in lower case
    reported: str | None = None  # the emotion felt, by the person's own account


@dataclass(frozen=True)
class Recording:
    """One video with its label and its file (or its folder of frames)."""

    video: str
    user: str
    split: str
    emotion: str
    annotation: Annotation
    path: Path


class NEFER(Sequence[Recording]):
    """The recordings found under `root`, in order of the CSVs, and everything that was wrong (`findings`, `report()`).

    Args:
        root: the folder that holds `annotations/` and the recordings, at any depth; CSVs may be gzipped.
        labels: "expected" (the emotion a video was meant to raise) or "reported" (what the person felt; may be "none").
        source: "raw" (recordings, .raw or .dat) or "frames" (the distributed TBR pictures).
        split: "train", "validation" or "all".

    Raises UserError where there are no annotations, or none of the recordings that they name.
    """

    def __init__(
        self, root: str | os.PathLike[str], labels: str = "expected", source: str = "raw", split: str = "all"
    ) -> None:
        self.root, self.labels, self.source = Path(root), labels, source
        if split not in (*SPLITS, "all"):
            raise UserError(unknown("split", split, (*SPLITS, "all")))
        if labels not in LABELS:
            raise UserError(unknown("labels", labels, LABELS))
        if source not in SOURCES:
            raise UserError(unknown("source", source, SOURCES))
        self._sides = SPLITS if split == "all" else (split,)
        annotations, self.findings = read_annotations(self.root)
        asked = {video: annotation for video, annotation in annotations.items() if annotation.split in self._sides}
        self.synthetic = False  # a tree of rendered faces says so in SYNTHETIC.txt
        places = self._places()
        self._recordings: list[Recording] = []
        absent = []
        for video, annotation in asked.items():
            emotion = annotation.expected if labels == "expected" else annotation.reported
            if emotion is None:
                self._find(f"no {labels} label", video, "it is in the other kind's CSV only", "the video is left out")
            elif video not in places:
                absent.append(video)
            elif (path := places[video]) is not None:
                self._recordings.append(Recording(video, annotation.user, annotation.split, emotion, annotation, path))
        of_split = "" if split == "all" else f" of the {split} split"
        if absent and not self._recordings:
            what = "recordings (.raw or .dat)" if source == "raw" else "folders of frames"
            raise UserError(
                f"{self.root}: {len(asked)} videos{of_split} are annotated and none of their {what} is here; "
                "fetch event_raw/ (or event_frames/ for source='frames') and put it beside annotations/"
            )
        for video in absent:
            self._find("missing recording", video, "annotated, and no file of that name", "the video is left out")
        for video in sorted(set(places) - set(annotations)):
            where = str((places[video] or self.root / video).relative_to(self.root))
            self._find("recording without label", where, "in no CSV", "it is not used")
        if not self._recordings:
            why = summary(self.findings) or f"no video{of_split} is annotated"
            raise UserError(f"{self.root}: no recording{of_split} can be used\n{why}")
        if source == "frames":
            self._check_frames()

    def __len__(self) -> int:
        return len(self._recordings)

    def __getitem__(self, index: Any) -> Any:
        return self._recordings[index]

    @property
    def domain(self) -> str:
        """What the clips are called: "nefer", or "nefer-like" for a synthetic tree."""
        return "nefer-like" if self.synthetic else "nefer"

    @property
    def clips(self) -> ClipSet:
        """The recordings as a set with subjects."""
        rows = ((r.path, r.user, r.video, self.domain, 0, r.emotion) for r in self._recordings)
        return ClipSet(tuple(Clip(*row, synthetic=self.synthetic) for row in rows))

    @property
    def split(self) -> Split:
        """The official split by users. Raises UserError where a side was left out or has no recording."""
        clips = self.clips
        held_out = {r.user for r in self._recordings if r.split == "validation"}
        return clips.split(held_out)

    def frames(self, recording: Recording) -> NDArray[np.uint8]:
        """The distributed TBR pictures of a recording, [n, H, W] as stored (look at `findings` before trusting the values).

        Raises UserError for another `source` than "frames", and for a picture that cannot be decoded.
        """
        if self.source != "frames":
            raise UserError(
                "these are raw recordings; use NEFER(root, source='frames') for the distributed TBR pictures"
            )
        return np.stack([_grey(path) for path in _numbered(recording.path)])

    def report(self) -> str:
        """What was found and what was left out, for people to read."""
        users = {s: sorted({r.user for r in self._recordings if r.split == s}) for s in self._sides}
        counts = {s: sum(r.split == s for r in self._recordings) for s in self._sides}
        listed = {"train": list(TRAIN_USERS), "validation": list(VALIDATION_USERS)}
        official = all(users[s] == listed[s] for s in self._sides)
        title = "nefer-like (synthetic)" if self.synthetic else "NEFER"
        parts = [f"{s} {counted(counts[s], 'video')} of {counted(len(users[s]), 'user')}" for s in self._sides]
        head = f"{title} at {self.root}, {self.labels} emotions: {', '.join(parts)}"
        if not self.synthetic:
            head += " (the official users)" if official else " (not the official list of users)"
        return head + told(self.findings)

    def _find(self, kind: str, where: str, detail: str, effect: str, count: int = 1) -> None:
        self.findings.append(Finding(kind, where, detail, effect, count))

    def _places(self) -> dict[str, Path | None]:
        """The file (or folder of frames) of each video under `root`; None for an empty file."""
        places: dict[str, Path | None] = {}
        for folder, folders, files in walk(self.root, self._find_once):
            folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in {"__MACOSX", "annotations"})
            here = Path(folder)
            self.synthetic |= "SYNTHETIC.txt" in files
            if self.source == "raw":
                found = [here / f for f in sorted(files) if f.lower().endswith(RECORDINGS) and not f.startswith(".")]
            else:
                found = [here] if "rgb_frames" not in here.parts and any(_FRAME.search(f) for f in files) else []
            for path in found:
                video = _video(path.stem if self.source == "raw" else path.name)
                where = str(path.relative_to(self.root))
                if places.get(video) is not None:
                    self._find("recording twice", video, f"also at {where}", "the first is used")
                elif not os.access(path, os.R_OK):
                    self._find("unreadable recording", where, "it cannot be opened", "it is not used")
                    places.setdefault(video, None)
                elif self.source == "raw" and path.stat().st_size == 0:
                    self._find("empty recording", video, "a file of 0 bytes", "it is not used: fetch it again")
                    places.setdefault(video, None)
                else:
                    places[video] = path
        return places

    def _find_once(self, finding: Finding) -> None:
        """The tree is walked a second time here, after the annotations."""
        if finding not in self.findings:
            self.findings.append(finding)

    def _check_frames(self) -> None:
        for recording in self._recordings:
            paths = _numbered(recording.path)
            if len(paths) != FRAMES:
                detail = f"{len(paths)} pictures where the CSVs have {FRAMES}"
                self._find("number of frames", recording.video, detail, "used as it is")
        histogram = np.zeros(256, np.int64)
        for recording in self._recordings[:: max(1, len(self._recordings) // 16)]:  # a look at 16 videos is enough
            for path in _numbered(recording.path)[::5]:
                histogram += np.bincount(_grey(path).ravel(), minlength=256)
        if is_saturated(histogram):
            share = histogram[255] / histogram[1:].sum()
            detail = f"{share:.0%} of the pixels that are not 0 are 255, and half of the codes never occur"
            effect = "every code from 128 up was cut to 255, the newest window hides the others: use source='raw'"
            self._find("saturated frames", "event_frames", detail, effect)


_FRAME = re.compile(r"^(?!\.)(?!.*\d \d+\.).*?(\d+)\.(png|jpe?g)$", re.IGNORECASE)  # "frame_00 2.png" is a copy


def read_annotations(root: str | os.PathLike[str]) -> tuple[dict[str, Annotation], list[Finding]]:
    """What the CSVs under `root` say of each video, in their order, and what was wrong with them.

    Raises UserError where there is no CSV of event recordings.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the folder that NEFER was extracted to")
    pattern = re.compile(r"^(train|validation)_event(_subjective)?\.csv(\.gz)?$")
    findings: list[Finding] = []
    paths = sorted(Path(folder, file) for folder, _, files in walk(root, findings.append) for file in files)
    tables = [(m, p) for p in paths if (m := pattern.match(p.name))]
    if not tables:
        raise UserError(
            f"{root}: no annotations here (train_event.csv, validation_event.csv and the same with _subjective, as in NEFER's "
            "annotations/ folder)"
        )
    annotations: dict[str, Annotation] = {}
    for match, path in tables:
        kind = "reported" if match[2] else "expected"
        for video, (user, emotion) in _read_table(path, root, kind, findings).items():
            known = annotations.get(video, Annotation(video, user, match[1]))
            before = getattr(known, kind)
            if (known.user, known.split) != (user, match[1]):
                detail = f"{known.user} in {known.split} and {user} in {match[1]}"
                findings.append(Finding("video twice", video, detail, "the first is used"))
            elif before not in (None, emotion):
                detail = f"{kind} {before}, and {emotion} in {path.relative_to(root)}"
                findings.append(Finding("labels disagree", video, detail, "the first is used"))
            else:
                annotations[video] = replace(known, **{kind: emotion})
    return _apart(annotations, findings), list(dict.fromkeys(findings))


def _read_table(path: Path, root: Path, kind: str, findings: list[Finding]) -> dict[str, tuple[str, str]]:
    """User and emotion of each video of one CSV."""
    where = str(path.relative_to(root))
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        findings.append(Finding("unreadable annotations", where, str(error), "its videos are left out"))
        return {}
    rows: dict[str, list[tuple[str, str]]] = {}
    bad = []
    for number, row in enumerate(lines, 1):
        cells = [cell.strip() for cell in row]
        if len(cells) == 4 and all(cells):
            rows.setdefault(_video(cells[1]), []).append((_user(cells[0]), cells[3].casefold()))
        elif any(cells):
            bad.append(number)
    if bad:
        detail = f"lines {few(bad)} are not user, video, frame, emotion"
        findings.append(Finding("bad row", where, detail, "these lines are not used", len(bad)))
    videos = {}
    for video, said in rows.items():
        (user, emotion), votes = Counter(said).most_common(1)[0]
        if votes < len(said):
            detail = " / ".join(f"{u} {e} ({n})" for (u, e), n in Counter(said).items())
            findings.append(Finding("rows disagree", video, detail, "what most rows say is used"))
        allowed = EMOTIONS if kind == "expected" else REPORTED
        if emotion not in allowed:
            detail = f"{emotion!r} in {where}, known are {', '.join(allowed)}"
            findings.append(Finding("unknown emotion", video, detail, "the label is not used"))
            continue
        if len(said) != FRAMES:
            findings.append(Finding("number of rows", video, f"{len(said)} in {where}, not {FRAMES}", "used as it is"))
        named = re.match(r"user_?(\d+)", video)
        if named and int(named[1]) != int(re.sub(r"\D", "", user) or -1):
            detail = f"the CSV says {user!r}"
            findings.append(Finding("other user", video, detail, "the video is left out: whose is it?"))
            continue
        videos[video] = (user, emotion)
    return videos


def _apart(annotations: dict[str, Annotation], findings: list[Finding]) -> dict[str, Annotation]:
    """Nobody on both sides: a user found in both splits stays in validation only."""
    users = {split: {a.user for a in annotations.values() if a.split == split} for split in SPLITS}
    both = users["train"] & users["validation"]
    for user in sorted(both):
        videos = [a.video for a in annotations.values() if a.user == user and a.split == "train"]
        detail = f"{few(videos)} in train, others in validation"
        findings.append(Finding("user in both splits", user, detail, "left out of train", len(videos)))
    return {v: a for v, a in annotations.items() if not (a.user in both and a.split == "train")}


def is_saturated(histogram: NDArray[np.int64]) -> bool:
    """Whether TBR pictures [256 counts of values] were scaled by 255 after a division by 2^(N-1) instead of 2^N - 1.

    Codes c below 128 then lie on c * 255 / 128, cut or rounded, which is only half of the values, and all codes from 128
    (those whose newest window saw an event) are 255.
    """
    codes = np.arange(1, 128) * 255 / 128
    inner = histogram[1:255].sum()
    on_lattice = (histogram[np.unique(lattice.astype(int))].sum() for lattice in (np.floor(codes), np.rint(codes)))
    return bool(histogram[255] > 0 and max(on_lattice) > 0.999 * inner)


def _user(name: str) -> str:
    """The same text for every spelling of a user's number: a split must not part user_1 from user_01."""
    match = re.fullmatch(r"user_?(\d+)", name.casefold())
    return f"user_{int(match[1]):02d}" if match else name


def _video(name: str) -> str:
    return name.removesuffix("_cd")


def _numbered(folder: Path) -> list[Path]:
    """The pictures of a folder by their number."""
    found = [(int(m[1]), path) for path in folder.iterdir() if (m := _FRAME.match(path.name))]
    return [path for _, path in sorted(found)]


def _grey(path: Path) -> NDArray[np.uint8]:
    import cv2

    image = read_picture(path, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UserError(f"{path}: the picture cannot be decoded; fetch it again")
    return np.asarray(image, np.uint8)

"""A set of event clips with who is in them, and splits of it in which no person stands on both sides."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from spikeva.errors import UserError


@dataclass(frozen=True)
class Clip:
    """One clip-store file and what a study needs to know of it before opening it."""

    path: Path
    subject: str
    clip: str
    domain: str
    labels: int  # number of label times in the file
    emotion: str | None = None
    synthetic: bool = False


def clip_files(folder: Path) -> list[Path]:
    """The clip-store files (*.h5) that a folder's set of clips consists of, in order of name."""
    return sorted(folder.glob("[!.]*.h5"))  # macOS puts ._001.h5 beside 001.h5 on other systems' disks


@dataclass(frozen=True)
class ClipSet(Sequence[Clip]):
    """Clips in a fixed order. `ClipSet.read(folder_or_files)` makes one from clip-store files.

    Raises UserError for two clips of one subject and name.
    """

    clips: tuple[Clip, ...]

    def __post_init__(self) -> None:
        twice = [key for key, n in Counter((c.subject, c.clip) for c in self.clips).items() if n > 1]
        if twice:  # of two domains too: predictions go by these two names
            files = " and ".join(str(c.path) for c in self.clips if (c.subject, c.clip) == twice[0])
            raise UserError(
                f"{len(twice)} clips occur twice, the first is {twice[0]} (subject, clip): {files}; they would be scored as one"
            )

    @classmethod
    def read(cls, files: Path | str | Iterable[Path | str]) -> "ClipSet":
        """The clips of a folder of clip-store files (*.h5, in order of name) or of a list of files.

        Raises UserError where a file lacks an attribute that a split needs.
        """
        if isinstance(files, str | Path):
            folder = Path(files)
            files = clip_files(folder)
            if not files:
                raise UserError(f"{folder}: no clip-store files (*.h5) here; make some with `spikeva prepare`")
        return cls(tuple(_read_clip(Path(file)) for file in files))

    def __len__(self) -> int:
        return len(self.clips)

    def __repr__(self) -> str:
        return f"ClipSet({len(self)} clips of {len(self.people)} people)"

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> "ClipSet": ...
    def __getitem__(self, index: int | slice) -> "Clip | ClipSet":
        return ClipSet(self.clips[index]) if isinstance(index, slice) else self.clips[index]

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    @property
    def paths(self) -> list[Path]:
        return [clip.path for clip in self.clips]

    @property
    def subjects(self) -> list[str]:
        """Every subject once, sorted."""
        return sorted({clip.subject for clip in self.clips})

    @property
    def people(self) -> list[str]:
        """Every subject once as domain/subject, sorted: who is in a set among sets of other data."""
        return sorted({f"{clip.domain}/{clip.subject}" for clip in self.clips})

    @property
    def domain(self) -> str:
        """What the clips are of, as "afew-va"; of several domains, "a and b"."""
        return " and ".join(sorted({clip.domain for clip in self.clips}))

    @property
    def synthetic(self) -> bool:
        """True where any clip is synthetic: whatever is computed from this set must say so."""
        return any(clip.synthetic for clip in self.clips)

    def where(self, keep: Callable[[Clip], bool]) -> "ClipSet":
        """The clips for which `keep(clip)` is true, in order."""
        return ClipSet(tuple(clip for clip in self.clips if keep(clip)))

    def of(self, subjects: Iterable[str]) -> "ClipSet":
        """The clips of `subjects`. Raises UserError for a subject who has none."""
        wanted = set(subjects)
        unknown = sorted(wanted - set(self.subjects))
        if unknown:
            raise UserError(f"no clips of subject {unknown[0]!r}; there are {', '.join(self.subjects)}")
        return self.where(lambda clip: clip.subject in wanted)

    def split(self, test: int | float | Iterable[str], seed: int = 0) -> "Split":
        """Train and test sets with no person in both.

        `test`: the subjects' names; or how many subjects (int), or which share of them (float between 0 and 1, at least
        one person), drawn by `seed`. Raises UserError for a subject that is not there, and where nobody is left on a side.
        """
        subjects = self.subjects
        if isinstance(test, int | float):
            n = test if isinstance(test, int) else max(1, round(test * len(subjects)))
            if not 1 <= n < len(subjects):
                raise UserError(
                    f"cannot test on {test} of {len(subjects)} subjects: at least one must stay on each side"
                )
            order = np.random.default_rng([seed, _SPLIT]).permutation(len(subjects))
            held_out = {subjects[i] for i in order[:n]}
        else:
            held_out = set(test)
        return Split(self.of(set(subjects) - held_out), self.of(held_out))

    def folds(self, k: int = 5, seed: int = 0) -> list["Split"]:
        """`k` splits whose test sets share no person and together hold every clip.

        Balanced by the number of labels: subjects, the largest first and equal ones in an order drawn by `seed`, go one
        by one to the fold with the fewest labels so far (longest-processing-time rule, Graham 1969). Raises UserError
        for fewer than `k` subjects.
        """
        subjects = self.subjects
        if not 2 <= k <= len(subjects):
            raise UserError(
                f"cannot make {k} folds of {len(subjects)} subjects: a fold needs at least one, and 2 folds"
            )
        size = Counter(dict.fromkeys(subjects, 0))
        for clip in self.clips:
            size[clip.subject] += max(1, clip.labels)
        drawn = [subjects[i] for i in np.random.default_rng([seed, _FOLDS]).permutation(len(subjects))]
        groups: list[list[str]] = [[] for _ in range(k)]
        load = [0] * k
        for subject in sorted(drawn, key=lambda s: -size[s]):
            smallest = min(range(k), key=lambda i: (load[i], len(groups[i])))
            groups[smallest].append(subject)
            load[smallest] += size[subject]
        return [Split(self.of(set(subjects) - set(group)), self.of(group)) for group in groups]


@dataclass(frozen=True)
class Split:
    """Two clip sets. Raises UserError where a person stands on both sides, however the sets were made."""

    train: ClipSet
    test: ClipSet

    def __post_init__(self) -> None:
        both = sorted(set(self.train.subjects) & set(self.test.subjects))
        if both:
            raise UserError(f"{len(both)} subjects are in both training and test, the first is {both[0]!r}")
        if not self.train or not self.test:
            raise UserError("a split needs clips on both sides")


_SPLIT, _FOLDS = 1, 2  # streams of the seed


def _read_clip(path: Path) -> Clip:
    from spikeva.events import EventClip

    with EventClip(path) as clip:
        attributes = clip.attributes
        missing = [name for name in ("subject", "clip", "domain") if name not in attributes]
        if missing:
            raise UserError(
                f"{path}: attribute {missing[0]!r} is missing; a clip of a set says subject, clip and domain"
            )
        emotion = attributes.get("emotion")
        return Clip(
            path=path,
            subject=str(attributes["subject"]),
            clip=str(attributes["clip"]),
            domain=str(attributes["domain"]),
            labels=len(clip.labels.get("t_us", ())),
            emotion=str(emotion) if emotion else None,
            synthetic=bool(attributes.get("synthetic", 0)),
        )

"""What the models of a study must be and its clips must tell, looked at before anything is trained."""

from itertools import product
from pathlib import Path

import numpy as np

from spikeva.datasets import ClipSet, Split
from spikeva.errors import UserError
from spikeva.evaluation.emotion import NONE, anchor_points
from spikeva.events import EventClip
from spikeva.study.cells import cells
from spikeva.study.comparisons import AXES
from spikeva.study.config import Study
from spikeva.study.mistakes import unbuildable
from spikeva.study.modules import check_code
from spikeva.study.run_cell import windows


def check_models(study: Study) -> None:
    """Raises UserError as `check_code` does, and a line for each model of the grid, or change of events, that cannot be built."""
    for model, encoding in product(study.grid.models, study.grid.encodings):
        check_code(model, encoding)
    if problems := list(unbuildable(study)):
        raise UserError("\n".join(problems))


def check_clips(study: Study, regression: ClipSet, transfer: ClipSet | None) -> None:
    """Raises UserError where the clips do not tell what the study needs."""
    folds = regression.folds(study.folds, study.seed)
    check_labels(regression)
    check_sizes(regression, transfer)
    check_people(folds, study.grid.folds)
    if transfer is not None:
        check_emotions(transfer, study.evaluation.anchors)
        check_strangers(regression, transfer)
    for clips in (regression, transfer):
        if clips is not None:
            windows(next(cells(study)), clips)  # refuses clips too short for them


def check_labels(clips: ClipSet) -> None:
    """Raises UserError where a clip does not tell valence and arousal, from -1 to 1, at each of its label times."""
    for one in clips:
        with EventClip(one.path) as clip:
            labels = clip.labels
        if lacking := [axis for axis in AXES if axis not in labels or not np.isfinite(labels[axis]).all()]:
            raise UserError(
                f"{one.path}: no {' and '.join(lacking)} at some or all of its label times; a study trains and is scored on "
                "clips that tell both. Clips that tell an emotion alone are for a transfer: they stand under `transfer` of a "
                "study, `spikeva transfer` scores them with a trained cell"
            )
        for axis in AXES:
            if (largest := float(np.abs(labels[axis]).max(initial=0))) > 1:
                raise UserError(
                    f"{one.path}: {axis} goes to {largest:g}; labels lie from -1 to 1: divide them by their range"
                )


def check_emotions(clips: ClipSet, anchors: str) -> None:
    """Raises UserError where a clip tells no emotion, or one that the anchors do not know."""
    known = {*anchor_points(anchors)[0], NONE.lower()}
    for clip in clips:
        if (clip.emotion or "").lower() not in known:
            found = f"the emotion {clip.emotion!r}" if clip.emotion else "no attribute 'emotion'"
            raise UserError(f"{clip.path}: {found}; a transfer is scored by one of {', '.join(sorted(known))}")


def check_strangers(regression: ClipSet, transfer: ClipSet) -> None:
    """Raises UserError where the transfer is scored on people that folds train on."""
    if known := sorted({*regression.people} & {*transfer.people}):
        are = "is" if len(known) == 1 else "are"
        raise UserError(
            f"transfer: {len(known)} of its people {are} in regression too, the first is {known[0]} (domain/subject); a transfer "
            "says how a model does on people and recordings that it does not know. Take their clips out of one of the two"
        )


def picture_sizes(clips: ClipSet) -> dict[tuple[int, int], Path]:
    """Each size (width, height) that pictures of some clips have, with the first clip's file of that size."""
    sizes: dict[tuple[int, int], Path] = {}
    for one in clips:
        with EventClip(one.path) as clip:
            sizes.setdefault(clip.size, one.path)
    return sizes


def check_sizes(regression: ClipSet, transfer: ClipSet | None) -> None:
    """Raises UserError where pictures are not all of one size: a network learns one, and what it says of another means nothing."""
    sizes = picture_sizes(regression)
    sizes = sizes if transfer is None else {**picture_sizes(transfer), **sizes}
    if len(sizes) > 1:
        found = ", ".join(f"{file} has {width} x {height}" for (width, height), file in sizes.items())
        raise UserError(f"all clips of a study have pictures of one size; {found} pixels. Crop and scale them alike")


def check_interval(clips: ClipSet) -> None:
    """Raises UserError where clips are all of one person."""
    if len(people := clips.subjects) < 2:
        raise UserError(f"the clips are all of {people[0]}, and an interval needs two people; add clips of others")


def check_people(folds: list[Split], used: list[int]) -> None:
    """Raises UserError where a fold of those `used` tests fewer than two people."""
    for fold in used:
        if len(people := folds[fold].test.subjects) < 2:
            raise UserError(
                f"folds: fold {fold} of {len(folds)} tests {people[0]} alone, and an interval needs two people; "
                "use fewer folds, or clips of more people"
            )

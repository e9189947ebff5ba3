"""What every dataset holds."""

from pathlib import Path

import numpy as np

from spikeva.datasets.clips import Clip, ClipSet
from spikeva.events import EventClip


def check_dataset(clips: ClipSet | Path | str, *, folds: int = 2) -> None:
    """Raise AssertionError unless a set of event clips, or a folder of them, keeps the contract of datasets.

    Every clip's file opens and says subject, clip and domain; its events lie in order on its sensor; its label times do
    not decrease, and events, where there are any, begin before the last of them; valence and arousal come together, one a
    label time, finite and from -1 to 1, or not at all, and then an emotion is told; `folds` splits share no person and
    together test every clip once; the same seed gives the same folds. Raises EventFileError for a file that cannot be
    read, or whose events are out of order or off the sensor.
    """
    if not isinstance(clips, ClipSet):
        clips = ClipSet.read(clips)
    assert len(clips), "a dataset has at least one clip"
    for clip in clips:
        _check_clip(clip)
    if len(clips.subjects) < folds:
        return
    splits = clips.folds(folds, seed=0)
    tested = [clip.path for split in splits for clip in split.test]
    assert sorted(tested) == sorted(clips.paths), "the folds must test every clip once"
    for split in splits:
        both = set(split.train.subjects) & set(split.test.subjects)
        assert not both, f"subjects {sorted(both)} are on both sides of a fold"
    again = [split.test.paths for split in clips.folds(folds, seed=0)]
    assert again == [split.test.paths for split in splits], "the same seed must give the same folds"


def _check_clip(clip: Clip) -> None:
    where = f"{clip.path}"
    assert clip.subject, f"{where}: the subject is empty: without it no split is free of shared persons"
    with EventClip(clip.path) as file:
        events, labels = file.events(), file.labels  # in order and on its sensor, or an EventFileError
    times = np.asarray(labels.get("t_us", np.empty(0, np.int64)))
    assert len(times) == clip.labels, f"{where}: {len(times)} label times, announced {clip.labels}"
    assert len(times), f"{where}: no label times (labels/t_us): the clip can neither be trained on nor predicted"
    assert times.dtype == np.int64, f"{where}: label times are int64 microseconds, not {times.dtype}"
    assert int(np.diff(times).min(initial=0)) >= 0, f"{where}: label times decrease"
    assert not len(events) or events.t[0] < times[-1], (
        f"{where}: the first event, at {events.t[0]} us, is not before the last label, at {times[-1]} us; the times of both count "
        "from the clip's beginning"
    )
    given = [axis for axis in ("valence", "arousal") if axis in labels]
    assert len(given) != 1, f"{where}: {given} without the other"
    assert given or clip.emotion, f"{where}: neither valence and arousal nor an emotion"
    for axis in given:
        values = np.asarray(labels[axis])
        assert values.shape == times.shape, f"{where}: {len(values)} values of {axis} for {len(times)} label times"
        assert np.isfinite(values).all(), f"{where}: {axis} must be finite"
        assert float(np.abs(values).max(initial=0)) <= 1, f"{where}: {axis} must lie from -1 to 1"

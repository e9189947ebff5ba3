"""What a model has to beat: the training mean, sheer event rate, and labels that belong to other clips.

Each baseline is fitted on the training people alone and predicts the test frames; event rates are all it sees of them.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeva.errors import UserError

Array = NDArray[np.float64]


def mean(train_labels: ArrayLike, n: int) -> Array:
    """The training labels' mean `[n, 2]`, for every test frame the same."""
    return np.tile(_labels(train_labels).mean(0), (n, 1))


def event_rate(train_counts: ArrayLike, train_labels: ArrayLike, test_counts: ArrayLike, penalty: float = 1.0) -> Array:
    """Valence and arousal `[m, 2]` by ridge regression on how many events there were: what motion alone gives away.

    counts `[n, ...]`: events per window and polarity before each label (any shape behind the first axis), taken as
    log(1 + count) and standardised by the training frames. labels `[n, 2]`. `penalty` is the ridge's, in units of
    frames. Raises UserError where counts and labels do not fit, and for counts below 0 or not finite.
    """
    train, test = (_features(counts) for counts in (train_counts, test_counts))
    labels = _labels(train_labels)
    if len(train) != len(labels) or train.shape[1] != test.shape[1]:
        raise UserError(
            f"event counts {train.shape} and labels {labels.shape} of training, or counts {test.shape} of the test, do not fit"
        )
    centre, scale = train.mean(0), train.std(0)
    scale[scale == 0] = 1.0
    a, b = (train - centre) / scale, (test - centre) / scale
    offset = labels.mean(0)
    weights = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ (labels - offset))
    return np.asarray(offset + b @ weights)


def shuffled(
    train_counts: ArrayLike,
    train_labels: ArrayLike,
    train_clips: ArrayLike,
    test_counts: ArrayLike,
    seed: int,
    penalty: float = 1.0,
) -> Array:
    """As `event_rate`, but fitted on labels that were dealt out anew among the training clips: what no information gives.

    A clip keeps its labels' order in time: another clip's course, resampled to its length, takes its place; no clip
    keeps its own where there are two or more. A pipeline that scores above the mean here is leaking.
    """
    labels, clips = _labels(train_labels), np.asarray(train_clips)
    return event_rate(train_counts, deal_out(labels, clips, seed), test_counts, penalty)


def deal_out(labels: Array, clips: NDArray[Any], seed: int) -> Array:
    """The labels `[n, 2]` with each clip's course replaced by another clip's, resampled to its number of frames."""
    names, which = np.unique(clips, return_inverse=True)
    order = np.random.default_rng([seed, 0x5F1E]).permutation(len(names))
    donor = np.empty_like(order)
    donor[order] = np.roll(order, 1)  # one cycle through all clips: none is its own donor
    dealt = np.empty_like(labels)
    for clip, other in enumerate(donor.tolist()):
        frames, course = np.flatnonzero(which == clip), labels[which == other]
        dealt[frames] = course[np.linspace(0, len(course) - 1, len(frames)).round().astype(int)]
    return dealt


def _labels(labels: ArrayLike) -> Array:
    labels = np.asarray(labels, np.float64)
    if labels.ndim != 2 or labels.shape[1] != 2 or not len(labels):
        raise UserError(f"labels must be [n, 2] (valence, arousal) with n > 0, not {labels.shape}")
    return labels


def _features(counts: ArrayLike) -> Array:
    counts = np.asarray(counts, np.float64)
    if counts.ndim == 0 or (counts < 0).any() or not np.isfinite(counts).all():
        raise UserError("event counts must be finite, not negative, and have one row per frame")
    return np.asarray(np.log1p(counts.reshape(len(counts), -1)))

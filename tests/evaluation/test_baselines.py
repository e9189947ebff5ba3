"""What a model has to beat."""

import numpy as np
import pytest

from spikeva.errors import UserError
from spikeva.evaluation.baselines import deal_out, event_rate, mean, shuffled
from spikeva.evaluation.metrics import regression


@pytest.fixture
def motion():
    """Counts [n, 2] whose log gives arousal away and valence not; labels; clips of unequal length."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4000, (600, 2))
    labels = np.stack([rng.uniform(-1, 1, 600), np.log1p(counts[:, 0]) / 8 - 0.5], -1)
    clips = np.repeat(np.arange(40), rng.permutation(np.repeat([10, 20], 20)))
    return counts, labels, clips


def test_event_rate_finds_what_motion_gives_away(motion):
    counts, labels, _ = motion
    predicted = event_rate(counts[:400], labels[:400], counts[400:])
    assert regression(labels[400:, 1], predicted[:, 1])["ccc"] > 0.99
    assert abs(regression(labels[400:, 0], predicted[:, 0])["ccc"]) < 0.2


def test_event_rate_is_ridge_regression(motion):
    counts, labels, _ = motion
    x = np.log1p(counts)
    x = np.c_[(x - x[:50].mean(0)) / x[:50].std(0), np.ones(len(x))]  # by the training frames alone
    train = x[:50]
    penalty = np.diag([3.0, 3.0, 0.0])
    weights = np.linalg.solve(train.T @ train + penalty, train.T @ labels[:50])
    assert event_rate(counts[:50], labels[:50], counts, penalty=3.0) == pytest.approx(x @ weights, abs=1e-10)


def test_shuffled_labels_leave_nothing_but_the_mean(motion):
    counts, labels, clips = motion
    keep = clips < 25
    predicted = shuffled(counts[keep], labels[keep], clips[keep], counts[~keep], seed=0)
    assert abs(regression(labels[~keep, 1], predicted[:, 1])["ccc"]) < 0.1
    assert predicted == pytest.approx(mean(labels[keep], (~keep).sum()), abs=0.2)
    again = shuffled(counts[keep], labels[keep], clips[keep], counts[~keep], seed=0)
    assert (predicted == again).all()


def test_dealing_out_keeps_courses_whole_and_gives_none_back_to_its_clip(motion):
    _, labels, clips = motion
    dealt = deal_out(labels, clips, seed=4)
    taken = []
    for clip in np.unique(clips):
        course = dealt[clips == clip]
        donor = clips[(labels == course[0]).all(1)][0]
        taken.append(donor)
        whole = labels[clips == donor]
        assert donor != clip
        assert (course[0] == whole[0]).all()
        assert (course[-1] == whole[-1]).all()
        places = [np.flatnonzero((whole == row).all(1))[0] for row in course]
        assert places == sorted(places)
    assert sorted(taken) == np.unique(clips).tolist()
    assert (deal_out(labels, clips, seed=5) != dealt).any()


def test_a_channel_without_events_is_no_error():
    counts = np.zeros((4, 2, 3))
    labels = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]])
    assert event_rate(counts, labels, counts[:1]) == pytest.approx(np.array([[0.4, 0.5]]))


def test_wrong_input_is_refused():
    with pytest.raises(UserError, match="do not fit"):
        event_rate(np.ones((3, 2)), np.zeros((3, 2)), np.ones((3, 4)))
    with pytest.raises(UserError, match="labels must be"):
        mean(np.zeros(3), 2)
    for bad in (-1, np.nan):
        with pytest.raises(UserError, match="finite, not negative"):
            event_rate([[1, 1], [1, bad], [1, 1]], np.zeros((3, 2)), np.ones((3, 2)))

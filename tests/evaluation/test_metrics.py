"""RMSE, PCC, CCC and SAGR against the standard library's exact statistics, scipy and torchmetrics."""

import math
import statistics as stdlib
from fractions import Fraction

import numpy as np
import pytest
import torch
import torchmetrics.functional as torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from spikeva.errors import UserError
from spikeva.evaluation.metrics import METRICS, Sums, clip_mean, group_sums, regression

CLOSE = {"rel": 1e-12, "abs": 1e-12}
pairs = st.lists(
    st.tuples(*[st.floats(-1, 1).map(lambda v: 0.0 if abs(v) < 1e-100 else v)] * 2), min_size=2, max_size=40
)


def by_definition(y, p):
    """The metrics as their definitions read, in exact arithmetic up to the last root."""
    y, p = [Fraction(float(v)) for v in y], [Fraction(float(v)) for v in p]
    n, my, mp = len(y), sum(y) / len(y), sum(p) / len(p)
    vy, vp = stdlib.pvariance(y, my), stdlib.pvariance(p, mp)
    cov = sum((a - my) * (b - mp) for a, b in zip(y, p, strict=True)) / n
    below = vy + vp + (my - mp) ** 2
    return {
        "rmse": math.sqrt(sum((a - b) ** 2 for a, b in zip(y, p, strict=True)) / n),
        "pcc": float(cov) / (math.sqrt(vy) * math.sqrt(vp)) if vy and vp else 0.0,
        "ccc": float(2 * cov / below) if below else 0.0,
        "sagr": sum((a > 0) - (a < 0) == (b > 0) - (b < 0) for a, b in zip(y, p, strict=True)) / n,
    }


def assert_defined(y, p):
    found = regression(y, p)
    assert {name: found[name] for name in METRICS} == pytest.approx(by_definition(y, p), **CLOSE)
    return found


@given(pairs)
def test_metrics_follow_their_definitions(pairs):
    assert_defined(*np.array(pairs).T)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scipy_and_torchmetrics_agree(dtype):
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, 10_000).astype(dtype)  # mantissas of more values than 64 bits hold the sum of
    p = (0.5 * y + rng.normal(0, 0.3, 10_000)).astype(dtype)
    found = regression(y, p)
    y, p = y.astype(np.float64), p.astype(np.float64)
    assert found["pcc"] == pytest.approx(pearsonr(y, p).statistic, **CLOSE)
    tensors = torch.from_numpy(p), torch.from_numpy(y)
    assert found["pcc"] == pytest.approx(torchmetrics.pearson_corrcoef(*tensors).item(), **CLOSE)
    assert found["rmse"] == pytest.approx(torchmetrics.mean_squared_error(*tensors, squared=False).item(), **CLOSE)
    y, p = y - y.mean(), p - p.mean()  # torchmetrics' n - 1 cancels where the means agree
    theirs = torchmetrics.concordance_corrcoef(torch.from_numpy(p), torch.from_numpy(y)).item()
    assert regression(y, p)["ccc"] == pytest.approx(theirs, **CLOSE)


@pytest.mark.parametrize("offset", [1e3, -1e6])
def test_nearly_constant_series_lose_nothing(offset):
    rng = np.random.default_rng(1)
    y = offset + 1e-7 * rng.normal(size=60)
    found = assert_defined(y, y + 1e-7 * rng.normal(size=60))
    assert 0.2 < found["ccc"] < 0.95


def test_degenerate_series():
    y = np.array([-0.5, 0.0, 0.3, 0.8])
    found = assert_defined(y, y)
    assert (found["ccc"], found["rmse"], found["sagr"], found["constant"]) == (1, 0, 1, False)
    assert found["pcc"] == pytest.approx(1, **CLOSE)
    assert assert_defined(y, -y)["pcc"] == pytest.approx(-1, **CLOSE)
    for a, b in ((y, np.full(4, 0.1)), (np.full(4, 0.1), y), (np.full(4, 0.1), np.full(4, 0.1)), ([0.5], [0.2])):
        found = assert_defined(a, b)
        assert (found["pcc"], found["ccc"], found["constant"]) == (0, 0, True)


def test_a_column_is_a_series():
    y, p = np.array([0.1, -0.4, 0.6]), np.array([0.2, -0.1, 0.3])
    assert regression(y[:, None], p[:, None]) == regression(y[None], p[None]) == regression(y, p)


def test_zero_labels_are_reported_because_no_prediction_has_their_sign():
    found = regression([0, 0, 0.5, -0.5], [0.1, -0.1, 0.2, 0.2])
    assert (found["sagr"], found["zero_share"]) == (0.25, 0.5)


def test_sums_of_a_group_are_those_of_its_frames():
    y, p, who = np.array([0.0, 0.5, -0.3, 0.2]), np.array([0.1, 0.0, 0.0, -0.2]), np.array([*"baab"])
    assert group_sums(y, p, who) == {name: Sums.of(y[who == name], p[who == name]) for name in "ab"}


@settings(max_examples=30)
@given(pairs, st.randoms())
def test_merging_in_any_grouping_and_order_gives_the_same_bits(pairs, random):
    y, p = np.array(pairs).T
    cuts = sorted(random.sample(range(len(y) + 1), min(3, len(y))))
    parts = [Sums.of(a, b) for a, b in zip(np.split(y, cuts), np.split(p, cuts), strict=True)]
    whole = Sums.of(y, p)
    random.shuffle(parts)
    merged = sum(parts, Sums())
    assert merged == whole
    assert merged.regression() == regression(y, p)
    assert whole - parts[0] == sum(parts[1:], Sums())


def test_mean_over_clips_gives_every_clip_one_vote():
    y = np.array([0.1, 0.2, 0.3, -0.5, 0.5])
    p = np.array([0.1, 0.2, 0.3, 0.5, -0.5])
    found = clip_mean(y, p, ["a", "a", "a", "b", "b"])
    assert found["ccc"] == pytest.approx((1 - 1) / 2, abs=1e-12)
    assert found["rmse"] == pytest.approx((0 + 1) / 2, abs=1e-12)
    assert (found["clips"], found["constant_clips"]) == (2, 0)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0.1, np.nan], [0, 0], "1 of 2 labels are NaN or infinite"),
        ([0.1, 0.2], [np.inf, np.nan], "2 of 2 predictions are NaN or infinite"),
        ([0.1, 0.2], [[0.1, 0.2]], "do not belong together"),
        ([], [], "at least one frame"),
        ([[0.1, 0.2]] * 3, [[0.1, 0.2]] * 3, r"one series, got shape \(3, 2\); give valence and arousal one by one"),
    ],
)
def test_what_has_no_metric_is_refused(y, p, message):
    with pytest.raises(UserError, match=message):
        regression(y, p)


def test_the_mean_over_clips_gives_each_the_same_weight():
    """Errors of 0, 0 and 3 in three clips of 1, 1 and 4 frames."""
    found = clip_mean([0.5] * 6, [0.5, 0.5, *[3.5] * 4], [*"ab", *"cccc"])
    assert found["rmse"] == pytest.approx(1)
    assert found["clips"] == found["constant_clips"] == 3

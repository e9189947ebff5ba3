"""Intervals and tests over subjects, against references written out here."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spikeva.errors import UserError
from spikeva.evaluation.metrics import METRICS, regression
from spikeva.evaluation.statistics import (
    crossed,
    difference,
    holm,
    jackknife_difference,
    jackknife_interval,
    jackknife_t,
    paired_permutation,
    seed_spread,
)


@pytest.fixture(scope="module")
def frames():
    """Labels, two models' predictions and subjects: ten people, unequal numbers of frames."""
    rng = np.random.default_rng(3)
    subjects = np.repeat([f"s{i}" for i in range(10)], rng.integers(5, 30, 10))
    own = dict.fromkeys(subjects.tolist(), 0.0)
    own = {s: rng.normal(0, 0.2) for s in own}
    y = rng.uniform(-1, 1, len(subjects))
    bias = np.array([own[s] for s in subjects])
    a = 0.6 * y + bias + rng.normal(0, 0.2, len(y))
    b = 0.4 * y + bias + rng.normal(0, 0.3, len(y))
    return y, a, b, subjects


def slow_jackknife(value, subjects, forward, backward):
    """Hinkley's jackknife-t, person by person."""
    people = sorted(set(subjects))
    n = len(people)
    without = np.array([forward(value(subjects != s)) for s in people])
    centre = forward(value(np.ones(len(subjects), bool)))
    moved = without - without.mean()
    error = np.sqrt((n - 1) / n * (moved**2).sum())
    freedom = np.clip(2 * (n - 1) / (stats.kurtosis(without, fisher=False) - 1), 3, n - 1)
    margin = stats.t.ppf(0.975, freedom) * error
    return backward(centre - margin), backward(centre + margin)


@pytest.mark.parametrize("metric", ["ccc", "pcc"])
def test_interval_is_the_jackknife_over_people(frames, metric):
    y, a, _, subjects = frames
    expected = slow_jackknife(lambda keep: regression(y[keep], a[keep])[metric], subjects, np.arctanh, np.tanh)
    numbers = np.unique(subjects, return_inverse=True)[1]
    for people in (subjects, numbers):
        assert jackknife_interval(metric, y, a, people) == pytest.approx(expected, rel=1e-9)


def test_interval_of_an_rmse_is_that_of_its_logarithm_corrected_for_skewness(frames):
    """Hall (1992): ends at the roots T of T + a T^2 / 3 + a^2 T^3 / 27 + a / 6 = +-t, a the skewness over the root of n."""
    y, a, _, subjects = frames
    people = sorted(set(subjects))
    n = len(people)
    without = np.array([np.log(regression(y[subjects != s], a[subjects != s])["rmse"]) for s in people])
    error = np.sqrt((n - 1) * without.var())
    freedom = np.clip(2 * (n - 1) / (stats.kurtosis(without, fisher=False) - 1), 3, n - 1)
    skewness = stats.skew(-without) / np.sqrt(n)
    assert abs(skewness) > 0.01
    ends = []
    for t in stats.t.ppf([0.975, 0.025], freedom):
        roots = np.roots([skewness**2 / 27, skewness / 3, 1, skewness / 6 - t])
        (root,) = roots[np.abs(roots.imag) < 1e-9].real
        ends.append(regression(y, a)["rmse"] * np.exp(-root * error))
    assert jackknife_interval("rmse", y, a, subjects) == pytest.approx(ends, rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_difference_is_the_jackknife_over_people(frames, metric):
    y, a, b, subjects = frames

    def value(keep):
        return regression(y[keep], a[keep])[metric] - regression(y[keep], b[keep])[metric]

    expected = slow_jackknife(value, subjects, float, float)
    assert jackknife_difference(metric, y, a, b, subjects) == pytest.approx(expected, rel=1e-9)
    assert difference(metric, y, a, b, subjects) == pytest.approx(value(np.ones(len(y), bool)), rel=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_interval_holds_the_value_and_keeps_to_its_range(frames, metric):
    y, a, _, subjects = frames
    low, high = jackknife_interval(metric, y, a, subjects)
    assert low < regression(y, a)[metric] < high
    narrow = jackknife_interval(metric, y, a, subjects, level=0.5)
    assert low < narrow[0] < narrow[1] < high
    if metric in ("pcc", "ccc"):
        low, high = jackknife_interval(metric, y, 0.99 * y + 0.01 * a, subjects)
        assert 0.9999 < low < high < 1
        assert jackknife_interval(metric, y, y, subjects) == pytest.approx((1, 1))


def test_of_a_mean_it_is_students_t():
    values = np.array([0.2, 0.4, 0.5, 0.7, 0.8, 0.1])
    low, high = jackknife_t(lambda s: s[..., 1] / s[..., 0], np.stack([np.ones(6), values], -1))
    expected = stats.t.interval(0.95, 5, values.mean(), values.std(ddof=1) / 6**0.5)
    assert (low, high) == pytest.approx(expected, rel=1e-12)


def test_one_person_apart_leaves_three_degrees_of_freedom():
    """Their kurtosis alone would tell of two."""
    values = np.array([0.0] * 9 + [1.0])
    low, high = jackknife_t(lambda s: s[..., 1] / s[..., 0], np.stack([np.ones(10), values], -1))
    expected = stats.t.interval(0.95, 3, values.mean(), values.std(ddof=1) / 10**0.5)
    assert (low, high) == pytest.approx(expected, rel=1e-9)


def test_skewness_moves_the_interval_of_a_long_tail_upwards_only_there():
    symmetric = np.array([-2.0, -1, -0.5, 0.5, 1, 2])

    def interval(values, skewed):
        return jackknife_t(lambda s: s[..., 1] / s[..., 0], np.stack([np.ones(6), values], -1), skewed=skewed)

    assert interval(symmetric, True) == pytest.approx(interval(symmetric, False), rel=1e-9)
    hardly = symmetric + 0.003 * symmetric**2
    assert interval(hardly, True) != pytest.approx(interval(hardly, False), rel=1e-3)
    tailed = np.exp(symmetric)
    assert all(a > b for a, b in zip(interval(tailed, True), interval(tailed, False), strict=True))


def test_more_frames_of_the_same_people_do_not_narrow_the_interval(frames):
    y, a, b, subjects = frames
    again = [np.repeat(x, 50) for x in (y, a, b, subjects)]
    assert jackknife_interval("ccc", *again[:2], again[3]) == pytest.approx(
        jackknife_interval("ccc", y, a, subjects), rel=1e-9
    )
    assert paired_permutation("ccc", *again, seed=0) == paired_permutation("ccc", y, a, b, subjects, seed=0)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_of_several_seeds_is_its_mean_over_them(frames, metric):
    y, a, b, subjects = frames
    mean = (regression(y, a)[metric] + regression(y, b)[metric]) / 2
    assert difference(metric, y, np.stack([a, b]), b, subjects) == pytest.approx(mean - regression(y, b)[metric])


def test_seeds_are_averaged_within_each_subject(frames):
    y, a, b, subjects = frames
    both = jackknife_interval("ccc", y, np.stack([a, b]), subjects)
    assert jackknife_interval("ccc", y, np.stack([a, a]), subjects) == pytest.approx(
        jackknife_interval("ccc", y, a, subjects), rel=1e-12
    )
    mean = (regression(y, a)["ccc"] + regression(y, b)["ccc"]) / 2
    assert both[0] < mean < both[1]


def test_exact_permutation_is_the_enumeration_of_all_swaps(frames):
    few = frames[3] < "s6"
    y, a, b, subjects = (x[few] for x in frames)
    people = sorted(set(subjects))
    index = np.array([people.index(s) for s in subjects])
    observed = abs(regression(y, a)["ccc"] - regression(y, b)["ccc"])
    as_large = 0
    for swap in product([False, True], repeat=len(people)):
        swapped = np.array(swap)[index]
        one, two = np.where(swapped, b, a), np.where(swapped, a, b)
        as_large += abs(regression(y, one)["ccc"] - regression(y, two)["ccc"]) >= observed - 1e-12
    for n in (9999, 2 ** len(people)):  # as many as may be drawn
        assert paired_permutation("ccc", y, a, b, subjects, 0, n) == pytest.approx(as_large / 2 ** len(people))


@pytest.mark.parametrize("gain", [1e-9, 1e-7, 1e-5, 1e-3])
def test_the_full_swap_counts_however_small_the_difference_is(frames, gain):
    """The better model is so for each person: of all swaps, none and all of them make the largest difference."""
    y, a, _, subjects = (x[frames[3] < "s6"] for x in frames)
    b = a + gain * (y - a)
    for one, two in ((a, b), (b, a)):
        assert paired_permutation("ccc", y, one, two, subjects, seed=0) == 2 / 2 ** len(set(subjects))


def test_the_full_swap_counts_where_predictions_hardly_vary(frames):
    """Far from their labels' mean such predictions have a PCC of few digits."""
    y, a, b, subjects = (x[frames[3] < "s6"] for x in frames)
    swaps = 2 ** len(set(subjects))
    for seed in range(20):
        still = 0.4 + 1e-6 * np.random.default_rng(seed).normal(size=len(y))
        for one, two in ((a, still), (still, b)):
            p = paired_permutation("pcc", y, one, two, subjects, seed=0) * swaps
            assert p >= 2
            assert p % 2 == 0


@pytest.mark.parametrize("start", range(5))
def test_equal_differences_count_whatever_their_rounding(start):
    """SAGR is a share of whole numbers, so that many swaps make the same difference; its mean over seeds is rounded."""
    rng = np.random.default_rng(start)
    y = rng.uniform(-1, 1, 78)
    a, b = (slope * y + rng.normal(0, 0.5, (3, 78)) for slope in (0.5, 0.4))
    hits = (np.sign(a) == np.sign(y)).sum(0) - (np.sign(b) == np.sign(y)).sum(0)
    own = hits.reshape(6, 13).sum(1)
    sums = [abs(int(own @ signs)) for signs in product([1, -1], repeat=6)]
    expected = np.mean([total >= abs(own.sum()) for total in sums])
    assert paired_permutation("sagr", y, a, b, np.repeat([*"abcdef"], 13), seed=0) == pytest.approx(expected)


def test_random_permutation_never_says_that_chance_is_impossible(frames):
    y, a, _, subjects = frames
    b = a + 0.5 * (y - a)
    drawn = [paired_permutation("ccc", y, a, b, subjects, seed=s, n=99) for s in range(20)]
    assert min(drawn) == 1 / 100


def test_random_permutation_is_seeded_and_near_the_exact_one(frames):
    y, a, _, subjects = frames
    b = a + np.random.default_rng(1).normal(0, 0.1, len(y))
    exact = paired_permutation("pcc", y, a, b, subjects, seed=0)
    drawn = [paired_permutation("pcc", y, a, b, subjects, seed=s, n=999) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn == pytest.approx([exact] * 3, abs=0.05)
    assert paired_permutation("pcc", y, b, a, subjects, seed=1, n=999) == drawn[0]
    assert paired_permutation("pcc", y, a, a, subjects, seed=1, n=999) == 1


def test_a_small_spread_beside_a_large_mean_is_no_constant(frames):
    y, a, b, subjects = frames
    small = [0.5 + 1e-7 * p for p in (a, b)]  # PCC does not see it
    assert jackknife_interval("pcc", y, small[0], subjects) == pytest.approx(
        jackknife_interval("pcc", y, a, subjects), rel=1e-6
    )
    assert difference("pcc", y, *small, subjects) == pytest.approx(difference("pcc", y, a, b, subjects), rel=1e-6)


def test_constant_predictions_have_no_ccc_and_no_width(frames):
    y, _, _, subjects = frames
    for metric, constant in product(("ccc", "pcc"), (0.3, 0.1, 0.7)):
        still = np.full(len(y), constant)
        for labels in (y, still):
            assert jackknife_interval(metric, labels, still, subjects) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("groups", [None, "frame", np.arange(40)])
def test_frames_as_the_unit_are_refused_with_the_reason(groups):
    y = np.linspace(-1, 1, 40)
    with pytest.raises(UserError, match="frames of one clip are not independent"):
        jackknife_interval("ccc", y, y, groups)
    with pytest.raises(UserError, match="frames of one clip are not independent"):
        paired_permutation("ccc", y, y, y, groups, seed=0)


@pytest.mark.parametrize(
    ("metric", "groups", "message"),
    [
        ("mae", ["a", "b"], "metric must be one of rmse, pcc, ccc, sagr"),
        ("ccc", ["a", "a"], "at least two"),
        ("ccc", ["a"], "one entry for each of the 2 frames"),
    ],
)
def test_impossible_intervals_are_refused(metric, groups, message):
    with pytest.raises(UserError, match=message):
        jackknife_interval(metric, [0.1, 0.2], [0.1, 0.3], groups)


def test_a_permutation_takes_frames_and_as_many_seeds_of_both_models(frames):
    y, a, b, subjects = frames
    with pytest.raises(UserError, match="equally many seeds of both models, not 2 and 1"):
        paired_permutation("ccc", y, np.stack([a, b]), b, subjects, seed=0)
    with pytest.raises(UserError, match="at least one frame"):
        paired_permutation("ccc", [], [], [], [], seed=0)


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_not_finite_is_counted(frames, metric):
    y, a, _, subjects = frames
    with pytest.raises(UserError, match=f"1 of {len(y)} predictions are NaN or infinite"):
        jackknife_interval(metric, y, np.where(y == y[3], np.nan, a), subjects)


@pytest.mark.parametrize("level", [0, 1, 95, np.nan])
def test_a_level_is_a_share(level):
    with pytest.raises(UserError, match=f"level must lie between 0 and 1, not {level}"):
        jackknife_interval("ccc", [0.1, 0.2], [0.1, 0.3], ["a", "b"], level)


def test_a_small_error_is_not_rounded_up(frames):
    y, _, _, subjects = frames
    assert difference("rmse", y, y + 0.001, y - 0.003, subjects) == pytest.approx(-0.002)
    assert difference("rmse", y, y + 1e-9, y, subjects) == pytest.approx(0, abs=1e-7)  # whatever is left of the square


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm({"a": 0.6, "b": 0.5}) == pytest.approx({"a": 1.0, "b": 1.0})
    assert holm({"b": 0.01, "a": 0.04}) == pytest.approx({"b": 0.02, "a": 0.04})
    assert holm([]) == []
    for none in (np.nan, -0.1, 1.1):
        with pytest.raises(UserError, match="p-values must lie between 0 and 1"):
            holm([0.1, none])


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_order_and_stays_between_p_and_bonferroni(p):
    adjusted = holm(p)
    assert all(q <= a <= min(1, len(p) * q) + 1e-15 for q, a in zip(p, adjusted, strict=True))
    assert [a for _, a in sorted(zip(p, adjusted, strict=True))] == sorted(adjusted)


def test_spread_over_seeds():
    assert seed_spread([0.4, 0.6]) == pytest.approx({"mean": 0.5, "sd": 0.02**0.5, "low": 0.4, "high": 0.6, "n": 2})
    assert seed_spread([0.4])["sd"] is None
    with pytest.raises(UserError, match="at least one value"):
        seed_spread([])


def test_seeds_count_where_they_have_the_same_folds():
    assert crossed([(0, 1), (0, 0), (1, 0), (1, 1)]) == ([0, 1], [0, 1])
    assert crossed([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]) == ([0, 1], [0, 1])
    assert crossed([(0, 0), (1, 1)]) == ([0], [0])
    assert crossed([(1, 1), (1, 0), (0, 1), (0, 0)]) == ([0, 1], [0, 1])

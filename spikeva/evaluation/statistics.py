"""What can be said about people beyond those seen: every interval and test here takes the subject as its unit.

Frames of one clip resemble each other, and so do the clips of one person; treating frames as independent makes
intervals far too narrow. `benchmarks/interval_coverage.py` measures how often the intervals cover the truth and how often the
test cries wolf.

Everywhere: y `[n]` labels, p `[n]` predictions or `[S, n]` for S training seeds (the metric is averaged over seeds; the
spread over seeds is another quantity, see `seed_spread`), groups `[n]` each frame's subject. UserError is raised for shapes
that do not fit, numbers that are not finite, an unknown metric, and frames as the unit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeva.errors import UserError
from spikeva.evaluation.metrics import METRICS, check_pair, group_index

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
_TINY = 1e-300
_FRAMES_REFUSED = (
    "a test or interval over frames is refused: frames of one clip are not independent, so it would be far too sure of "
    "itself (see `benchmarks/interval_coverage.py`); give `groups`, the subject of each frame"
)


def jackknife_interval(
    metric: str, y: ArrayLike, p: ArrayLike, groups: ArrayLike, level: float = 0.95
) -> tuple[float, float]:
    """The interval (low, high) of a metric ("rmse", "pcc", "ccc", "sagr") over subjects, by the jackknife-t below.

    CCC and PCC are treated as atanh (Fisher), RMSE as log with the correction for skewness, SAGR as it is.
    """
    parts = subject_sums(metric, y, _moved(metric, y, p), groups)
    forward, backward = _TRANSFORMS.get(metric, (_same, _same))
    low, high = jackknife_t(lambda sums: forward(metric_of_sums(metric, sums)), parts, level, skewed=metric == "rmse")
    return float(backward(low)), float(backward(high))


def jackknife_difference(
    metric: str, y: ArrayLike, p_a: ArrayLike, p_b: ArrayLike, groups: ArrayLike, level: float = 0.95
) -> tuple[float, float]:
    """The interval (low, high) of metric(a) - metric(b) of two models on the same frames, over subjects."""
    low, high = jackknife_t(*_difference(metric, y, p_a, p_b, groups), level)
    return float(low), float(high)


def difference(metric: str, y: ArrayLike, p_a: ArrayLike, p_b: ArrayLike, groups: ArrayLike) -> float:
    """metric(a) - metric(b) over all frames, averaged over seeds."""
    statistic, parts = _difference(metric, y, p_a, p_b, groups)
    return float(statistic(parts.sum(0)))


def jackknife_t(
    statistic: Statistic, parts: Array, level: float = 0.95, *, skewed: bool = False
) -> tuple[Array, Array]:
    """The interval (low, high) of `statistic(parts summed over subjects)`; parts `[..., G, D]` are sums per subject.

    Leaving a subject out is a subtraction. Standard error from the G leave-one-out values, Student's t with degrees of
    freedom estimated from their kurtosis, from 3 to G - 1 (Hinkley, "Jackknife confidence limits using Student t
    approximations", Biometrika 64, 1977). `skewed` corrects for subjects' contributions with a long tail by their
    skewness (Hall, "On the removal of skewness by transformation", JRSS B 54, 1992). `statistic` maps `[..., D]` to
    `[...]`. Raises UserError for fewer than two subjects.
    """
    from scipy.special import stdtrit

    count = parts.shape[-2]
    if count < 2:
        raise UserError(f"an interval over subjects needs at least two of them; there is {count}")
    if not 0 < level < 1:
        raise UserError(f"level must lie between 0 and 1, not {level}")
    total = parts.sum(-2)
    value = statistic(total)
    without = statistic(total[..., None, :] - parts)
    influence = without.mean(-1, keepdims=True) - without
    variance = np.maximum((influence**2).mean(-1), 1e-100)  # its square is a number too
    kurtosis = (influence**4).mean(-1) / variance**2
    freedom = np.clip(2 * (count - 1) / np.maximum(kurtosis - 1, _TINY), min(3, count - 1), count - 1)
    error = np.sqrt((count - 1) * variance)
    quantile = stdtrit(freedom, 0.5 + level / 2)
    if not skewed:
        return value - quantile * error, value + quantile * error
    skewness = (influence**3).mean(-1) / variance**1.5 / np.sqrt(count)
    return value - _unskewed(quantile, skewness) * error, value - _unskewed(-quantile, skewness) * error


def _unskewed(quantile: Array, a: Array) -> Array:
    """The T with T + a T^2 / 3 + a^2 T^3 / 27 + a / 6 = quantile."""
    safe = np.where(np.abs(a) < 1e-9, 1.0, a)
    return np.where(np.abs(a) < 1e-9, quantile, 3 / safe * (np.cbrt(1 + safe * (quantile - safe / 6)) - 1))


def paired_permutation(
    metric: str, y: ArrayLike, p_a: ArrayLike, p_b: ArrayLike, groups: ArrayLike, seed: int, n: int = 9999
) -> float:
    """The two-sided p of "the two models differ by chance": their predictions are swapped subject by subject.

    All 2^G swaps where these are at most n, else n random ones from `seed` and the observed one.
    """
    parts_a = subject_sums(metric, y, p_a, groups)
    parts_b = subject_sums(metric, y, p_b, groups)
    if parts_a.shape != parts_b.shape:
        seeds_a, seeds_b = (parts.shape[1] // 7 for parts in (parts_a, parts_b))
        raise UserError(f"swapped predictions need equally many seeds of both models, not {seeds_a} and {seeds_b}")
    count = len(parts_a)
    exact = count < 40 and 2**count <= n
    if exact:  # half of them: the others' differences are these with the sign turned, which must not hang on rounding
        swap = (np.arange(max(1, 2**count // 2))[:, None] >> np.arange(count) & 1).astype(np.float64)
    else:
        swap = np.random.default_rng([seed, count]).integers(0, 2, (n, count)).astype(np.float64)
    moved = swap @ (parts_b - parts_a)  # [N, D]
    total_a, total_b = parts_a.sum(0), parts_b.sum(0)
    a, b = float(metric_of_sums(metric, total_a)), float(metric_of_sums(metric, total_b))
    permuted = np.abs(metric_of_sums(metric, total_a + moved) - metric_of_sums(metric, total_b - moved))
    # equal differences may differ by the rounding of the metrics, which does not shrink with the difference
    rounding = 1e-12 * max(1.0, abs(a), abs(b))
    as_large = int((permuted >= abs(a - b) - rounding).sum())
    return as_large / len(swap) if exact else (as_large + 1) / (n + 1)


def holm(p_values: Sequence[float] | Mapping[str, float]) -> Any:
    """Holm's adjusted p-values (1979) of one declared family, in the order and the form (list or dict) given.

    Raises UserError for one outside of 0 to 1.
    """
    if isinstance(p_values, Mapping):
        return dict(zip(p_values, holm(list(p_values.values())), strict=True))
    p = np.asarray(p_values, np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise UserError("p-values must lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * (p.size - np.arange(p.size))))
    return adjusted.tolist()


def crossed(runs: Iterable[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """The seeds and the folds, of all (seed, fold) that were run, in which every seed stands on every fold.

    Folds are put together before seeds are averaged, so that a seed counts where it has the same folds as the others: in
    a study that is not finished, those with the most.
    """
    folds: dict[Any, set[Any]] = {}
    for seed, fold in runs:
        folds.setdefault(seed, set()).add(fold)
    most = max(folds.values(), key=len)
    return sorted(seed for seed, own in folds.items() if own == most), sorted(most)


def seed_spread(values: Sequence[float]) -> dict[str, Any]:
    """`{mean, sd, low, high, n}` of one metric over training seeds: how far a rerun moves; no interval over people."""
    v = np.asarray(values, np.float64)
    if v.size == 0:
        raise UserError("the spread over seeds needs at least one value")
    sd = float(v.std(ddof=1)) if v.size > 1 else None
    return {"mean": float(v.mean()), "sd": sd, "low": float(v.min()), "high": float(v.max()), "n": int(v.size)}


def subject_sums(metric: str, y: ArrayLike, p: ArrayLike, groups: ArrayLike | None) -> Array:
    """Sums per subject `[G, S, 7]` flattened to `[G, S * 7]`: what the jackknife subtracts.

    Per seed: n, Sy, Sp, Syy, Spp, Syp, equal signs, with the mean label taken off y and p first (no metric but SAGR
    sees a common shift, and SAGR has its own count). Raises UserError for an unknown metric and for frames as the
    unit.
    """
    if metric not in METRICS:
        raise UserError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")
    if groups is None or (isinstance(groups, str) and groups == "frame"):
        raise UserError(_FRAMES_REFUSED)
    y = np.asarray(y, np.float64)
    if y.size == 0:
        raise UserError("metrics need at least one frame; there is none")
    predictions = np.atleast_2d(np.asarray(p, np.float64))
    names, which = group_index(groups, y.size)
    if len(names) == y.size > 1 and np.issubdtype(names.dtype, np.integer):  # numbers that name each frame, not people
        raise UserError(_FRAMES_REFUSED)
    shift = y.mean()
    columns = []
    for one in predictions:
        y, one = check_pair(y, one)
        a, b = y - shift, one - shift
        same = np.sign(y) == np.sign(one)
        columns += [np.bincount(which, w, len(names)) for w in (np.ones_like(a), a, b, a * a, b * b, a * b, same)]
    return np.stack(columns, -1)


def metric_of_sums(metric: str, sums: Array) -> Array:
    """The metric, averaged over seeds, of sums `[..., S * 7]` as `subject_sums` gives them: `[...]`."""
    n, sy, sp, syy, spp, syp, same = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 7), -1, 0)
    if metric == "sagr":
        return np.asarray((same / n).mean(-1))
    if metric == "rmse":
        return np.sqrt(np.maximum(syy - 2 * syp + spp, 0) / n).mean(-1)
    var_y, var_p, cov = _variance(n, sy, syy), _variance(n, sp, spp), syp / n - sy * sp / n**2
    if metric == "pcc":
        scale = np.sqrt(var_y * var_p)
        value = np.where(scale > 0, cov / np.maximum(scale, _TINY), 0.0)
    else:
        value = 2 * cov / np.maximum(var_y + var_p + ((sy - sp) / n) ** 2, _TINY)
    return np.clip(value, -1, 1).mean(-1)


def _variance(n: Array, s: Array, ss: Array) -> Array:
    """Population variance, 0 where what is left is rounding."""
    variance = ss / n - (s / n) ** 2
    return np.where(variance > 1e-13 * ss / n, variance, 0.0)


def _difference(
    metric: str, y: ArrayLike, p_a: ArrayLike, p_b: ArrayLike, groups: ArrayLike
) -> tuple[Statistic, Array]:
    a = subject_sums(metric, y, _moved(metric, y, p_a), groups)
    b = subject_sums(metric, y, _moved(metric, y, p_b), groups)
    width = a.shape[-1]

    def statistic(sums: Array) -> Array:
        return metric_of_sums(metric, sums[..., :width]) - metric_of_sums(metric, sums[..., width:])

    return statistic, np.concatenate([a, b], -1)


def _moved(metric: str, y: ArrayLike, p: ArrayLike) -> Array:
    """Predictions of each seed about the labels' mean, where that leaves the metric as it is: small differences keep their digits.

    Not for a permutation, whose swaps carry one model's mean into the other's predictions.
    """
    p = np.asarray(p, np.float64)
    if metric != "pcc" or not p.size or not np.isfinite(p).all():  # the last is refused where all is checked
        return p
    return p - p.mean(-1, keepdims=True) + np.asarray(y, np.float64).mean()


def _same(value: Array) -> Array:
    return value


def _fisher(value: Array) -> Array:
    limit = 1 - 1e-12
    return np.arctanh(np.clip(value, -limit, limit))


def _log(value: Array) -> Array:
    return np.log(np.maximum(value, _TINY))


_TRANSFORMS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "ccc": (_fisher, np.tanh),
    "pcc": (_fisher, np.tanh),
    "rmse": (_log, np.exp),
}

"""How often the intervals cover the truth, and how often the permutation test sees a difference where there is none.

    python benchmarks/interval_coverage.py [--subjects 12 30 100] [--simulations 4000]

Simulated studies: subjects with a level of their own and an autocorrelated course of labels (AR(1), 0.9 a frame), followed by
two equally good models whose errors have a part of each subject's own and an autocorrelated part. In "gain" studies the
models also follow some people twice as closely as others, which makes people differ more. The truth is the value over 80,000
subjects. Nothing here is a measurement of a model.
"""

if __name__ != "__main__":  # numba looks for a package of this name, and finds this script first beside other scripts
    raise ImportError("a script, not the package 'coverage'")

import argparse
import time

import numpy as np

from spikeva.evaluation.emotion import anchor_points, transfer
from spikeva.evaluation.metrics import METRICS
from spikeva.evaluation.statistics import (
    jackknife_difference,
    jackknife_interval,
    jackknife_t,
    metric_of_sums,
    paired_permutation,
    subject_sums,
)
from spikeva.progress import track

FRAMES = 40
GAIN_SD = {"additive": 0.0, "gain": 0.3}


def autocorrelated(rng: np.random.Generator, subjects: int, sd: float) -> np.ndarray:
    """AR(1) courses [subjects, FRAMES] of standard deviation `sd`."""
    x = rng.normal(0, sd, (subjects, FRAMES))
    for t in range(1, FRAMES):
        x[:, t] = 0.9 * x[:, t - 1] + (1 - 0.9**2) ** 0.5 * x[:, t]
    return x


def study(rng: np.random.Generator, subjects: int, gain_sd: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, the predictions of models a and b (equally good), each [subjects, FRAMES]."""

    def own(sd: float) -> np.ndarray:
        return rng.normal(0, sd, (subjects, 1))

    y = own(0.2) + autocorrelated(rng, subjects, 0.35)
    a, b = (0.5 * (1 + own(gain_sd)) * y + own(0.15) + autocorrelated(rng, subjects, 0.25) + 0.05 for _ in "ab")
    return y, a, b


def truth(kind: str) -> dict[str, float]:
    y, a, _ = study(np.random.default_rng([1, GAIN_SD[kind] > 0]), 80_000, GAIN_SD[kind])
    sums = subject_sums("ccc", y.ravel(), a.ravel(), np.zeros(y.size, int)).sum(0)
    return {metric: float(metric_of_sums(metric, sums)) for metric in METRICS}


def frame_interval(y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """What the refused interval would be: every frame its own "subject"."""
    one = np.ones(y.size)
    y, p = y.ravel() - y.mean(), p.ravel() - y.mean()
    parts = np.stack([one, y, p, y * y, p * p, y * p, one], -1)
    low, high = jackknife_t(lambda sums: np.arctanh(metric_of_sums("ccc", sums)), parts)
    return float(np.tanh(low)), float(np.tanh(high))


def zero_shot_covers(rng: np.random.Generator, subjects: int) -> bool:
    """Whether the interval holds the accuracy 0.35 of people who differ (Beta), seven recordings each."""
    own = rng.beta(0.35 * 6, 0.65 * 6, subjects)
    shown = np.tile(np.arange(7), subjects)
    right = rng.random(7 * subjects) < np.repeat(own, 7)
    seen = np.where(right, shown, (shown + rng.integers(1, 7, 7 * subjects)) % 7)
    names = np.array(anchor_points("face-like")[0])
    interval = transfer(names[shown], names[seen], np.repeat(np.arange(subjects), 7))["accuracy_ci95"]
    return interval is not None and interval[0] <= 0.35 <= interval[1]


def coverage(kind: str, subjects: int, simulations: int) -> list[tuple[str, float, float]]:
    """(row, rate, its standard error) of one kind of study with so many subjects."""
    true = truth(kind)
    hits: dict[str, int] = {}
    groups = np.repeat(np.arange(subjects), FRAMES)
    for i in track(range(simulations), f"{kind}, {subjects} subjects"):
        y, a, b = study(np.random.default_rng([2, subjects, i, GAIN_SD[kind] > 0]), subjects, GAIN_SD[kind])
        flat = y.ravel(), a.ravel(), b.ravel()
        rows = {}
        for metric in METRICS:
            low, high = jackknife_interval(metric, flat[0], flat[1], groups)
            rows[f"interval of {metric.upper()}"] = low <= true[metric] <= high
            low, high = jackknife_difference(metric, *flat, groups)
            rows[f"interval of a difference of {metric.upper()}"] = low <= 0 <= high
        rows["interval of a zero-shot accuracy"] = zero_shot_covers(np.random.default_rng([3, subjects, i]), subjects)
        low, high = frame_interval(y, a)
        rows["frames as units (refused), CCC"] = low <= true["ccc"] <= high
        n = 4999 if subjects < 13 else 999
        rows["permutation, p <= 0.05, CCC"] = paired_permutation("ccc", *flat, groups, seed=i, n=n) <= 0.05
        hits = {name: hits.get(name, 0) + int(hit) for name, hit in rows.items()}
    rates = {name: count / simulations for name, count in hits.items()}
    return [(name, rate, (rate * (1 - rate) / simulations) ** 0.5) for name, rate in rates.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, nargs="+", default=[12, 30, 100])
    parser.add_argument("--simulations", type=int, default=4000)
    parser.add_argument("--kinds", nargs="+", choices=list(GAIN_SD), default=list(GAIN_SD))
    options = parser.parse_args()
    start = time.perf_counter()
    for kind in options.kinds:
        columns = {n: coverage(kind, n, options.simulations) for n in options.subjects}
        print(f"\n{kind} studies, {options.simulations} simulations, nominal 95 % and 5 % (percent +- standard error)")
        print(f"{'':44}" + "".join(f"{f'{n} subjects':>16}" for n in columns))
        for rows in zip(*columns.values(), strict=True):
            print(f"{rows[0][0]:44}" + "".join(f"{100 * rate:9.1f} +- {100 * error:.1f}" for _, rate, error in rows))
    print(f"\nnumpy {np.__version__}; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

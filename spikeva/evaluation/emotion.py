"""From a point in the valence-arousal plane to an emotion, and how good a transfer by that way can be.

Nothing here is fitted: anchors and method are declared beforehand, so a prediction never depends on the target's
labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeva.errors import UserError
from spikeva.evaluation.statistics import jackknife_t

Array = NDArray[np.float64]
NONE = "None"


@dataclass(frozen=True)
class Anchors:
    """Where each emotion stands in the (valence, arousal) plane, [-1, 1] each, and who says so."""

    points: Mapping[str, tuple[float, float]]
    source: str


ANCHORS: dict[str, Anchors] = {
    "face-like": Anchors(
        {
            "anger": (-0.60, 0.65),
            "contempt": (-0.52, 0.07),
            "disgust": (-0.68, 0.33),
            "fear": (-0.45, 0.80),
            "happiness": (0.80, 0.45),
            "sadness": (-0.70, -0.35),
            "surprise": (0.25, 0.80),
        },
        "chosen here: rounded from published sets and spread: fear and anger, the closest, are 13 degrees apart",
    ),
    "russell-mehrabian": Anchors(
        {
            "anger": (-0.51, 0.59),
            "contempt": (-0.55, 0.20),
            "disgust": (-0.60, 0.35),
            "fear": (-0.64, 0.60),
            "happiness": (0.81, 0.51),
            "sadness": (-0.63, -0.27),
            "surprise": (0.40, 0.67),
        },
        "Russell and Mehrabian, Journal of Research in Personality 11 (1977), as commonly copied; contempt is not in "
        "that copy and secondary sources disagree about it: chosen here",
    ),
    "nrc-vad": Anchors(
        {
            "anger": (-0.67, 0.73),
            "contempt": (-0.59, 0.27),
            "disgust": (-0.90, 0.55),
            "fear": (-0.85, 0.68),
            "happiness": (0.92, 0.46),
            "sadness": (-0.90, -0.42),
            "surprise": (0.75, 0.75),
        },
        "Mohammad, NRC VAD lexicon, ACL 2018: seven words, v and a in [0, 1] as 2x - 1 (for non-commercial research)",
    ),
}


def classify(
    va: ArrayLike, anchors: str = "face-like", method: str = "angle", none_radius: float = 0.0
) -> NDArray[Any]:
    """The emotion nearest to each point of `va` `[..., 2]`: an array of names `[...]`.

    method "angle" compares directions from the origin, "point" distances. Points closer to the origin than
    `none_radius` become "None" (for labels that know it). Ties go to the first name in alphabetical order. Raises UserError for
    points of another shape or not finite, unknown anchors or methods, and a radius below 0.
    """
    va = np.asarray(va, np.float64)
    if va.shape[-1:] != (2,) or not np.isfinite(va).all():
        raise UserError(f"points must be finite and of shape [..., 2] (valence, arousal), not {va.shape}")
    if not 0 <= none_radius < np.inf:
        raise UserError(f"none_radius must be a number from 0 on, not {none_radius}")
    names, places = anchor_points(anchors)
    if method == "angle":
        turn = np.arctan2(va[..., None, 1], va[..., None, 0]) - np.arctan2(places[:, 1], places[:, 0])
        score = -np.cos(turn)
    elif method == "point":
        score = ((va[..., None, :] - places) ** 2).sum(-1)
    else:
        raise UserError(f"method must be 'angle' or 'point', not {method!r}")
    chosen = np.array(names, dtype=object)[score.argmin(-1)]
    return np.where(np.hypot(va[..., 0], va[..., 1]) < none_radius, NONE, chosen).astype(str)


def anchor_points(anchors: str) -> tuple[list[str], Array]:
    """The names (sorted) and places `[n, 2]` of a named anchor set. Raises UserError for an unknown one."""
    if anchors not in ANCHORS:
        raise UserError(f"unknown anchors {anchors!r}; there are: {', '.join(ANCHORS)}")
    points = ANCHORS[anchors].points
    names = sorted(points)
    return names, np.array([points[n] for n in names])


def recording_point(va: ArrayLike, method: str = "mean") -> Array:
    """One (valence, arousal) `[2]` for a recording's points `[n, 2]`.

    "mean"; "peak": the point farthest from the origin; "weighted": the mean with each point's distance from the
    origin as its weight, so that the neutral start and end of a posed expression count little. Raises UserError for another
    method, and for no point.
    """
    va = np.asarray(va, np.float64)
    if va.ndim != 2 or va.shape[1] != 2 or not len(va):
        raise UserError(f"a recording is points [n, 2] with n > 0, not {va.shape}")
    radius = np.hypot(va[:, 0], va[:, 1])
    if method == "mean" or (method == "weighted" and not radius.any()):
        return np.asarray(va.mean(0))
    if method == "peak":
        return np.asarray(va[radius.argmax()])
    if method == "weighted":
        return np.asarray((va * radius[:, None]).sum(0) / radius.sum())
    raise UserError(f"method must be 'mean', 'peak' or 'weighted', not {method!r}")


def coarse(emotion: str, anchors: str = "face-like") -> str:
    """The quadrant "positive", "negative-high" or "negative-low" of the emotion's anchor; "None" stays."""
    if emotion == NONE:
        return NONE
    valence, arousal = ANCHORS[anchors].points[emotion]
    return "positive" if valence > 0 else "negative-high" if arousal > 0 else "negative-low"


def transfer(true: ArrayLike, predicted: ArrayLike, subjects: ArrayLike, anchors: str = "face-like") -> dict[str, Any]:
    """The scores of predicted emotions, one a recording, with 95 % jackknife-t intervals over subjects.

    `{n, subjects, anchors, labels, confusion, accuracy, balanced_accuracy, chance, majority, majority_label, three_way_*,
    valence_sign_*, ..._ci95}`. `confusion[i][j]` counts recordings of labels[i] predicted as labels[j]; labels are
    the anchor set's, in alphabetical order, then "None" where it occurs. Balanced accuracy is the mean recall over
    the labels that occur. chance: 1 / number of labels that occur; majority: the share of the most frequent one,
    which "always the same" reaches. Intervals are cut to [0, 1], and None where all subjects score alike: differences
    between them are what an interval is made of. Raises UserError for arrays that are not equally long, and for emotions that
    the anchors do not know.
    """
    names = [*anchor_points(anchors)[0], NONE]
    true, predicted, subjects = (np.asarray(a).astype(str) for a in (true, predicted, subjects))
    if not (true.shape == predicted.shape == subjects.shape and true.ndim == 1 and true.size):
        raise UserError(
            f"true, predicted and subjects must be equally long and not empty, "
            f"not {true.shape}, {predicted.shape}, {subjects.shape}"
        )
    true, predicted = (np.char.lower(a) for a in (true, predicted))
    true, predicted = (np.where(a == NONE.lower(), NONE, a) for a in (true, predicted))  # NEFER writes "none"
    if unknown := sorted({*true.tolist(), *predicted.tolist()} - set(names)):
        raise UserError(f"emotions {unknown} are not among {names}")
    if NONE not in {*true.tolist(), *predicted.tolist()}:
        names = names[:-1]
    result: dict[str, Any] = {"n": int(true.size), "subjects": int(np.unique(subjects).size), "anchors": anchors}
    three = list(dict.fromkeys(coarse(n, anchors) for n in names))
    signs = {"positive": "positive", "negative-high": "negative", "negative-low": "negative", NONE: NONE}
    for prefix, labels, to_label in (
        ("", names, {n: n for n in names}),
        ("three_way_", sorted(three), {n: coarse(n, anchors) for n in names}),
        ("valence_sign_", sorted({signs[c] for c in three}), {n: signs[coarse(n, anchors)] for n in names}),
    ):
        scores = _scores([to_label[t] for t in true], [to_label[p] for p in predicted], subjects, labels)
        result |= {prefix + key: value for key, value in scores.items()}
    return result


def _scores(true: list[str], predicted: list[str], subjects: NDArray[Any], labels: list[str]) -> dict[str, Any]:
    k = len(labels)
    index = {label: i for i, label in enumerate(labels)}
    cell = np.array([index[t] * k + index[p] for t, p in zip(true, predicted, strict=True)])
    who, which = np.unique(subjects, return_inverse=True)
    parts = np.zeros((len(who), k * k))
    np.add.at(parts, (which, cell), 1)
    confusion = parts.sum(0).reshape(k, k)
    row = confusion.sum(1)
    scores: dict[str, Any] = {
        "labels": labels,
        "confusion": confusion.astype(int).tolist(),
        "chance": 1 / int((row > 0).sum()),
        "majority": float(row.max() / row.sum()),
        "majority_label": labels[int(row.argmax())],
    }
    for name, statistic in (("accuracy", _accuracy), ("balanced_accuracy", _balanced)):
        scores[name] = float(statistic(parts.sum(0)))
        scores[f"{name}_ci95"] = None
        if len(who) > 1:
            low, high = (float(end) for end in jackknife_t(statistic, parts))
            if high - low > 1e-9:
                scores[f"{name}_ci95"] = [max(0.0, low), min(1.0, high)]
    return scores


def _accuracy(counts: Array) -> Array:
    k = round(counts.shape[-1] ** 0.5)
    return np.asarray(counts[..., :: k + 1].sum(-1) / counts.sum(-1))


def _balanced(counts: Array) -> Array:
    k = round(counts.shape[-1] ** 0.5)
    row = counts.reshape(*counts.shape[:-1], k, k).sum(-1)
    recall = counts[..., :: k + 1] / np.maximum(row, 1)
    return np.asarray(recall.sum(-1) / (row > 0).sum(-1))


def ceiling(
    anchors: str = "face-like",
    method: str = "angle",
    error_sd: float = 0.2,
    agreement: float = 1.0,
    seed: int = 0,
    n: int = 100_000,
    shown_at: str | None = None,
    shown: Mapping[str, float] | None = None,
    none_radius: float = 0.0,
) -> float:
    """The accuracy of a perfect readout when (v, a) carries Gaussian errors of `error_sd` (simulated, n draws).

    Emotions as often as `shown` says (counts or shares; None: equally often), at 60 to 100 % of their anchor's distance from
    the origin; `shown_at` names the anchors where they truly lie, if others than those they are read by. `agreement` is the
    share of recordings whose label is what was shown; the others are labelled with another emotion that occurs (label noise).
    "None" has no anchor: it lies at the origin, and is read right within `none_radius` of it (see `classify`), which takes
    from the emotions what comes so near. Raises UserError for an error or a radius below 0, an agreement outside of 0 to 1,
    unknown anchors, and emotions that they do not have.
    """
    if error_sd < 0 or not 0 <= agreement <= 1:
        raise UserError(f"error_sd must not be negative and agreement lie in [0, 1], not {error_sd} and {agreement}")
    names, places = anchor_points(shown_at or anchors)
    often = dict.fromkeys(names, 1.0) if shown is None else {k: float(v) for k, v in shown.items()}
    if unknown := sorted(often.keys() - {*names, NONE}):
        raise UserError(f"shown holds {unknown}; allowed are {', '.join(names)} and {NONE}")
    weight = np.array([often.get(name, 0.0) for name in names])
    if not (min(often.values(), default=0.0) >= 0 and weight.any()):
        raise UserError(f"shown must hold counts or shares of emotions, none negative and not all 0, not {dict(often)}")
    occur = np.flatnonzero(weight)
    k, share = len(occur), weight[occur] / weight.sum()
    rng = np.random.default_rng([seed, 0xCE11])
    which = rng.integers(0, k, n) if np.ptp(share) == 0 else rng.choice(k, n, p=share)
    va = places[occur][which] * rng.uniform(0.6, 1.0, (n, 1)) + rng.normal(0, error_sd, (n, 2))
    other = (which + rng.integers(1, max(k, 2), n)) % k
    label = occur[np.where(rng.random(n) < agreement, which, other)]
    right = float((classify(va, anchors, method, none_radius) == np.array(names)[label]).mean())
    told = float(weight.sum()) / sum(often.values())
    within = 1 - np.exp(-((none_radius / error_sd) ** 2) / 2) if error_sd else float(none_radius > 0)
    return right * told + agreement * float(within) * (1 - told)

"""How well a series of predictions follows its labels: RMSE, PCC, CCC and SAGR, from sums that merge.

All metrics follow from six sums over frames (n, Sy, Sp, Syy, Spp, Syp) and two counts (equal signs, zero labels).
`Sums` holds them as exact fractions: merging batches, devices or clips in any order and any grouping gives the same
bits, and nearly constant series lose nothing to cancellation.
"""

from dataclasses import astuple, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeva.errors import UserError

Array = NDArray[np.float64]
METRICS = ("rmse", "pcc", "ccc", "sagr")


@dataclass(frozen=True)
class Sums:
    """The exact sums over frames of labels y and predictions p. `a + b` merges, `a - b` takes b's frames out again."""

    n: int = 0
    y: Fraction = Fraction(0)
    p: Fraction = Fraction(0)
    yy: Fraction = Fraction(0)
    pp: Fraction = Fraction(0)
    yp: Fraction = Fraction(0)
    same_sign: int = 0
    zeros: int = 0

    @classmethod
    def of(cls, y: ArrayLike, p: ArrayLike) -> "Sums":
        """The sums of one batch: y and p [N]. Raises UserError for NaN, infinity, unequal shapes, several columns."""
        y, p = check_pair(y, p)
        same, zeros = int((np.sign(y) == np.sign(p)).sum()), int((y == 0).sum())
        return cls(y.size, _sum(y), _sum(p), _dot(y, y), _dot(p, p), _dot(y, p), same, zeros)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def regression(self) -> dict[str, Any]:
        """`{rmse, pcc, ccc, sagr, n, zero_share, constant}` of the frames summed. Raises UserError for no frame.

        CCC = 2 cov / (var y + var p + (mean y - mean p)^2) with population variances (Lin, 1989), over all frames
        together. `constant` says that y or p has no variance: PCC is not defined then and given as 0, as is CCC where
        both are constant and equal. SAGR is the share of sign(y) = sign(p); a label of exactly 0 is matched by an
        exact 0 only, so `zero_share`, the share of such labels, bounds it.
        """
        n = self.n
        if n == 0:
            raise UserError("metrics need at least one frame; there is none")
        var_y = n * self.yy - self.y**2  # all times n squared
        var_p = n * self.pp - self.p**2
        cov = n * self.yp - self.y * self.p
        constant = var_y == 0 or var_p == 0
        spread = var_y + var_p + (self.y - self.p) ** 2
        return {
            "rmse": _sqrt((self.yy - 2 * self.yp + self.pp) / n),
            "pcc": 0.0 if constant else float(cov / n**2) / (_sqrt(var_y / n**2) * _sqrt(var_p / n**2)),
            "ccc": float(2 * cov / spread) if spread else 0.0,
            "sagr": self.same_sign / n,
            "n": n,
            "zero_share": self.zeros / n,
            "constant": constant,
        }


def regression(y: ArrayLike, p: ArrayLike) -> dict[str, Any]:
    """`{rmse, pcc, ccc, sagr, n, zero_share, constant}` of predictions p [N] for labels y [N]: see `Sums.regression`.

    Valence and arousal are two series, and so two calls. Raises UserError as `Sums.of` does.
    """
    return Sums.of(y, p).regression()


def clip_mean(y: ArrayLike, p: ArrayLike, clips: ArrayLike) -> dict[str, float]:
    """`{rmse, pcc, ccc, sagr, clips, constant_clips}`: the mean over clips; `clips` names the clip of each frame."""
    each = [s.regression() for s in group_sums(y, p, clips).values()]
    means = {name: float(np.mean([m[name] for m in each])) for name in METRICS}
    return means | {"clips": len(each), "constant_clips": sum(m["constant"] for m in each)}


def group_sums(y: ArrayLike, p: ArrayLike, groups: ArrayLike) -> dict[Any, Sums]:
    """Exact sums by group, in the groups' sorted order; `groups` has one entry a frame."""
    y, p = check_pair(y, p)
    names, which = group_index(groups, y.size)
    return {name: Sums.of(y[which == i], p[which == i]) for i, name in enumerate(names.tolist())}


def group_index(groups: ArrayLike, n: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The sorted group names, and each frame's index into them. Raises UserError where there are not n entries."""
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise UserError(f"groups must have one entry for each of the {n} frames, not shape {groups.shape}")
    names, which = np.unique(groups, return_inverse=True)
    return names, which


def check_pair(y: ArrayLike, p: ArrayLike) -> tuple[Array, Array]:
    """y and p as flat float64. Raises UserError for unequal shapes, for several columns, NaN or infinity."""
    y, p = np.asarray(y, np.float64), np.asarray(p, np.float64)
    if y.shape != p.shape:
        raise UserError(f"labels of shape {y.shape} and predictions of shape {p.shape} do not belong together")
    if y.ndim > 1 and max(y.shape) < y.size:
        raise UserError(
            f"metrics are of one series, got shape {y.shape}; give valence and arousal one by one, y[:, 0] and y[:, 1]"
        )
    for name, values in (("labels", y), ("predictions", p)):
        if bad := int((~np.isfinite(values)).sum()):
            raise UserError(f"{bad} of {values.size} {name} are NaN or infinite; metrics need finite numbers")
    return y.ravel(), p.ravel()


def _sum(values: Array) -> Fraction:
    """The exact sum: mantissas are added as integers, exponent by exponent."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    total = Fraction(0)
    for e in np.unique(exponent).tolist():
        part = whole[exponent == e]
        total += (int((part >> 32).sum()) * 2**32 + int((part & 0xFFFFFFFF).sum())) * Fraction(2) ** (e - 53)
    return total


def _dot(a: Array, b: Array) -> Fraction:
    """The exact sum of products, by Dekker's error-free product (exact for factors between 1e-140 and 1e140)."""
    product = a * b
    a_high, b_high = _high(a), _high(b)
    a_low, b_low = a - a_high, b - b_high
    error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return _sum(product) + _sum(error)


def _high(a: Array) -> Array:
    """The upper 26 bits of each mantissa (Veltkamp)."""
    scaled = a * 134217729.0  # 2^27 + 1
    return np.asarray(scaled - (scaled - a))


def _sqrt(value: Fraction) -> float:
    return float(np.sqrt(float(value)))

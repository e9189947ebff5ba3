"""Who a face belongs to: shape, age, skin, hair and habits of expression, drawn from a seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.faces.action_units import ACTION_UNITS
from spikeva.registry import unknown

Array = NDArray[np.float64]

DOMAINS = ("afew-va-like", "nefer-like")


def check_domain(domain: str) -> str:
    """`domain` itself. Raises UserError where there is no such domain."""
    if domain not in DOMAINS:
        raise UserError(unknown("face domain", domain, DOMAINS))
    return domain


@dataclass(frozen=True)
class Identity:
    """One person. Lengths are in half face widths (about 70 mm), colours are linear RGB, the rest lies in 0..1.

    `gains`, `resting` [A, 2] are habits of expression per action unit and side; `lobe_jitter` is how far the action
    units move this person's skin in other places and directions than the average's (0 for `afew-va-like`).
    """

    name: str
    female: bool
    age: float
    face_width: float
    jaw: float
    chin_width: float
    chin: float
    eye_x: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    brow_y: float
    brow_arch: float
    brow_thickness: float
    brow_drop: float
    brow_ridge: float
    nose_base: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    hairline: float
    hair_style: str
    hair_volume: float
    beard: float
    freckles: float
    glasses: bool
    skin: Array
    lips: Array
    hair: Array
    iris: Array
    cloth: Array
    expressivity: float
    gains: Array
    resting: Array
    lobe_jitter: float
    seed: tuple[int, ...]

    def rng(self, *stream: int) -> np.random.Generator:
        """A generator that depends on this person and on `stream` only."""
        return np.random.default_rng([*self.seed, *stream])


_SKIN = np.array(
    [[0.68, 0.44, 0.33], [0.58, 0.35, 0.24], [0.44, 0.245, 0.15], [0.27, 0.14, 0.08], [0.12, 0.062, 0.038]]
)
_HAIR = np.array(
    [[0.012, 0.010, 0.009], [0.045, 0.024, 0.013], [0.12, 0.06, 0.028], [0.33, 0.21, 0.09], [0.20, 0.06, 0.02]]
)
_IRIS = np.array(
    [[0.07, 0.032, 0.015], [0.13, 0.07, 0.025], [0.10, 0.13, 0.06], [0.13, 0.22, 0.32], [0.17, 0.20, 0.22]]
)
_GREY = np.array([0.42, 0.41, 0.40])


def draw_identity(domain: str, identity: int, seed: int = 0) -> Identity:
    """Person number `identity` of `domain` under `seed`; the same arguments give the same person anywhere.

    The two domains draw from separate streams and from different distributions of shape, tone, age and hair, and
    `nefer-like` people also move their skin each in their own way (chosen here). Raises UserError for an unknown domain and
    for numbers below 0.
    """
    number = DOMAINS.index(check_domain(domain))
    if identity < 0 or seed < 0:
        raise UserError(f"identity and seed count from 0, got identity {identity} and seed {seed}")
    entropy = (seed, number, identity)
    r = np.random.default_rng([*entropy, 11])
    film = number == 0
    female = bool(r.random() < 0.5)
    age = float(r.beta(1.6, 2.2) if film else r.beta(1.2, 4.0))
    tone = r.beta(1.1, 1.5) if film else r.beta(1.6, 1.3)
    skin = _mix(_SKIN, tone * 4) * np.exp(r.normal(0, 0.04, 3))
    hair = _mix(_HAIR, 3.2 * r.beta(1.0, 1.0 + 5 * tone)) if tone > 0.5 or r.random() > 0.12 else _HAIR[4]
    grey = float(np.clip((age - 0.55) * 2.4 + r.normal(0, 0.15), 0, 1))
    hair = (1 - grey) * hair + grey * _GREY
    iris = _IRIS[0 if tone > 0.5 else r.integers(0, 5)]
    lips = skin * np.array([0.86, 0.56, 0.60]) * (1 - 0.12 * tone) + np.array([0.03, 0.0, 0.005]) * (1 + female)
    styles = (
        ("short", "side-part", "fringe", "bob", "long", "long") if female else ("short", "short", "side-part", "fringe")
    )
    style = str(r.choice(styles))
    if not female and r.random() < 0.05 + 0.45 * age:
        style = str(r.choice(["receding", "receding", "bald"]))
    spread, shift = (1.0, 0.0) if film else (1.25, 1.0)

    def vary(mean: float, sd: float) -> float:
        return float(mean + sd * spread * np.clip(r.normal(), -2, 2))

    return Identity(
        name=f"actor_{identity:03d}" if film else f"user_{identity:02d}",
        female=female,
        age=age,
        face_width=vary(1.0 if not female else 0.97, 0.045),
        jaw=vary(0.87 if not female else 0.80, 0.035),
        chin_width=vary(0.36 if not female else 0.27, 0.04),
        chin=vary(-1.60 - 0.03 * shift, 0.045),
        eye_x=vary(0.455, 0.016),
        eye_width=vary(0.222, 0.012),
        eye_height=vary(0.096 - 0.006 * shift, 0.010),
        eye_tilt=vary(0.02, 0.02),
        brow_y=vary(0.31, 0.028),
        brow_arch=vary(0.045 if not female else 0.07, 0.018),
        brow_thickness=vary(0.062 if not female else 0.044, 0.008),
        brow_drop=vary(0.03, 0.02),
        brow_ridge=vary(0.055 if not female else 0.03, 0.01),
        nose_base=vary(-0.64, 0.035),
        nose_width=vary(0.235 + 0.05 * tone, 0.02),
        mouth_y=vary(-1.0, 0.03),
        mouth_width=vary(0.375, 0.025),
        upper_lip=vary(0.078 + 0.03 * tone, 0.012),
        lower_lip=vary(0.110 + 0.03 * tone, 0.014),
        hairline=vary(0.98, 0.05),
        hair_style=style,
        hair_volume=vary(0.12, 0.03),
        beard=float(np.clip(r.normal(0.25, 0.4), 0, 1)) if not female else 0.0,
        freckles=float(np.clip(r.normal(0.1, 0.3), 0, 1)) * (1 - tone),
        glasses=bool(r.random() < (0.16 if film else 0.24)),
        skin=skin,
        lips=lips,
        hair=hair,
        iris=iris,
        cloth=np.clip(r.beta(1.0, 2.2) * np.exp(r.normal(0, 0.35, 3)), 0.01, 0.8),
        expressivity=float(np.exp(r.normal(0, 0.12))),
        gains=np.exp(0.22 * np.clip(r.normal(size=(len(ACTION_UNITS), 1)), -2, 2))
        * (1 + 0.08 * r.normal(size=(len(ACTION_UNITS), 2))),
        resting=_resting(r),
        lobe_jitter=0.0 if film else 1.0,
        seed=entropy,
    )


def _mix(palette: Array, position: float) -> Array:
    """The colour at `position` in 0..n-1 of a palette [n, 3]."""
    return np.array([np.interp(position, np.arange(len(palette)), palette[:, c]) for c in range(3)])


def _resting(r: np.random.Generator) -> Array:
    """Small standing activations [A, 2] that make a neutral face one's own."""
    rest = np.zeros((len(ACTION_UNITS), 2))
    for unit, most in ((1, 0.12), (2, 0.12), (4, 0.16), (7, 0.14), (12, 0.12), (15, 0.14), (17, 0.12), (25, 0.10)):
        rest[ACTION_UNITS.index(unit)] = most * r.beta(1, 2) * (1 + 0.2 * r.normal(size=2))
    return np.clip(rest, 0, None)

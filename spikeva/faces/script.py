"""Emotions over time -> action units, gaze, head pose and the exact valence and arousal.

Everything is drawn once and then evaluated at any times, so that a clip at 50 and at 200 frames a second is the same
performance. Valence and arousal are a weighted sum of anchor points over the latent emotion weights; they are never
derived from pixels or action units.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.faces.action_units import ACTION_UNITS, INDEX
from spikeva.faces.identity import Identity
from spikeva.registry import unknown

Array = NDArray[np.float64]

EMOTIONS = ("happiness", "surprise", "fear", "anger", "disgust", "contempt", "sadness")
STATES = (*EMOTIONS, "excited", "calm", "tired")

# (valence, arousal) of each state at full strength; the seven emotions are the 'face-like' anchors (chosen here,
# between the published sets of Russell and Mehrabian 1977 and of face databases, spread so that neighbours differ by
# 13 degrees or more).
ANCHORS: dict[str, tuple[float, float]] = {
    "happiness": (0.80, 0.45),
    "surprise": (0.25, 0.80),
    "fear": (-0.45, 0.80),
    "anger": (-0.60, 0.65),
    "disgust": (-0.68, 0.33),
    "contempt": (-0.52, 0.07),
    "sadness": (-0.70, -0.35),
    "excited": (0.70, 0.80),
    "calm": (0.55, -0.40),
    "tired": (-0.25, -0.70),
}

# Action units of each state at full strength (after EMFACS and the FACS manual's tables; intensities chosen here).
EXPRESSIONS: dict[str, dict[int, float]] = {
    "happiness": {6: 0.85, 12: 1.0, 25: 0.70},
    "surprise": {1: 0.9, 2: 0.9, 5: 0.7, 25: 0.6, 26: 0.8},
    "fear": {1: 0.9, 2: 0.5, 4: 0.5, 5: 0.9, 20: 0.8, 25: 0.7, 26: 0.3},
    "anger": {4: 0.95, 5: 0.5, 7: 0.7, 17: 0.3, 23: 0.9},
    "disgust": {4: 0.25, 7: 0.45, 9: 0.9, 10: 0.6, 15: 0.3, 17: 0.4},
    "contempt": {4: 0.1, 7: 0.2},
    "sadness": {1: 0.9, 4: 0.55, 15: 0.9, 17: 0.5, 43: 0.25},
    "excited": {1: 0.4, 2: 0.4, 5: 0.4, 6: 0.6, 12: 1.0, 25: 0.8, 26: 0.5},
    "calm": {6: 0.15, 12: 0.3, 43: 0.18},
    "tired": {1: 0.15, 15: 0.25, 25: 0.2, 26: 0.12, 43: 0.42},
}
_ONE_SIDED = {"contempt": {12: 0.45, 14: 0.95}}


def expression(state: str, side: int = 1) -> Array:
    """[A, 2] action units of `state` (one of STATES, or "neutral") at full strength; `side` (0 or 1, the picture's left or right)
    is where a one-sided expression shows. Raises UserError.
    """
    if state not in (known := ("neutral", *STATES)):
        raise UserError(unknown("state", state, known))
    if side not in (0, 1):
        raise UserError(f"side must be 0 or 1, the picture's left or right, got {side!r}")
    units = np.zeros((len(ACTION_UNITS), 2))
    for unit, value in EXPRESSIONS.get(state, {}).items():
        units[INDEX[unit]] = value
    for unit, value in _ONE_SIDED.get(state, {}).items():
        units[INDEX[unit], side] = value
    return units


def minimum_jerk(x: Array) -> Array:
    """Ramp from 0 to 1 over 0..1 (Flash and Hogan 1985)."""
    x = np.clip(x, 0, 1)
    return np.asarray(x**3 * (10 - 15 * x + 6 * x * x))


class Drift:
    """Smooth noise of `n` channels, standard deviation 1, as random sinusoids: the same curve at any sampling rate."""

    def __init__(self, rng: np.random.Generator, n: int, rate_hz: float, terms: int = 10) -> None:
        self._f = np.clip(rate_hz * np.abs(rng.standard_cauchy((terms, n))), 0.05, 5 * rate_hz)
        self._phase = rng.uniform(0, 2 * np.pi, (terms, n))

    def __call__(self, t: Array) -> Array:
        """[T, n] at times `t` (s)."""
        angle = 2 * np.pi * self._f * t[:, None, None] + self._phase
        return np.asarray(np.cos(angle).sum(1) * np.sqrt(2 / len(self._f)))


@dataclass(frozen=True)
class Segment:
    """One expression: state, begin and the three ramps' times (s), peak 0..1, and the units it shows [A, 2] at full
    strength.
    """

    state: int
    begin: float
    onset: float
    hold: float
    offset: float
    peak: float
    units: Array

    def weight(self, t: Array) -> Array:
        """[T] strength at times `t`."""
        rise = minimum_jerk((t - self.begin) / self.onset)
        fall = minimum_jerk((t - self.begin - self.onset - self.hold) / self.offset)
        return self.peak * (rise - fall)


@dataclass(frozen=True)
class Moments:
    """A script at T times: `weights` [T, 10] of the states, exact `valence`, `arousal` [T], `units` [T, A, 2], `gaze`
    [T, 2], `angles` [T, 3] of the head, `shift` [T, 2] and `zoom` [T] of its place, `light` [T], `pan` [T, 2] of the
    background.
    """

    weights: Array
    valence: Array
    arousal: Array
    units: Array
    gaze: Array
    angles: Array
    shift: Array
    zoom: Array
    light: Array
    pan: Array

    @property
    def emotions(self) -> list[str]:
        """The strongest state at each time, 'neutral' below 0.2."""
        best = self.weights.argmax(1)
        return [STATES[b] if w[b] > 0.2 else "neutral" for b, w in zip(best, self.weights, strict=True)]


class Script:
    """What a person does during one clip. `nuisance` scales everything that is not expression (head, speech, noise,
    light), `style` how differently one emotion is shown from time to time, `arousal_motion` how much more the head
    moves in aroused clips (a leak: off). `posed` is the one state of a posed clip. Raises UserError.
    """

    def __init__(
        self,
        who: Identity,
        rng: np.random.Generator,
        seconds: float,
        posed: str | None = None,
        nuisance: float = 0.6,
        style: float = 0.7,
        arousal_motion: float = 0.0,
    ) -> None:
        if not 0 < seconds < np.inf:
            raise UserError(f"seconds must be a number above 0, got {seconds}")
        for name, value in (("nuisance", nuisance), ("style", style), ("arousal_motion", arousal_motion)):
            if not 0 <= value < np.inf:
                raise UserError(f"{name} must be a number from 0 on, got {value}")
        if posed is not None and posed not in STATES:
            raise UserError(unknown("state", posed, STATES))
        self._who, self._posed = who, posed is not None
        self._nuisance, self._coupling = nuisance, arousal_motion
        self.segments = self._draw_segments(rng, seconds, posed, style)
        rest = 0.75 if self._posed else 1.0  # of the head's unrest: a posing subject sits stiller
        self._angle_sd = np.array([0.12, 0.06, 0.04]) * rest * np.exp(rng.normal(0, 0.25))
        self._angle_mean = (
            np.array([0.22, 0.08, 0.05]) * (0.5 if self._posed else 1) * np.clip(rng.normal(size=3), -2.2, 2.2)
        )
        self._angles, self._shift = Drift(rng, 3, 0.6), Drift(rng, 3, 0.5)
        self._shift_sd = np.array([0.07, 0.05, 0.02]) * rest
        self._unit_noise = Drift(rng, len(ACTION_UNITS), 0.8)
        self._light = Drift(rng, 1, 0.7)
        self._light_sd = 0.0 if self._posed else float(rng.uniform(0.01, 0.05))
        self._pan_speed = rng.normal(0, 2.5, 2) * (not self._posed and rng.random() < 0.4)
        self._pan = Drift(rng, 2, 0.4)
        self._blinks = np.cumsum(rng.exponential(3.0, 8 + int(seconds))) - 1.5
        jumps = np.cumsum(rng.uniform(0.15, 1.0, 4 + int(seconds * 7))) - 0.5
        self._saccades = jumps, np.clip(rng.normal(0, 0.32, (len(jumps) + 1, 2)), -0.9, 0.9)
        self._speaks = not self._posed and rng.random() < 0.45
        self._speech = (
            Drift(rng, 2, 0.5),
            float(rng.uniform(2.5, 5.0)),
            Drift(rng, 3, 0.8),
            float(rng.uniform(0, 2 * np.pi)),
        )

    def _draw_segments(
        self, rng: np.random.Generator, seconds: float, posed: str | None, style: float
    ) -> list[Segment]:
        if posed is not None:
            onset = rng.uniform(0.30, 0.70)
            begin = rng.uniform(0.05, 0.20) * seconds
            return [
                Segment(
                    STATES.index(posed), begin, onset, 1e3, 0.5, rng.uniform(0.75, 1.0), self._shown(rng, posed, style)
                )
            ]
        segments, t = [], -rng.uniform(0.1, 1.3)
        while t < seconds:
            state = int(rng.integers(len(STATES)))
            onset, hold, offset = rng.uniform(0.25, 0.7), rng.uniform(0.2, 1.2), rng.uniform(0.3, 0.9)
            units = self._shown(rng, STATES[state], style)
            segments.append(Segment(state, t, onset, hold, offset, rng.uniform(0.35, 1.0), units))
            t += onset + hold + rng.uniform(0.2, 1.0) * offset
        return segments

    def _shown(self, rng: np.random.Generator, state: str, style: float) -> Array:
        """[A, 2] the units by which this person shows `state` this time: habits, gains and drop-outs."""
        units = expression(state, int(rng.integers(2)))
        gain = np.exp(0.25 * style * np.clip(rng.normal(size=(len(units), 1)), -2, 2))
        kept = rng.random((len(units), 1)) >= 0.15 * style
        return np.clip(units * gain * kept * self._who.gains * self._who.expressivity, 0, 1.15)

    def at(self, t: Array) -> Moments:
        """The script at times `t` [T] in seconds."""
        t = np.asarray(t, np.float64)
        weights = np.zeros((len(t), len(STATES)))
        units = np.zeros((len(t), len(ACTION_UNITS), 2))
        strengths = [s.weight(t) for s in self.segments]
        total = np.maximum(np.sum(strengths, axis=0), 1.0) if strengths else np.ones(len(t))
        for segment, strength in zip(self.segments, strengths, strict=True):
            weights[:, segment.state] += strength / total
            units += (strength / total)[:, None, None] * segment.units
        va = weights @ np.array([ANCHORS[s] for s in STATES])
        n = self._nuisance
        units += self._who.resting + 0.06 * n * self._unit_noise(t)[:, :, None]
        if self._speaks:
            units += n / 0.6 * self._speak(t)
        units = np.clip(units, 0, 1.2)
        lid = self._blink(t)[:, None]
        units[:, INDEX[43]] = np.maximum(units[:, INDEX[43]], lid)
        more = 1 + self._coupling * va[:, 1:2]
        angles = n * (self._angle_mean + self._angle_sd * self._angles(t) * more)
        shift = n * self._shift_sd * self._shift(t) * more
        pan = self._pan_speed * t[:, None] + (0.5 * self._pan(t) if np.any(self._pan_speed) else 0.0)
        light = np.exp(n * self._light_sd * self._light(t)[:, 0])
        gaze = self._gaze(t) - angles[:, [0, 1]] * [1.0, -1.0] * 0.8
        return Moments(weights, va[:, 0], va[:, 1], units, gaze, angles, shift[:, :2], 1 + shift[:, 2], light, pan)

    def _blink(self, t: Array) -> Array:
        """[T] closure: 100 ms down, 170 ms up."""
        lid = np.zeros(len(t))
        for begin in self._blinks:
            lid = np.maximum(lid, minimum_jerk((t - begin) / 0.10) - minimum_jerk((t - begin - 0.12) / 0.17))
        return lid

    def _gaze(self, t: Array) -> Array:
        """[T, 2] fixations joined by saccades of 30 ms."""
        begins, places = self._saccades
        gaze = np.repeat(places[:1], len(t), 0)
        for begin, before, after in zip(begins, places[:-1], places[1:], strict=True):
            gaze += minimum_jerk((t - begin) / 0.03)[:, None] * (after - before)
        return gaze

    def _speak(self, t: Array) -> Array:
        """[T, A, 2] what talking adds: the jaw and lips at syllable rate under a slow envelope."""
        envelope, rate, other, phase = self._speech
        loud = np.clip(0.6 + 0.5 * envelope(t)[:, 0], 0, 1.2)
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * rate * t + phase + 0.8 * other(t)[:, 0])
        units = np.zeros((len(t), len(ACTION_UNITS), 2))
        units[:, INDEX[25]] = (0.45 * loud * wave)[:, None]
        units[:, INDEX[26]] = (0.28 * loud * wave)[:, None]
        units[:, INDEX[18]] = (0.35 * loud * np.clip(other(t)[:, 1], 0, 1))[:, None]
        units[:, INDEX[20]] = (0.25 * loud * np.clip(other(t)[:, 2], 0, 1))[:, None]
        return units

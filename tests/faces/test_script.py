"""Labels come from the latent emotions alone, stay in bounds, and head motion does not know them."""

import math

import numpy as np
import pytest

from spikeva import faces
from spikeva.errors import UserError
from spikeva.evaluation import emotion
from spikeva.faces.action_units import INDEX
from spikeva.faces.clip import rate

TIMES = np.arange(0, 2, 0.04)


def script(identity: int, clip: int, **arguments: float) -> faces.Script:
    who = faces.draw_identity("afew-va-like", identity)
    return faces.Script(who, who.rng(clip), 2.0, **arguments)  # type: ignore[arg-type]  # any arguments


def test_labels_are_the_weighted_anchors_and_bounded() -> None:
    for clip in range(20):
        moments = script(clip, clip).at(TIMES)
        assert moments.weights.min() >= -1e-9
        assert moments.weights.sum(1).max() <= 1 + 1e-9
        anchors = np.array([faces.ANCHORS[s] for s in faces.STATES])
        assert np.allclose(np.stack([moments.valence, moments.arousal], 1), moments.weights @ anchors)
        assert np.abs(moments.valence).max() <= 1
        assert np.abs(moments.arousal).max() <= 1
        assert moments.units.min() >= 0
        assert moments.units.max() <= 1.2


def test_anchors_are_those_that_the_transfer_is_scored_with() -> None:
    scored = emotion.ANCHORS["face-like"].points
    assert {name: tuple(scored[name]) for name in faces.EMOTIONS} == {n: faces.ANCHORS[n] for n in faces.EMOTIONS}


def test_nuisance_and_style_leave_the_labels_alone() -> None:
    calm, wild = script(3, 1, nuisance=0.0, style=0.0).at(TIMES), script(3, 1, nuisance=1.0, style=1.0).at(TIMES)
    assert np.array_equal(calm.valence, wild.valence)
    assert not np.allclose(calm.units, wild.units)
    assert np.array_equal(calm.angles, np.zeros_like(calm.angles))


def test_all_quadrants_are_visited() -> None:
    moments = [script(i, c).at(TIMES) for i in range(30) for c in range(4)]
    v, a = (np.concatenate([getattr(m, axis) for m in moments]) for axis in ("valence", "arousal"))
    for side_v in (-1, 1):
        for side_a in (-1, 1):
            assert ((side_v * v > 0.2) & (side_a * a > 0.15)).mean() > 0.03


def test_head_motion_is_independent_of_arousal_unless_asked_for() -> None:
    def speed_and_arousal(coupling: float) -> np.ndarray:
        pairs = []
        for i in range(60):
            for c in range(4):
                m = script(i, c, arousal_motion=coupling).at(TIMES)
                pairs.append((np.abs(np.diff(m.angles, axis=0)).mean(), m.arousal.mean()))
        return np.array(pairs)

    free, coupled = speed_and_arousal(0.0), speed_and_arousal(0.8)
    assert abs(np.corrcoef(free.T)[0, 1]) < 0.15  # 240 clips: two standard errors are 0.13
    assert np.corrcoef(coupled.T)[0, 1] > 0.2


def test_posed_clip_goes_from_neutral_to_its_emotion_and_stays() -> None:
    who = faces.draw_identity("nefer-like", 2)
    moments = faces.Script(who, who.rng(0), 2.0, posed="anger").at(TIMES)
    assert moments.emotions[0] == "neutral"
    assert moments.emotions[-1] == "anger"
    assert np.all(np.diff(moments.weights[:, faces.STATES.index("anger")]) >= -1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"posed": "angr"}, "unknown state 'angr'; did you mean 'anger'"),
        ({"seconds": math.inf}, "seconds must be a number above 0, got inf"),
        ({"nuisance": math.nan}, "nuisance must be a number from 0 on, got nan"),
        ({"style": -1}, "style must be a number from 0 on, got -1"),
        ({"arousal_motion": -0.1}, "arousal_motion must be a number from 0 on"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(arguments: dict[str, object], message: str) -> None:
    who = faces.draw_identity("afew-va-like", 0)
    with pytest.raises(UserError, match=message):
        faces.Script(who, who.rng(0), **{"seconds": 2.0, **arguments})  # type: ignore[arg-type]  # any arguments


def test_an_expression_goes_by_its_name() -> None:
    assert not faces.expression("neutral").any()
    with pytest.raises(UserError, match="unknown state 'hapiness'; did you mean 'happiness'"):
        faces.expression("hapiness")
    with pytest.raises(UserError, match="side must be 0 or 1"):
        faces.expression("contempt", side=2)


def test_contempt_is_shown_on_one_side() -> None:
    units = faces.expression("contempt", side=0)
    assert units[INDEX[14], 0] > 0.5
    assert units[INDEX[14], 1] == 0


def test_ratings_are_tenths_late_and_near_the_truth() -> None:
    truth = np.concatenate([np.zeros(40), np.full(60, 0.63)])
    rated = rate(truth, np.random.default_rng(0))
    assert np.allclose(10 * rated, np.rint(10 * rated))
    assert rated[40] < 0.3  # the rater has not followed yet
    assert np.abs(rated[50:].mean() - 0.63) < 0.1
    assert len(np.unique(rated[50:])) > 1


@pytest.mark.parametrize("domain", faces.DOMAINS)
def test_people_differ_and_are_the_same_every_time(domain: str) -> None:
    people = [faces.draw_identity(domain, i) for i in range(30)]
    assert len({(p.mouth_width, p.jaw, p.skin[0]) for p in people}) == 30
    assert len({p.hair_style for p in people}) >= 4
    assert any(p.glasses for p in people)
    again = faces.draw_identity(domain, 7)
    assert np.array_equal(again.skin, people[7].skin)
    assert np.array_equal(again.gains, people[7].gains)


def test_domains_do_not_share_people() -> None:
    film, posed = (faces.draw_identity(d, 0) for d in faces.DOMAINS)
    assert film.mouth_width != posed.mouth_width
    assert film.lobe_jitter == 0
    assert posed.lobe_jitter > 0

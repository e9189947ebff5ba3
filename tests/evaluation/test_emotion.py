"""From valence and arousal to emotions, and the scores of a transfer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeva.errors import UserError
from spikeva.evaluation.emotion import ANCHORS, Anchors, ceiling, classify, coarse, recording_point, transfer
from spikeva.evaluation.statistics import jackknife_t

SEVEN = ["anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]


def test_anchors_stand_where_they_are_said_to():
    valence = (0.167, 0.206, 0.052, 0.073, 0.960, 0.052, 0.875)  # of NRC's lexicon, as is arousal
    arousal = (0.865, 0.636, 0.775, 0.840, 0.732, 0.288, 0.875)
    expected = {
        "nrc-vad": [(round(2 * v - 1, 2), round(2 * a - 1, 2)) for v, a in zip(valence, arousal, strict=True)],
        "russell-mehrabian": [(-0.51, 0.59), (-0.55, 0.20), (-0.60, 0.35), (-0.64, 0.60), (0.81, 0.51), (-0.63, -0.27), (0.40, 0.67)],
        "face-like": [(-0.60, 0.65), (-0.52, 0.07), (-0.68, 0.33), (-0.45, 0.80), (0.80, 0.45), (-0.70, -0.35), (0.25, 0.80)],
    }  # fmt: skip
    assert {name: [anchors.points[e] for e in SEVEN] for name, anchors in ANCHORS.items()} == expected


@pytest.mark.parametrize("anchors", ANCHORS)
@pytest.mark.parametrize("method", ["angle", "point"])
def test_every_anchor_is_its_own_emotion(anchors, method):
    points = ANCHORS[anchors].points
    assert sorted(points) == SEVEN
    assert classify(list(points.values()), anchors, method).tolist() == list(points)


@given(st.floats(-3.1, 3.1), st.floats(0.05, 0.9))
def test_angle_sees_the_direction_alone(angle, radius):
    point = np.array([np.cos(angle), np.sin(angle)])
    assert classify(radius * point) == classify(point)


def test_angle_and_point_differ_and_none_is_a_small_circle():
    # On the ray of surprise (.25, .80), but closest to contempt (-.52, .07) as a point.
    near_origin = np.array([0.025, 0.08])
    assert classify(near_origin) == "surprise"
    assert classify(near_origin, method="point") == "contempt"
    assert classify([near_origin, 10 * near_origin], none_radius=0.1).tolist() == ["None", "surprise"]
    assert classify([[0.25, 0.0]], none_radius=0.25).tolist() == ["happiness"], "at the radius, not nearer"
    assert classify([[0.0, 0.0]], none_radius=0.0).tolist() != ["None"]


@pytest.mark.parametrize("method", ["angle", "point"])
def test_ties_go_to_the_first_name_of_the_alphabet(method, monkeypatch):
    monkeypatch.setitem(ANCHORS, "two", Anchors({"sadness": (-0.5, 0.0), "anger": (0.5, 0.0)}, "of this test"))
    assert classify([[0.0, 0.5], [0.1, 0.5], [-0.1, 0.5]], "two", method).tolist() == ["anger", "anger", "sadness"]


def test_none_lies_at_the_origin_and_takes_what_comes_near():
    half = {"fear": 1, "None": 1}
    assert ceiling(error_sd=0, shown=half, none_radius=0.1) == 1
    quarters = {"fear": 1, "happiness": 1, "None": 2}
    assert ceiling(error_sd=0, shown=quarters, none_radius=0.1, agreement=0.6) == pytest.approx(0.6, abs=0.01)
    lone = ceiling(error_sd=0.2, shown={"fear": 1}, none_radius=0.2)
    within = 1 - np.exp(-0.5)  # of a point with errors of the radius in both axes
    assert ceiling(error_sd=0.2, shown=half, none_radius=0.2) == pytest.approx((lone + within) / 2)
    assert ceiling(error_sd=0.2, shown={"fear": 1}, none_radius=0.6) < lone <= ceiling(error_sd=0.2, shown={"fear": 1})


def test_one_point_a_recording():
    course = np.array([[0.0, 0.0], [0.3, 0.4], [0.0, 1.0]])
    assert recording_point(course) == pytest.approx([0.1, 1.4 / 3])
    assert recording_point(course, "peak") == pytest.approx([0, 1])
    assert recording_point(course, "weighted") == pytest.approx([0.15 / 1.5, 1.2 / 1.5])
    assert recording_point(np.zeros((3, 2)), "weighted") == pytest.approx([0, 0])


def test_transfer_scores_by_hand():
    true = ["Happiness", "Happiness", "Anger", "Sadness", "Happiness", "Anger", "Sadness", "Sadness"]
    predicted = ["happiness", "surprise", "fear", "sadness", "happiness", "anger", "anger", "sadness"]
    scores = transfer(true, predicted, ["s1"] * 4 + ["s2"] * 4)
    row = {label: scores["confusion"][i] for i, label in enumerate(scores["labels"])}
    assert scores["labels"] == SEVEN
    assert row["happiness"] == [0, 0, 0, 0, 2, 0, 1]
    assert scores["accuracy"] == 5 / 8
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert (scores["chance"], scores["majority"]) == (pytest.approx(1 / 3), 3 / 8)
    assert scores["majority_label"] in ("happiness", "sadness")
    # happiness and surprise are positive; fear and anger negative-high; one sadness was taken for anger
    assert scores["three_way_accuracy"] == 7 / 8
    assert scores["valence_sign_accuracy"] == 1.0
    low, high = scores["accuracy_ci95"]
    assert 0 <= low < 5 / 8 < high <= 1
    # of three people, 1 of 3, 1 of 2 and 3 of 3 are right
    expected = jackknife_t(lambda sums: sums[..., 0] / sums[..., 1], np.array([[1, 3], [1, 2], [3, 3]] * 9))
    many = [f"{who}{i}" for i in range(9) for who in "babccaac"]  # of three the interval would be cut
    assert transfer(true * 9, predicted * 9, many)["accuracy_ci95"] == pytest.approx(expected)


def test_none_is_a_label_where_it_occurs():
    scores = transfer(["None", "Fear"], ["None", "fear"], ["a", "b"])
    assert scores["labels"] == [*SEVEN, "None"]
    assert transfer(["none", "Fear"], ["None", "fear"], ["a", "b"]) == scores
    assert scores["accuracy"] == scores["balanced_accuracy"] == 1
    assert scores["chance"] == 0.5


@pytest.mark.parametrize("subjects", [["a", "a"], ["a", "b"]])
def test_one_subject_or_equal_subjects_have_no_interval(subjects):
    assert transfer(["fear", "fear"], ["fear", "fear"], subjects)["accuracy_ci95"] is None


@pytest.mark.parametrize("anchors", ANCHORS)
def test_coarse_classes_are_the_anchors_quadrants_in_every_set(anchors):
    wanted = dict.fromkeys(SEVEN, "negative-high") | {"sadness": "negative-low"}
    wanted |= dict.fromkeys(("happiness", "surprise"), "positive")
    assert {emotion: coarse(emotion, anchors) for emotion in SEVEN} == wanted


@pytest.mark.parametrize(
    ("anchors", "sd", "point", "angle"),
    [
        ("face-like", 0.1, 0.80, 0.82),
        ("face-like", 0.2, 0.63, 0.61),
        ("nrc-vad", 0.3, 0.51, 0.47),
        ("russell-mehrabian", 0.1, 0.69, 0.71),
    ],
)
def test_ceiling_of_anchor_closeness(anchors, sd, point, angle):
    """Reference values: an independent simulation of the same definition, printed to two digits."""
    assert ceiling(anchors, "point", sd) == pytest.approx(point, abs=0.01)
    assert ceiling(anchors, "angle", sd) == pytest.approx(angle, abs=0.01)


def test_ceiling_of_label_noise():
    assert ceiling(error_sd=0) == 1
    assert ceiling(error_sd=0, agreement=0.65) == pytest.approx(0.65, abs=0.01)
    assert ceiling(error_sd=0.2, seed=1) == ceiling(error_sd=0.2, seed=1) != ceiling(error_sd=0.2, seed=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ceiling(shown={"joy": 1}), "'joy'.*allowed are anger"),
        (lambda: ceiling(shown={"None": 3, "fear": 0}), "not all 0"),
        (lambda: classify([[0, 0]], "ekman"), "unknown anchors 'ekman'; there are: face-like"),
        (lambda: classify([[0, 0]], method="nearest"), "'angle' or 'point'"),
        (lambda: classify([0.0, np.nan]), "finite"),
        (lambda: classify([0.0, 0.0], none_radius=np.nan), "none_radius must be a number from 0 on, not nan"),
        (lambda: ceiling(none_radius=-0.1), "none_radius must be a number from 0 on, not -0.1"),
        (lambda: ceiling(error_sd=-0.1), "error_sd must not be negative"),
        (lambda: ceiling(agreement=1.1), "agreement lie in"),
        (lambda: recording_point([]), "points"),
        (lambda: recording_point([[0, 0, 0]]), r"points \[n, 2\] with n > 0, not \(1, 3\)"),
        (lambda: recording_point([[0, 0]], "median"), "'mean', 'peak' or 'weighted'"),
        (lambda: transfer(["fear", "joy"], ["fear", "fear"], ["a", "b"]), "'joy'"),
        (lambda: transfer(["fear"], ["fear", "anger"], ["a"]), "equally long"),
        (lambda: transfer([["fear"]], [["fear"]], [["a"]]), "equally long"),
    ],
)
def test_wrong_calls_say_what_is_allowed(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_ceiling_of_faces_that_lie_elsewhere():
    """Read by other anchors than those where they lie, even points without error are misread."""
    assert ceiling("russell-mehrabian", error_sd=0, shown_at="face-like") < 0.9 < ceiling("face-like", error_sd=0)


def test_ceiling_is_of_the_emotions_that_are_shown():
    """Happiness and sadness, read among seven: never confused with each other, and seldom with the others."""
    two = ceiling(error_sd=0.2, shown={"happiness": 3, "sadness": 3})
    assert ceiling(error_sd=0.2) + 0.1 < two < 1
    assert ceiling(error_sd=0, agreement=0.7, shown={"happiness": 3, "sadness": 1}) == pytest.approx(0.7, abs=0.01)
    fear = [ceiling(error_sd=0.2, shown={"fear": often, "happiness": 1 - often}) for often in (0.9, 0.1)]
    assert fear[0] < fear[1]
    assert ceiling(error_sd=0, shown={"fear": 3, "None": 1}) == 0.75
    equal = dict.fromkeys(ANCHORS["face-like"].points, 30)
    assert ceiling(error_sd=0.2, shown=equal) == ceiling(error_sd=0.2)

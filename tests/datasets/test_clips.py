"""Splits of a clip set: nobody on both sides, nothing lost, balanced, the same for the same seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeva.datasets import Clip, ClipSet, Split
from spikeva.errors import UserError
from spikeva.events import EventStream, write_clip


def make(clips_of: dict[str, int], labels: int = 10) -> ClipSet:
    rows = [(s, c) for s, n in clips_of.items() for c in range(n)]
    return ClipSet(tuple(Clip(Path(f"{s}_{c}.h5"), s, str(c), "films", labels * (1 + c)) for s, c in rows))


clip_counts = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 6), min_size=5, max_size=40)


@given(clip_counts, st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_no_person_is_on_both_sides_of_a_fold(clips_of, k, seed):
    clips = make(clips_of)
    folds = clips.folds(k, seed)
    tested = [clip for fold in folds for clip in fold.test]
    assert sorted(tested, key=str) == sorted(clips, key=str)
    for fold in folds:
        assert not {c.subject for c in fold.train} & {c.subject for c in fold.test}
        assert len(fold.train) + len(fold.test) == len(clips)


@given(clip_counts, st.floats(0.05, 0.6), st.integers(0, 2**32 - 1))
def test_no_person_is_on_both_sides_of_a_split(clips_of, share, seed):
    clips = make(clips_of)
    split = clips.split(share, seed)
    assert not {c.subject for c in split.train} & {c.subject for c in split.test}
    assert len(split.train) + len(split.test) == len(clips)


def test_a_split_with_a_shared_person_cannot_be_made():
    clips = make({"ann": 2, "bob": 2})
    with pytest.raises(UserError, match="'ann'"):
        Split(clips[:2], clips[1:])


def test_folds_are_balanced_by_labels():
    rng = np.random.default_rng(0)
    clips = make({f"actor {i:03d}": int(n) for i, n in enumerate(rng.integers(1, 9, 240))})
    sizes = [sum(c.labels for c in fold.test) for fold in clips.folds(5, seed=3)]
    assert max(sizes) - min(sizes) <= 0.01 * sum(sizes)


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_go_first(seed):
    """60 labels, 30 and 30: drawn in another order, the 60 could come to one of the 30."""
    folds = make({"large": 3, "one": 2, "other": 2}).folds(2, seed)
    assert sorted(fold.test.subjects for fold in folds) == [["large"], ["one", "other"]]


@pytest.mark.parametrize("labels", [10, 0])
def test_a_fold_of_one_person_with_many_labels_gets_no_other(labels):
    """Of clips whose labels are not counted, as those of recordings are, each is one."""
    folds = make({"large": 5, "one": 1, "other": 1, "third": 1}, labels).folds(2)
    assert sorted(fold.test.subjects for fold in folds) == [["large"], ["one", "other", "third"]]


def test_as_many_folds_as_people_leave_each_out_once():
    folds = make({"ann": 1, "bob": 3, "eve": 2}).folds(3)
    assert sorted(fold.test.subjects for fold in folds) == [["ann"], ["bob"], ["eve"]]


def test_seed_decides_the_split():
    clips = make({f"s{i}": 2 for i in range(20)})
    assert clips.split(5, seed=1) == clips.split(5, seed=1)
    assert clips.split(5, seed=1) != clips.split(5, seed=2)
    assert clips.folds(5, seed=1) == clips.folds(5, seed=1)
    assert clips.folds(5, seed=1) != clips.folds(5, seed=2)


def test_splits_of_a_seed_are_the_same_in_every_version():
    """A published number names its fold and seed."""
    clips = make({f"s{i}": 1 + i % 3 for i in range(7)})
    assert clips.split(3, seed=5).test.subjects == ["s0", "s2", "s4"]
    assert [fold.test.subjects for fold in clips.folds(3, seed=5)] == [["s0", "s5"], ["s2", "s3"], ["s1", "s4", "s6"]]
    alike = make({f"s{i}": 1 for i in range(20)})
    assert (alike.split(3), alike.folds()) == (alike.split(3, seed=0), alike.folds(5, seed=0))


def test_split_by_name_count_and_share():
    clips = make({"ann": 1, "bob": 3, "eve": 2})
    assert clips.split(["bob"]).test.subjects == ["bob"]
    assert len(clips.split(2).test.subjects) == 2
    assert len(clips.split(0.34).test.subjects) == 1
    assert len(make({f"s{i}": 1 for i in range(20)}).split(0.3).test.subjects) == 6


def test_a_set_is_what_its_files_say_now(tmp_path):
    def write(name, people, labels, **more):
        rows = {"t_us": np.arange(labels)} if labels else {}
        attributes = {"subject": people, "clip": name, "domain": "films", **more}
        write_clip(tmp_path / f"{name}.h5", EventStream.empty((8, 8)), labels=rows, attributes=attributes)
        return Clip(tmp_path / f"{name}.h5", people, name, "films", labels)

    second, first = write("b", "eve", 3), write("a", "ann", 0, emotion="fear", synthetic=1)
    assert ClipSet.read(tmp_path).clips == (replace(first, emotion="fear", synthetic=True), second)
    changed = write("a", "bob", 2)
    assert ClipSet.read(tmp_path).clips == (changed, second)
    assert ClipSet.read([second.path, changed.path]).clips == (second, changed)
    second.path.unlink()
    assert ClipSet.read(tmp_path).clips == (changed,)
    changed.path.unlink()
    with pytest.raises(UserError, match=r"no clip-store files \(\*\.h5\) here"):
        ClipSet.read(tmp_path)


def test_a_set_says_how_much_it_holds():
    clips = make({"ann": 1, "bob": 3})
    assert repr(clips) == "ClipSet(4 clips of 2 people)"
    mixed = ClipSet((replace(clips[0], domain="faces", synthetic=True), *clips[1:]))
    assert (clips.synthetic, mixed.synthetic) == (False, True)
    assert (clips.domain, mixed.domain) == ("films", "faces and films")
    assert make({f"s{8 - i}": 1 for i in range(9)}).people == [f"films/s{i}" for i in range(9)]


@pytest.mark.parametrize("lost", ["subject", "clip", "domain"])
def test_a_file_that_does_not_say_whose_clip_it_is_is_refused(lost, tmp_path):
    told = {"subject": "ann", "clip": "1", "domain": "films"}
    del told[lost]
    write_clip(tmp_path / "a.h5", EventStream.empty((8, 8)), attributes=told)
    with pytest.raises(UserError, match=rf"a\.h5: attribute '{lost}' is missing"):
        ClipSet.read(tmp_path)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda c: c.split(2), "at least one must stay on each side"),
        (lambda c: c.split(0), "cannot test on 0 of 2 subjects"),
        (lambda c: c.split([]), "a split needs clips on both sides"),
        (lambda c: c.split(["ann", "bob"]), "a split needs clips on both sides"),
        (lambda c: c.split(["zoe"]), "no clips of subject 'zoe'"),
        (lambda c: c.folds(1), "cannot make 1 folds of 2 subjects"),
        (lambda c: c.folds(3), "cannot make 3 folds of 2 subjects"),
        (
            lambda c: ClipSet(c.clips + c.clips),
            r"4 clips .* \('ann', '0'\) \(subject, clip\): ann_0\.h5 and ann_0\.h5; ",
        ),
        (lambda c: ClipSet((*c.clips, replace(c[0], domain="other"))), r"1 clips occur twice, .*\('ann', "),
    ],
)
def test_impossible_requests_are_refused(act, message):
    with pytest.raises(UserError, match=message):
        act(make({"ann": 2, "bob": 2}))

"""A sample ends at its label, is the same for every model, and an epoch's order follows from (seed, epoch)."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from spikeva.datasets import ClipSet
from spikeva.encode import Augment
from spikeva.errors import UserError
from spikeva.events import EventClip, EventStream, write_clip
from spikeva.training import Augmentation, EpochSampler, Windows
from spikeva.training.data import Sample
from spikeva.training.prediction import predict

TBR = {"encoding": "tbr", "bits": 4, "dt": 5000}
SPIKES = {"encoding": "spikes", "steps": 4, "dt": 5000}


def test_shapes_follow_the_kind_of_model(clip_files):
    for encoding, kind, shape in [
        (TBR, "ann", (3, 1, 12, 16)),
        (TBR, "snn", (3, 1, 12, 16)),
        (SPIKES, "ann", (3, 8, 12, 16)),
        (SPIKES, "snn", (12, 2, 12, 16)),
    ]:
        inputs, target = Windows(clip_files, encoding, kind, 3)[0]
        assert inputs.shape == shape
        assert inputs.dtype == target.dtype == torch.float32


def test_a_target_is_the_valence_and_the_arousal_of_the_samples_label(clip_files):
    data = Windows(clip_files, TBR, "ann", 3)
    for index in (0, 5, len(data) - 1):
        clip, label, _ = data.samples[index]
        with EventClip(clip_files[clip]) as file:
            wanted = [file.labels[axis][label] for axis in ("valence", "arousal")]
        assert data[index][1].tolist() == wanted


def test_a_set_of_clips_is_as_good_as_its_paths(clip_files):
    wanted, found = Windows(clip_files, TBR, "ann", 3), Windows(ClipSet.read(clip_files), TBR, "ann", 3)
    assert found.paths == wanted.paths
    assert torch.equal(found[0][0], wanted[0][0])


@pytest.mark.parametrize(
    ("encoding", "kind", "frames", "said"),
    [
        ("tbr", "ann", 3, r"""a name with its parameters, as \{"encoding": "tbr", "bits": 8\}, found 'tbr'"""),
        ({"encodin": "tbr"}, "ann", 3, "a name with its parameters, .*, found {'encodin': 'tbr'}"),
        (TBR, "annn", 3, "kind must be 'ann' or 'snn', found 'annn'"),
        (TBR, "ann", 0, "frames must be a whole number of at least 1, found 0"),
    ],
)
def test_what_is_no_encoding_is_refused_at_once(clip_files, encoding, kind, frames, said):
    with pytest.raises(UserError, match=said):
        Windows(clip_files, encoding, kind, frames)


def test_workers_that_import_everything_anew_know_a_users_own_encoding(clip_files, tmp_path):
    (tmp_path / "their_encoding.py").write_text(
        "from spikeva.encode.counts import Counts\nfrom spikeva.encode import register_encoding\n"
        "@register_encoding('theirs')\nclass Theirs(Counts):\n    pass\n"
    )
    code = """if True:
        import sys
        from pathlib import Path
        from torch.utils.data import DataLoader
        sys.path.insert(0, sys.argv[1])
        import their_encoding
        from spikeva.training import Windows
        if __name__ == "__main__":
            data = Windows(sorted(Path(sys.argv[2]).glob("*.h5"))[:1], {"encoding": "theirs", "dt": 5000}, "ann", 3)
            loader = DataLoader(data, num_workers=1, multiprocessing_context="spawn")
            print(sum(len(inputs) for inputs, _ in loader) == len(data))
    """
    command = [sys.executable, "-c", code, str(tmp_path), str(clip_files[0].parent)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.stdout == "True\n", said.stderr


def test_a_sample_sees_its_past_and_nothing_else(clip_files, tmp_path):
    data = Windows(clip_files[:1], SPIKES, "snn", 3)
    sample = data.samples[2]
    end = int(data.times[0][sample.label])
    start = end - 3 * 20_000
    with EventClip(clip_files[0]) as clip:
        events, labels, attributes = clip.events(), clip.labels, clip.attributes
    inside = (events.t >= start) & (events.t < end)
    other = EventStream(
        events.t, np.where(inside, events.x, 15 - events.x).astype(np.uint16), events.y, events.p, events.size
    )
    path = tmp_path / "changed.h5"
    write_clip(path, other, labels=labels, attributes={k: attributes[k] for k in ("subject", "clip", "domain")})
    changed = Windows([path], SPIKES, "snn", 3)
    assert torch.equal(data[2][0], changed[2][0])
    assert not torch.equal(data[3][0], changed[3][0])


def test_the_windows_of_a_sample_by_hand(tmp_path):
    """The oldest first, each without its end; what lies before and after them is not seen."""
    t = [39_999, 40_000, 59_999, 60_000, 79_999, 80_000, 99_999, 100_000]
    events = EventStream(t, np.arange(8), np.zeros(8, int), np.ones(8, int), (8, 1))
    attributes = {"subject": "s", "clip": "c", "domain": "test"}
    write_clip(tmp_path / "c.h5", events, labels={"t_us": np.array([100_000])}, attributes=attributes)
    counts = {"encoding": "counts", "dt": 20_000, "polarity": "merge", "scaling": "linear"}
    inputs, _ = Windows([tmp_path / "c.h5"], counts, "ann", 3)[0]
    seen = [np.flatnonzero(window).tolist() for window in inputs[:, 0, 0]]
    assert seen == [[1, 2], [3, 4], [5, 6]]


def test_labels_without_enough_past_have_no_sample(clip_files):
    assert min(s.label for s in Windows(clip_files, TBR, "ann", 3).samples) == 1  # 60 ms of 80
    assert min(s.label for s in Windows(clip_files, TBR, "ann", 3, history_us=80_000).samples) == 1  # all 80 ms
    assert min(s.label for s in Windows(clip_files, TBR, "ann", 3, history_us=100_000).samples) == 2
    assert min(s.label for s in Windows(clip_files, TBR, "ann", 3, history_us=20_000).samples) == 1  # the windows' own
    with pytest.raises(UserError, match="no label has 800 ms of the clip before it"):
        Windows(clip_files, TBR, "ann", 40)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"t_us": None}, r"no label times \(labels/t_us\); found arousal, valence"),
        ({"t_us": np.array([40_000])}, r"one valence and one arousal; .*'t_us': \(1,\), 'valence': \(2,\)"),
        ({"valence": np.float32([0.1, 0.2, 0.3])}, r"one valence and one arousal; .*'valence': \(3,\)"),
        ({"t_us": np.array([0.04, 0.08])}, "whole microseconds; found float64"),
    ],
)
def test_labels_that_do_not_fit_their_times_are_refused(change, said, tmp_path):
    labels = {"t_us": np.array([40_000, 80_000]), "valence": np.float32([0.1, 0.2]), "arousal": np.float32([0, 0])}
    labels = {name: values for name, values in {**labels, **change}.items() if values is not None}
    attributes = {"subject": "s", "clip": "c", "domain": "test"}
    write_clip(tmp_path / "c.h5", EventStream.empty((8, 8)), labels=labels, attributes=attributes)
    with pytest.raises(UserError, match=rf"c\.h5: .*{said}"):
        Windows([tmp_path / "c.h5"], TBR, "ann", 1)


def test_more_clips_than_a_process_may_open(clip_files, tmp_path):
    for i in range(80):
        shutil.copy(clip_files[i % 4], tmp_path / f"{i:02d}.h5")
    code = """if True:
        import resource, sys
        from pathlib import Path
        from spikeva.training import Windows
        from spikeva.training.prediction import predict
        import torch
        paths = sorted(Path(sys.argv[1]).glob("*.h5"))
        one, other = (Windows(paths[:n], {"encoding": "counts", "dt": 5000}, "ann", 1) for n in (80, 40))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
        print(*(len(predict(model, data)) for data in (one, other)))
    """
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert "800 400" in said.stdout, said.stderr


def test_a_prediction_keeps_one_clip_open_and_training_all(clip_files, monkeypatch):
    clips, most = [], []

    class Told(EventClip):
        def __init__(self, path):
            super().__init__(path)
            clips.append(self)

    def model(inputs):
        most.append(sum(bool(clip._file) for clip in clips))
        return inputs.flatten(1)[:, :2]

    module = torch.nn.Identity()
    module.forward = model
    data = Windows(clip_files, TBR, "ann", 3)
    monkeypatch.setattr("spikeva.training.data.EventClip", Told)
    found = predict(module, data, batch_size=3)
    assert max(most) == 1
    assert np.array_equal(found, np.stack([data[i][0].flatten()[:2] for i in range(len(data))]))
    assert sum(bool(clip._file) for clip in clips) == len(clip_files)


def test_an_epoch_is_a_function_of_seed_and_epoch(clip_files):
    orders = {}
    for encoding, kind in ((TBR, "ann"), (SPIKES, "snn")):
        sampler = EpochSampler(Windows(clip_files, encoding, kind, 3), per_clip=4, seed=5)
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            orders[kind, epoch] = list(sampler)
    assert orders["ann", 0] == orders["snn", 0]
    assert orders["ann", 0] != [s._replace(epoch=0) for s in orders["ann", 1]]
    clips = [s.clip for s in orders["ann", 1]]
    assert sorted(clips) == [c for c in range(4) for _ in range(4)] != clips
    assert len({*orders["ann", 1]}) == 16, "no label twice in an epoch"
    assert {s.epoch for s in orders["ann", 1]} == {1}
    assert len(sampler) == 16
    other = EpochSampler(Windows(clip_files, TBR, "ann", 3), per_clip=4, seed=6)
    assert list(other) != orders["ann", 0]


def test_an_epochs_order_and_the_maps_of_its_samples_are_drawn_apart(clip_files, monkeypatch):
    streams, real = [], np.random.default_rng

    def recorded(seed):
        streams.append(real(seed).integers(1 << 62))
        return real(seed)

    monkeypatch.setattr(np.random, "default_rng", recorded)
    data = Windows(clip_files, TBR, "ann", 1, augmentation=Augmentation(), seed=5)
    list(EpochSampler(data, per_clip=4, seed=5))
    for sample in data.samples[:3]:
        data[sample._replace(epoch=0)]
    data[Sample(0, 0, 0)]
    assert len(streams) == 5
    assert len({*streams}) == 4, "the first label's map was drawn twice, and all else once"


def test_augmentation_is_the_same_faces_for_every_encoding(clip_files):
    """The bits of augmented TBR frames are the augmented bits: the map is the same and no code is averaged."""
    planes = {"encoding": "bitplanes", "bits": 4, "dt": 5000}
    tbr = Windows(clip_files, TBR, "ann", 3, augmentation=Augmentation(), seed=3)
    bits = Windows(clip_files, planes, "snn", 3, augmentation=Augmentation(), seed=3)
    sample = tbr.samples[4]._replace(epoch=2)
    codes = tbr[sample][0] * 15
    steps = bits[sample][0].reshape(3, 4, 12, 16)
    weights = torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None, None]
    assert torch.equal(codes[:, 0].round(), (steps * weights).sum(1))
    assert not torch.equal(codes, tbr[4][0] * 15)
    assert torch.equal(tbr[sample][0], tbr[sample][0])


def test_augmentation_is_drawn_anew_for_each_sample_and_epoch(clip_files, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 16, (3, 1, 12, 16), dtype=np.uint8)
    monkeypatch.setattr(Windows, "encoded", lambda self, sample: picture)

    def moved(seed, epoch, clip, label):
        data = Windows(clip_files, TBR, "ann", 3, augmentation=Augmentation(), seed=seed)
        return data[Sample(clip, label, epoch)][0].numpy().tobytes()

    drawn = [(3, 2, 1, 1), (4, 2, 1, 1), (3, 0, 1, 1), (3, 2, 0, 1), (3, 2, 1, 2), (3, 1, 2, 1)]
    assert len({moved(*one) for one in drawn}) == len(drawn)
    assert moved(*drawn[0]) == moved(*drawn[0])
    still = (picture / np.float32(15)).tobytes()
    assert moved(3, -1, 1, 1) == still  # not in training
    assert moved(3, 0, 1, 1) != still


def test_all_frames_of_a_sample_move_alike():
    picture = np.random.default_rng(0).integers(1, 255, (1, 12, 16), dtype=np.uint8)
    moved = Augmentation()(np.stack([picture] * 4), np.random.default_rng(1))
    assert not np.array_equal(moved[0], picture)
    assert all(np.array_equal(frame, moved[0]) for frame in moved)


def test_changes_of_events_are_drawn_anew_for_each_sample_and_epoch(clip_files):
    """And not with the numbers of the map."""
    seeds = []

    def keep(events, seed):
        seeds.append(tuple(seed))
        return events

    drawn = [(3, 2, 1, 1), (4, 2, 1, 1), (3, 0, 1, 1), (3, 2, 0, 1), (3, 2, 1, 2)]
    for seed, epoch, clip, label in drawn:
        Windows(clip_files, TBR, "ann", 1, event_changes=keep, seed=seed)[Sample(clip, label, epoch)]
    assert len({*seeds, *drawn}) == 2 * len(drawn)


def test_without_change_augmentation_is_the_identity():
    frames = np.random.default_rng(0).integers(0, 255, (2, 1, 9, 7), dtype=np.uint8)
    still = Augmentation(rotation=0, scale=0, shift=0, flip=False)
    assert np.array_equal(still(frames, Drawn(1, 1, 1, 1, 1)), frames)


class Drawn:
    """A generator that draws what is given: angle, scale, shift to the right, shift down, flip; each of its largest."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def uniform(self, low: float, high: float, n: int) -> np.ndarray:
        assert (low, high, n) == (-1, 1, len(self.values))
        return np.array(self.values)


def test_each_part_of_an_augmentation_by_hand():
    frames = np.random.default_rng(0).integers(1, 255, (2, 10, 10), dtype=np.uint8)
    still = {"rotation": 0, "scale": 0, "shift": 0, "flip": True}
    assert np.array_equal(Augmentation(**still)(frames, Drawn(1, 1, 1, 1, 0.5)), frames[..., ::-1])
    assert np.array_equal(Augmentation(**still)(frames, Drawn(1, 1, 1, 1, -0.5)), frames)
    turned = Augmentation(**still | {"rotation": 90})(frames, Drawn(1, 0, 0, 0, -1))
    assert np.array_equal(turned, np.rot90(frames, -1, axes=(1, 2)))
    wide = np.random.default_rng(0).integers(1, 255, (2, 10, 20), dtype=np.uint8)
    moved = Augmentation(**still | {"shift": 0.2})(wide, Drawn(0, 0, 1, -0.5, -1))
    assert np.array_equal(moved[:, :9, 4:], wide[:, 1:, :16])
    assert not moved[:, 9].any()
    assert not moved[..., :4].any()
    moved = Augmentation(**still | {"shift": 0.2})(wide, Drawn(0, 0, -0.5, 1, -1))
    assert np.array_equal(moved[:, 2:, :18], wide[:, :8, 2:])
    assert not moved[:, :2].any()
    assert not moved[..., 18:].any()
    square = np.zeros((1, 10, 10), np.uint8)
    square[:, 3:7, 4:6] = 1
    large = Augmentation(**still | {"scale": 1})(square, Drawn(0, 1, 0, 0, -1))
    assert (large.any(2).sum(), large.any(1).sum(), large.sum()) == (8, 4, 32), "twice as high and wide"
    both = Augmentation(**still | {"rotation": 90, "scale": 1})(square, Drawn(1, 1, 0, 0, -1))
    assert np.array_equal(both, np.rot90(large, -1, axes=(1, 2)))
    assert Augmentation() == Augmentation(rotation=10.0, scale=0.12, shift=0.08, flip=True)


def test_samples_travel_to_loader_workers(clip_files):
    data = Windows(clip_files, TBR, "ann", 3)
    first = data[0][0]
    assert torch.equal(pickle.loads(pickle.dumps(data))[0][0], first)


def test_changed_events_belong_to_training_and_follow_from_the_sample(clip_files):
    """Dropped and jittered events give other inputs in each epoch, the same ones for the same epoch, and the same label."""
    pytest.importorskip("tonic")
    data = Windows(
        clip_files, SPIKES, "snn", 3, event_changes=Augment(drop=0.3, jitter_px=1.0, jitter_us=500.0), seed=4
    )
    plain = Windows(clip_files, SPIKES, "snn", 3)
    sample = data.samples[2]
    assert torch.equal(data[2][0], plain[2][0])
    first, again, other = (data[sample._replace(epoch=epoch)] for epoch in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert 0 < first[0].sum() < plain[2][0].sum()
    assert torch.equal(first[1], plain[2][1])


@pytest.mark.parametrize(("encoding", "kind"), [(TBR, "ann"), (SPIKES, "snn")])
def test_a_mirrored_face_keeps_its_label(clip_files, encoding, kind):
    pytest.importorskip("tonic")
    data = Windows(clip_files, encoding, kind, 3, event_changes=Augment(flip=1.0))
    plain = Windows(clip_files, encoding, kind, 3)
    inputs, target = data[data.samples[0]._replace(epoch=0)]
    assert torch.equal(inputs, plain[0][0].flip(-1))
    assert torch.equal(target, plain[0][1])


@pytest.mark.parametrize("devices", [2, 3])
def test_devices_share_an_epoch_in_its_order(clip_files, devices):
    sampler = EpochSampler(Windows(clip_files, TBR, "ann", 3), 4, seed=1)
    sampler.set_epoch(2)
    order = list(sampler)
    shares = []
    for which in range(devices):
        sampler.share = which, devices
        shares.append(list(sampler))
        assert len(shares[-1]) == len(sampler) == -(-16 // devices)
    together = [sample for step in zip(*shares, strict=True) for sample in step]
    assert together == order + order[: len(together) - 16]

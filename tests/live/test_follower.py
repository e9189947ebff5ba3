"""A follower predicts what the model would on the whole stream, whatever the pieces it comes in."""

import numpy as np
import pytest
import torch

from spikeva import encode
from spikeva.cli import main
from spikeva.errors import UserError
from spikeva.events import EventStream
from spikeva.live import Follower

SPIKES = {"encoding": "spikes", "steps": 4, "dt": 5000}


def stream(n: int = 3000, seed: int = 0) -> EventStream:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, high, n).astype(np.uint16) for high in (16, 12))
    return EventStream(np.sort(rng.integers(1000, 300_000, n)), x, y, rng.integers(0, 2, n).astype(np.uint8), (16, 12))


def model(x: torch.Tensor) -> torch.Tensor:
    weights = torch.linspace(0.1, 1, x[0].numel()).reshape(x[0].shape)
    return torch.stack([(x * weights).mean((1, 2, 3, 4)), (x * weights.flip(0)).mean((1, 2, 3, 4))], 1)


def directly(events: EventStream, time: int) -> tuple[float, ...]:
    """What the model says at a time (us) of the whole stream."""
    codes = encode.encode(events, "spikes", ends=time - np.array([40_000, 20_000, 0]), steps=4, dt=5000)
    whole = model(torch.from_numpy(encode.model_input(codes, "spikes", "snn", steps=4, dt=5000))[None])[0]
    return tuple(whole.tolist())


@pytest.mark.parametrize("chunk", [700, 20_000, 1_000_000])
def test_pieces_do_not_matter(chunk):
    events = stream()
    follower = Follower(model, SPIKES, "snn", 3, every_us=15_000)
    found = [p for s in range(0, 300_000, chunk) for p in follower.push(events.slice_time(s, s + chunk))]
    times = [p.t_us for p in found]
    first = int(events.t[0]) + 60_000
    assert times == list(range(first, int(events.t[-1]) + 1, 15_000))
    for prediction in found:
        assert prediction[1:] == pytest.approx(directly(events, prediction.t_us))
    assert follower._recent.t[0] >= times[-1] + 15_000 - 60_000, "of a stream without end, all would fill the memory"


def test_without_a_word_a_prediction_comes_each_window():
    events = stream()
    times = [p.t_us for p in Follower(model, SPIKES | {"steps": 3}, "snn", 3).push(events)]
    assert times == list(range(int(events.t[0]) + 45_000, int(events.t[-1]) + 1, 15_000))


def test_a_prediction_is_due_once_an_event_comes_at_its_time():
    follower = Follower(model, SPIKES, "snn", 1, every_us=1)
    events = EventStream([0, 20_001], [0, 0], [0, 0], [1, 1], (16, 12))
    assert [p.t_us for p in follower.push(events)] == [20_000, 20_001]


def test_events_of_one_time_may_come_in_two_pieces():
    """A prediction just after them waits for what comes later, as the next piece may begin at the same time."""
    events = stream()
    t = np.where(events.t < 100_000, np.minimum(events.t, 99_000), events.t)
    t[np.flatnonzero(t < 100_000)[-40:]] = 99_999
    events = EventStream(t, events.x, events.y, events.p, events.size)
    middle = int(np.searchsorted(t, 99_999)) + 20
    follower = Follower(model, SPIKES, "snn", 3, first_us=100_000)
    assert not list(follower.push(events[:middle]))
    found = next(follower.push(events[middle:]))
    assert (found.t_us, found[1:]) == (100_000, pytest.approx(directly(events, 100_000)))


def test_a_stream_that_steps_back_is_refused():
    events = stream()
    follower = Follower(model, SPIKES, "snn", 3)
    follower.push(events)
    with pytest.raises(UserError, match="sort the stream"):
        follower.push(events)
    with pytest.raises(UserError, match="pixels"):
        follower.push(EventStream(events.t + 300_000, events.x, events.y, events.p, (32, 32)))


def test_a_stream_that_steps_back_is_refused_with_no_event_left_of_it():
    events = stream()
    follower = Follower(model, SPIKES, "snn", 3, first_us=1_000_000)  # none of these events counts then
    follower.push(events)
    with pytest.raises(UserError, match="sort the stream"):
        follower.push(events)


@pytest.mark.parametrize("taken", [0, 1])
def test_predictions_that_nobody_takes_do_not_change_the_next_ones(taken):
    events = stream()
    follower = Follower(model, SPIKES, "snn", 3, every_us=15_000)
    ignored = follower.push(events.slice_time(0, 150_000))
    begun = [next(ignored) for _ in range(taken)]
    found = begun + list(follower.push(events.slice_time(150_000))) + list(ignored)
    first = int(events.t[0]) + 60_000
    assert sorted(p.t_us for p in found) == list(range(first, int(events.t[-1]) + 1, 15_000))
    assert [p[1:] for p in found] == [pytest.approx(directly(events, p.t_us)) for p in found]


@pytest.mark.parametrize(
    ("kind", "frames", "every", "message"),
    [
        ("SNN", 3, None, "kind must be 'ann' or 'snn', found 'SNN'"),
        ("snn", 0, None, "frames must be a whole number of at least 1, found 0"),
        ("snn", -2, None, "frames must be a whole number of at least 1, found -2"),
        ("snn", 2.5, None, "frames must be a whole number of at least 1, found 2.5"),
        ("snn", 3, 0, "every_us must be a whole number of at least 1, found 0"),
    ],
)
def test_what_no_follower_can_be_made_of_is_refused_at_once(kind, frames, every, message):
    with pytest.raises(UserError, match=message):
        Follower(model, {"encoding": "tbr"}, kind, frames, every_us=every)


def test_a_model_in_training_mode_is_refused():
    training = torch.nn.Sequential(torch.nn.BatchNorm3d(2))
    with pytest.raises(UserError, match=r"in training mode, .*call eval\(\)"):
        Follower(training, SPIKES, "snn", 3)
    Follower(training.eval(), SPIKES, "snn", 3)


def test_the_first_prediction_may_be_given():
    events = stream()
    follower = Follower(model, SPIKES, "snn", 3, every_us=15_000, first_us=100_000)
    found = [p for s in range(0, 300_000, 700) for p in follower.push(events.slice_time(s, s + 700))]
    assert [p.t_us for p in found] == list(range(100_000, int(events.t[-1]) + 1, 15_000))
    assert [p[1:] for p in found] == [pytest.approx(directly(events, p.t_us)) for p in found]


@pytest.mark.parametrize("options", [["--chunk", "0.0001"], ["--chunk", "nan"], ["--every", "inf"], ["--every", "-1"]])
def test_impossible_pieces_are_refused_before_anything_is_read(options, capsys):
    assert main(["live", "no_cell", "no_recording.raw", *options]) == 2
    assert f"{options[0]} must be at least 0.001 ms" in capsys.readouterr().err

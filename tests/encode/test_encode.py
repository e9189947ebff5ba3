"""Every encoding against a reference written event by event, and the checks around them."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikeva
from spikeva import EventStream
from spikeva import encode as enc
from spikeva.encode import Parameter
from spikeva.encode.walkers import BLOCK
from spikeva.errors import UserError

SIZE = (7, 5)


def stream(seed: int, n: int, until: int = 400) -> EventStream:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, until, n))
    return EventStream(t, rng.integers(0, SIZE[0], n), rng.integers(0, SIZE[1], n), rng.integers(0, 2, n), SIZE)


def reference(events: EventStream, name: str, ends: list[int], p: dict[str, Any]) -> np.ndarray:
    """What the docstrings say, one event at a time, in Python integers."""
    steps, dt = p.get("bits") or p.get("steps") or p["bins"], p["dt"]
    planes = 2 if p["polarity"] == "split" else 1
    shape = (len(ends), steps, planes, SIZE[1], SIZE[0])
    total, voxel = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for k, end in enumerate(ends):
        first, span = end - steps * dt, steps * dt
        for t, x, y, on in zip(*(c.tolist() for c in (events.t, events.x, events.y, events.p)), strict=True):
            if not first <= t < end:
                continue
            plane = 0 if planes == 1 or on else 1
            total[k, (t - first) // dt, plane, y, x] += 1
            sign = -1 if p["polarity"] == "signed" and not on else 1
            for b in range(steps):
                near = span - abs(b * span - (steps - 1) * (t - first))
                voxel[k, b, plane, y, x] += sign * max(0, near)
    if name == "counts":
        return total.astype(np.uint32)
    if name == "voxel":
        return (voxel / (steps * dt)).astype(np.float32)
    hit = (total > 0).astype(np.uint8)
    if name != "tbr":
        return hit
    weights = 2 ** np.arange(steps)
    if p["order"] == "newest_lsb":
        weights = weights[::-1]
    return np.einsum("ksphw,s->kphw", hit.astype(np.int64), weights).astype(np.uint8 if steps <= 8 else np.uint16)


@pytest.mark.parametrize("name", enc.list_encodings())
@settings(max_examples=25)
@given(st.data())
def test_equals_the_reference_bit_for_bit(name: str, data: st.DataObject) -> None:
    chosen = {}
    for key, parameter in enc.parameters(name).items():
        if parameter.choices:
            chosen[key] = data.draw(st.sampled_from(parameter.choices))
        else:
            high = 60 if key == "dt" else min(16, parameter.high)
            chosen[key] = data.draw(st.integers(parameter.low, high))
    events = stream(data.draw(st.integers(0, 99)), data.draw(st.sampled_from([0, 1, 40, 300])))
    ends = data.draw(st.lists(st.integers(-50, 600), max_size=3))
    found = spikeva.encode(events, name, ends=ends, **chosen)
    wanted = reference(events, name, ends, chosen)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_window_is_half_open_and_keeps_first_and_last_step() -> None:
    events = EventStream([0, 9, 10, 79, 80], [0, 1, 2, 3, 4], [0] * 5, [1] * 5, SIZE)
    codes = spikeva.encode(events, "tbr", ends=[80], bits=8, dt=10)
    assert codes[0, 0, 0].tolist() == [1, 1, 2, 128, 0, 0, 0]


def test_bit_orders_are_each_others_reversal() -> None:
    events = stream(1, 200)
    msb, lsb = (spikeva.encode(events, "tbr", ends=[400], bits=8, dt=50, order=o) for o in ("newest_msb", "newest_lsb"))
    flipped = np.packbits(np.unpackbits(lsb[..., None], axis=-1)[..., ::-1], axis=-1)[..., 0]
    np.testing.assert_array_equal(msb, flipped)
    assert (msb != lsb).any()


def test_bit_reversal_gives_tonics_bina_rep() -> None:
    transforms = pytest.importorskip("tonic.transforms")
    events = stream(2, 500, until=800)
    array = events.to_structured()
    frames = transforms.ToFrame(sensor_size=(*SIZE, 2), time_window=25, start_time=0, end_time=800)(array)
    theirs = transforms.ToBinaRep(n_frames=4, n_bits=8)(frames[:32])
    codes = spikeva.encode(
        events, "tbr", ends=[200, 400, 600, 800], bits=8, dt=25, order="newest_lsb", polarity="split"
    )
    ours = enc.model_input(codes, "tbr", "ann", bits=8, dt=25, order="newest_lsb", polarity="split")
    np.testing.assert_allclose(ours[:, ::-1], theirs, rtol=1e-6)  # tonic's channels are (OFF, ON)


def test_bitplanes_are_the_bits_of_tbr() -> None:
    events = stream(3, 300)
    codes = spikeva.encode(events, "tbr", ends=[300, 400], bits=12, dt=25)
    planes = spikeva.encode(events, "bitplanes", ends=[300, 400], bits=12, dt=25)
    np.testing.assert_array_equal(codes, (planes.astype(np.uint16) << np.arange(12)[:, None, None, None]).sum(1))


def test_voxels_of_the_longest_windows_are_exact() -> None:
    given = {"bins": 4096, "dt": 999_999_601, "polarity": "merge"}
    # one part of the window before bin 2596, where a float64 quotient already says 2596
    events = EventStream([0, 2_596_632_907_777], [0, 0], [0, 0], [1, 1], SIZE)
    ends = [4096 * 999_999_601]
    found = spikeva.encode(events, "voxel", ends=ends, **given)[:, :, :, 0, 0]
    np.testing.assert_array_equal(found, reference(events, "voxel", ends, given)[:, :, :, 0, 0])
    assert found[0, 2595:2597, 0].tolist() == [np.float32(1 / ends[0]), 1]


def test_counts_do_not_wrap() -> None:
    n = 70_000
    zeros = np.zeros(n, np.int64)
    assert spikeva.encode(EventStream(zeros, zeros, zeros, zeros, SIZE), "counts", ends=[1])[0, 0, 1, 0, 0] == n


@pytest.mark.parametrize("polarity", ["merge", "split"])
def test_steps_of_more_events_than_are_placed_at_once(polarity: str) -> None:
    n = 3 * BLOCK + 5
    rng = np.random.default_rng(4)
    x, y, p = rng.integers(0, 80, n), rng.integers(0, 60, n), rng.integers(0, 2, n)
    events = EventStream(np.sort(rng.integers(0, 20, n)), x, y, p, (80, 60))
    wanted = np.zeros((1, 2, 2 if polarity == "split" else 1, 60, 80), np.int64)
    np.add.at(wanted, (0, events.t // 10, 1 - p if polarity == "split" else 0, y, x), 1)
    given = {"ends": [20], "dt": 10, "polarity": polarity}
    np.testing.assert_array_equal(spikeva.encode(events, "counts", steps=2, **given), wanted)
    np.testing.assert_array_equal(spikeva.encode(events, "spikes", steps=2, **given), wanted > 0)
    codes = spikeva.encode(events, "tbr", bits=2, **given)
    np.testing.assert_array_equal(codes, (wanted[:, 0] > 0) + 2 * (wanted[:, 1] > 0))


@pytest.mark.parametrize("polarity", ["signed", "split", "merge"])
def test_grids_of_more_events_than_are_placed_at_once(polarity: str) -> None:
    events, p = stream(5, 5 * BLOCK), {"bins": 3, "dt": 100, "polarity": polarity}
    wanted = reference(events, "voxel", [300, 350], p)
    np.testing.assert_array_equal(spikeva.encode(events, "voxel", ends=[300, 350], **p), wanted)


@pytest.mark.parametrize(("divisor", "top"), [("2^N-1", 1.0), ("2^N", 255 / 256), ("2^(N-1)", 255 / 128)])
def test_divisor_scales_without_clipping(divisor: str, top: float) -> None:
    codes = np.full((1, 1, 2, 2), 255, np.uint8)
    scaled = enc.model_input(codes, "tbr", "snn", divisor=divisor)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, np.float32(top))


def test_a_network_gets_the_logarithm_of_counts_or_the_counts() -> None:
    counts = np.array([0, 1, 3, 70_000], np.uint32).reshape(1, 1, 2, 1, 2)
    for options, wanted in (({}, np.log1p([0, 1, 3, 70_000])), ({"scaling": "linear"}, [0, 1, 3, 70_000])):
        found = enc.model_input(counts, "counts", "snn", **options)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-6)


@pytest.mark.parametrize("name", enc.list_encodings())
@pytest.mark.parametrize("kind", ["ann", "snn"])
def test_model_input_layout(name: str, kind: str) -> None:
    events = stream(4, 300)
    array = spikeva.encode(events, name, ends=[300, 350, 400], dt=20)
    frames = enc.model_input(array, name, kind, dt=20)
    assert frames.shape[1:] == (enc.channels(name, kind, dt=20), SIZE[1], SIZE[0])
    np.testing.assert_array_equal(enc.model_input(array[None], name, kind, dt=20)[0], frames)
    if enc.create(name).stepped:  # the same numbers in the same order, whatever the layout
        np.testing.assert_array_equal(frames.reshape(array.shape), enc.create(name).scale(array))
        assert len(frames) == (3 if kind == "ann" else array.shape[0] * array.shape[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ev: spikeva.encode(ev, "tbrr", ends=[1]), "did you mean 'tbr'"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=[1], bit=8), "did you mean 'bits'"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=[1], bits=17), "bits must be a whole number from 1 to 16, found 17"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=[1], bits=8.0), "found 8.0"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=[1], bits=True), "found True"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=[1], polarity="merged"), "did you mean 'merge'"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=[1.5]), "whole microseconds"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=5), "whole microseconds"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=[2**63 - 1]), "within"),
        (lambda ev: spikeva.encode(ev, "tbr", ends=[-(2**63)]), "within"),
        (lambda ev: spikeva.encode(ev.to_structured(), "tbr", ends=[1]), "takes an EventStream"),
        (lambda ev: enc.channels("spikes", "cnn"), "kind must be"),
        (lambda ev: enc.channels("tbr", "SNN"), "kind must be 'ann' or 'snn', found 'SNN'"),
        (lambda ev: enc.model_input(np.zeros((1, 1, 3, 4)), "tbr", "bogus"), "kind must be"),
        (lambda ev: enc.model_input(np.zeros((1, 2, 3, 4)), "tbr", "ann"), "makes arrays"),
        (
            lambda ev: enc.model_input(np.zeros((1, 3, 4)), "tbr", "ann"),
            r"makes arrays \[K, 1, H, W\], found \[1, 3, 4\]",
        ),
    ],
)
def test_bad_input_is_a_clear_error(call: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(stream(0, 10))


def test_a_whole_number_of_numpy_is_one() -> None:
    assert enc.spec("tbr", bits=np.uint8(8), dt=np.int64(5000)) == enc.spec("tbr", bits=8, dt=5000)
    assert enc.create("tbr", bits=np.uint8(16)).scale(np.array([2**16 - 1], np.uint16)) == 1  # type: ignore[attr-defined]  # of this encoding
    for odd in (np.bool_(True), np.float64(8), np.uint8(17)):
        with pytest.raises(UserError, match="bits must be a whole number from 1 to 16"):
            enc.create("tbr", bits=odd)


def test_a_number_that_need_not_be_whole_may_be() -> None:
    """A config says `tau: 2` of a field whose default is 2.5."""
    tau = Parameter("tau", float, 2.5)
    for value in (2, 2.0, np.float32(2), np.int64(2)):
        assert type(tau.check(value)) is float
        assert tau.check(value) == 2
    for odd in (True, "2", float("nan"), None):
        with pytest.raises(UserError, match=f"tau must be a finite number, found {odd!r}"):
            tau.check(odd)


def test_a_plain_field_of_an_encoding_takes_any_whole_number() -> None:
    lag = Parameter("lag", int, 3)
    assert [lag.check(value) for value in (-(10**12), 0, 10**12)] == [-(10**12), 0, 10**12]
    with pytest.raises(UserError, match=r"^lag must be a whole number, found 1\.5$"):
        lag.check(1.5)


def test_an_encoding_without_a_word() -> None:
    """Studies whose configs leave parameters out have these."""
    assert {name: (enc.create(name).grid, enc.spec(name)["polarity"]) for name in enc.list_encodings()} == {
        "bitplanes": ((8, 2500), "merge"),
        "counts": ((1, 20_000), "split"),
        "spikes": ((8, 2500), "split"),
        "tbr": ((8, 2500), "merge"),
        "voxel": ((8, 2500), "signed"),
    }


def test_parameters_are_known_without_torch_or_numba() -> None:
    code = (
        "import sys, spikeva.encode as e; e.spec('tbr', bits=4), e.parameters('voxel');"
        "sys.exit(bool({'torch', 'numba'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

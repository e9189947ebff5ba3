"""What every encoding holds."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.encode import channels, create, encode, model_input, span_us, spec
from spikeva.errors import UserError
from spikeva.events import EventStream

SIZE = (12, 10)  # width, height


def check_encoding(name: str, **arguments: Any) -> None:
    """Raise AssertionError unless the registered encoding `name`, with `arguments`, keeps the contract of encodings.

    Arrays [K, ...] of the shape it announces; a window sees the events of its span and no others, above all none at or
    after its end; windows do not depend on each other or on where time starts; no event and no window are fine; a network
    of either kind gets finite float32 of `channels` channels; what it means is told in JSON; unknown keywords are refused.
    """
    encoding, span = create(name, **arguments), span_us(name, **arguments)
    whole = all(isinstance(value, int | np.integer) for value in encoding.grid)
    assert whole, f"{name}: grid must be two whole numbers, of steps and of us, got {encoding.grid}"
    assert span > 0, f"{name}: a window must have a length, got {span} us"
    events = _events(span)
    ends = np.array([span, span + span // 3 + 1, 3 * span])
    array = encode(events, name, ends=ends, **arguments)
    wanted = (len(ends), *encoding.frame_shape(SIZE))
    assert array.shape == wanted, f"{name}: announced {wanted}, made {array.shape}"

    for k, end in enumerate(ends):
        inside = events.slice_time(int(end) - span, int(end))
        alone = encode(inside, name, ends=[int(end)], **arguments)[0]
        assert _same(alone, array[k]), f"{name}: a window depends on events outside its span, or on other windows"
    empty = encode(EventStream.empty(SIZE), name, ends=ends, **arguments)
    assert empty.shape == wanted, f"{name}: without events it makes {empty.shape}, not {wanted}"
    assert not _same(empty[0], array[0]), f"{name}: events inside a window leave no trace"
    later = EventStream(events.t + 12_345, events.x, events.y, events.p, SIZE)
    shifted = encode(later, name, ends=ends + 12_345, **arguments)
    assert _same(shifted, array), f"{name}: the result depends on where time starts"
    none = encode(events, name, ends=[], **arguments)
    assert none.shape == (0, *wanted[1:]), f"{name}: no window must give an array of length 0, got {none.shape}"

    for kind in ("ann", "snn"):
        x = model_input(array, name, kind, **arguments)
        planes = channels(name, kind, **arguments)
        assert x.dtype == np.float32, f"{name}: a network gets float32, not {x.dtype}"
        assert x.shape[1:] == (planes, SIZE[1], SIZE[0]), f"{name}: {kind} gets {x.shape}, announced {planes} channels"
        assert x.size == array.size, f"{name}: the input of an {kind} has {x.size} numbers, the array {array.size}"
        assert np.isfinite(x).all(), f"{name}: a network gets finite numbers"
        batch = model_input(np.stack([array, array]), name, kind, **arguments)
        assert _same(batch[1], x), f"{name}: a leading batch axis must pass through"

    try:
        json.dumps(spec(name, **arguments))
    except TypeError as error:
        raise AssertionError(f"{name}: its parameters must be told in JSON: {error}") from None
    try:
        create(name, no_such_parameter=1)
    except UserError:
        return
    raise AssertionError(f"{name}: an unknown keyword must raise UserError")


def _events(span: int) -> EventStream:
    """Random events over four windows, some of them at the ends of windows."""
    rng = np.random.default_rng(0)
    n = 400
    t = np.sort(np.concatenate([rng.integers(0, 4 * span, n), [span - 1, span, span, 3 * span - 1, 3 * span]]))
    x, y = rng.integers(0, SIZE[0], len(t)), rng.integers(0, SIZE[1], len(t))
    p = rng.integers(0, 2, len(t))
    return EventStream(t, x.astype(np.uint16), y.astype(np.uint16), p.astype(np.uint8), SIZE)


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b)

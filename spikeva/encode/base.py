"""What an encoding is, the table of them, and the functions that work on one by name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeva.encode.parameter import Parameter, from_field
from spikeva.errors import UserError
from spikeva.events import EventStream
from spikeva.registry import Registry, did_you_mean

Kind = Literal["ann", "snn"]
BUILTIN = ("bitplanes", "counts", "spikes", "tbr", "voxel")
REGISTRY: Registry[type["Encoding"]] = Registry("encoding", {name: f"spikeva.encode.{name}" for name in BUILTIN})


@dataclass(frozen=True)
class Encoding(ABC):
    """One way from events to a tensor, with its parameters as fields (see `parameter.whole`, `parameter.choice`).

    A window of `steps` times `dt` us ends at each asked time: step j of the window that ends at e holds the events
    with e - (steps - j) dt <= t < e - (steps - j - 1) dt. The event at e itself belongs to the future.
    """

    stepped: ClassVar[bool] = False  # whether arrays have an axis of time steps inside a window

    def __post_init__(self) -> None:
        for parameter in parameters_of(type(self)).values():
            object.__setattr__(self, parameter.name, parameter.check(getattr(self, parameter.name)))

    @property
    @abstractmethod
    def grid(self) -> tuple[int, int]:
        """(time steps in a window, length of one in us)."""

    @abstractmethod
    def encode(self, events: EventStream, edges: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[Any]:
        """The array [K, (steps,) P, H, W] of K windows whose steps lie between `edges` [K, steps + 1] in us.

        Step j of window k holds the events bounds[k, j] to bounds[k, j + 1].
        """

    def scale(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """A new float32 array with the values that a network gets."""
        return array.astype(np.float32)

    @property
    def planes(self) -> int:
        """P, the number of polarity channels."""
        return 2 if getattr(self, "polarity", "split") == "split" else 1

    def frame_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """The shape of one window's array on a sensor of `size` (width, height)."""
        return ((self.grid[0],) if self.stepped else ()) + (self.planes, size[1], size[0])


def parameters_of(encoding: type[Encoding]) -> dict[str, Parameter]:
    """The parameters of an encoding's class by name."""
    return {f.name: from_field(f) for f in fields(encoding)}


E_ = TypeVar("E_", bound=type[Encoding])


def register_encoding(name: str) -> Callable[[E_], E_]:
    """Class decorator that registers an `Encoding` (a frozen dataclass) as `name`. Raises ValueError where taken."""
    return REGISTRY.register(name)  # type: ignore[return-value]  # the registry's decorator keeps the type


def list_encodings(pattern: str = "*") -> list[str]:
    """Sorted names of the encodings that match a shell wildcard."""
    return REGISTRY.names(pattern)


def parameters(name: str) -> dict[str, Parameter]:
    """The keywords that encoding `name` takes, each with type, default and allowed values.

    Raises UserError for an unknown name.
    """
    return parameters_of(_class(name))


def create(name: str, **kw: Any) -> Encoding:
    """The encoding `name` with parameters `kw`. Raises UserError for an unknown name, keyword or value."""
    known = parameters(name)
    for key in kw:
        if key not in known:
            raise UserError(
                f"encoding {name!r} takes no {key!r}{did_you_mean(key, known)} (it takes: {', '.join(known)})"
            )
    try:
        return _class(name)(**kw)
    except UserError as error:
        raise UserError(f"encoding {name!r}: {error}") from None


def _class(name: str) -> type[Encoding]:
    if name not in REGISTRY:
        raise UserError(REGISTRY.unknown(name))
    return REGISTRY.get(name)


def encode(events: EventStream, name: str, *, ends: ArrayLike | Sequence[int], **kw: Any) -> NDArray[Any]:
    """One window of `events` encoded as `name` for each time in `ends` (us), [K, (steps,) P, H, W], oldest step first.

    A window spans `span_us(name, **kw)` and ends at, and without, its time; it may lie outside the recording, where
    nothing happened. P is (ON, OFF), or one channel with polarity="merge". Raises UserError for bad names, keywords,
    values and times.
    """
    encoding = create(name, **kw)
    if not isinstance(events, EventStream):
        raise UserError(f"encode takes an EventStream, found {type(events).__name__}; see EventStream.from_structured")
    times = np.asarray(ends)
    if times.size == 0:
        times = times.astype(np.int64)
    if times.ndim != 1 or times.dtype.kind not in "iu":
        raise UserError(f"ends must be a list of whole microseconds, found {times.dtype} of shape {times.shape}")
    if times.size and not (int(times.min()) > -(2**62) and int(times.max()) < 2**62):
        raise UserError(f"ends must lie within 2**62 us of 0, found {times.min()}..{times.max()}")
    steps, dt = encoding.grid
    edges = times.astype(np.int64)[:, None] + dt * np.arange(-steps, 1)
    return encoding.encode(events, edges, np.searchsorted(events.t, edges))


def span_us(name: str, **kw: Any) -> int:
    """The length of one window in us."""
    steps, dt = create(name, **kw).grid
    return steps * dt


def channels(name: str, kind: Kind, **kw: Any) -> int:
    """C of `model_input`: the channels that a network of `kind` "ann" or "snn" gets per frame."""
    encoding, kind = create(name, **kw), _kind(kind)
    return encoding.planes * (encoding.grid[0] if encoding.stepped and kind == "ann" else 1)


def model_input(array: NDArray[Any], name: str, kind: Kind, **kw: Any) -> NDArray[np.float32]:
    """What a network gets of an encoded array: float32 [T, C, H, W], or [B, T, C, H, W] of [B, K, ...].

    Windows of several steps reach an "snn" as K * steps frames of P channels and an "ann" as K frames of steps * P
    channels (oldest step first, within a step ON before OFF). Raises UserError where the array is not of this encoding.
    """
    encoding, kind = create(name, **kw), _kind(kind)
    inner, shape = encoding.frame_shape((1, 1))[:-2], array.shape  # (steps,) P
    if array.ndim - len(inner) not in (3, 4) or shape[-len(inner) - 2 : -2] != inner:
        wanted = ", ".join(["K", *map(str, inner), "H", "W"])
        raise UserError(f"encoding {name!r} with {spec(name, **kw)} makes arrays [{wanted}], found {list(shape)}")
    scaled = encoding.scale(array)
    if not encoding.stepped:
        return scaled
    *lead, k, steps, planes, height, width = shape
    frames = (k, steps * planes) if kind == "ann" else (k * steps, planes)
    return scaled.reshape(*lead, *frames, height, width)


def name_and_options(encoding: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and parameters of ``{"encoding": "tbr", "bits": 8}``. Raises UserError for what is not of this form."""
    if not isinstance(encoding, Mapping) or "encoding" not in encoding:
        raise UserError(
            f'an encoding is a name with its parameters, as {{"encoding": "tbr", "bits": 8}}, found {encoding!r}'
        )
    return str(encoding["encoding"]), {k: v for k, v in encoding.items() if k != "encoding"}


def _kind(kind: Kind) -> Kind:
    if kind not in ("ann", "snn"):
        raise UserError(f"kind must be 'ann' or 'snn', found {kind!r}")
    return kind


def spec(name: str, **kw: Any) -> dict[str, Any]:
    """The encoding's name and all its parameters, those left at their defaults too, in JSON values."""
    return {"encoding": name, **asdict(create(name, **kw))}

"""A parameter of an encoding: what is allowed, and the check of it."""

from dataclasses import MISSING, Field, dataclass, field
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from spikeva.errors import UserError
from spikeva.registry import did_you_mean


@dataclass(frozen=True)
class Parameter:
    """One keyword of an encoding. `type` is int or str; `low`..`high` holds for int, `choices` for str."""

    name: str
    type: type
    default: Any
    help: str = ""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return "one of " + ", ".join(repr(c) for c in self.choices)
        names = {int: "a whole number", float: "a finite number"}
        return names.get(self.type, self.type.__name__) + (
            f" from {self.low} to {self.high}" if self.low is not None else ""
        )

    def check(self, value: Any) -> Any:
        """`value`, a whole number as int, another one as float. Raises UserError unless it is allowed."""
        if self.type is int:
            ok = isinstance(value, int | np.integer) and not isinstance(value, bool)
            ok = ok and (self.low is None or self.low <= value) and (self.high is None or value <= self.high)
        elif self.type is float:
            ok = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
        else:
            ok = isinstance(value, self.type) and (not self.choices or value in self.choices)
        if not ok:
            hint = did_you_mean(value, self.choices) if isinstance(value, str) else ""
            raise UserError(f"{self.name} must be {self.allowed}, found {value!r}{hint}")
        return self.type(value) if self.type in (int, float) else value


def whole(default: int, low: int, high: int, help: str) -> Any:
    """A dataclass field that takes a whole number in low..high."""
    return field(default=default, metadata={"type": int, "low": low, "high": high, "help": help})


def choice(default: str, *others: str, help: str) -> Any:
    """A dataclass field that takes `default` or one of `others`."""
    return field(default=default, metadata={"type": str, "choices": (default, *others), "help": help})


def from_field(entry: Field[Any]) -> Parameter:
    """The parameter that a dataclass field describes; a plain field is checked by the type of its default."""
    default = None if entry.default is MISSING else entry.default
    return Parameter(entry.name, default=default, **{"type": type(default), **entry.metadata})


def step_length(default: int) -> Any:
    """A dataclass field for the length of one time step in us."""
    return whole(default, 1, 10**9, help="length of one time step in us")


def polarity(default: str, *others: str) -> Any:
    """A dataclass field for the handling of polarity."""
    meaning = {
        "split": "channels (ON, OFF)",
        "merge": "one channel, either polarity",
        "signed": "one channel, ON - OFF",
    }
    return choice(default, *others, help="; ".join(f"{c!r}: {meaning[c]}" for c in (default, *others)))

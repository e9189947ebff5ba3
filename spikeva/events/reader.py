"""What every reader shares: strictness, the account of what was found, and checks of plain columns."""

import os
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.events.errors import EventFileError
from spikeva.events.stream import COLUMNS, EventStream, check_size

BLOCK = 2**17  # words, rows or bytes' worth of events read at a time; chosen here: a block fits the caches

OUTSIDE = "events outside the sensor"
TIME_BACK = "events whose time steps back"
BAD_POLARITY = "events of impossible polarity"
TRUNCATED = "bytes of a truncated end"
WRONG_COUNT = "events missing or too many"


@dataclass
class ReadReport:
    """The account of one pass over a file: what was read, what carries no events, what was not sound."""

    events: int = 0
    triggers: int = 0
    skipped: dict[str, int] = field(default_factory=dict)  # words that are valid and carry no events
    faults: dict[str, int] = field(default_factory=dict)  # what was left out, by kind; empty for a sound file
    first_fault: str | None = None

    def __str__(self) -> str:
        parts = [f"{self.events:,} events"] + [f"{self.triggers:,} triggers"] * bool(self.triggers)
        parts += [f"{count:,} {kind} left out" for kind, count in self.faults.items()]
        return ", ".join(parts) + (f" (first: {self.first_fault})" if self.first_fault else "")


class EventReader:
    """An event file, read in blocks (`blocks`) or as one stream (`read`); each call is a fresh pass.

    `strict`: the first fault raises EventFileError. Otherwise what is sound is returned, and `report` counts the rest.
    `size` is the sensor's (width, height); `header` holds the file's own key and value pairs, where it has any.
    """

    format = ""

    def __init__(self, path: str | os.PathLike[str], size: tuple[int, int] | None, strict: bool) -> None:
        self.path = Path(path)
        self.strict = strict
        self.report = ReadReport()
        self._opening: ReadReport | None = None
        self.header: dict[str, str] = {}
        self._given = None if size is None else check_size(size)

    size: tuple[int, int]

    def _decide_size(self, stated: tuple[int, int] | None, hint: str = "") -> tuple[int, int]:
        """The sensor's size from what the file states and what the user gave; raises where neither or both disagree."""
        if stated is None and self._given is None:
            remedy = f"Give size=(width, height) of the sensor{hint}; on the command line --size WIDTHxHEIGHT."
            raise EventFileError(self.path, "the file does not state the sensor's size", remedy)
        if stated is not None:
            try:
                stated = check_size(stated)
            except ValueError as error:
                raise EventFileError(self.path, f"impossible sensor size ({error})", "The header is damaged.") from None
        if stated is not None and self._given is not None and stated != self._given:
            found = f"the file states a sensor of {stated}, size={self._given} was given"
            self.fault(
                "statements of the sensor's size overruled",
                found,
                remedy="Leave size out, or read with strict=False to overrule the file.",
            )
        return self._given or stated  # type: ignore[return-value]  # one is there by now

    def fault(self, kind: str, found: str, offset: int | None = None, count: int = 1, remedy: str = "") -> None:
        """Raise (strict) or count something unsound."""
        error = EventFileError(self.path, found, remedy or "Copy the file again, or read with strict=False.", offset)
        if self.strict:
            raise error
        self.report.faults[kind] = self.report.faults.get(kind, 0) + count
        self.report.first_fault = self.report.first_fault or str(error)

    def _begin(self) -> None:
        """A fresh report for a pass, which holds what was found when the file was opened."""
        self._opening = self._opening or self.report
        self.report = deepcopy(self._opening)

    def check_count(self, stated: int | None) -> None:
        """A fault unless as many events were found as the file states."""
        if stated is not None and stated != self.report.events:
            found = f"the file states {stated} events, {self.report.events} were found"
            self.fault(WRONG_COUNT, found, count=abs(stated - self.report.events))

    def blocks(self) -> Iterator[EventStream]:
        """The events in blocks that follow each other in time."""
        raise NotImplementedError  # each format has its own

    def read(self) -> EventStream:
        """All events."""
        return EventStream._joined(list(self.blocks()), self.size)

    def sound(self, columns: Iterable[Any], last: int | None, offset: int | None, where: str) -> EventStream:
        """A block of plain integer columns t, x, y, p, checked; `last` is the time of the event before, `where` says whose place
        the index of a fault is counted from."""
        columns = [np.asarray(c) for c in columns]
        for name, column in zip(COLUMNS, columns, strict=True):
            if column.dtype.kind not in "iub" or column.shape != columns[0].shape or column.ndim != 1:
                found = f"column {name} is {column.dtype} of shape {column.shape}, whole numbers were expected"
                raise EventFileError(self.path, found, "The file holds no events in this layout.")
        t, x, y, p = columns
        if len(t) and int(t.max()) > np.iinfo(np.int64).max:
            raise EventFileError(self.path, f"a time of {t.max()} us", "The file is damaged.")
        t = t.astype(np.int64, copy=False)
        if p.dtype.kind == "i":
            p = np.where(p == -1, 0, p)
        highest = np.maximum.accumulate(t) if last is None else np.maximum(np.maximum.accumulate(t), last)
        checks: list[tuple[str, NDArray[np.bool_]]] = [
            (TIME_BACK, t < highest),
            (OUTSIDE, (x < 0) | (x >= self.size[0]) | (y < 0) | (y >= self.size[1])),
            (BAD_POLARITY, p.astype(np.int64) & ~1 != 0),
        ]
        bad = np.zeros(len(t), np.bool_)
        for kind, unsound in checks:
            unsound &= ~bad
            if unsound.any():
                at = int(np.argmax(unsound))
                event = f"event {at} {where} (t = {t[at]}, x = {x[at]}, y = {y[at]}, p = {p[at]})"
                self.fault(kind, f"{kind}: {event}", offset, int(unsound.sum()))
                bad |= unsound
        if bad.any():
            t, x, y, p = (c[~bad] for c in (t, x, y, p))
        self.report.events += len(t)
        return EventStream._trusted(
            t,
            x.astype(np.uint16, copy=False),
            y.astype(np.uint16, copy=False),
            p.astype(np.uint8, copy=False),
            self.size,
        )

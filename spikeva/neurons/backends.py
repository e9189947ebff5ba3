"""What each backend can run, asked of the backends themselves."""

from itertools import product
from typing import Any, NamedTuple

from spikeva.errors import UserError
from spikeva.neurons import NEURONS, list_neurons, list_surrogates
from spikeva.neurons.factory import make_neuron
from spikeva.neurons.options import BACKENDS


class Support(NamedTuple):
    """What a backend runs of a neuron: "all", "some" or "none" of its resets and surrogates, and why not the others."""

    share: str
    reasons: tuple[str, ...]


def support(name: str, backend: str) -> Support:
    """What `backend` runs of the neuron `name`; found by building it with every reset and surrogate."""
    kind = NEURONS.get(name)
    options: list[dict[str, Any]] = [{"channels": 1} if kind.needs_channels else {}]
    if kind.spiking:
        rules = product(kind.RESETS or ("none",), (True, False), list_surrogates())
        options = [{**options[0], "reset": r, "detach_reset": d, "surrogate": s} for r, d, s in rules]
    reasons = [_why_not(name, backend, each) for each in options]
    told = tuple(dict.fromkeys(r for r in reasons if r is not None))
    return Support("all" if not told else "some" if None in reasons else "none", told)


def _why_not(name: str, backend: str, options: dict[str, Any]) -> str | None:
    try:
        make_neuron(name, backend=backend, **options)
    except UserError as error:
        return str(error).partition("like this: ")[2] or str(error)
    return None


def table(pattern: str = "*") -> str:
    """Which backend runs which neuron, with numbered reasons, as text; `pattern` is a shell wildcard over names."""
    names = list_neurons(pattern)
    notes: list[str] = []
    rows = [("neuron", *BACKENDS, "definition")]
    for name in names:
        cells = []
        for share, reasons in (support(name, backend) for backend in BACKENDS):
            notes.extend(reason for reason in reasons if reason not in notes)
            marks = ", ".join(str(notes.index(reason) + 1) for reason in reasons)
            cells.append(f"{share} ({marks})" if marks else share)
        rows.append((name, *cells, (NEURONS.get(name).__doc__ or "").strip().partition("\n")[0]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows]
    lines += [f"({i}) {note}" for i, note in enumerate(notes, start=1)]
    return "\n".join(lines)

"""Numbers as people read them."""

from collections.abc import Sequence

from spikeva.report.data import Score


def number(value: float | None, digits: int = 2) -> str:
    """`value` with a real minus sign; a dash where there is none."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """`value` with its sign always shown."""
    return ("+" if value >= 0 else "") + number(value)


def interval(ends: tuple[float, float] | None, digits: int = 2, scale: float = 1) -> str:
    """`[low, high]`, or nothing."""
    return f"[{number(ends[0] * scale, digits)}, {number(ends[1] * scale, digits)}]" if ends else ""


def score(value: Score | None, digits: int = 2, scale: float = 1) -> str:
    """The number, then its interval."""
    return f"{number(value.value * scale, digits)} {interval(value.interval, digits, scale)}".strip() if value else "–"


def count(value: float | None) -> str:
    """A large count with k, M or G."""
    return "–" if value is None else _in_units(value, ("", "k", "M", "G"))


def joules(picojoules: float | None) -> str:
    """An energy in pJ, nJ, µJ, mJ or J."""
    return "–" if picojoules is None else _in_units(picojoules, ("pJ", "nJ", "µJ", "mJ", "J"))


def _in_units(value: float, units: Sequence[str]) -> str:
    """Three digits and the unit, each of which is a thousand times the one before."""
    value = float(f"{value:.3g}")  # 999 700 is 1 M, not 1000 k
    place = 0
    while abs(value) >= 1000 and place < len(units) - 1:
        value, place = value / 1000, place + 1
    shown = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{shown} {units[place]}".strip()


def ratio(a: float, b: float) -> str:
    """How a compares with b, both above 0, in words: `3.1 times less`."""
    factor = max(a, b) / min(a, b)
    if factor < 1.05:
        return "about the same"
    shown = f"{factor:,.0f}" if factor >= 100 else f"{factor:.3g}"
    return f"{shown} times {'less' if a < b else 'more'}"

"""Numbers as people read them."""

from spikeva.report.data import Score


def number(value: float | None, digits: int = 2) -> str:
    """`value` with a real minus sign; a dash where there is none."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """`value` with its sign always shown."""
    return ("+" if value >= 0 else "") + number(value, digits)


def interval(ends: tuple[float, float] | None, digits: int = 2, scale: float = 1) -> str:
    """`[low, high]`, or nothing."""
    return f"[{number(ends[0] * scale, digits)}, {number(ends[1] * scale, digits)}]" if ends else ""


def score(value: Score | None, digits: int = 2, scale: float = 1) -> str:
    """The number, then its interval."""
    return f"{number(value.value * scale, digits)} {interval(value.interval, digits, scale)}".strip() if value else "–"


def count(value: float | None) -> str:
    """A large count with k, M or G."""
    if value is None:
        return "–"
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"


def joules(picojoules: float | None) -> str:
    """An energy in nJ, µJ or mJ."""
    if picojoules is None:
        return "–"
    for factor, unit in ((1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ")):
        if picojoules >= factor:
            return f"{picojoules / factor:.3g} {unit}"
    return f"{picojoules:.3g} pJ"


def ratio(a: float, b: float) -> str:
    """How a compares with b, in words: `3.1 times less`."""
    if a <= 0 or b <= 0:
        return "not comparable"
    factor = max(a, b) / min(a, b)
    shown = f"{factor:,.0f}" if factor >= 100 else f"{factor:.3g}"
    return f"{shown} times {'less' if a < b else 'more'}" if a != b else "the same"

"""One look for every figure, and the way from a matplotlib figure to SVG.

Colours are Okabe and Ito's (safe for colour-blind readers); each colour comes with its own marker or line style, so that
colour is never the only code. Inside the page the colours become CSS variables, so that figures follow dark mode and print.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b1e23", "#68707c", "#d5d9df", "#fefefe"
COLOURS = {"ann": "#0072b2", "snn": "#d55e00", "baseline": MUTED, "label": INK}
LINES = {"ann": "--", "snn": "-", "baseline": ":"}
MARKERS = {"ann": "s", "snn": "o", "baseline": "x"}

_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper", COLOURS["ann"]: "--ann", COLOURS["snn"]: "--snn",
}  # fmt: skip
_RC = {
    "svg.hashsalt": "spikeva",  # the same figure gives the same bytes
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is a $
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # shipped with matplotlib: the layout does not depend on the machine's fonts
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
}


@contextmanager
def context() -> Iterator[None]:
    """The report's matplotlib settings, for as long as the block runs."""
    with rc_context(_RC):
        yield


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """`ax`, or the axes of a new pyplot figure of `width` x `height` inches."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    made: Axes = pyplot.subplots(figsize=(width, height), layout="constrained")[1]
    return made


def panels(columns: int, width: float, height: float, rows: int = 1, **kw: Any) -> tuple[Figure, list[Axes]]:
    """A figure outside pyplot's list of open figures, and its axes in reading order."""
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **kw)
    return figure, [ax for row in grid for ax in row]


def svg(figure: Figure) -> str:
    """`figure` as a standalone SVG document: the same bytes for the same figure."""
    out = io.StringIO()
    with context():
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def inline(document: str, name: str, title: str) -> str:
    """The SVG `document` as an element for a page: unique ids under `name`, theme colours, a spoken `title`."""
    body = document[document.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r' id="image[0-9a-f]+"', "", body)  # two equal pictures would share one
    known: set[str] = set()  # matplotlib defines a marker once for each axes

    def once(path: re.Match[str]) -> str:
        again = path[1] in known
        known.add(path[1])
        return "" if again else path[0]

    body = re.sub(r'<path id="([^"]*)"[^>]*/>', once, body)
    body = re.sub(r' id="', f' id="{name}-', body)
    body = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", body)
    for colour, variable in _VARIABLES.items():
        body = re.sub(colour, f"var({variable})", body, flags=re.IGNORECASE)
    body = body.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, system-ui")
    long = re.compile(r"(\d\.\d\d)\d{2,}")  # a hundredth of a point is enough on a page; words stay as they are
    body = re.sub(r"<[^>]*>", lambda tag: long.sub(r"\1", tag[0]), body)
    opening = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', flags=re.DOTALL)
    label = escape(title, quote=True)
    head = r'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="\1" role="img" aria-label="LABEL">'
    body = opening.sub(head, body, count=1)
    return body.replace("LABEL", label, 1).strip()

"""The tables of a study: in the terminal, on the page, and as Markdown, CSV or LaTeX."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spikeva.errors import UserError
from spikeva.report.data import AXES, Row, Score
from spikeva.report.text import count, interval, joules, number, score, signed

if TYPE_CHECKING:
    from rich.table import Table

FIRST = 20  # letters of the first column that 80 columns leave
FORMATS = ("md", "csv", "latex")
POOLED = "CCC is of all folds' people together, all other numbers are means over folds; all are means over seeds."


@dataclass(frozen=True)
class Column:
    """A column: its head, the text of a row, and the number by which it sorts (the text where there is none)."""

    head: str
    text: Callable[[Row], str]
    sort: Callable[[Row], float | str | None]


def _ccc(axis: str) -> Column:
    def value(row: Row) -> float | None:
        return row.ccc[axis].value if axis in row.ccc else None

    return Column(f"CCC {axis}", lambda row: score(row.ccc.get(axis)), value)


def _mean(head: str, *path: str, show: Callable[[float | None], str] = number) -> Column:
    return Column(head, lambda row: show(row.mean(*path)), lambda row: row.mean(*path))


def _pcc(axis: str) -> Column:
    def text(row: Row) -> str:
        constant = any(row.values("regression", axis, "constant"))
        return number(row.mean("regression", axis, "pcc")) + " (constant)" * constant

    return Column(f"PCC {axis}", text, lambda row: row.mean("regression", axis, "pcc"))


def _zeros(row: Row) -> str:
    shares = [row.mean("regression", axis, "zero_share") for axis in AXES]
    return "–" if None in shares else "; ".join(map(_percent, shares))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} ms"


def _data(row: Row) -> str:
    return row.dataset if row.data == "recorded" else f"{row.dataset} ({row.data})"


def _transfer_word(row: Row) -> str:
    return " (synthetic)" if row.transfer_synthetic and not row.synthetic else ""


def _accuracy(head: str, name: str) -> Column:
    def text(row: Row) -> str:
        found = row.transfer(name)
        return "–" if found is None else f"{score(found, 0, 100)} %{_transfer_word(row)}"

    return Column(head, text, lambda row: row.mean("transfer", name))


def _balanced(row: Row) -> str:
    return _percent(row.mean("transfer", "balanced_accuracy")) + _transfer_word(row)


def _spread(row: Row) -> str:
    seeds = [found.seeds for found in row.ccc.values()]
    return "; ".join(f"{number(s[0])} to {number(s[1])}" for s in seeds if s) or "–"


MODEL = Column("model", lambda row: row.model, lambda row: row.model)
ENCODING = Column("encoding", lambda row: row.encoding or "–", lambda row: row.encoding)
DATA = Column("data", _data, _data)
RUN = Column("study", lambda row: row.run, lambda row: row.run)
FOLD = Column("fold", lambda row: str(row.cells[0].get("fold")), lambda row: row.cells[0].get("fold"))
SEED = Column("seed", lambda row: str(row.cells[0].get("seed")), lambda row: row.cells[0].get("seed"))
MAIN = (
    MODEL,
    ENCODING,
    DATA,
    *(_ccc(axis) for axis in AXES),
    *(_mean(f"RMSE {axis}", "regression", axis, "rmse") for axis in AXES),
    _accuracy("zero-shot accuracy", "accuracy"),
)
METRICS = (
    MODEL,
    ENCODING,
    DATA,
    *(_pcc(axis) for axis in AXES),
    *(_mean(f"SAGR {axis}", "regression", axis, "sagr") for axis in AXES),
    Column("labels that are 0 (valence; arousal)", _zeros, lambda row: row.mean("regression", "valence", "zero_share")),
    Column("balanced accuracy", _balanced, lambda row: row.mean("transfer", "balanced_accuracy")),
    _accuracy("three-way accuracy", "three_way_accuracy"),
    _accuracy("accuracy of valence's sign", "valence_sign_accuracy"),
    Column("CCC from seed to seed (valence; arousal)", _spread, _spread),
    Column("cells", lambda row: str(len(row.cells)), lambda row: len(row.cells)),
)
COST = (
    MODEL,
    ENCODING,
    Column("input", lambda row: row.data, _data),
    _mean("parameters", "parameters", show=count),
    _mean("MACs", "cost", "macs", show=count),
    _mean("ACs", "cost", "acs", show=count),
    _mean("spike rate", "cost", "spike_rate", show=_percent),
    _mean("energy (45 nm)", "cost", "energy_pj", show=joules),
    _mean("latency", "cost", "latency_ms", show=_milliseconds),
    _mean("peak memory", "cost", "peak_memory_bytes", show=lambda v: "–" if v is None else f"{count(v)}B"),
)


def html(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, Any]:
    """Heads and body for the page's template: text, sort key and kind of each row."""
    columns = filled(rows, columns)

    def key(value: float | str | None) -> str:
        return "" if value is None else str(value)

    body = [{"kind": r.kind, "cells": [{"text": c.text(r), "sort": key(c.sort(r))} for c in columns]} for r in rows]
    return {"heads": [c.head for c in columns], "rows": body}


def comparisons(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every paired difference, for the page's template."""
    heads = ["a", "b", "metric", "data", "a − b", "95 % interval", "p", "p (Holm)"]
    rows = []
    for item in items:
        p = [item.get("p"), item.get("p_holm")]
        texts = [item["a"], item["b"], item["metric"], "synthetic" if item.get("synthetic") else "recorded"]
        texts += [signed(item["difference"]), interval(tuple(item["ci95"]))]
        texts += ["–" if value is None else f"{value:.2g}" for value in p]
        sorts = [*texts[:4], item["difference"], item["ci95"][0], *("" if value is None else value for value in p)]
        cells = [{"text": text, "sort": str(sort)} for text, sort in zip(texts, sorts, strict=True)]
        rows.append({"kind": "comparison", "cells": cells})
    return {"heads": heads, "rows": rows}


def terminal(rows: Sequence[Row], note: str = "") -> "Table":
    """A table that fits 80 columns; "synthetic" stands in every row to which it applies, and `note` in the title."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def two_lines(found: Score | None, digits: int = 2, scale: float = 1, unit: str = "") -> str:
        return (
            f"{number(found.value * scale, digits)}{unit}\n{interval(found.interval, digits, scale)}" if found else "–"
        )

    title = "; ".join(filter(None, ("Held-out people", "95 % intervals over people", note)))
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold")
    read = any(row.transfer() for row in rows)
    for head in ("data", *(f"CCC {axis}" for axis in AXES), *(["zero-shot"] if read else [])):
        table.add_column(head, no_wrap=True)
    for i, row in enumerate(rows):
        last_model = row.kind != "baseline" and i + 1 < len(rows) and rows[i + 1].kind == "baseline"
        cells = [two_lines(row.ccc.get(axis)) for axis in AXES]
        if read:
            cells.append(
                "\n".join(filter(None, (two_lines(row.transfer(), 0, 100, " %"), _transfer_word(row).strip())))
            )
        table.add_row(
            Text("\n".join(_broken(text) for text in (row.model, row.encoding) if text)),  # [x] in a name is no markup
            row.data,
            *cells,
            style="dim" if row.kind == "baseline" else None,
            end_section=last_model,
        )
    return table


def _broken(label: str) -> str:
    """A label too long for a terminal's first column, with its parameters on a line of their own."""
    return label if len(label) <= FIRST else label.replace("(", "\n(", 1)


def export(rows: Sequence[Row], form: str, notes: Sequence[str] = ()) -> str:
    """The tables as text: `form` is md, latex (formatted numbers, under the `notes`) or csv (one column a number, all digits)."""
    if form not in FORMATS:
        raise UserError(f"unknown table format {form!r}: allowed are {', '.join(FORMATS)}")
    if form == "csv":
        return _csv(rows)
    write = _markdown if form == "md" else _latex
    if any(len(row.cells) > 1 for row in rows):
        notes = [*notes, POOLED]
    above = [f"{note}\n" if form == "md" else f"% {note}" for note in notes]
    trained = [row for row in rows if row.kind != "baseline"]
    shown = [write(own, filled(own, columns)) for own, columns in ((rows, MAIN), (rows, METRICS), (trained, COST))]
    return "\n".join([*above, *shown])


def filled(rows: Sequence[Row], columns: Sequence[Column]) -> Sequence[Column]:
    """The columns in which a row has something, with the study before them where the rows are of several."""
    columns = [column for column in columns if any(column.text(row) != "–" for row in rows)]
    return (RUN, *columns) if len({row.run for row in rows}) > 1 else columns


def _markdown(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    lines = [[c.head for c in columns], ["---"] * len(columns)]
    lines += [[c.text(row) for c in columns] for row in rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _latex(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    escapes = {"−": "$-$", "–": "--", "µ": r"\textmu ", "\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}
    escapes |= {special: rf"\{special}" for special in "_%&#${}"}
    table = str.maketrans(escapes)
    lines = [[c.head for c in columns], *([c.text(row) for c in columns] for row in rows)]
    text = [" & ".join(cell.translate(table) for cell in line) + r" \\" for line in lines]
    head = [rf"\begin{{tabular}}{{{'l' * len(columns)}}}", r"\toprule", text[0], r"\midrule"]
    return "\n".join([*head, *text[1:], r"\bottomrule", r"\end{tabular}", ""])


def _csv(rows: Sequence[Row]) -> str:
    def ends(found: Score | None) -> list[float | None]:
        return [found.value, *(found.interval or (None, None))] if found else [None, None, None]

    def seeds(found: Score | None) -> tuple[float | None, ...]:
        return (found.seeds if found else None) or (None, None)

    names = ["rmse", "pcc", "sagr", "zero_share"]
    costs = ["macs", "acs", "spike_rate", "energy_pj", "latency_ms", "peak_memory_bytes"]
    head = ["run", "model", "kind", "encoding", "dataset", "synthetic", "cells"]
    for axis in AXES:
        head += [f"{axis}_ccc", f"{axis}_ccc_low", f"{axis}_ccc_high", *(f"{axis}_{name}" for name in names)]
    head += ["transfer_accuracy", "transfer_low", "transfer_high", "transfer_synthetic", "parameters", *costs]
    head += ["transfer_balanced_accuracy", *(f"{axis}_ccc_seed_{end}" for axis in AXES for end in ("low", "high"))]
    coarse = ("three_way_accuracy", "valence_sign_accuracy")
    head += [f"transfer_{name}{end}" for name in coarse for end in ("", "_low", "_high")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        line: list[Any] = [row.run, row.model, row.kind, row.encoding, row.dataset, int(row.synthetic), len(row.cells)]
        for axis in AXES:
            line += [*ends(row.ccc.get(axis)), *(row.mean("regression", axis, name) for name in names)]
        line += [
            *ends(row.transfer()),
            int(row.transfer_synthetic),
            row.mean("parameters"),
            *(row.mean("cost", name) for name in costs),
            row.mean("transfer", "balanced_accuracy"),
            *(end for axis in AXES for end in seeds(row.ccc.get(axis))),
            *(end for name in coarse for end in ends(row.transfer(name))),
        ]
        writer.writerow(line)
    return out.getvalue()

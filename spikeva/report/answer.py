"""The question and its answer in words, from the numbers: also when the spiking network loses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikeva.evaluation import statistics
from spikeva.report.data import AXES, Row, Run, is_synthetic
from spikeva.report.text import count, interval, joules, number, ratio, score, signed

QUESTION = (
    "On the same faces, how far does a spiking network get against the frame-based ANN, "
    "does it want raw spikes or TBR frames, and what does each cost?"
)


MANY = 3  # other encodings; beyond, they are counted in one sentence


@dataclass(frozen=True)
class Difference:
    """CCC of a minus CCC of b over the same people, its 95 % interval, and the p value (Holm-corrected where `holm`)."""

    value: float
    interval: tuple[float, float]
    p: float | None = None
    holm: bool = False

    @property
    def shown(self) -> bool:
        """The interval leaves out 0, and the p value does not take that back."""
        low, high = self.interval
        return (low > 0 or high < 0) and (self.p is None or self.p < 0.05)

    def __str__(self) -> str:
        p = "" if self.p is None else f", p = {self.p:.2g}{' after Holm' if self.holm else ''}"
        return f"difference {signed(self.value)} {interval(self.interval)}{p}"


def headline(rows: Sequence[Row]) -> dict[str, Row]:
    """The best row of each kind, {"ann": ..., "snn": ...}: the highest mean of both CCCs on the first row's dataset."""
    dataset = rows[0].dataset
    best: dict[str, Row] = {}
    for kind in ("ann", "snn"):
        of_kind = [row for row in rows if row.kind == kind and row.dataset == dataset]
        if of_kind:
            best[kind] = max(of_kind, key=lambda row: sum(row.ccc[axis].value for axis in AXES))
    return best


def difference(run: Run, a: Row, b: Row, axis: str) -> Difference | None:
    """The study's own comparison of the two on `axis`, else the one their predictions give; None where neither can be had."""
    for item in run.comparisons:
        metric = str(item["metric"]).lower()
        if axis in metric and "ccc" in metric and {item["a"], item["b"]} == {a.name, b.name}:
            sign = 1 if item["a"] == a.name else -1
            low, high = sorted(sign * float(end) for end in item["ci95"])
            holm = item.get("p_holm") is not None
            return Difference(sign * item["difference"], (low, high), item["p_holm"] if holm else item.get("p"), holm)
    first, second = run.seeds(a.cells), run.seeds(b.cells)
    if not (first and second and len(first) == len(second)):
        return None
    label, who = first[0].label, first[0].subject
    if not (np.array_equal(label, second[0].label) and np.array_equal(who, second[0].subject)):
        return None
    i = AXES.index(axis)
    ours, theirs = (np.stack([p.predicted[:, i] for p in side]) for side in (first, second))
    if np.array_equal(ours, theirs):
        return None
    ends = statistics.jackknife_difference("ccc", label[:, i], ours, theirs, who)
    return Difference(statistics.difference("ccc", label[:, i], ours, theirs, who), ends)


def sentences(run: Run, rows: Sequence[Row]) -> list[str]:
    """The answer: first what was found, with intervals; then the encoding, the transfer and the cost."""
    best = headline(rows)
    if set(best) != {"ann", "snn"}:
        only = max((r for r in rows if r.kind != "baseline"), key=lambda r: sum(r.ccc[a].value for a in AXES))
        found = ", ".join(f"{axis} {score(only.ccc[axis])}" for axis in AXES)
        return [f"The study holds one family only; the best model, {_who(only)}, reaches a CCC of {found}."]
    snn, ann = best["snn"], best["ann"]
    return [
        _main(run, snn, ann),
        *_encoding(run, rows, snn),
        *_baselines(rows, snn, ann),
        *_transfer(rows, snn, ann),
        *_cost(snn, ann),
    ]


def _who(row: Row) -> str:
    return f"{row.model} on {row.encoding}"


def _word(row: Row) -> str:
    return "synthetic " if row.synthetic else ""


def _main(run: Run, snn: Row, ann: Row) -> str:
    predictions = run.predictions(snn)
    people = f"{len(set(predictions.subject.tolist()))} held-out people" if predictions else "held-out people"
    parts = []
    for axis in AXES:
        values = f"CCC {number(snn.ccc[axis].value)} against {number(ann.ccc[axis].value)}"
        found = difference(run, snn, ann, axis)
        if found is None:
            verdict = f"was not tested on {axis} (CCC {score(snn.ccc[axis])} against {score(ann.ccc[axis])})"
        elif found.shown:
            verdict = f"{'wins' if found.value > 0 else 'loses'} on {axis} ({values}; {found})"
        else:
            verdict = f"cannot be told from it on {axis} ({values}; {found})"
        parts.append(verdict)
    return (
        f"On {_word(snn)}faces of {people}, the spiking network ({_who(snn)}), set against the ANN ({_who(ann)}), "
        f"{parts[0]} and {parts[1]}."
    )


def _encoding(run: Run, rows: Sequence[Row], snn: Row) -> list[str]:
    others = [r for r in rows if r.model == snn.model and r.dataset == snn.dataset and r.encoding != snn.encoding]
    found = {other.encoding: {axis: difference(run, snn, other, axis) for axis in AXES} for other in others}
    if len(others) > MANY:
        return [_encodings_counted(snn, found)]
    out = []
    for other, by_axis in found.items():
        parts = []
        for axis, apart in by_axis.items():
            if apart:
                better = snn.encoding if apart.value > 0 else other
                parts.append(
                    f"{axis} {f'{better} is better' if apart.shown else 'no difference could be shown'} ({apart})"
                )
        if parts:
            out.append(f"{snn.encoding} or {other} for {snn.model} ({_word(snn)}data): {'; '.join(parts)}.")
    return out


def _encodings_counted(snn: Row, found: Mapping[str, Mapping[str, Difference | None]]) -> str:
    """One sentence for many encodings."""
    parts = []
    for axis in AXES:
        worse = [name for name, apart in found.items() if (d := apart[axis]) and d.shown and d.value > 0]
        better = [name for name, apart in found.items() if (d := apart[axis]) and d.shown and d.value < 0]
        told = [f"{word} {', '.join(names)}" for word, names in (("ahead of", worse), ("behind", better)) if names]
        parts.append(f"on {axis} {' and '.join(told) if told else 'it could not be told from any of them'}")
    return f"{snn.encoding} against the {len(found)} other encodings for {snn.model} ({_word(snn)}data): {'; '.join(parts)}."


def _baselines(rows: Sequence[Row], snn: Row, ann: Row) -> list[str]:
    trivial = [r for r in rows if r.kind == "baseline" and r.dataset == snn.dataset and r.ccc]
    if not trivial:
        return []
    out = []
    for axis in AXES:
        best = max(trivial, key=lambda r: r.ccc[axis].value)
        weak = [
            f"{_who(row)}, {score(row.ccc[axis])}"
            for row in (snn, ann)
            if row.ccc[axis].value <= best.ccc[axis].value or (row.ccc[axis].interval or (1,))[0] <= 0
        ]
        if weak:
            out.append(
                f"Not shown to predict {axis} ({_word(snn)}data): {'; '.join(weak)}. The baseline “{best.model}” has a CCC "
                f"of {number(best.ccc[axis].value)}."
            )
    return out


def _transfer(rows: Sequence[Row], snn: Row, ann: Row) -> list[str]:
    ours, theirs = snn.transfer(), ann.transfer()
    if ours is None or theirs is None:
        return []
    to = snn.cells[0]["transfer"]
    word = "synthetic " if is_synthetic(to, str(to["dataset"])) else ""
    chance, majority = snn.mean("transfer", "chance"), snn.mean("transfer", "majority")
    floor = ", ".join(
        f"{name} {number(100 * value, 0)} %"
        for name, value in (("chance", chance), ("majority class", majority))
        if value
    )
    best = {found["error_sd"]: found["accuracy"] for found in _ceilings(rows, str(to["dataset"]))}
    if best:
        told = " and ".join(f"{number(100 * share, 0)} % at an error of {error:g}" for error, share in best.items())
        floor += f"; simulated ceiling of a flawless readout {told} in valence and arousal"
    return [
        f"Zero-shot emotion on {word}{to['dataset']}: SNN {score(ours, 0, 100)} %, ANN {score(theirs, 0, 100)} % ({floor})."
    ]


def _ceilings(rows: Sequence[Row], dataset: str) -> list[dict[str, Any]]:
    """What the study simulated of the best accuracy that anchors and labels allow, by rising error."""
    found = [row.cells[0]["transfer"] for row in rows if row.kind == "baseline" and row.cells[0].get("transfer")]
    return [f for f in found if f.get("error_sd") is not None and f["dataset"] == dataset]


def _cost(snn: Row, ann: Row) -> list[str]:
    ours: dict[str, Any] = {k: snn.mean("cost", k) for k in ("energy_pj", "macs", "acs", "spike_rate")}
    theirs: dict[str, Any] = {k: ann.mean("cost", k) for k in ("energy_pj", "macs")}
    if None in (ours["energy_pj"], theirs["energy_pj"], ours["acs"], theirs["macs"]):
        return []
    rate = "" if ours["spike_rate"] is None else f" at a spike rate of {number(100 * ours['spike_rate'], 1)} %"
    both = ours["energy_pj"], theirs["energy_pj"]
    needs = f"the SNN needs {ratio(*both)}" if min(both) > 0 else "no ratio can be given"
    return [
        f"One prediction takes the SNN {count(ours['acs'])} accumulates and {count(ours['macs'])} multiply-accumulates{rate}, "
        f"the ANN {count(theirs['macs'])} multiply-accumulates; under the 45 nm model (4.6 pJ a MAC, 0.9 pJ an AC, memory "
        f"not counted) {joules(ours['energy_pj'])} against {joules(theirs['energy_pj'])}: {needs}."
    ]

"""The answer in words, from the numbers: also when the spiking network loses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikeva.evaluation import statistics
from spikeva.report.data import AXES, Row, Run, is_synthetic
from spikeva.report.text import count, interval, joules, number, ratio, score, signed

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
        p = "" if self.p is None else f", p = {self.p:.2g} {'after Holm' if self.holm else 'uncorrected'}"
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
    shared = run.shared(a, b)
    if shared is None:
        return None
    first, second = (run.seeds(row.cells) for row in shared)
    if not (first and second and len(first) == len(second)):
        return None
    label, who = first[0].label, first[0].subject
    if not (np.array_equal(label, second[0].label) and np.array_equal(who, second[0].subject)):
        return None
    i = AXES.index(axis)
    ours, theirs = (np.stack([p.predicted[:, i] for p in side]) for side in (first, second))
    if np.array_equal(ours, theirs):
        return None
    args = "ccc", label[:, i], ours, theirs, who
    seed = run.config.get("seed", 0)
    ends, p = statistics.jackknife_difference(*args), statistics.paired_permutation(*args, seed=seed)
    return Difference(statistics.difference(*args), ends, p)


def sentences(run: Run, rows: Sequence[Row]) -> list[str]:
    """The answer: first what was found, with intervals; then the encoding, the transfer and the cost."""
    by_kind = headline(rows)
    best = [by_kind[kind] for kind in ("snn", "ann") if kind in by_kind]
    return [
        _main(run, best[0], best[1]) if len(best) == 2 else _alone(run, best[0]),
        *_silent(rows),
        *_uncounted(rows),
        *_encoding(run, rows, best[0]),
        *_once(best),
        *_baselines(rows, best),
        *_transfer(rows, best),
        *_cost(best),
    ]


def _who(row: Row) -> str:
    return f"{row.model} on {row.encoding}"


def _word(row: Row) -> str:
    return "synthetic " if row.synthetic else ""


def _in_brackets(row: Row) -> str:
    return " (synthetic data)" if row.synthetic else ""


def _people(run: Run, row: Row) -> str:
    predictions = run.predictions(row)
    return f"{len(set(predictions.subject.tolist()))} held-out people" if predictions else "held-out people"


def _alone(run: Run, only: Row) -> str:
    found = ", ".join(f"{axis} {score(only.ccc[axis])}" for axis in AXES)
    return (
        f"The study holds one family only; on {_word(only)}faces of {_people(run, only)}, the best model, {_who(only)}, "
        f"reaches a CCC of {found}."
    )


def _silent(rows: Sequence[Row]) -> list[str]:
    silent = [_who(row) for row in rows if row.kind == "snn" and row.mean("cost", "spike_rate") == 0]
    if not silent:
        return []
    return [
        f"No spiking neuron fires in {' and '.join(silent)} (spike rate 0 on the samples that were counted): nothing of the "
        "input reaches the output."
    ]


def _uncounted(rows: Sequence[Row]) -> list[str]:
    left = [_who(row) for row in rows if any(row.values("cost", "uncounted"))]
    if not left:
        return []
    return [
        f"Operations and energy of {' and '.join(left)} leave out matrix products that happen outside the layers counted."
    ]


def _once(best: Sequence[Row]) -> list[str]:
    if any(row.several_seeds for row in best):
        return []
    return [
        "Trained with one seed: intervals and p cover the choice of people, not the luck of training. Another seed, or a processor "
        "that rounds differently, can reverse a difference; several seeds (grid.seeds) show by how much."
    ]


def _main(run: Run, snn: Row, ann: Row) -> str:
    shared = run.shared(snn, ann)
    if shared is None:
        return (
            f"The spiking network ({_who(snn)}) and the ANN ({_who(ann)}) have no fold and seed in common yet, so they "
            "cannot be compared."
        )
    snn, ann = shared
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
        f"On {_word(snn)}faces of {_people(run, snn)}, the spiking network ({_who(snn)}), compared with the ANN ({_who(ann)}), "
        f"{parts[0]} and {parts[1]}."
    )


def _encoding(run: Run, rows: Sequence[Row], best: Row) -> list[str]:
    others = [r for r in rows if r.model == best.model and r.dataset == best.dataset and r.encoding != best.encoding]
    found = {other.encoding: {axis: difference(run, best, other, axis) for axis in AXES} for other in others}
    if len(others) > MANY:
        return [_encodings_counted(best, found)]
    out = []
    for other, by_axis in found.items():
        parts = []
        for axis, apart in by_axis.items():
            if apart:
                better = best.encoding if apart.value > 0 else other
                verdict = f"{better} is better in {axis}" if apart.shown else f"no difference in {axis} could be shown"
                parts.append(f"{verdict} ({apart})")
        if parts:
            out.append(f"{best.encoding} or {other} for {best.model}{_in_brackets(best)}: {'; '.join(parts)}.")
    return out


def _encodings_counted(best: Row, found: Mapping[str, Mapping[str, Difference | None]]) -> str:
    """One sentence for many encodings."""
    parts = []
    for axis in AXES:
        worse = [name for name, apart in found.items() if (d := apart[axis]) and d.shown and d.value > 0]
        better = [name for name, apart in found.items() if (d := apart[axis]) and d.shown and d.value < 0]
        told = [f"{word} {', '.join(names)}" for word, names in (("ahead of", worse), ("behind", better)) if names]
        parts.append(f"on {axis} {' and '.join(told) if told else 'it could not be told from any of them'}")
    return f"{best.encoding} against the {len(found)} other encodings for {best.model}{_in_brackets(best)}: {'; '.join(parts)}."


def _baselines(rows: Sequence[Row], best: Sequence[Row]) -> list[str]:
    trivial = [r for r in rows if r.kind == "baseline" and r.dataset == best[0].dataset and r.ccc]
    if not trivial:
        return []
    out = []
    for axis in AXES:
        top = max(trivial, key=lambda r: r.ccc[axis].value)
        weak = [
            f"{_who(row)}, {score(row.ccc[axis])}"
            for row in best
            if row.ccc[axis].value <= top.ccc[axis].value or (row.ccc[axis].interval or (1,))[0] <= 0
        ]
        if weak:
            out.append(
                f"Not shown to predict {axis}{_in_brackets(best[0])}: {'; '.join(weak)}. The baseline “{top.model}” has a CCC "
                f"of {number(top.ccc[axis].value)}."
            )
    return out


def _transfer(rows: Sequence[Row], best: Sequence[Row]) -> list[str]:
    reached = [f"{row.kind.upper()} {score(found, 0, 100)} %" for row in best if (found := row.transfer())]
    if len(reached) < len(best):
        return []
    to = best[0].cells[0]["transfer"]
    word = "synthetic " if is_synthetic(to) else ""
    chance, majority = (best[0].mean("transfer", name) for name in ("chance", "majority"))
    floor = ", ".join(
        f"{name} {number(100 * value, 0)} %"
        for name, value in (("chance", chance), ("majority class", majority))
        if value
    )
    ceilings = {found["error_sd"]: found["accuracy"] for found in _ceilings(rows, str(to["dataset"]))}
    if ceilings:
        told = " and ".join(f"{number(100 * share, 0)} % at an error of {error:g}" for error, share in ceilings.items())
        floor += f"; simulated ceiling of a flawless readout {told} in valence and arousal"
    return [f"Zero-shot emotion on {word}{to['dataset']}: {', '.join(reached)} ({floor})."]


def _ceilings(rows: Sequence[Row], dataset: str) -> list[dict[str, Any]]:
    """What the study simulated of the best accuracy that anchors and labels allow, by rising error."""
    found = [row.cells[0]["transfer"] for row in rows if row.kind == "baseline" and row.cells[0].get("transfer")]
    return [f for f in found if f.get("error_sd") is not None and f["dataset"] == dataset]


def _cost(best: Sequence[Row]) -> list[str]:
    energies = [row.mean("cost", "energy_pj") for row in best]
    known = [energy for energy in energies if energy is not None]
    if len(known) < len(best):
        return []
    takes = ", ".join(f"the {row.kind.upper()} {_operations(row)}" for row in best)
    needs = ""
    if len(known) == 2:
        needs = f": the SNN needs {ratio(*known)}" if min(known) > 0 else ": no ratio can be given"
    return [
        f"One prediction takes {takes}; under the 45 nm model (4.6 pJ a MAC, 0.9 pJ an AC, memory not counted) "
        f"{' against '.join(map(joules, known))}{needs}."
    ]


def _operations(row: Row) -> str:
    macs = f"{count(row.mean('cost', 'macs'))} multiply-accumulates"
    acs, rate = row.mean("cost", "acs"), row.mean("cost", "spike_rate")
    if row.kind == "ann" and not acs:
        return macs
    fired = "" if rate is None else f" at a spike rate of {number(100 * rate, 1)} %"
    return f"{count(acs)} accumulates and {macs}{fired}"

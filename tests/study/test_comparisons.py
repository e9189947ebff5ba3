"""Comparisons pair the right cells, and the transfer knows nothing of the labels it is scored by."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import yaml

from spikeva.evaluation import statistics
from spikeva.study.cells import cells
from spikeva.study.comparisons import compare, scored
from spikeva.study.config import parse
from spikeva.study.files import read_csv, write_csv
from spikeva.study.run_cell import zero_shot


def entry(model, encoding, seed=0, fold=0):
    kind = model.partition("_")[0]
    name = f"{model}-{encoding}-{seed}-{fold}"
    return {
        "hash": name,
        "model": model,
        "encoding": encoding,
        "kind": kind,
        "seed": seed,
        "fold": fold,
        "dataset": "d",
        "synthetic": True,
    }


def rows(noise, seed, fold=0):
    rng = np.random.default_rng([seed, fold])
    truth = np.random.default_rng(fold).normal(size=(60, 2))
    predicted = truth + noise * rng.normal(size=truth.shape)
    return scored(
        [
            {
                "subject": f"s{fold}{i // 6}",
                "valence": y[0],
                "arousal": y[1],
                "valence_pred": p[0],
                "arousal_pred": p[1],
            }
            for i, (y, p) in enumerate(zip(truth, predicted, strict=True))
        ]
    )


@pytest.fixture
def found():
    entries, predictions = [], {}
    for model, encoding, noise in [("ann_a", "tbr", 0.2), ("snn_a", "tbr", 2.0), ("ann_a", "spikes", 0.2)]:
        for seed in (0, 1):
            for fold in (0, 1):
                one = entry(model, encoding, seed, fold)
                entries.append(one)
                predictions[one["hash"]] = rows(noise, seed + 10 * len(predictions), fold)
    return compare(entries, predictions, seed=0)


def test_what_is_compared_of_a_file_is_a_fraction_of_its_text(tmp_path):
    header = ("subject", "clip", "frame", "t_us", "valence", "arousal", "valence_pred", "arousal_pred")
    values = [(0.1 * (i % 10), -0.5, 1 / (i + 3), 1e-17 * i) for i in range(2000)]
    write_csv(tmp_path / "p.csv", header, ((f"s{i % 3}", "c", i, 40_000 * i, *v) for i, v in enumerate(values)))
    tracemalloc.start()
    try:
        rows = read_csv(tmp_path / "p.csv")
        text = tracemalloc.get_traced_memory()[0]
        found = scored(rows)
        held = tracemalloc.get_traced_memory()[0] - text
    finally:
        tracemalloc.stop()
    assert held < text / 5
    assert found["subject"].tolist() == [f"s{i % 3}" for i in range(2000)]
    assert np.array_equal(np.stack([found[name] for name in header[4:]], 1), values)


def test_networks_on_one_encoding_and_encodings_of_one_network(found):
    assert [(c["a"], c["b"], c["family"]) for c in found[::2]] == [
        ("snn_a · tbr", "ann_a · tbr", "network"),
        ("ann_a · tbr", "ann_a · spikes", "encoding"),
    ]
    assert [c["metric"] for c in found] == ["ccc valence", "ccc arousal"] * 2


def test_the_worse_network_is_found_and_equals_are_not_told_apart(found):
    for row in found[:2]:
        assert row["ci95"][1] < 0
        assert row["difference"] < -0.3
        assert row["p_holm"] < 0.01
    for row in found[2:]:
        assert row["ci95"][0] < 0 < row["ci95"][1]
        assert row["p"] <= row["p_holm"]


def test_a_difference_is_the_mean_over_seeds():
    entries = [entry(model, "tbr", seed) for model in ("snn_a", "ann_a") for seed in (0, 1)]
    predictions = {e["hash"]: rows(noise, i) for i, (e, noise) in enumerate(zip(entries, (0.2, 2, 1, 1), strict=True))}
    alone = [compare([e for e in entries if e["seed"] == seed], predictions, seed=0) for seed in (0, 1)]
    for both, one, other in zip(compare(entries, predictions, seed=0), *alone, strict=True):
        assert both["difference"] == pytest.approx((one["difference"] + other["difference"]) / 2)
        axis = both["metric"].removeprefix("ccc ")
        a, b = ([predictions[e["hash"]][f"{axis}_pred"] for e in pair] for pair in (entries[:2], entries[2:]))
        y, subjects = (predictions[entries[0]["hash"]][name] for name in (axis, "subject"))
        assert both["ci95"] == [*statistics.jackknife_difference("ccc", y, a, b, subjects)]
        assert both["p"] == statistics.paired_permutation("ccc", y, a, b, subjects, seed=0)


def test_permutations_are_drawn_by_the_seed():
    entries = [entry(model, "tbr", 0, fold) for model in ("snn_a", "ann_a") for fold in (0, 1)]
    predictions = {e["hash"]: rows(1.0, i, e["fold"]) for i, e in enumerate(entries)}
    one, again, other = ([row["p"] for row in compare(entries, predictions, seed)] for seed in (0, 0, 1))
    assert one == again != other


def test_two_networks_of_one_kind_are_a_family_of_their_own():
    entries = [entry(m, "tbr") for m in ("ann_a", "snn_a", "ann_b", "snn_b")]
    noise = {"ann_a": 0.2, "snn_a": 0.2, "ann_b": 2.0, "snn_b": 0.2}
    predictions = {e["hash"]: rows(noise[e["model"]], seed) for seed, e in enumerate(entries)}
    found = compare(entries, predictions, seed=0)
    assert [(c["a"], c["b"], c["family"]) for c in found[::2]] == [
        ("snn_a · tbr", "ann_a · tbr", "network"),
        ("ann_a · tbr", "ann_b · tbr", "variant"),
        ("snn_b · tbr", "ann_a · tbr", "network"),
        ("snn_a · tbr", "ann_b · tbr", "network"),
        ("snn_a · tbr", "snn_b · tbr", "variant"),
        ("snn_b · tbr", "ann_b · tbr", "network"),
    ]
    variants = [c for c in found if c["family"] == "variant"]
    assert [c["p_holm"] for c in variants] == statistics.holm([c["p"] for c in variants])
    assert variants[0]["ci95"][0] > 0.3
    assert variants[2]["ci95"][0] < 0 < variants[2]["ci95"][1]


def test_a_study_that_is_not_finished_is_compared_on_what_both_have():
    entries, predictions = [], {}
    for model, done in [
        ("ann_a", [(0, 0), (0, 1), (1, 0)]),
        ("snn_a", [(0, 0), (0, 1)]),
        ("snn_b", [(1, 0)]),
        ("snn_c", [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ]:
        for seed, fold in done:
            one = entry(model, "tbr", seed, fold)
            entries.append(one)
            predictions[one["hash"]] = rows(0.2 if model == "ann_a" else 2.0, seed + 10 * len(predictions), fold)

    def pair(a, *runs):
        """The comparison of `a` with the ANN when these are all that was run."""
        kept = [e for e in entries if e["model"] in (a, "ann_a") and (e["seed"], e["fold"]) in runs]
        return compare(kept, predictions, seed=0)

    found = [c for c in compare(entries, predictions, seed=0) if c["family"] == "network"]
    both = (0, 0), (0, 1)
    for a, alone in (
        ("snn_a", pair("snn_a", *both)),
        ("snn_b", pair("snn_b", (1, 0))),
        ("snn_c", pair("snn_c", *both)),
    ):
        some = [c for c in found if c["a"] == f"{a} · tbr"]
        assert [{**row, "p_holm": None} for row in some] == [{**row, "p_holm": None} for row in alone]
    assert compare(entries[:1] + entries[5:6], predictions, seed=0) == []


def test_the_targets_labels_change_no_prediction():
    config = Path(__file__).parents[2] / "configs" / "tiny.yaml"
    cell = next(cells(parse(yaml.safe_load(config.read_text()))))
    rng = np.random.default_rng(0)
    emotions = ["anger", "fear", "happiness", "sadness"] * 3
    shown = [
        {"subject": f"s{i % 3}", "clip": f"c{i}", "emotion": e, "valence_pred": str(v), "arousal_pred": str(a)}
        for i, (e, (v, a)) in enumerate(zip(emotions, rng.normal(size=(12, 2)), strict=True))
    ]
    other = [row | {"emotion": e} for row, e in zip(shown, rng.permutation(emotions), strict=True)]
    a, b = zero_shot(cell, shown), zero_shot(cell, other)
    assert a["confusion"] != b["confusion"]
    assert np.sum(a["confusion"], axis=0).tolist() == np.sum(b["confusion"], axis=0).tolist()

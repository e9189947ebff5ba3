"""Is the stand-in learnable, graded and free of shortcuts? All numbers are about synthetic faces (`afew-va-like`).

The ladder, on held-out identities: predict the mean < ridge on pixels < CNN on one event window < CNN on several
windows < CNN on grey frames < landmarks + SVR < true action units + SVR. The leaks: a neutral frame of the person,
the background, the clip's length and the event rate must predict nothing (the interval of the CCC includes 0).
The bounds: an event window shows how a face changes, not how it stands. An SVR on the exact change of the action units
within the window, without noise, says how much of valence and arousal the change of a resting head's face can tell; where
that is no more than a ridge on pixels reaches, a window of events has no reason to stand above it.

    python benchmarks/faces_ladder.py --work runs/ladder                          everything: about an hour on two cores
    python benchmarks/faces_ladder.py --work runs/ladder --identities 40 --splits 1 --rungs mean ridge "event rate"

Every finished part is kept under --work and not done again, so the benchmark can be run in pieces. Needs scikit-learn.
"""

import argparse
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva import __version__, faces
from spikeva.datasets.mapping import map_clips
from spikeva.evaluation.metrics import regression
from spikeva.evaluation.statistics import jackknife_interval
from spikeva.progress import stage

Array = NDArray[Any]
CLIPS, WINDOWS, WINDOW_S, SIZE = 4, 8, 0.04, 64
LADDER = ("mean", "ridge", "1 window", f"{WINDOWS} windows", "grey CNN", "landmarks", "action units")
LEAKS = ("neutral frame", "background", "clip length", "event rate")
BOUNDS = ("change, 1 window", f"change, {WINDOWS} windows")
RUNGS = (*LADDER, *LEAKS, *BOUNDS)


def make_part(job: tuple[int, int], work: Path, nuisance: float, style: float) -> None:
    """Write WORK/iIII_cC.npz: what every rung sees of one clip, at each fourth label after the first windows."""
    from spikeva.simulate import DVSPixel, simulate

    identity, clip = job
    # Clips differ in length, drawn apart from what happens in them.
    seconds = float(np.random.default_rng([identity, clip, 61]).choice([1.28, 1.6, 1.92]))
    made = faces.make_clip("afew-va-like", identity, clip, size=SIZE, seconds=seconds, nuisance=nuisance, style=style)
    events = simulate(made.frames, made.times, DVSPixel.preset("clean"), seed=identity * 1000 + clip)
    labels = np.arange(WINDOWS, len(made.label_times), 4)
    counts = np.zeros((len(labels), WINDOWS, 2, SIZE, SIZE), np.uint8)
    for i, label in enumerate(labels):
        end = round(made.label_times[label] * 1e6)
        part = events.slice_time(end - round(WINDOWS * WINDOW_S * 1e6), end)
        window = ((part.t - (end - round(WINDOWS * WINDOW_S * 1e6))) // round(WINDOW_S * 1e6)).astype(np.int64)
        full = np.zeros(counts.shape[1:], np.int64)
        np.add.at(full, (window, 1 - part.p.astype(np.int64), part.y, part.x), 1)
        counts[i] = np.minimum(full, 255)
    frame_of = np.rint(made.label_times[labels] * made.fps).astype(int)
    grey = np.rint(made.frames[frame_of]).astype(np.uint8)
    neutral = neutral_frame(identity)
    units = made.action_units.reshape(len(made.action_units), -1)  # a label a window: WINDOW_S is their interval
    changes = np.stack([units[labels - k] - units[labels - k - 1] for k in range(WINDOWS)], 1)
    per_window = counts.sum((3, 4), dtype=np.int64)  # [S, windows, polarity]
    rate = np.concatenate(
        [
            per_window.sum(1),
            per_window[:, -1],
            np.full((len(labels), 1), len(events) / seconds),
        ],
        1,
    )
    temporary = work / f".i{identity:03d}_c{clip}.part.npz"
    np.savez_compressed(
        temporary,
        grey=grey,
        counts=counts,
        neutral=np.broadcast_to(neutral, (len(labels), *neutral.shape)),
        background=np.concatenate([grey[:, :20, :10], grey[:, :20, -10:]], 2),
        length=np.full((len(labels), 1), seconds),
        rate=rate,
        landmarks=made.landmarks[labels],
        units=units[labels],
        changes=changes,
        y=np.stack([made.valence[labels], made.arousal[labels]], 1),
        subject=np.full(len(labels), identity),
    )
    temporary.rename(part_path(work, job))


def part_path(work: Path, job: tuple[int, int]) -> Path:
    """Where one clip's part lies."""
    return work / f"i{job[0]:03d}_c{job[1]}.npz"


def neutral_frame(identity: int) -> Array:
    """[32, 32] the person with a resting face, from the front, in one light."""
    from spikeva.faces.sheet import portrait

    rig = faces.build_rig(faces.draw_identity("afew-va-like", identity))
    return portrait(rig, "neutral", 32).mean(2).astype(np.uint8)


def load(work: Path, identities: int) -> dict[str, Array]:
    """All parts of the first `identities` people, concatenated."""
    parts = [np.load(part_path(work, (i, c))) for i in range(identities) for c in range(CLIPS)]
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0].files}


def features(data: dict[str, Array], rung: str) -> Array:
    """[n, d] what a linear or kernel method gets on this rung."""
    if rung == "ridge":
        small = data["grey"].reshape(-1, 32, 2, 32, 2).mean((2, 4)).reshape(len(data["grey"]), -1)
        return np.asarray((small - small.mean(1, keepdims=True)) / small.std(1, keepdims=True))
    if rung == "landmarks":
        marks = data["landmarks"]
        eyes = marks[:, 42:48].mean(1) - marks[:, 36:42].mean(1)
        turn = np.stack([np.stack([eyes[:, 0], eyes[:, 1]], 1), np.stack([-eyes[:, 1], eyes[:, 0]], 1)], 1)
        turn /= (eyes**2).sum(1)[:, None, None]  # upright and one eye distance large
        centred = marks - marks[:, 27:36].mean(1, keepdims=True)
        return np.asarray(np.einsum("nij,nkj->nki", turn, centred).reshape(len(marks), -1))
    if rung in BOUNDS:
        steps = data["changes"][:, : 1 if rung == BOUNDS[0] else None]
        return np.asarray(steps.reshape(len(steps), -1))
    key = {"action units": "units", "neutral frame": "neutral", "background": "background", "clip length": "length"}
    flat = data[key.get(rung, "rate")].astype(np.float64)
    flat = flat.reshape(len(flat), -1)
    return np.log1p(flat) if rung == "event rate" else flat


def fit_predict(data: dict[str, Array], rung: str, train: Array, test: Array, seed: int, updates: int) -> Array:
    """[n_test, 2] predictions of one rung."""
    y = data["y"].astype(np.float64)
    if rung == "mean":
        return np.repeat(y[train].mean(0)[None], test.sum(), 0)
    if rung in ("1 window", f"{WINDOWS} windows", "grey CNN"):
        return cnn(data, rung, train, test, seed, updates)
    try:
        from sklearn.multioutput import MultiOutputRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVR
    except ImportError as error:
        raise SystemExit("this benchmark needs scikit-learn: pip install scikit-learn") from error
    x = features(data, rung)
    if rung in ("landmarks", "action units", *BOUNDS):
        model = make_pipeline(StandardScaler(), MultiOutputRegressor(SVR(C=1.0, epsilon=0.05)))
        return np.asarray(model.fit(x[train], y[train]).predict(x[test]))
    return ridge(x[train], y[train], data["subject"][train], x[test])


def ridge(x: Array, y: Array, subject: Array, new: Array) -> Array:
    """[m, 2] ridge predictions at `new`, the penalty chosen by the CCC over five folds of people (the metric all are
    judged by).
    """
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    out = np.empty((len(new), 2))
    models = [make_pipeline(StandardScaler(), Ridge(alpha)) for alpha in np.logspace(0, 6, 7)]
    tried = [cross_val_predict(m, x, y, groups=subject, cv=GroupKFold(5)) for m in models]
    for k in range(2):
        best = int(np.argmax([regression(y[:, k], p[:, k])["ccc"] or 0.0 for p in tried]))
        out[:, k] = models[best].fit(x, y[:, k]).predict(new)
    return out


def cnn(data: dict[str, Array], rung: str, train: Array, test: Array, seed: int, updates: int) -> Array:
    """[n_test, 2] predictions of a small CNN: three double convolutions (16, 32, 64 channels), MSE + (1 - CCC) / 2."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 71])

    def tensor(rows: Array) -> torch.Tensor:
        if rung == "grey CNN":
            x = torch.from_numpy(data["grey"][rows]).float()[:, None]
            return (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1)
        x = torch.from_numpy(data["counts"][rows][:, -1:] if rung == "1 window" else data["counts"][rows])
        return x.flatten(1, 2).float().clamp(max=6) * 1.5

    def block(a: int, b: int) -> list[nn.Module]:
        return [
            nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
            nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
        ]  # fmt: skip

    rows = np.flatnonzero(train)
    channels = tensor(rows[:1]).shape[1]
    head = [nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 8 * 8, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 2)]
    net = nn.Sequential(*block(channels, 16), *block(16, 32), *block(32, 64), *head)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=updates)
    target = torch.from_numpy(data["y"]).float()
    with stage(f"train {rung}", updates) as bar:
        for _ in range(updates):
            batch = rng.choice(rows, 64, replace=False)
            x, y = tensor(batch), target[batch]
            angle, zoom = torch.rand(64) * 0.4 - 0.2, 1 + torch.rand(64) * 0.3 - 0.15
            mirror = torch.where(torch.rand(64) < 0.5, -1.0, 1.0)
            shift = torch.rand(64, 2) * 0.2 - 0.1
            warp = torch.stack(
                [zoom * mirror * angle.cos(), -zoom * angle.sin(), shift[:, 0],
                 zoom * mirror * angle.sin(), zoom * angle.cos(), shift[:, 1]], 1,
            ).reshape(64, 2, 3)  # fmt: skip
            grid = F.affine_grid(warp, list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
            p = net(x)
            mean_p, mean_y = p.mean(0), y.mean(0)
            both = ((p - mean_p) * (y - mean_y)).mean(0)
            ccc = 2 * both / (p.var(0, False) + y.var(0, False) + (mean_p - mean_y) ** 2 + 1e-6)
            loss = ((p - y) ** 2).mean() + 0.5 * (1 - ccc).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.advance()
    net.eval()
    with torch.no_grad():
        return torch.cat([net(tensor(part)) for part in np.array_split(np.flatnonzero(test), 8)]).double().numpy()


def score(data: dict[str, Array], rung: str, split: int, updates: int) -> dict[str, Any]:
    """CCC and its interval over subjects of one rung on one split: 30 % of the identities are held out."""
    subjects = np.unique(data["subject"])
    held = np.random.default_rng([split, 81]).permutation(subjects)[: math.ceil(0.3 * len(subjects))]
    test = np.isin(data["subject"], held)
    p = fit_predict(data, rung, ~test, test, split, updates)
    y = data["y"][test].astype(np.float64)
    out: dict[str, Any] = {}
    for k, axis in enumerate(("valence", "arousal")):
        ccc = regression(y[:, k], p[:, k])["ccc"]
        constant = np.ptp(p[:, k]) < 1e-9
        ends = (0.0, 0.0) if constant else jackknife_interval("ccc", y[:, k], p[:, k], data["subject"][test])
        out[axis] = {"ccc": 0.0 if constant else float(ccc), "ci95": ends}
    return out


def row(results: list[dict[str, Any]], axis: str) -> tuple[float, float, float, float]:
    """Mean and spread of the CCC over splits, and the mean of the intervals' ends."""
    ccc = [r[axis]["ccc"] for r in results]
    low, high = np.mean([r[axis]["ci95"] for r in results], 0)
    return float(np.mean(ccc)), float(np.std(ccc, ddof=1)) if len(ccc) > 1 else math.nan, float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for clips and results; reused")
    parser.add_argument("--identities", type=int, nargs="+", default=[40, 120])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--updates", type=int, default=900, help="of each CNN")
    parser.add_argument("--rungs", nargs="+", default=RUNGS, choices=RUNGS)
    parser.add_argument("--nuisance", type=float, default=0.6)
    parser.add_argument("--style", type=float, default=0.7)
    parser.add_argument("--workers", type=int)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    jobs = [(i, c) for i in range(max(args.identities)) for c in range(CLIPS)]
    make = partial(make_part, work=args.work, nuisance=args.nuisance, style=args.style)
    map_clips(make, jobs, args.workers, name="clips", finished=lambda j: part_path(args.work, j).exists()).check(
        "clips"
    )
    for identities in args.identities:
        data = load(args.work, identities)
        table = {}
        for rung in args.rungs:
            results = []
            for split in range(args.splits):
                updates = args.updates if rung in LADDER[2:5] else 0
                kept = args.work / f"{identities}_{rung.replace(', ', '-').replace(' ', '-')}_{split}_{updates}.json"
                if not kept.exists():
                    kept.write_text(json.dumps(score(data, rung, split, args.updates)))
                results.append(json.loads(kept.read_text()))
            table[rung] = results
        print(
            f"\nspikeva {__version__}, SYNTHETIC faces, {identities} identities x {CLIPS} clips, {args.splits} splits, "
            f"CNNs with {args.updates} updates\n"
            "held-out CCC: mean over splits, spread, [mean 95 % interval over subjects]; valence, then arousal"
        )
        for rung, results in table.items():
            cells = (row(results, axis) for axis in ("valence", "arousal"))
            text = "   ".join(f"{m:6.3f} ± {s:.3f} [{low:6.3f}, {high:6.3f}]" for m, s, low, high in cells)
            print(f"  {'LEAK? ' if rung in LEAKS else 'BOUND ' if rung in BOUNDS else '':<6}{rung:<18}{text}")
        steps = [r for r in LADDER if r in table]
        for axis in ("valence", "arousal"):
            means = [row(table[r], axis)[0] for r in steps]
            pairs = zip(steps, steps[1:], means, means[1:], strict=False)
            wrong = [f"{b} <= {a}" for a, b, x, y in pairs if y <= x]
            print(f"  steps out of order, {axis}: {', '.join(wrong) or 'none'}")


if __name__ == "__main__":
    main()

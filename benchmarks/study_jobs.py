"""How long the cells of a study take one after the other, and several at once.

    python benchmarks/study_jobs.py [--config configs/quick.yaml] [--jobs 2] [--epochs 3]

The clips are made first, in a temporary folder, and do not count; starting the worker processes does.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

import spikeva
from spikeva.datasets.mapping import cores
from spikeva.study.attempts import attempts
from spikeva.study.cells import cells
from spikeva.study.config import Study, load
from spikeva.study.runner import prepare

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "quick.yaml")
    parser.add_argument("--jobs", type=int, nargs="+", default=[2])
    parser.add_argument("--epochs", type=int, default=3, help="instead of those of the study, for every cell")
    args = parser.parse_args()
    study = load(args.config)
    study = study.model_copy(update={"training": study.training.model_copy(update={"epochs": args.epochs})})
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"spikeva {spikeva.__version__}, torch {torch.__version__}, {cores()} cores, {device}; {args.config.name}")
    with tempfile.TemporaryDirectory() as folder:
        prepare(study, Path(folder))
        once = 0.0
        for jobs in [1, *args.jobs]:
            took = _seconds(study, Path(folder), jobs)
            once = once or took
            print(f"{jobs} at once: {took:.1f} s, {took / once:.2f} of the time of one after the other", flush=True)


def _seconds(study: Study, data: Path, jobs: int) -> float:
    out = data / f"jobs{jobs}"
    out.mkdir()
    (out / "data").symlink_to(data / "data")
    material = prepare(study, out)
    begun = time.perf_counter()
    for _, entry in attempts(list(cells(study)), material, out, jobs):
        assert entry is not None, "a cell failed"
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()

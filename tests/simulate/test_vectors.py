"""The engines against outputs of the real v2e."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikeva.simulate import DVSPixel
from spikeva.simulate.engines.compiled import CompiledEngine
from spikeva.simulate.engines.device import TorchEngine
from spikeva.simulate.engines.reference import ReferenceEngine
from spikeva.simulate.sensor import build_sensor
from spikeva.simulate.timing import microseconds

pytestmark = pytest.mark.vectors

SETS: dict[str, dict[str, Any]] = {
    "clean0": {},
    "asym": {"pos_thres": 0.15, "neg_thres": 0.27},
    "cutoff200": {"cutoff_hz": 200.0},
    "cutoff30": {"cutoff_hz": 30.0},
    "leak0p1": {"leak_rate_hz": 0.1},
    "leak5": {"leak_rate_hz": 5.0},
    "refr0p5ms": {"refractory_period_s": 0.0005},
    "refr3ms": {"refractory_period_s": 0.003},
    "mismatch": {"sigma_thres": 0.05},
    "combined": {"sigma_thres": 0.03, "cutoff_hz": 30.0, "leak_rate_hz": 2.0, "refractory_period_s": 0.004},
    "csdvs": {"cs_lambda_pixels": 3.0, "cs_tau_p_ms": 5.0},
    "scidvs": {"scidvs": True},
}
ENGINES: dict[str, Any] = {"reference": ReferenceEngine, "numba": CompiledEngine, "torch": TorchEngine}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("clip", ["blob_32x24", "flicker_32x24"])
@pytest.mark.parametrize("base", ["25fps", "1kfps"])
@pytest.mark.parametrize("name", SETS)
def test_events_are_v2es(shared: Path, clip: str, base: str, name: str, engine: str) -> None:
    key = f"{base}/{name}"
    with np.load(shared / "vectors" / "v2e" / f"{clip}.npz") as file:
        if f"{key}/t" not in file:
            pytest.skip("v2e diverges there")
        data = {k: file[k] for k in file.files if k in ("frames", f"times_{base}") or k.startswith(key)}
    maps = (data[f"{key}/pos_thres"], data[f"{key}/neg_thres"]) if f"{key}/pos_thres" in data else None
    sensor = build_sensor(DVSPixel(**SETS[name]), (32, 24), 0, "v2e", maps)
    if name == "scidvs":
        sensor = replace(sensor, decay_hz=np.float32(1) / data[f"{key}/scidvs_tau"])
    t, x, y, p = ENGINES[engine](sensor).advance(data["frames"], data[f"times_{base}"])
    ours = _sorted(t, x, y, p)
    theirs = _sorted(microseconds(data[f"{key}/t"]), data[f"{key}/x"], data[f"{key}/y"], data[f"{key}/p"] > 0)
    if name in ("csdvs", "scidvs"):  # they follow v2e's order of summation; only the counts are promised
        assert len(ours) == pytest.approx(len(theirs), rel=0.01)
        assert ours[:, 3].sum() == pytest.approx(theirs[:, 3].sum(), rel=0.01)
        return
    np.testing.assert_array_equal(ours[:, 1:], theirs[:, 1:])
    assert np.abs(ours[:, 0] - theirs[:, 0]).max() <= 1


def _sorted(*columns: Any) -> Any:
    """Rows (t, y, x, p) in that order."""
    t, x, y, p = (np.asarray(c).astype(np.int64) for c in columns)
    order = np.lexsort((p, x, y, t))
    return np.stack([t, y, x, p], axis=1)[order]

"""Small event clips with labels."""

from pathlib import Path

import numpy as np
import pytest

from spikeva.events import EventStream, write_clip


@pytest.fixture(scope="session")
def clip_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four clips of four people, 16 x 12 pixels, 400 ms, a label every 40 ms."""
    folder = tmp_path_factory.mktemp("clips")
    paths = []
    for i in range(4):
        rng = np.random.default_rng(i)
        n = 2000
        events = EventStream(
            t=np.sort(rng.integers(0, 400_000, n)),
            x=rng.integers(0, 16, n).astype(np.uint16),
            y=rng.integers(0, 12, n).astype(np.uint16),
            p=rng.integers(0, 2, n).astype(np.uint8),
            size=(16, 12),
        )
        times = np.arange(1, 11) * 40_000
        labels = {"t_us": times, "valence": np.sin(times / 1e5 + i), "arousal": np.cos(times / 1e5 + i)}
        path = folder / f"{i}.h5"
        write_clip(
            path,
            events,
            labels={k: v.astype(np.int64 if k == "t_us" else np.float32) for k, v in labels.items()},
            attributes={"subject": f"s{i}", "clip": f"c{i}", "domain": "test", "synthetic": 1},
        )
        paths.append(path)
    return paths

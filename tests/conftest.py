"""Fixtures shared by every test."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = os.environ.get("SPIKEVA_SHARED")


settings.register_profile("new", deadline=None)  # a busy machine fails no test
settings.register_profile("ci", deadline=None, derandomize=True)  # the same examples at each run
settings.load_profile("ci" if os.environ.get("CI") else "new")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # xdist workers are the parallelism
    os.environ.setdefault("NUMBA_NUM_THREADS", "2")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needed = {"recordings", "vectors"} & {m.name for m in item.iter_markers()}
        if needed and not (SHARED and all((Path(SHARED) / n).is_dir() for n in needed)):
            item.add_marker(
                pytest.mark.skip(reason=f"SPIKEVA_SHARED does not name a folder with {', '.join(sorted(needed))}/")
            )


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material that is not part of the repository."""
    if SHARED is None:
        pytest.skip("SPIKEVA_SHARED is not set")
    return Path(SHARED)


@pytest.fixture(scope="session")
def interpreter() -> None:
    """Triton's interpreter; a skip where there is none that works."""
    triton = pytest.importorskip("triton")
    if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
        pytest.skip("before 3.7 Triton's interpreter takes an array of one for a number, which NumPy no longer does")


@pytest.fixture(scope="session")
def device() -> str:
    """Where the tests compute that know of it; `test_cuda.py` runs them again on a GPU."""
    return "cpu"

"""The scripts of tests/data as modules."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from spikeva.datasets import WorkerPool


def _script(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "data" / name / "data.py"
    spec = importlib.util.spec_from_file_location(f"data_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def afew_va_data() -> ModuleType:
    return _script("afew_va")


@pytest.fixture(scope="session")
def nefer_data() -> ModuleType:
    return _script("nefer")


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkerPool]:
    """Two worker processes for the whole run: they take seconds to start."""
    with WorkerPool(2) as workers:
        yield workers

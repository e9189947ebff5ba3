"""What a number was computed with: versions, device, threads. Imports nothing heavy."""

import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spikeva
from spikeva._results import RESULTS_VERSION

if TYPE_CHECKING:
    from spikeva.study.config import Study

PACKAGES = (
    "torch", "numpy", "numba", "snntorch", "norse", "tonic", "lightning", "h5py", "hdf5plugin", "opencv-python-headless",
    "scipy", "matplotlib", "av", "nir", "distributed",
)  # fmt: skip
MAIN = Path(spikeva.__file__).with_name("__main__.py")  # what `python -m spikeva` calls itself


def package_version(name: str) -> str | None:
    """The installed version of a distribution, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def device(accelerator: str = "auto") -> str:
    """Where models train and predict under a study's `trainer.accelerator`: "cuda" or "cpu"."""
    import torch

    return "cuda" if accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available() else "cpu"


def devices_of(study: "Study") -> int:
    """How many devices share a training of the study. Raises UserError where this machine does not have them."""
    from spikeva.training.fitting import count_devices  # Lightning takes seconds to import

    return count_devices(study.trainer.model_dump())


def environment(accelerator: str = "auto") -> dict[str, Any]:
    """Versions of what is installed, the interpreter, the platform and the device that `accelerator` takes."""
    import torch

    called = Path(sys.argv[0])
    return {
        "command": shlex.join(["spikeva" if called == MAIN else called.name, *sys.argv[1:]]),
        "spikeva": spikeva.__version__,
        "results_version": RESULTS_VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device(accelerator) == "cuda" else "cpu",
        "packages": {name: v for name in PACKAGES if (v := package_version(name))},
    }

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


def device(accelerator: str = "auto", devices: int | str | list[int] = 1) -> str:
    """Where models train and predict under a study's `trainer`: "cpu" or "cuda", the GPU of the training before.

    Without one, the first of `devices`, as "cuda:1", where these are numbers of GPUs and this machine has it.
    """
    import torch

    if accelerator not in {"auto", "gpu", "cuda"} or not torch.cuda.is_available():
        return "cpu"
    if isinstance(devices, int):
        return "cuda"
    numbers = [int(number) for number in devices.split(",") if number] if isinstance(devices, str) else devices
    own = torch.cuda.current_device() in numbers or numbers[0] >= torch.cuda.device_count()
    return "cuda" if own else f"cuda:{numbers[0]}"


def devices_of(study: "Study") -> int:
    """How many devices share a training of the study. Raises UserError where this machine does not have them."""
    from spikeva.training.fitting import count_devices  # Lightning takes seconds to import

    return count_devices(study.trainer.model_dump())


def environment(accelerator: str = "auto", devices: int | str | list[int] = 1) -> dict[str, Any]:
    """Versions of what is installed, the interpreter, the platform and the device that a study's `trainer` takes."""
    import torch

    where = device(accelerator, devices)
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
        "device": "cpu" if where == "cpu" else torch.cuda.get_device_name(where),
        "packages": {name: v for name in PACKAGES if (v := package_version(name))},
    }

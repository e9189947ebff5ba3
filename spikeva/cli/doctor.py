"""``spikeva doctor``: what is installed, what is missing, and what to do about it."""

from argparse import ArgumentParser, Namespace
from importlib.util import find_spec

from spikeva.errors import UserError

SUMMARY = "Show what is installed, which devices and backends are found, and how to get what is missing."
EXAMPLES = """  spikeva doctor
"""

# distribution and module, what for, the extra that brings it
OPTIONAL = (
    ("norse", "the norse backend of spiking neurons", "norse"),
    ("tonic", "event augmentation", "tonic"),
    ("av", "video files, in and out", "video"),
    ("nir", "export of spiking models", "nir"),
    ("aedat", "reading AEDAT4 files", "aedat"),
    ("distributed", "prepare on a cluster", "cluster"),
)
REQUIRED = (
    "torch",
    "numpy",
    "numba",
    "snntorch",
    "lightning",
    "safetensors",
    "h5py",
    "hdf5plugin",
    "scipy",
    "opencv-python-headless",
    "pillow",
    "matplotlib",
    "Jinja2",
    "pydantic",
    "PyYAML",
    "rich",
)


def add_arguments(parser: ArgumentParser) -> None:
    pass


def run(args: Namespace) -> int:
    from spikeva.study.environment import environment, package_version

    found = environment()
    print(f"spikeva {found['spikeva']}, Python {found['python']} on {found['platform']}")
    print(f"device   {found['device']}, {found['cores']} cores, {found['threads']} threads\n")
    missing = []
    for name in REQUIRED:
        installed = package_version(name)
        print(f"  {'ok' if installed else 'MISSING':<8}{name:<24}{installed or 'pip install spikeva'}")
        missing += [] if installed else [name]
    print("\noptional")
    for name, purpose, extra in OPTIONAL:
        there = find_spec(name) is not None
        print(
            f"  {'ok' if there else '-':<8}{name:<24}{(package_version(name) or 'found') if there else 'not found'}: {purpose}"
        )
        if not there:
            print(f"  {'':<32}to get it: pip install 'spikeva[{extra}]'")
    there, text = _v2e()
    print(f"  {'ok' if there else '-':<8}{'v2e':<24}{text}")
    print("\nbackends of spiking neurons")
    for name, (usable, text) in _backends().items():
        print(f"  {'ok' if usable else '-':<8}{name:<24}{text}")
    return 1 if missing else 0


def _v2e() -> tuple[bool, str]:
    """Whether the original simulator is usable, not only there: it imports what it does not install."""
    from spikeva.simulate.engines.v2e import load

    try:
        load()
    except UserError as error:
        return False, str(error)
    return True, "engine='v2e', the original simulator; not needed, our own engines give the same events"


def _backends() -> dict[str, tuple[bool, str]]:
    import torch

    cuda = torch.cuda.is_available()
    triton = find_spec("triton") is not None
    return {
        "fused (CPU)": (find_spec("numba") is not None, "numba kernels"),
        "fused (CUDA)": (
            cuda and triton,
            "Triton kernels" if cuda and triton else "no CUDA device" if triton else "no Triton",
        ),
        "snntorch": (find_spec("snntorch") is not None, "the library's own neurons, step by step"),
        "norse": (find_spec("norse") is not None, "the library's own neurons, step by step"),
    }

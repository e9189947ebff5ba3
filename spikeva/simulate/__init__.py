"""Video to events: v2e's pixel model, event for event, and many times faster.

`simulate` turns a clip into an `EventStream`; `Simulator` takes frames as they come; `DVSPixel` holds the pixel's parameters.
"""

from spikeva._callable import make_callable
from spikeva.simulate.blocks import block_edge_excess, deblock
from spikeva.simulate.interpolate import METHODS, interpolate
from spikeva.simulate.pixel import PRESETS, DVSPixel
from spikeva.simulate.simulator import ENGINES, TIMINGS, Simulator, simulate

__all__ = [
    "ENGINES",
    "METHODS",
    "PRESETS",
    "TIMINGS",
    "DVSPixel",
    "Simulator",
    "block_edge_excess",
    "deblock",
    "interpolate",
    "simulate",
]

make_callable(__name__)

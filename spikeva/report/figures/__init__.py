"""Figures as functions: data in, matplotlib axes out, for the report, a notebook or a paper."""

from spikeva.report.figures.emotions import plane, sectors, trajectories
from spikeva.report.figures.pictures import compression, encodings, polarity, strip, tbr
from spikeva.report.figures.scores import confusion, cost, forest, subjects, sweep
from spikeva.report.figures.style import context
from spikeva.report.figures.time import layer_rates, raster, time_course

__all__ = [
    "compression", "confusion", "context", "cost", "encodings", "forest", "layer_rates", "plane", "polarity", "raster",
    "sectors", "strip", "subjects", "sweep", "tbr", "time_course", "trajectories",
]  # fmt: skip

"""A package that can be called as the function it is about: ``spikeva.simulate(...)``."""

import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    @property
    def _function(self) -> Any:
        return self.__dict__[self.__name__.rpartition(".")[2]]


def make_callable(module_name: str) -> None:
    """Let the package `module_name` be called as its function of the same name."""
    sys.modules[module_name].__class__ = _CallableModule


if TYPE_CHECKING:  # a module cannot be called, to type checkers
    from spikeva.encode import augment, base, parameter
    from spikeva.simulate import blocks, pixel, simulator
    from spikeva.simulate.interpolate import interpolate

    class Encode:
        """`spikeva.encode`."""

        __call__ = encode = staticmethod(base.encode)
        Augment = augment.Augment
        Encoding = base.Encoding
        Kind = base.Kind
        Parameter = parameter.Parameter
        channels = staticmethod(base.channels)
        create = staticmethod(base.create)
        list_encodings = staticmethod(base.list_encodings)
        model_input = staticmethod(base.model_input)
        parameters = staticmethod(base.parameters)
        register_encoding = staticmethod(base.register_encoding)
        span_us = staticmethod(base.span_us)
        spec = staticmethod(base.spec)

    class Simulate:
        """`spikeva.simulate`."""

        __call__ = simulate = staticmethod(simulator.simulate)
        ENGINES: tuple[str, ...]
        METHODS: tuple[str, ...]
        PRESETS: dict[str, pixel.DVSPixel]
        TIMINGS: tuple[str, ...]
        DVSPixel = pixel.DVSPixel
        Simulator = simulator.Simulator
        block_edge_excess = staticmethod(blocks.block_edge_excess)
        deblock = staticmethod(blocks.deblock)
        interpolate = staticmethod(interpolate)

"""A package that can be called as the function it is about: ``spikeva.simulate(...)``."""

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__[self.__name__.rpartition(".")[2]](*args, **kwargs)


def make_callable(module_name: str) -> None:
    """Let the package `module_name` be called as its function of the same name."""
    sys.modules[module_name].__class__ = _CallableModule

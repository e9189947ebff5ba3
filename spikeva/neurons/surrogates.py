"""Surrogate gradients: a Heaviside step forward, the derivative of a smoother function backward.

With `u` the membrane less its threshold, every surrogate returns H(u) = 1 where u > 0 (strictly), else 0, and passes
back the incoming gradient times `derivative(u)`. `k` is the slope.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from spikeva.errors import UserError
from spikeva.neurons import SURROGATES, register_surrogate


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, derivative: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(u)
        ctx.derivative = derivative
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grads[0] * ctx.derivative(u), None


@dataclass(frozen=True)
class Surrogate:
    """A callable u -> spikes; a subclass says its `derivative`. A frozen dataclass: equal by value, picklable."""

    slope: float = 1.0

    def __post_init__(self) -> None:
        number = isinstance(self.slope, Real) and not isinstance(self.slope, bool)
        if not (number and math.isfinite(self.slope) and self.slope > 0):
            raise UserError(f"slope of a surrogate must be a number > 0, got {self.slope!r}")

    def derivative(self, u: Tensor) -> Tensor:
        """dS/du, same shape and dtype as `u`."""
        raise NotImplementedError(f"{type(self).__name__} has no derivative")

    def __call__(self, u: Tensor) -> Tensor:
        return _Spike.apply(u, self.derivative)


@register_surrogate("fast_sigmoid")
@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """dS/du = 1 / (1 + k|u|)^2, peak 1. Zenke & Ganguli 2018 in snntorch's scaling and slope."""

    slope: float = 25.0

    def derivative(self, u: Tensor) -> Tensor:
        return 1 / (1 + self.slope * u.abs()) ** 2


@register_surrogate("superspike")
@dataclass(frozen=True)
class SuperSpike(FastSigmoid):
    """dS/du = 1 / (1 + k|u|)^2: fast_sigmoid under its first name, with the slope of its paper.

    Zenke & Ganguli 2018, section 3.3.2: slope 1 per mV where threshold and rest are 10 mV apart, so 10 per threshold.
    norse and spikingjelly give this name to two other scalings.
    """

    slope: float = 10.0


@register_surrogate("atan")
@dataclass(frozen=True)
class ATan(Surrogate):
    """dS/du = (k/2) / (1 + (pi k u / 2)^2), peak k/2. Fang et al. 2021; snntorch's and spikingjelly's formula."""

    slope: float = 2.0

    def derivative(self, u: Tensor) -> Tensor:
        return (self.slope / 2) / (1 + (math.pi / 2 * self.slope * u) ** 2)


@register_surrogate("sigmoid")
@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """dS/du = k sigma(ku) sigma(-ku) = (k/4) sech^2(ku/2), peak k/4. snntorch's and spikingjelly's formula."""

    slope: float = 4.0

    def derivative(self, u: Tensor) -> Tensor:
        s = torch.sigmoid(self.slope * u)
        return self.slope * s * (1 - s)


@register_surrogate("triangle")
@dataclass(frozen=True)
class Triangle(Surrogate):
    """dS/du = max(0, 1 - k|u|), peak 1, zero from |u| = 1/k on. Bellec et al. 2018 without their damping factor."""

    slope: float = 1.0

    def derivative(self, u: Tensor) -> Tensor:
        return (1 - self.slope * u.abs()).clamp_min(0)


@register_surrogate("straight_through")
@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """dS/du = k everywhere. Bengio et al. 2013 with k = 1."""

    def derivative(self, u: Tensor) -> Tensor:
        return torch.full_like(u, self.slope)


def make_surrogate(
    surrogate: str | Callable[[Tensor], Tensor], slope: float | None = None
) -> Callable[[Tensor], Tensor]:
    """The surrogate called `surrogate`, or `surrogate` itself where it is a callable u -> spikes.

    Raises UserError for an unknown name and for a slope beside a callable.
    """
    if not isinstance(surrogate, str):
        if slope is not None:
            raise UserError("slope belongs to a surrogate given by name; set it inside your callable")
        if not callable(surrogate):
            raise UserError(f"surrogate must be a name or a callable u -> spikes, got {surrogate!r}")
        return surrogate
    if surrogate not in SURROGATES:
        raise UserError(SURROGATES.unknown(surrogate))
    build = SURROGATES.get(surrogate)
    made: Callable[[Tensor], Tensor] = build() if slope is None else build(slope=slope)
    return made

"""What models ask of their arguments and inputs."""

from numbers import Integral

from torch import Tensor

from spikeva.errors import UserError

MOST_CHANNELS = 1 << 13


def positive(**values: int) -> None:
    """Nothing; raises UserError for a value that is not a whole number above 0."""
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise UserError(f"{name} must be a whole number above 0, not {value!r}")


def doubled(width: int, depth: int) -> list[int]:
    """Channels of `depth` layers from `width` on, each twice those before. Raises UserError above 2**13 (chosen here)."""
    if width << min(depth - 1, 64) > MOST_CHANNELS:
        raise UserError(
            f"each layer doubles the channels: depth={depth} from width={width} passes {MOST_CHANNELS}; take fewer layers or a smaller width"
        )
    return [width * 2**i for i in range(depth)]


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Nothing; raises UserError where `value` is not among `allowed`."""
    if value not in allowed:
        raise UserError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def check_input(x: Tensor) -> None:
    """Nothing; raises UserError where `x` is not floating `[B, T, C, H, W]` with at least one frame."""
    if x.ndim != 5 or x.shape[1] == 0:
        raise UserError(f"a model takes [B, T, C, H, W] with T >= 1, got a tensor {list(x.shape)}")
    if not x.is_floating_point():
        raise UserError(
            f"a model takes a floating tensor, got {x.dtype}; `spikeva.encode.model_input` makes one of events encoded"
        )

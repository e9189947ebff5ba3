"""Pretrained weights with torchvision's names: from a file, from torch's cache or from the net; colour to event channels."""

import urllib.error
from pathlib import Path

import torch
from torch import Tensor, nn

from spikeva.errors import UserError


def read_weights(source: str, keyword: str, url: str) -> dict[str, Tensor]:
    """The state_dict in the file `source`, or, where `source` is `keyword`, from torch's cache or `url`.

    Raises UserError that says where it looked.
    """
    if source != keyword:
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(
                f"pretrained: there is no file {path}; give a state_dict's path, or {keyword!r} to fetch {url}"
            )
        try:
            if path.suffix == ".safetensors":
                from safetensors.torch import load

                return load(path.read_bytes())  # the library's own reading takes no name that is not UTF-8
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # of many types, according to where the file stops making sense
            raise UserError(f"pretrained: {path} is not a file of weights ({type(error).__name__}: {error})") from error
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        raise UserError(
            f"pretrained={keyword!r}: the weights are not at {cached} and could not be fetched from {url} ({error}); "
            "put the file there, give its path as `pretrained`, or leave `pretrained` out"
        ) from error


def spread_channels(weight: Tensor | None, in_channels: int) -> Tensor:
    """A colour convolution's weight `[O, 3, ...]` as `[O, in_channels, ...]`: summed over colour, shared evenly."""
    if weight is None:
        raise UserError(
            "pretrained: the file has no weight of a first convolution; is it a state_dict of torchvision's?"
        )
    grey = weight.sum(1, keepdim=True) / in_channels
    return grey.repeat(1, in_channels, *(1,) * (weight.ndim - 2))


def load_exactly(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Nothing; loads `state`. Raises UserError where a name or a shape is not the network's."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"pretrained: {source} does not hold this network's weights: {error}") from error

"""The option --size: of a sensor, or of pictures."""

from argparse import ArgumentParser

from spikeva.errors import UserError


def add_size(parser: ArgumentParser, what: str) -> None:
    """The option; the help begins with `what` the size is of or does."""
    parser.add_argument("--size", metavar="WxH", help=f"{what}; one number: a square")


def read_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) in pixels that `--size` names; None without it. Raises UserError for another spelling."""
    from spikeva.simulate.frames import LARGEST

    if text is None:
        return None
    width, x, height = text.lower().partition("x")
    sides = (width, height if x else width)
    if not all(n.isdecimal() and 1 <= int(n) <= LARGEST for n in sides):
        raise UserError(f"--size takes WIDTHxHEIGHT, such as 224x224, each 1 to {LARGEST}, got {text!r}")
    return int(sides[0]), int(sides[1])

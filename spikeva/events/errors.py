"""The one error that readers and writers of event files raise."""

import os

from spikeva.errors import UserError


class EventFileError(UserError):
    """A file that cannot be read (or written) as events: which one, where, what was found, what to do.

    `offset` is the byte of the file the trouble starts at, or None where there is no such place.
    """

    def __init__(self, path: str | os.PathLike[str], found: str, remedy: str, offset: int | None = None) -> None:
        self.path, self.found, self.remedy, self.offset = os.fspath(path), found, remedy, offset
        place = "" if offset is None else f", byte {offset}"
        super().__init__(f"{self.path}{place}: {found}. {remedy}")

    def __reduce__(self) -> tuple[type["EventFileError"], tuple[str, str, str, int | None]]:
        return type(self), (self.path, self.found, self.remedy, self.offset)  # crosses process borders

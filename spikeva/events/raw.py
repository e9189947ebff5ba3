"""RAW: which of the EVT formats a file holds, and the size of its sensor, from its header."""

from typing import Any

import numpy as np

from spikeva.events.errors import EventFileError
from spikeva.events.evt2 import EVT2, EVT21, EVT21_LEGACY
from spikeva.events.evt3 import EVT3
from spikeva.events.prophesee import WordReader, Words

_EVT_KEY = {"2.0": "EVT2", "2.1": "EVT21", "3.0": "EVT3"}
_TYPES_21 = np.array([0x0, 0x1, 0x8, 0xA, 0xE, 0xF], np.uint32)
# Sensor generations by the plugin's name; only a hint for the user, since firmware may crop.
_PLUGINS = {"gen3": (640, 480), "gen4": (1280, 720), "imx636": (1280, 720), "genx320": (320, 320)}


class RawReader(WordReader):
    """Reads a RAW file in EVT2, EVT2.1 or EVT3."""

    def __init__(self, path: Any, size: tuple[int, int] | None, strict: bool) -> None:
        super().__init__(path, size, strict)
        header = self.header
        name, *pairs = header.get("format", "").split(";")
        options = dict(pair.partition("=")[::2] for pair in pairs)
        by_key = _EVT_KEY.get(header.get("evt", ""), "")
        if name and by_key and name != by_key:
            found = f"the header says both {name} and EVT {header['evt']}"
            raise EventFileError(path, found, "The header is damaged: correct it.")
        name = name or by_key
        if name not in _EVT_KEY.values():
            found = f"the header names no EVT format that is known ({name or header.get('evt') or 'none'})"
            raise EventFileError(
                path, found, "EVT2, EVT2.1 and EVT3 are read; is this a recording of a Prophesee sensor?"
            )
        self.format = name.lower()
        self.words = self._evt21(options.get("endianness")) if name == "EVT21" else {"EVT2": EVT2, "EVT3": EVT3}[name]
        self.size = self._decide_size(self._stated_size(options), self._hint())
        with open(path, "rb") as file:
            start = file.read(self.offset + 1)
        if len(start) == self.offset and not start.rstrip().endswith(b"% end"):
            raise EventFileError(path, "the file ends within the header", "Copy the file again.", self.offset)

    def _stated_size(self, options: dict[str, str]) -> tuple[int, int] | None:
        stated = set()
        geometry = self.header["geometry"].partition("x")[::2] if "geometry" in self.header else (None, None)
        for width, height in ((options.get("width"), options.get("height")), geometry):
            if width is None and height is None:
                continue
            if not (width and height and width.isdecimal() and height.isdecimal()):
                found = f"the header states a sensor of {width!r} x {height!r}"
                raise EventFileError(self.path, found, "The header is damaged: correct it.")
            stated.add((int(width), int(height)))
        if len(stated) > 1:
            found = f"the header states several sensor sizes ({sorted(stated)})"
            raise EventFileError(self.path, found, "The header is damaged: correct it.")
        return stated.pop() if stated else None

    def _hint(self) -> str:
        plugin = self.header.get("plugin_name", "")
        known = next((size for name, size in _PLUGINS.items() if name in plugin), None)
        return f" ({plugin} has {known[0]} x {known[1]})" if known else ""

    def _evt21(self, endianness: str | None) -> Words:
        """The order of an EVT2.1 word's halves: as stated, or else as the types of the first words have it."""
        if endianness in ("little", "legacy"):
            return EVT21 if endianness == "little" else EVT21_LEGACY
        if endianness is not None:
            raise EventFileError(self.path, f"endianness {endianness!r}", "Known are 'little' and 'legacy'.")
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            start = file.read(2**16)
        halves = np.frombuffer(start[: len(start) // 8 * 8], "<u4").reshape(-1, 2) >> 28
        legacy, little = (bool(np.isin(halves[:, i], _TYPES_21).all()) for i in (0, 1))
        if len(halves) and legacy == little:
            found = "the header does not say in which order the halves of a word stand, and the words do not tell"
            remedy = "Add `endianness=little` (GenX320) or `endianness=legacy` (IMX636) to the header's format line."
            raise EventFileError(self.path, found, remedy, self.offset)
        return EVT21 if little else EVT21_LEGACY

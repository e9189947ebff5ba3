"""Decodes an AEDAT4 file in a process of its own: on some damaged files the package ends the whole process.

Run as ``python -m spikeva.events._aedat4_child FILE``; writes pickles to standard output: ("streams", table), then
("packet", stream, kind, events or None) or ("bad", text) for each packet, at last ("end",), or ("fault", text) where
decoding ends. A file that ends inside a packet has no end of bad ones.
"""

import pickle
import sys
from typing import Any


def main(path: str) -> None:
    import aedat

    def say(*message: Any) -> None:
        pickle.dump(message, sys.stdout.buffer)

    try:
        decoder = aedat.Decoder(path)
        say("streams", decoder.id_to_stream())
        while True:
            try:
                packet = next(decoder, None)
            except Exception as error:
                say("bad", str(error))
                continue
            if packet is None:
                break
            kind = next(key for key in packet if key != "stream_id")
            say("packet", packet["stream_id"], kind, packet["events"] if kind == "events" else None)
        say("end")
    except BaseException as error:  # the package panics with what is no Exception
        say("fault", str(error))


if __name__ == "__main__":
    main(sys.argv[1])

"""Compiled: pixels whose luma lies between those of their next events.

Where nothing but the light moves a pixel (no filter, leak, noise, dead time or surround), it makes no event before its luma leaves
these bounds. Two comparisons tell that of most pixels of most frames, and logarithm and thresholds are for the others. The bounds
lie a little inside, so that what they let pass is sure; the events are those of the equations to the last bit.
"""

import numpy as np

from spikeva.simulate.engines.tiles import lean
from spikeva.simulate.luma import LUMA_STEPS

INSIDE = np.float32(1e-4)  # ln units, far above what float32 rounds and far below a threshold
# With events in more than one of MANY pixels bounds are not worth their upkeep, in less than one of FEW they are.
MANY, FEW = 16, 64


@lean
def bound(i, m, s, k):
    """Set the bounds of pixel `i`, each to the last of `luma_at` before the next event."""
    fine, last = np.float32(LUMA_STEPS), np.float32(len(k.luma_at) - 1)
    below = (s.base[i] - m.off_step[i] + INSIDE) * fine
    above = (s.base[i] + m.on_step[i] - INSIDE) * fine
    s.low[i] = k.luma_at[np.int32(min(max(below, np.float32(-1)), last - 1)) + 1]
    s.high[i] = k.luma_at[np.int32(min(max(above, np.float32(0)), last))]


@lean
def bound_all(m, s, k, events):
    """Set the bounds of a tile in whose last frame so many pixels had events; where these are not few, give them up."""
    if FEW * events > len(s.low):
        s.low[0] = np.inf
    else:
        for i in range(len(s.low)):
            bound(i, m, s, k)


@lean
def stirred(frame, s, flags):
    """How many pixels of the frame may have events, as `flags`; all of them where there are no bounds."""
    if s.low[0] == np.inf:
        return np.int32(len(frame))
    some = np.int32(0)
    for i in range(len(frame)):
        luma = np.float32(frame[i])
        flags[i] = (luma < s.low[i]) | (luma > s.high[i])
        some += np.int32(flags[i])
    return some

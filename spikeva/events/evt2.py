"""EVT 2.0 (32-bit words, one event each) and EVT 2.1 (64-bit words, up to 32 events each). Decoders, encoder of 2.0.

A word's upper four bits are its type. Time has 34 bits: 28 in a word of its own, 6 in each event; it starts again at 0
after 4.8 hours: an upper half that falls by at least half its range is such an overflow, any other fall a fault.
The upper 32 bits of an EVT 2.1 word are laid out as an EVT 2.0 word, the lower 32 say which of 32 columns fired.
Sources: docs.prophesee.ai, "EVT 2.0 Format", "EVT 2.1 Format".
"""

import numpy as np

from spikeva._compiled import njit
from spikeva.events.prophesee import (
    BACK,
    BLOCKED,
    C_NO_TIME,
    C_VENDOR,
    C_WORD,
    FAULT,
    FAULT_WORD,
    LAST,
    NO_TIME,
    TIME,
    TRIGGERS,
    Words,
    reason,
)

OFF, ON, TIME_HIGH, TRIGGER, OTHERS, CONTINUED = 0x0, 0x1, 0x8, 0xA, 0xE, 0xF
_HALF = 2**27  # half the range of the upper part of time


@njit(cache=True, nogil=True)
def _other(word, state, counts, triggers):
    """Take a 32-bit word that is no event; returns the fault it is, or -1."""
    kind = word >> 28
    if kind == TIME_HIGH:
        new, old = (word & 0xFFFFFFF) << 6, state[TIME] & 0x3FFFFFFC0
        if state[BLOCKED] & NO_TIME:
            state[BLOCKED] &= ~NO_TIME
            state[TIME] = new
        elif new != old:
            state[TIME] += new - old
            if old - new >= _HALF << 6:
                state[TIME] += np.int64(1) << 34
        return -1
    if kind == TRIGGER:
        if state[BLOCKED] & NO_TIME:
            return C_NO_TIME
        k = state[TRIGGERS]
        triggers[k, 0] = state[TIME] + ((word >> 22) & 0x3F)
        triggers[k, 1], triggers[k, 2] = (word >> 8) & 0x1F, word & 1
        state[TRIGGERS] = k + 1
        return -1
    if kind in (OTHERS, CONTINUED):
        counts[C_VENDOR] += 1
        return -1
    return C_WORD


@njit(cache=True, nogil=True)
def decode(words, state, counts, width, height, strict, t, x, y, p, triggers):
    """Number of events written; see `prophesee.Words`. state[TIME] is time without its lower 6 bits."""
    n, one = np.uint64(0), np.uint64(1)  # unsigned: an index that numba need not test for a count from the end
    high, last = state[TIME], state[LAST]
    timed = state[BLOCKED] == 0
    state[FAULT] = -1
    for i in range(len(words)):
        word = np.int64(words[i])
        fault = -1
        if word >> 28 <= ON:
            time, column, row = high + ((word >> 22) & 0x3F), (word >> 11) & 0x7FF, word & 0x7FF
            if timed and time >= last and column < width and row < height:
                t[n] = time
                x[n] = column
                y[n] = row
                p[n] = word >> 28
                n += one
                last = time
            else:
                fault = reason(state[BLOCKED] | (BACK if time < last else 0))
        else:
            fault = _other(word, state, counts, triggers)
            high, timed = state[TIME], state[BLOCKED] == 0
        if fault >= 0:
            counts[fault] += 1
            if state[FAULT] < 0:
                state[FAULT], state[FAULT_WORD] = fault, i
            if strict:
                break
    state[LAST] = last
    return n


@njit(cache=True, nogil=True)
def decode21(words, state, counts, width, height, strict, t, x, y, p, triggers):
    """As `decode`, for [N, 2] halves of EVT 2.1 words, the half with the type first."""
    n, last = 0, state[LAST]
    state[FAULT] = -1
    for i in range(len(words)):
        word, mask = np.int64(words[i, 0]), np.int64(words[i, 1])
        fault = -1
        if word >> 28 <= ON:
            time, column, row = state[TIME] + ((word >> 22) & 0x3F), (word >> 11) & 0x7FF, word & 0x7FF
            usable = state[BLOCKED] == 0 and time >= last and row < height
            while mask:
                if mask & 1:
                    if usable and column < width:
                        t[n] = time
                        x[n] = column
                        y[n] = row
                        p[n] = word >> 28
                        n += 1
                    else:
                        fault = reason(state[BLOCKED] | (BACK if time < last else 0))
                        counts[fault] += 1
                mask >>= 1
                column += 1
            if usable:
                last = time
        else:
            fault = _other(word, state, counts, triggers)
            if fault >= 0:
                counts[fault] += 1
        if fault >= 0:
            if state[FAULT] < 0:
                state[FAULT], state[FAULT_WORD] = fault, i
            if strict:
                break
    state[LAST] = last
    return n


@njit(cache=True, nogil=True)
def bound(words):
    """How many events the words announce."""
    n = 0
    for i in range(len(words)):  # over the words themselves numba's loop takes ten times as long
        n += (words[i] >> 28) <= ON
    return n


@njit(cache=True, nogil=True)
def bound21(words):
    """How many events the words announce."""
    n = 0
    for i in range(len(words)):
        if words[i, 0] >> 28 <= ON:
            bits = words[i, 1]
            while bits:
                bits &= bits - np.uint32(1)
                n += 1
    return n


@njit(cache=True, nogil=True)
def encode(t, x, y, p, start, state, words):
    """(events done, words written): encode from event `start` on until `words` is full. state[0] is time >> 6, or -1."""
    high, n, i = state[0], 0, start
    while i < len(t) and n < len(words) - 4:
        if high != t[i] >> 6:
            if t[i] >> 34 > max(high, 0) >> 28:  # one overflow a turn: up to the top, then to 0
                words[n], words[n + 1] = (TIME_HIGH << 28) | 0xFFFFFFF, TIME_HIGH << 28
                n += 2
                high = ((max(high, 0) >> 28) + 1) << 28
                continue
            high = t[i] >> 6
            words[n] = (TIME_HIGH << 28) | (high & 0xFFFFFFF)
            n += 1
        words[n] = (np.int64(p[i]) << 28) | ((t[i] & 0x3F) << 22) | (np.int64(x[i]) << 11) | np.int64(y[i])
        n += 1
        i += 1
    state[0] = high
    return i, n


EVT2 = Words(np.dtype("<u4"), NO_TIME, decode, bound)
EVT21_LEGACY = Words(np.dtype(("<u4", 2)), NO_TIME, decode21, bound21)  # IMX636: upper half first
EVT21 = Words(np.dtype(("<u4", 2)), NO_TIME, decode21, bound21, swap=True)  # GenX320: little-endian
ENCODER_START = np.array([-1])

"""EVT 3.0: 16-bit words that carry only what changed. Decoder and encoder.

A word's upper four bits are its type. Time has 24 bits in two words of 12, and starts again at 0 after 16.8 s: a time
that falls by at least half its range is taken as such an overflow, any other fall as a fault.
Source: docs.prophesee.ai, "EVT 3.0 Format".
"""

import numpy as np

from spikeva._compiled import njit
from spikeva.events.prophesee import (
    BACK,
    BLOCKED,
    C_NO_ROW,
    C_NO_TIME,
    C_VENDOR,
    C_WORD,
    FAULT,
    FAULT_WORD,
    LAST,
    NO_ROW,
    NO_TIME,
    OWN,
    ROW_OUTSIDE,
    TIME,
    TRIGGERS,
    Words,
    reason,
)

ADDR_Y, ADDR_X, BASE_X, VECT_12, VECT_8, TIME_LOW, CONTINUED_4 = 0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7
TIME_HIGH, TRIGGER, OTHERS, CONTINUED_12 = 0x8, 0xA, 0xE, 0xF
_HIGH, _ROW, _BASE, _POLARITY, _HAS_BASE = range(OWN, OWN + 5)  # _HIGH counts on over overflows


@njit(cache=True, nogil=True)
def decode(words, state, counts, width, height, strict, t, x, y, p, triggers):
    """Number of events written; see `prophesee.Words`."""
    n, one = np.uint64(0), np.uint64(1)  # unsigned: an index that numba need not test for a count from the end
    time, last, blocked = state[TIME], state[LAST], state[BLOCKED]
    high, row, base, polarity = state[_HIGH], state[_ROW], state[_BASE], state[_POLARITY]
    state[FAULT], has_base = -1, state[_HAS_BASE] == 1
    for i in range(len(words)):
        word = np.int64(words[i])
        kind = word >> 12
        fault = -1
        if kind == ADDR_X:
            if blocked == 0 and word & 0x7FF < width:
                t[n] = time
                x[n] = word & 0x7FF
                y[n] = row
                p[n] = (word >> 11) & 1
                n += one
                last = time
            else:
                fault = reason(blocked)
                counts[fault] += 1
        elif kind == ADDR_Y:
            row = word & 0x7FF
            blocked &= ~(NO_ROW | ROW_OUTSIDE)
            if row >= height:
                blocked |= ROW_OUTSIDE
        elif kind == TIME_LOW:
            time = (high << 12) | (word & 0xFFF)
            blocked = blocked & ~BACK if time >= last else blocked | BACK
        elif kind == TIME_HIGH:
            step = (word & 0xFFF) - (high & 0xFFF)
            if blocked & NO_TIME:
                blocked &= ~NO_TIME
                high = word & 0xFFF
                time = high << 12
            elif step != 0:  # the word is repeated many times between two changes; only a change resets the low half
                high += step if step > -2048 else step + 4096
                time = high << 12
                blocked = blocked & ~BACK if time >= last else blocked | BACK
        elif kind in (VECT_12, VECT_8):
            mask = word & 0xFFF if kind == VECT_12 else word & 0xFF
            usable = blocked == 0 and has_base
            column = base
            while mask:
                if mask & 1:
                    if usable and column < width:
                        t[n] = time
                        x[n] = column
                        y[n] = row
                        p[n] = polarity
                        n += one
                        last = time
                    else:
                        fault = reason(blocked) if blocked or has_base else C_NO_ROW
                        counts[fault] += 1
                mask >>= 1
                column += one
            base += 12 if kind == VECT_12 else 8
        elif kind == BASE_X:
            base, polarity = word & 0x7FF, (word >> 11) & 1
            has_base = True
        elif kind == TRIGGER:
            if blocked & NO_TIME:
                fault = C_NO_TIME
                counts[fault] += 1
            else:
                k = state[TRIGGERS]
                triggers[k, 0], triggers[k, 1], triggers[k, 2] = time, (word >> 8) & 0xF, word & 1
                state[TRIGGERS] = k + 1
        elif kind in (OTHERS, CONTINUED_4, CONTINUED_12):
            counts[C_VENDOR] += 1
        else:
            fault = C_WORD
            counts[fault] += 1
        if fault >= 0:
            if state[FAULT] < 0:
                state[FAULT], state[FAULT_WORD] = fault, i
            if strict:
                break
    state[TIME], state[LAST], state[BLOCKED], state[_HAS_BASE] = time, last, blocked, has_base
    state[_HIGH], state[_ROW], state[_BASE], state[_POLARITY] = high, row, base, polarity
    return n


@njit(cache=True, nogil=True)
def bound(words):
    """How many events the words can hold at most: a quick count that takes every vector for a full one."""
    n = np.int64(0)
    for i in range(len(words)):  # over the words themselves numba's loop takes ten times as long
        kind = words[i] >> 12
        n += np.int64(kind == ADDR_X) + 12 * np.int64(kind >> 1 == VECT_12 >> 1)
    return n


@njit(cache=True, nogil=True)
def encode(t, x, y, p, start, state, words):
    """(events done, words written): encode from event `start` on until `words` is full.

    `state`: time's upper half so far (-1: none), lower half, row, next column and polarity of the open vector. Three or
    more events of one time, row and polarity in rising columns within 12 go into one vector word.
    """
    high, low, row, base, polarity = state[0], state[1], state[2], state[3], state[4]
    n, i, room = 0, start, len(words) - 8
    while i < len(t) and n < room:
        if high != t[i] >> 12:
            # One word a turn: an overflow from the top to 0, and never up by half the range or more, which readers
            # take for a fall.
            high = (
                high + 1 if high >= 0 and high & 0xFFF == 0xFFF else min(t[i] >> 12, high + 0x7FF, (high + 1) | 0xFFF)
            )
            low = 0
            words[n] = (TIME_HIGH << 12) | (high & 0xFFF)
            n += 1
            continue
        if low != t[i] & 0xFFF:
            low = t[i] & 0xFFF
            words[n] = (TIME_LOW << 12) | low
            n += 1
        if row != y[i]:
            row = np.int64(y[i])
            words[n] = (ADDR_Y << 12) | row
            n += 1
        mask, j, first = np.int64(0), i, np.int64(x[i])
        if base <= first < base + 12 and polarity == p[i]:
            first = base
        while j < len(t) and t[j] == t[i] and y[j] == y[i] and p[j] == p[i] and (j == i or x[j] > x[j - 1]):
            if x[j] >= first + 12:
                break
            mask |= 1 << (np.int64(x[j]) - first)
            j += 1
        if j - i >= 3:
            if first != base or polarity != p[i]:
                polarity = np.int64(p[i])
                words[n] = (BASE_X << 12) | (polarity << 11) | first
                n += 1
            words[n] = (VECT_12 << 12) | mask
            base = first + 12
            i = j
        else:
            words[n] = (ADDR_X << 12) | (np.int64(p[i]) << 11) | np.int64(x[i])
            i += 1
        n += 1
    state[0], state[1], state[2], state[3], state[4] = high, low, row, base, polarity
    return i, n


EVT3 = Words(np.dtype("<u2"), NO_TIME | NO_ROW, decode, bound)
ENCODER_START = np.array([-1, 0, -1, -(2**20), -1])

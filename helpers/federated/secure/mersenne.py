"""Why the Mersenne Twister makes no mask: two of its numbers give its seed away.

MT19937 is what ``numpy.random.RandomState`` runs on. It is a fine generator for simulations and
was never meant to keep a secret: its numbers are linear in its state, and its state comes from a
32-bit seed by a recurrence that runs backwards as easily as forwards.
"""

from __future__ import annotations

import numpy as np

from helpers.errors import TaskError

# Matsumoto and Nishimura, *Mersenne twister*, ACM TOMACS, 1998; seeding as in their 2002 code.
_SIZE, _MIDDLE = 624, 397
_TWIST, _MULTIPLIER = 0x9908B0DF, 1812433253
_UNMULTIPLIER = pow(_MULTIPLIER, -1, 1 << 32)
_TOP, _REST, _WORD = 0x80000000, 0x7FFFFFFF, 0xFFFFFFFF
# A number and the one so much later differ by a term that holds two words of the seeded state.
DISTANCE = _SIZE - _MIDDLE
LAST_POSITION = _SIZE - DISTANCE - 2


def first_words(seeds: np.ndarray, count: int = 2) -> np.ndarray:
    """Return the first 32-bit numbers that MT19937 gives for each of many seeds.

    Parameters
    ----------
    seeds
        uint32 ``(n,)``.
    count
        Numbers a seed, from 1 to 227.

    Returns
    -------
    np.ndarray
        uint32 ``(count, n)``, equal to ``RandomState(seed).randint(0, 2**32, count, np.uint32)``.
        Only the part of the state that they depend on is computed.

    Raises
    ------
    TaskError
        If ``count`` is out of range.
    """
    if not 1 <= count <= DISTANCE:
        raise TaskError(f"count={count} must be from 1 to {DISTANCE}.")
    state = np.array(seeds, np.uint32)
    shifted = np.empty_like(state)
    kept = {0: state.copy()}
    for index in range(1, _MIDDLE + count):
        np.right_shift(state, 30, out=shifted)
        np.bitwise_xor(state, shifted, out=state)
        np.multiply(state, np.uint32(_MULTIPLIER), out=state)
        np.add(state, np.uint32(index), out=state)
        if index <= count or index >= _MIDDLE:
            kept[index] = state.copy()
    return np.stack([_number(kept, index) for index in range(count)])


def seeds_from_two(first: int, later: int, position: int = 0) -> list[int]:
    """Compute the seed from two numbers of a stream, without a search.

    Parameters
    ----------
    first
        The 32-bit number at ``position``.
    later
        The one at ``position + 227``.
    position
        From 0 to 395.

    Returns
    -------
    list of int
        The seeds, none or one as a rule, whose streams hold both numbers there.

    Raises
    ------
    TaskError
        If ``position`` is out of range.

    Notes
    -----
    With s for the seeded state and t for the next one, for i below 396

    t[i + 227] = t[i] ^ A(s[i + 227], s[i + 228]),

    where A mixes the top bit of the one with the rest of the other and can be undone. The numbers
    are t, tempered by shifts that can be undone as well. So both give all of s[i + 228] but one
    bit; running the seeding backwards from there gives s[0], the seed.
    """
    if not 0 <= position <= LAST_POSITION:
        raise TaskError(f"position={position} must be from 0 to {LAST_POSITION}.")
    mixed = _untempered(first) ^ _untempered(later)
    odd = mixed >> 31
    both = ((mixed ^ (_TWIST if odd else 0)) << 1 & _WORD) | odd
    found = []
    for top in (0, _TOP):
        word = both & _REST | top
        for index in range(position + DISTANCE + 1, 0, -1):
            word = (word - index) * _UNMULTIPLIER & _WORD
            word ^= word >> 30
            if index == position + DISTANCE + 1 and (word ^ both) & _TOP:
                break
        else:
            stream = _stream(word, position + DISTANCE + 1)
            if int(stream[position]) == first and int(stream[-1]) == later:
                found.append(word)
    return found


def _stream(seed: int, count: int) -> np.ndarray:
    # The library's own generator says whether a seed is right.
    return np.random.RandomState(seed).randint(0, 1 << 32, count, np.uint32)


def _number(state: dict[int, np.ndarray], index: int) -> np.ndarray:
    both = state[index] & np.uint32(_TOP) | state[index + 1] & np.uint32(_REST)
    word = state[index + _MIDDLE] ^ both >> np.uint32(1)
    word ^= (both & np.uint32(1)) * np.uint32(_TWIST)
    word ^= word >> np.uint32(11)
    word ^= word << np.uint32(7) & np.uint32(0x9D2C5680)
    word ^= word << np.uint32(15) & np.uint32(0xEFC60000)
    word ^= word >> np.uint32(18)
    return word


def _untempered(number: int) -> int:
    word = number ^ number >> 18
    word ^= word << 15 & 0xEFC60000
    undone = word
    for _ in range(4):  # each pass sets seven bits more right
        undone = word ^ (undone << 7 & 0x9D2C5680)
    word = undone
    for _ in range(2):  # and here eleven
        undone = word ^ undone >> 11
    return undone & _WORD

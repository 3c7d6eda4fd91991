"""Masks that cancel, a hospital that drops out, and how many masks there are: q5 to q7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, equal, or_explain
from helpers.course.tasks import Case, FunctionTask
from helpers.federated.secure.audit import key_bits

# --- q5: masks that cancel


def _signs(client: int, num_clients: int) -> np.ndarray:
    """1 for hospitals after this one, -1 for those before it, 0 for itself."""
    return np.sign(np.arange(num_clients) - client)


def _mask_reference(words: Any, client: int, streams: Any, modulus_bits: int) -> np.ndarray:
    total = words + (_signs(client, len(streams))[:, None] * streams).sum(axis=0)
    return np.asarray(total % (1 << modulus_bits))


def pair_streams(rng: np.random.Generator, num_clients: int, size: int, bits: int) -> np.ndarray:
    """Draw one stream for each pair, int64 ``(n, n, d)``, the same for both; nobody's own."""
    streams = np.zeros((num_clients, num_clients, size), np.int64)
    for one in range(num_clients):
        for other in range(one):
            streams[one, other] = streams[other, one] = rng.integers(0, 1 << bits, size)
    return streams


def _mask_cases(rng: np.random.Generator) -> list[Case]:
    streams = pair_streams(rng, 4, 5, 24)
    words = rng.integers(0, 1 << 16, (4, 5))
    cases = [
        Case((words[client], client, streams[client], 24), why)
        for client, why in (
            (1, "hospital 1 of four: one before it, two after it"),
            (0, "hospital 0: all others come after it"),
            (3, "hospital 3: all others come before it"),
            (2, "hospital 2"),
        )
    ]
    return [*cases, Case((words[1], 1, streams[1] % (1 << 20), 20), "a smaller modulus")]


_MASK_SLIPS: Slips = {
    "the modulus is missing: bring every number back between 0 and 2**modulus_bits - 1": (
        lambda w, c, s, b: w + (_signs(c, len(s))[:, None] * s).sum(axis=0)
    ),
    "every stream was added: nothing cancels. Subtract those of hospitals before this one": (
        lambda w, c, s, b: (w + s.sum(axis=0)) % (1 << b)
    ),
    "the signs are exchanged: add for hospitals after this one, subtract for those before it": (
        lambda w, c, s, b: (w - (_signs(c, len(s))[:, None] * s).sum(axis=0)) % (1 << b)
    ),
    "this is the mask alone; add the words": lambda w, c, s, b: _mask_reference(0 * w, c, s, b),
    "nothing is masked": lambda w, c, s, b: w,
    "the modulus is 2**modulus_bits - 1 here; a word goes up to that, so the modulus is one more": (
        lambda w, c, s, b: (w + (_signs(c, len(s))[:, None] * s).sum(axis=0)) % ((1 << b) - 1)
    ),
    "the modulus is 2**modulus_bits, not modulus_bits": lambda w, c, s, b: (
        (w + (_signs(c, len(s))[:, None] * s).sum(axis=0)) % b
    ),
}


# --- q6: a hospital drops out


def _unmask_reference(masked: Any, dropped: Any, streams: Any, modulus_bits: int) -> np.ndarray:
    return _unmasked(masked, dropped, streams, modulus_bits)


def _unmasked(
    masked: Any, dropped: Any, streams: Any, modulus_bits: int, *, sign: int = 1, wrap: bool = True
) -> np.ndarray:
    here = [client for client in range(len(masked)) if client not in dropped]
    total = masked[here].sum(axis=0)
    for client in here:
        for gone in dropped:
            total = total - sign * np.sign(gone - client) * streams[client, gone]
    return np.asarray(total % (1 << modulus_bits) if wrap else total)


def _unmask_case(rng: np.random.Generator, dropped: list[int], why: str) -> Case:
    streams = pair_streams(rng, 5, 4, 24)
    words = rng.integers(0, 1 << 16, (5, 4))
    masked = np.stack([_mask_reference(words[c], c, streams[c], 24) for c in range(5)])
    masked[dropped] = 0
    # The server gets to know streams with the dropped hospitals, and no others.
    gone = np.isin(np.arange(5), dropped)
    known = np.where((gone[:, None] ^ gone[None])[..., None], streams, 0)
    return Case((masked, dropped, known, 24), why)


def _unmask_cases(rng: np.random.Generator) -> list[Case]:
    return [
        _unmask_case(rng, [2], "hospital 2 of five is gone"),
        _unmask_case(rng, [0, 3], "two are gone"),
        _unmask_case(rng, [4], "the last one is gone"),
        _unmask_case(rng, [], "nobody is gone: the masks cancel by themselves"),
    ]


_UNMASK_SLIPS: Slips = {
    "the streams of those who are gone still lie on the sum: take them off": lambda m, d, s, b: (
        m.sum(axis=0) % (1 << b)
    ),
    "the sign is the wrong way round: what a hospital added, subtract": lambda m, d, s, b: (
        _unmasked(m, d, s, b, sign=-1)
    ),
    "only the first of those who are gone was taken off": lambda m, d, s, b: _unmasked(
        m, d[:1], s, b
    ),
    "the modulus is missing": lambda m, d, s, b: _unmasked(m, d, s, b, wrap=False),
    "all streams were subtracted; hospitals before the dropped one added theirs, those after it "
    "subtracted it": lambda m, d, s, b: (m.sum(axis=0) - s[:, d].sum(axis=(0, 1))) % (1 << b),
    "this is the mean; return the sum": lambda m, d, s, b: (
        _unmasked(m, d, s, b) / (len(m) - len(d))
    ),
}


# --- q7: how many masks there are


def _bits_reference(marks: Any) -> float:
    return key_bits(np.asarray(marks)).bits


def _bits_cases(rng: np.random.Generator) -> list[Case]:
    many = rng.permutation(100_000)[:3000]
    many[:40] = many[40:80]
    many[100:103] = many[103]  # four alike: six pairs
    return [
        Case((rng.permutation(many),), "3,000 marks, some of which meet"),
        Case((rng.integers(0, 1 << 14, 2000),), "14 bits"),
        Case((rng.permutation(np.r_[0, np.arange(800)]),), "one pair meets"),
        Case(
            (rng.integers(0, 1 << 62, 20_000),),
            "none meet: count three pairs, the most that may hide",
        ),
    ]


def _pairs(marks: Any) -> tuple[float, float, float]:
    """Return pairs in all, pairs that meet, and marks that were there before."""
    counts = np.unique(marks, return_counts=True)[1]
    n = len(marks)
    return n * (n - 1) / 2, float((counts * (counts - 1) / 2).sum()), float(n - len(counts))


_BITS_SLIPS: Slips = {
    "none meet here: count three, as the text says": lambda m: (
        math.log2(_pairs(m)[0] / _pairs(m)[1]) if _pairs(m)[1] else math.inf
    ),
    "three stands in place of none; one pair is one pair": lambda m: math.log2(
        _pairs(m)[0] / max(_pairs(m)[1], 3)
    ),
    "none meet here: count three, not one": lambda m: math.log2(_pairs(m)[0] / (_pairs(m)[1] or 1)),
    "a mark that comes four times makes six pairs; these are repeats": lambda m: math.log2(
        _pairs(m)[0] / (_pairs(m)[2] or 3)
    ),
    "one bit too many: n(n - 1)/2 pairs, each counted once": lambda m: math.log2(
        2 * _pairs(m)[0] / (_pairs(m)[1] or 3)
    ),
    "bits are logarithms to the base 2": lambda m: math.log(_pairs(m)[0] / (_pairs(m)[1] or 3)),
    "this is the number of masks; bits are its logarithm to the base 2": lambda m: (
        _pairs(m)[0] / (_pairs(m)[1] or 3)
    ),
    "this counts the pairs that meet; divide all pairs by them": lambda m: _pairs(m)[1],
    "upside down: all pairs over those that meet": lambda m: math.log2(
        (_pairs(m)[1] or 3) / _pairs(m)[0]
    ),
}


PAIRWISE = FunctionTask(
    "q5", "Masks that cancel", 1, _mask_reference, _mask_cases, or_explain(equal(), _MASK_SLIPS),
    "A loop over the rows of streams: add those with a larger number than client, subtract those "
    "with a smaller one; at the end % 2**modulus_bits.",
)  # fmt: skip
DROPOUT = FunctionTask(
    "q6", "A hospital drops out", 2, _unmask_reference, _unmask_cases,
    or_explain(equal(), _UNMASK_SLIPS),
    "Start from the sum of the rows. For each hospital that is here and each that is gone: if the "
    "first added streams[here, gone], subtract it, and the other way round.",
)  # fmt: skip
BIRTHDAY = FunctionTask(
    "q7", "How many masks there are", 1, _bits_reference, _bits_cases,
    or_explain(close(rtol=1e-4, atol=1e-4), _BITS_SLIPS),
    "np.unique(marks, return_counts=True) counts each mark; c equal marks make c(c - 1)/2 pairs.",
)  # fmt: skip

"""Audit of a real library: what of a 256-bit key reaches the mask in Flower's SecAgg+.

Read in Flower 1.23.0, and checked here on its own functions whenever the audit is run:

* ``flwr/common/secure_aggregation/secaggplus_utils.py``, ``pseudo_rand_gen``: the key is folded by
  XOR to 32 bits and seeds ``numpy.random.RandomState``, an MT19937.
* ``.../crypto/symmetric_encryption.py``, ``generate_shared_key``: the pairwise key is 32 bytes
  *in base64*, and text never has the top bit of a byte set. Of the 32 bits, 28 can vary.
* ``flwr/client/mod/secure_aggregation/secaggplus_mod.py``, ``_unmask``: a client answers for the
  active and for the dead, and does not look whether somebody is in both lists.

Importing Flower takes TensorFlow along where it is installed, ten seconds for nothing;
:func:`flower` hides it for the moment of the import.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from tqdm import tqdm

from helpers.errors import TaskError
from helpers.federated.secure import keys, mersenne
from helpers.federated.validation import require_whole

BASE64_SEED_BITS = 28
_CHUNK = 1 << 16


@cache
def flower() -> SimpleNamespace:
    """Import Flower's own functions of secure aggregation, without TensorFlow.

    Returns
    -------
    types.SimpleNamespace
        ``pseudo_rand_gen``, ``generate_shared_key``, ``create_shares``, ``combine_shares``,
        ``quantize``, ``dequantize``, ``encrypt``, ``decrypt``, ``generate_key_pairs``, and the
        modules ``utils`` and ``mod`` (the client's side of SecAgg+) and ``asymmetric``.

    Raises
    ------
    TaskError
        If Flower is not installed.
    """
    hidden = [name for name in ("tensorflow", "torch") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        from flwr.client.mod.secure_aggregation import secaggplus_mod as function
        from flwr.common.secure_aggregation import quantization, secaggplus_utils
        from flwr.common.secure_aggregation.crypto import shamir, symmetric_encryption
        from flwr.supercore.primitives import asymmetric
    except ImportError as error:
        raise TaskError(f"Flower is not installed or is another version: {error}") from error
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
    return SimpleNamespace(
        pseudo_rand_gen=secaggplus_utils.pseudo_rand_gen,
        generate_shared_key=symmetric_encryption.generate_shared_key,
        encrypt=symmetric_encryption.encrypt,
        decrypt=symmetric_encryption.decrypt,
        create_shares=shamir.create_shares,
        combine_shares=shamir.combine_shares,
        quantize=quantization.quantize,
        dequantize=quantization.dequantize,
        generate_key_pairs=asymmetric.generate_key_pairs,
        utils=secaggplus_utils,
        mod=sys.modules[function.__module__],
        asymmetric=asymmetric,
    )


def flower_seeds(many: Iterable[bytes]) -> np.ndarray:
    """Return the seed that ``pseudo_rand_gen`` makes of each key, uint32 ``(n,)``.

    The function runs as it is, with a recorder in the place of ``RandomState``: creating half a
    million real generators would take minutes and show nothing more.

    Raises
    ------
    TaskError
        If Flower is not installed, or is another version.
    """
    recorded: list[int] = []

    class Recorder:
        def __init__(self, seed: int) -> None:
            recorded.append(seed)

        def randint(self, low: int, high: int, shape: Any, dtype: Any) -> np.ndarray:
            return np.zeros(shape, dtype)

    utils = flower().utils
    real = utils.np
    random = SimpleNamespace(RandomState=Recorder)
    utils.np = SimpleNamespace(random=random, int64=np.int64)
    try:
        for key in many:
            utils.pseudo_rand_gen(key, 1 << 32, [(1,)])
    finally:
        utils.np = real
    return np.array(recorded, np.uint32)


def our_fingerprints(many: Iterable[bytes]) -> np.ndarray:
    """Return the first 8 bytes of the mask that our expansion makes of each key, uint64 ``(n,)``.

    Eight bytes of a mask with n different keys meet by chance once in 2^65 / n^2 tries.
    """
    return np.array([keys.expand(key, 1, 64)[0] for key in many], np.uint64)


@dataclass(frozen=True)
class KeyBits:
    """How many bits of the key a mask depends on, by the birthday test.

    Attributes
    ----------
    num_keys
        Different keys that were expanded.
    collisions
        Pairs of them with the same mask.
    bits
        Estimate of log2 of the number of masks: log2(pairs / collisions). Without a collision it
        is what 95 % of such tests would still have seen: the truth lies above.
    is_lower_bound
        Whether there was none.
    varying_bits
        Bits of the fingerprint that were not the same for all keys.
    """

    num_keys: int
    collisions: int
    bits: float
    is_lower_bound: bool
    varying_bits: int


def key_bits(fingerprints: np.ndarray) -> KeyBits:
    """Estimate from fingerprints of masks, one a key, how many masks there are.

    Parameters
    ----------
    fingerprints
        Unsigned ``(n,)`` of different random keys, such as :func:`flower_seeds` or
        :func:`our_fingerprints` return.

    Returns
    -------
    KeyBits

    Raises
    ------
    TaskError
        If there are fewer than two.
    """
    marks = np.asarray(fingerprints)
    require_whole("number of fingerprints", len(marks), at_least=2)
    _, counts = np.unique(marks, return_counts=True)
    collisions = int((counts * (counts - 1) // 2).sum())
    pairs = len(marks) * (len(marks) - 1) / 2
    varying = int(np.bitwise_or.reduce(marks ^ marks[0]))
    # With 3 collisions expected, none is seen in 5 % of the tests.
    bits = math.log2(pairs / (collisions or 3))
    return KeyBits(len(marks), collisions, bits, not collisions, varying.bit_count())


def base64_seeds(start: int, stop: int) -> np.ndarray:
    """Return seeds that folded base64 can take, uint32: the top bit of every byte is zero.

    ``start`` and ``stop`` count them, from 0 to 2^28.
    """
    index = np.arange(start, stop, dtype=np.uint32)
    seeds = np.zeros_like(index)
    for byte in range(4):
        seeds |= (index >> np.uint32(7 * byte) & np.uint32(0x7F)) << np.uint32(8 * byte)
    return seeds


@dataclass(frozen=True)
class Search:
    """What a search for the seed of a mask found.

    Attributes
    ----------
    seed
        The seed, or None.
    tried
        Seeds tried.
    seconds
        CPU seconds it took.
    """

    seed: int | None
    tried: int
    seconds: float

    @property
    def rate(self) -> float:
        """Seeds a CPU second."""
        return self.tried / self.seconds

    def cpu_hours(self, bits: float) -> float:
        """Extrapolate the CPU hours that all of 2^bits seeds take at this rate."""
        return 2.0**bits / self.rate / 3600


def search_seed(
    residue: np.ndarray,
    largest: int,
    *,
    added: bool,
    start: int = 0,
    stop: int = 1 << BASE64_SEED_BITS,
    seeds: Callable[[int, int], np.ndarray] = base64_seeds,
    progress: bool = False,
) -> Search:
    """Find the seed of the one MT19937 mask in a vector by trying seeds; nothing of it is known.

    Quantised values fill a small part of the modulus, so a false mask leaves values that cannot
    be: with 22 of 32 bits, one coordinate rejects all but one in 1,024 seeds.

    Parameters
    ----------
    residue
        A quantised vector with one mask on it, whole numbers modulo 2^32, ``(d,)``, d at least 6.
    largest
        Largest quantised value.
    added
        Whether the mask was added, or subtracted.
    start, stop
        Which of the seeds are tried.
    seeds
        Maps such a range to seeds; the default takes those of folded base64.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Search

    Raises
    ------
    TaskError
        If the vector is too short to tell a true seed from a false one.
    """
    words = np.asarray(residue[:64]).astype(np.uint32)
    if len(words) * (32 - math.log2(largest + 1)) < 48:
        raise TaskError(f"{len(words)} coordinates up to {largest} cannot tell one seed by.")
    began, tried, found = time.process_time(), 0, None
    with tqdm(total=stop - start, desc="seeds", disable=not progress, unit_scale=True) as bar:
        for at in range(start, stop, _CHUNK):
            some = seeds(at, min(at + _CHUNK, stop))
            left = some[_possible(words[:2, None], mersenne.first_words(some), largest, added)]
            tried += len(some)
            bar.update(len(some))
            for seed in left.tolist():
                if _possible(words, _flower_mask(seed, len(words)), largest, added):
                    found = int(seed)
            if found is not None:
                break
    return Search(found, tried, time.process_time() - began)


def seed_from_known_values(
    residue: np.ndarray, known: np.ndarray, largest: int, *, added: bool
) -> int | None:
    """Compute the seed of the one MT19937 mask in a vector from two values that one knows.

    Parameters
    ----------
    residue
        As for :func:`search_seed`.
    known
        Quantised values before rounding, such as a weight that training does not touch, float64
        ``(d,)``; NaN where nothing is known. Two known ones 227 apart among the first 623 are
        enough; each may have been rounded up or down.
    largest, added
        As for :func:`search_seed`.

    Returns
    -------
    int or None
        The seed; None where no two known values fit one.
    """
    words = np.asarray(residue).astype(np.uint32)
    distance = mersenne.DISTANCE
    reach = min(mersenne.LAST_POSITION + 1, len(words) - distance)
    for at in range(max(reach, 0)):
        pair = known[[at, at + distance]]
        if not np.isfinite(pair).all():
            continue
        for one in {math.floor(pair[0]), math.ceil(pair[0])}:
            for two in {math.floor(pair[1]), math.ceil(pair[1])}:
                masks = [
                    _mask_under(int(words[place]), value, added)
                    for place, value in ((at, one), (at + distance, two))
                ]
                for seed in mersenne.seeds_from_two(masks[0], masks[1], at):
                    if _possible(words[:64], _flower_mask(seed, 64)[: len(words)], largest, added):
                        return seed
    return None


def _mask_under(word: int, value: int, added: bool) -> int:
    return (word - value if added else value - word) & 0xFFFFFFFF


def _flower_mask(seed: int, count: int) -> np.ndarray:
    # pseudo_rand_gen folds four bytes to themselves: this is the mask of any key with that fold.
    raw = int(seed).to_bytes(4, "little")
    mask: np.ndarray = flower().pseudo_rand_gen(raw, 1 << 32, [(count,)])[0]
    return mask.astype(np.uint32)


def _possible(words: np.ndarray, masks: np.ndarray, largest: int, added: bool) -> np.ndarray:
    """Say whether the values under the masks are all in range, for each column of masks."""
    values = words - masks if added else words + masks
    result: np.ndarray = (values <= np.uint32(largest)).all(axis=0)
    return result


def random_keys(count: int, *, base64: bool, seed: int | None = None) -> list[bytes]:
    """Make keys as HKDF would, for the birthday test: 32 uniform bytes, in base64 or not.

    ``base64=True`` is the form of Flower's pairwise keys, ``False`` that of its self-mask seeds
    and of all of ours. ``seed=None`` takes them from the operating system.
    """
    from base64 import urlsafe_b64encode

    draw = os.urandom if seed is None else keys.teaching_bytes(seed)
    raw = draw(32 * count)
    parts: Sequence[bytes] = [raw[32 * at : 32 * at + 32] for at in range(count)]
    return [urlsafe_b64encode(part) for part in parts] if base64 else list(parts)

"""From real vectors to whole numbers modulo 2^b and back: masks cancel exactly in the latter."""

from __future__ import annotations

import numpy as np

from helpers.errors import TaskError
from helpers.federated.secure.settings import SecureSettings
from helpers.federated.validation import require_whole

# Values handled at a time, so that the steps of the arithmetic stay in the processor's cache.
_BLOCK = 1 << 14


def quantise(
    vector: np.ndarray, settings: SecureSettings, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Clip a vector to the agreed range and round it to whole steps.

    Parameters
    ----------
    vector
        Real and finite, ``(d,)``.
    settings
        Range, number of steps and rounding.
    rng
        Source of stochastic rounding; None takes a generator seeded by the operating system.

    Returns
    -------
    np.ndarray
        uint32 ``(d,)``, from 0 (for -clip) to ``settings.largest_value`` (for clip).

    Raises
    ------
    TaskError
        If the vector is not a real vector, is empty, or holds NaN or infinity.
    """
    values = finite_vector(vector)
    if settings.rounding == "stochastic" and rng is None:
        rng = np.random.default_rng()
    quantised = np.empty(len(values), np.uint32)
    for start in range(0, len(values), _BLOCK):
        scaled = values[start : start + _BLOCK].astype(np.float64)
        np.clip(scaled, -settings.clip, settings.clip, out=scaled)
        scaled += settings.clip
        scaled /= settings.step
        if settings.rounding == "stochastic":
            assert rng is not None
            scaled += rng.random(len(scaled))
            np.floor(scaled, out=scaled)
        else:
            np.rint(scaled, out=scaled)
        # The division may land a hair above the last step.
        np.minimum(scaled, settings.largest_value, out=scaled)
        quantised[start : start + _BLOCK] = scaled
    return quantised


def dequantise(total: np.ndarray, count: int, settings: SecureSettings) -> np.ndarray:
    """Turn a sum of ``count`` quantised vectors into the sum of the vectors.

    Parameters
    ----------
    total
        Whole numbers ``(d,)``.
    count
        Number of vectors in the sum.
    settings
        As given to :func:`quantise`.

    Returns
    -------
    np.ndarray
        float64 ``(d,)``. For values within the clip the error is at most
        ``count * settings.error_bound``.

    Raises
    ------
    TaskError
        If no vector is in the sum.
    """
    require_whole("count", count, at_least=1)
    return total.astype(np.float64) * settings.step - count * settings.clip


def require_valid_sum(total: np.ndarray, count: int, settings: SecureSettings) -> None:
    """Raise TaskError if a sum ``(d,)`` of ``count`` vectors cannot come from values in range.

    The check sees masks that do not cancel. It does not see a client that adds to its vector what
    keeps the sum in range: nobody but that client can.
    """
    largest = count * settings.largest_value
    wrong = np.flatnonzero(total > largest)
    if len(wrong):
        raise TaskError(
            f"{len(wrong)} of {len(total)} coordinates of the sum are out of range, first "
            f"coordinate {wrong[0]} with {int(total[wrong[0]])}; {count} honest clients add up to "
            f"{largest} at most. A client has used other masks than it agreed on, or sent values "
            "out of range. The sum is worthless; start the round again, in smaller groups to find "
            "the client."
        )


def finite_vector(vector: np.ndarray) -> np.ndarray:
    """Return a vector as a real array ``(d,)``, or raise TaskError saying what is wrong with it."""
    values = np.asarray(vector)
    if values.ndim != 1 or not len(values):
        raise TaskError(f"The vector has shape {values.shape}; a flat one, (d,), is needed.")
    if not np.issubdtype(values.dtype, np.floating) and not np.issubdtype(values.dtype, np.integer):
        raise TaskError(f"The vector has dtype {values.dtype}; real numbers are needed.")
    finite = np.isfinite(values)
    if not finite.all():
        first = int((~finite).argmax())
        raise TaskError(
            f"Coordinate {first} of the vector is {values[first]}: NaN and infinity have no place "
            "in a quantised range. Find out why training diverged."
        )
    return values


def word_type(modulus_bits: int) -> np.dtype:
    """Return the unsigned type whose wrap-around is a multiple of the modulus."""
    return np.dtype("<u4") if modulus_bits <= 32 else np.dtype("<u8")


def reduce_words(words: np.ndarray, modulus_bits: int) -> np.ndarray:
    """Reduce words ``(d,)`` modulo 2^modulus_bits, in place, and return them."""
    if modulus_bits < 8 * words.dtype.itemsize:
        np.bitwise_and(words, words.dtype.type((1 << modulus_bits) - 1), out=words)
    return words


def pack_words(words: np.ndarray, modulus_bits: int) -> bytes:
    """Write words ``(d,)`` below 2^modulus_bits in as few whole bytes each as hold them."""
    width = -(-modulus_bits // 8)
    words = np.ascontiguousarray(words, word_type(modulus_bits))
    raw = words.view(np.uint8)
    wide = raw.reshape(len(words), words.dtype.itemsize)
    if width == wide.shape[1]:
        return raw.tobytes()
    narrow = np.empty((len(words), width), np.uint8)
    for byte in range(width):
        narrow[:, byte] = wide[:, byte]
    return narrow.tobytes()


def unpack_words(raw: bytes, modulus_bits: int) -> np.ndarray:
    """Read what :func:`pack_words` wrote; raise TaskError if it is not that.

    Returns
    -------
    np.ndarray
        uint32 or uint64 ``(d,)``.
    """
    width, kind = -(-modulus_bits // 8), word_type(modulus_bits)
    if len(raw) % width:
        raise TaskError(f"{len(raw)} bytes are not a whole number of {width}-byte values.")
    narrow = np.frombuffer(raw, np.uint8).reshape(-1, width)
    words = np.zeros(len(narrow), kind)
    wide = words.view(np.uint8).reshape(-1, kind.itemsize)
    for byte in range(width):
        wide[:, byte] = narrow[:, byte]
    if modulus_bits < 8 * width and len(words) and int(words.max()) >> modulus_bits:
        raise TaskError(f"A masked value is {int(words.max())}, not below 2^{modulus_bits}.")
    return words

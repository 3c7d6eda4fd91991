"""Ambiguity: a key of one's own that fits a model somebody else marked.

The thief does not remove the mark. They come to court with one too. Three ways, from hopeless to
trivial: try keys until one fits well; solve for projections that fit; choose the message after
reading the weights. A scheme whose keys come from a pseudorandom function, and whose message was
fixed before, leaves only the first, and this module measures how far that gets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from helpers.errors import WatermarkError
from helpers.watermark._checks import require_finite, require_whole
from helpers.watermark.key import Key


class Forgery(NamedTuple):
    """What a search for a fitting key came to.

    Attributes
    ----------
    key
        The best key found.
    evidence
        What the owner's test says of it, in [0, 1].
    trail
        float64 ``(tries,)``: the best evidence after each try.
    """

    key: Key
    evidence: float
    trail: NDArray[np.float64]


def brute_force_key(
    evidence: Callable[[Key], float], tries: int, seed: int = 0, progress: bool = False
) -> Forgery:
    """Draw keys at random and keep the one that the test likes best.

    Parameters
    ----------
    evidence
        Test of a key on the model, in [0, 1]; higher fits better.
    tries
        How many keys.
    seed
        Of the search.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Forgery

    Raises
    ------
    WatermarkError
        If ``tries`` is not positive, or the test says anything outside [0, 1].

    References
    ----------
    Craver, Memon, Yeo and Yeung, *Resolving rightful ownerships with invisible watermarking
    techniques: limitations, attacks, and implications*, IEEE Journal on Selected Areas in
    Communications 16(4), 1998, on ambiguity and why a key must not be chosen freely.
    """
    require_whole("tries", tries, at_least=1)
    rng = np.random.default_rng(seed)
    best: tuple[float, Key | None] = (-1.0, None)
    trail = np.empty(tries)
    for number in tqdm(range(tries), desc="keys", disable=not progress):
        key = Key(rng.bytes(32))
        found = evidence(key)
        if not 0 <= found <= 1:
            raise WatermarkError(f"Evidence must lie in [0, 1]; got {found}.")
        if found > best[0]:
            best = (found, key)
        trail[number] = best[0]
    assert best[1] is not None
    return Forgery(best[1], best[0], trail)


def expected_best(bits: int, tries: ArrayLike) -> NDArray[np.float64]:
    """Return the mean of the best share of matching bits over independent random keys.

    Each key's matches are binomial with probability one half, and the best of several has the
    power of that distribution function.

    Parameters
    ----------
    bits
        Length of the message.
    tries
        Numbers of keys tried.

    Returns
    -------
    numpy.ndarray
        float64, in the shape of ``tries``.

    Raises
    ------
    WatermarkError
        If the message has no bit, or somebody tries no key.
    """
    from scipy.stats import binom

    require_whole("bits", bits, at_least=1)
    numbers = np.asarray(tries, np.float64)
    if not (numbers >= 1).all():
        raise WatermarkError(f"tries={tries!r} must all be at least 1.")
    below = binom.cdf(np.arange(bits), bits, 0.5)  # at most 0, 1, ... bits - 1 matches
    powers = below ** numbers[..., None]
    return np.asarray((bits - powers.sum(axis=-1)) / bits)


def tries_for(bits: int, matches: int) -> float:
    """Return how many random keys it takes on average until one matches this many bits.

    Parameters
    ----------
    bits
        Length of the message.
    matches
        Bits that the court asks for, 0 to ``bits``.

    Returns
    -------
    float
        One over the chance of a single key.

    Raises
    ------
    WatermarkError
        If ``matches`` is out of range.
    """
    from scipy.stats import binom

    require_whole("bits", bits, at_least=0)
    require_whole("matches", matches, at_least=0)
    if not 0 <= matches <= bits:
        raise WatermarkError(f"matches={matches} must lie between 0 and the {bits} bits.")
    return float(1 / binom.sf(matches - 1, bits, 0.5))


def forge_projection(weights: ArrayLike, message: ArrayLike, seed: int = 0) -> NDArray[np.float32]:
    """Make a projection, after seeing the weights, that reads any message from them.

    Each row is drawn like an honest one, from a normal law, and turned round if it reads the wrong
    bit. Nothing about a row shows that: where a court accepts projections instead of the secret
    that they come from, a forgery costs one sign a bit.

    Parameters
    ----------
    weights
        What the mark is read from, ``(m,)``.
    message
        Bits, ``(t,)``: booleans, or 0 and 1.
    seed
        Of the rows.

    Returns
    -------
    numpy.ndarray
        float32 ``(t, m)``; the signs of its product with the weights are the message.

    Raises
    ------
    WatermarkError
        If the weights are not finite, or the message is not of bits.
    """
    vector, bits = np.asarray(weights, np.float64).ravel(), np.asarray(message)
    require_finite("weights", vector)
    if bits.ndim != 1 or not np.isin(bits, (0, 1)).all():
        raise WatermarkError(f"message={message!r} must be a row of bits, 0 or 1 each.")
    wanted = np.where(bits.astype(bool), 1.0, -1.0)
    rows = np.random.default_rng(seed).standard_normal((len(wanted), len(vector)))
    read = np.where(rows @ vector >= 0, 1.0, -1.0)
    return np.asarray(rows * (read * wanted)[:, None], np.float32)

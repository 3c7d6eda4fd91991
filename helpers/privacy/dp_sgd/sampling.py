"""Poisson sampling: the batches that privacy amplification is proved for.

Every example joins every batch by its own coin of probability ``sample_rate``, so batch sizes
vary and a batch may be empty. Shuffling and cutting into equal batches is another mechanism, for
which the accountants' ``sampling="poisson"`` does not hold (Chua et al. 2024, "How private are
DP-SGD implementations?").
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from helpers.privacy._checks import require_rate, require_whole


def poisson_batch(
    num_examples: int, sample_rate: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw one batch.

    Parameters
    ----------
    num_examples
        Examples to draw from.
    sample_rate
        Probability of each.
    rng
        Source of the coins.

    Returns
    -------
    np.ndarray
        Ascending positions, int64 ``(batch size,)``; may be empty.

    Raises
    ------
    PrivacyError
        If an argument is out of its range.
    """
    require_whole("num_examples", num_examples, at_least=1)
    require_rate("sample_rate", sample_rate)
    return np.flatnonzero(rng.random(num_examples) < sample_rate).astype(np.int64)


def poisson_batches(
    num_examples: int,
    sample_rate: float,
    steps: int,
    seed: int | np.random.SeedSequence | None,
    skip: int = 0,
) -> Iterator[NDArray[np.int64]]:
    """Draw the batches of a run, each from its own stream of the seed.

    Parameters
    ----------
    num_examples, sample_rate
        As for :func:`poisson_batch`.
    steps
        Number of batches.
    seed
        Seed, or the sequence of seeds itself; None draws from the operating system.
    skip
        Number of batches at the start that are not needed; the others stay as they are.

    Yields
    ------
    np.ndarray
        Ascending positions, int64 ``(batch size,)``; may be empty.

    Raises
    ------
    PrivacyError
        If an argument is out of its range.
    """
    require_whole("steps", steps, at_least=0)
    require_whole("skip", skip, at_least=0)
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    for stream in root.spawn(steps)[skip:]:
        yield poisson_batch(num_examples, sample_rate, np.random.default_rng(stream))

r"""User-level differential privacy for federated averaging, with a clip norm that adapts.

The server clips each client's whole update, adds Gaussian noise to the sum and divides by the
expected number of clients (McMahan et al. 2018, "Learning differentially private recurrent
language models"). The clip norm follows a quantile of the update norms, estimated from noisy
counts, so that no client's norm is published (Andrew et al. 2021, "Differentially private learning
with adaptive clipping"). What is protected is a *client*: everything it contributed.

Arrays only: any engine that can hand over its clients' updates can use it. In a federated task it
is the ``private_aggregator``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import (
    require_not_negative,
    require_positive,
    require_probability,
    require_whole,
)


@dataclass(frozen=True)
class AdaptiveClip:
    """Settings of the clip norm.

    Attributes
    ----------
    initial
        Clip norm of the first round.
    target_quantile
        Share of updates that should stay unclipped; 0.5 follows the median.
    learning_rate
        Step of the geometric update; 0 keeps the clip norm fixed.
    count_noise
        Standard deviation of the noise on the count of unclipped updates, in clients. None takes
        a twentieth of the expected clients (Andrew et al. 2021, section 3.1), or the noise
        multiplier where that is larger: fewer clients could not hide in less.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """

    initial: float = 0.1
    target_quantile: float = 0.5
    learning_rate: float = 0.2
    count_noise: float | None = None

    def __post_init__(self) -> None:
        require_positive("initial", self.initial)
        require_probability("target_quantile", self.target_quantile)
        require_not_negative("learning_rate", self.learning_rate)
        if self.count_noise is not None:
            require_positive("count_noise", self.count_noise)

    @classmethod
    def fixed(cls, l2_norm_clip: float) -> AdaptiveClip:
        """Return a clip norm that stays as it is."""
        return cls(initial=l2_norm_clip, learning_rate=0.0)


@dataclass(frozen=True)
class RoundRelease:
    """What one round makes public.

    Attributes
    ----------
    update
        Noisy mean update, float32 ``(d,)``.
    l2_norm_clip
        Clip norm of the round.
    unclipped_share
        Noisy share of updates within it; NaN where the clip norm is fixed.
    next_clip
        Clip norm of the next round.
    """

    update: NDArray[np.float32]
    l2_norm_clip: float
    unclipped_share: float
    next_clip: float


def split_noise(noise_multiplier: float, count_noise: float) -> float:
    """Return the noise multiplier of the update when part of the budget pays for the count.

    Andrew et al. 2021, Theorem 1: the two releases together are as private as one with
    ``noise_multiplier``, which is the figure to account with.

    Parameters
    ----------
    noise_multiplier
        Of the whole round.
    count_noise
        Standard deviation of the noise on the count, in clients.

    Returns
    -------
    float
        Noise multiplier of the update, a little larger.

    Raises
    ------
    PrivacyError
        If the count alone spends more than the round may.
    """
    require_not_negative("noise_multiplier", noise_multiplier)
    require_positive("count_noise", count_noise)
    if noise_multiplier == 0:
        return 0.0
    # A count shifted by one half changes by one half at most: its multiplier is 2 * count_noise.
    left = noise_multiplier**-2 - (2 * count_noise) ** -2
    if left <= 0:
        raise PrivacyError(
            f"count_noise={count_noise} spends the whole of noise_multiplier={noise_multiplier}: "
            f"it must be above {noise_multiplier / 2:g}."
        )
    return left**-0.5


def clip_updates(
    updates: ArrayLike, l2_norm_clip: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scale down every update longer than the clip norm.

    Parameters
    ----------
    updates
        Float ``(n, d)``.
    l2_norm_clip
        Clip norm.

    Returns
    -------
    clipped, unclipped
        float64 ``(n, d)``, and bool ``(n,)``: which were within the clip norm.

    Raises
    ------
    PrivacyError
        If the clip norm is not positive, or the updates do not fit.
    """
    require_positive("l2_norm_clip", l2_norm_clip)
    values = _checked_updates(updates).astype(np.float64)
    norms = np.linalg.norm(values, axis=1)
    return values * (l2_norm_clip / np.maximum(norms, l2_norm_clip))[:, None], norms <= l2_norm_clip


def private_round(
    updates: ArrayLike,
    l2_norm_clip: float,
    noise_multiplier: float,
    expected_clients: float,
    clip: AdaptiveClip,
    rng: np.random.Generator,
) -> RoundRelease:
    """Aggregate one round.

    Parameters
    ----------
    updates
        Float ``(n, d)``, one row a client; no rows is a round of noise alone.
    l2_norm_clip
        Clip norm of this round.
    noise_multiplier
        Of the whole round, count included.
    expected_clients
        Expected number of clients, which the sum is divided by; the drawn number would leak who
        took part.
    clip
        How the clip norm moves.
    rng
        Source of the noise.

    Returns
    -------
    RoundRelease
        The noisy mean and the next clip norm.

    Raises
    ------
    PrivacyError
        If the settings or the updates do not fit.
    """
    require_not_negative("noise_multiplier", noise_multiplier)
    require_positive("expected_clients", expected_clients)
    clipped, unclipped = clip_updates(updates, l2_norm_clip)
    share, following, multiplier = math.nan, l2_norm_clip, noise_multiplier
    if clip.learning_rate > 0:
        deviation = clip.count_noise or max(expected_clients / 20, noise_multiplier)
        multiplier = split_noise(noise_multiplier, deviation)
        # Without noise on the update there is none on the count: both or neither.
        noise = rng.normal(scale=deviation) if noise_multiplier > 0 else 0.0
        count = float(np.sum(unclipped - 0.5)) + noise
        share = count / expected_clients + 0.5
        following = l2_norm_clip * math.exp(-clip.learning_rate * (share - clip.target_quantile))
    noise_vector = rng.normal(scale=multiplier * l2_norm_clip, size=clipped.shape[1])
    update = (clipped.sum(axis=0) + noise_vector) / expected_clients
    return RoundRelease(update.astype(np.float32), l2_norm_clip, share, following)


def _checked_updates(updates: ArrayLike) -> NDArray[np.floating]:
    values = np.asarray(updates)
    if values.ndim != 2 or values.shape[1] == 0 or not np.issubdtype(values.dtype, np.floating):
        raise PrivacyError(
            f"updates have shape {values.shape} and dtype {values.dtype}; one flat row of floats a "
            "client is needed, shape (n, d)."
        )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise PrivacyError(
            f"The update of client {bad[0]} holds NaN or infinity: drop it before aggregation."
        )
    return values


@dataclass(eq=False)
class DPFedAvg:
    """A server-side aggregator that keeps its clip norm between rounds.

    Attributes
    ----------
    noise_multiplier
        Of a whole round; account for it with the rate at which clients are sampled and the number
        of rounds.
    expected_clients
        Expected number of clients in a round: sampling rate times population.
    clip
        How the clip norm starts and moves; None is an :class:`AdaptiveClip` as it comes.
    seed
        Seed of the noise. Who knows it can subtract the noise, and two runs with one seed share
        it: for a model that leaves the house pass None, which takes it from the operating system.
    releases
        One :class:`RoundRelease` a round since this object was made, without the updates, which
        would fill the memory.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """

    noise_multiplier: float
    expected_clients: float
    clip: AdaptiveClip | None = None
    seed: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        require_not_negative("noise_multiplier", self.noise_multiplier)
        require_positive("expected_clients", self.expected_clients)
        if self.seed is not None:
            require_whole("seed", self.seed, at_least=0)
        self.noise_multiplier = float(self.noise_multiplier)
        self.expected_clients = float(self.expected_clients)
        self.clip = self._clip = self.clip or AdaptiveClip()
        if self._clip.learning_rate > 0 and self._clip.count_noise:
            split_noise(self.noise_multiplier, self._clip.count_noise)
        self.releases: list[RoundRelease] = []
        self._l2_norm_clip = float(self._clip.initial)
        self._rng = np.random.default_rng(self.seed)

    @property
    def l2_norm_clip(self) -> float:
        """Clip norm of the next round."""
        return self._l2_norm_clip

    def __call__(
        self, updates: ArrayLike, num_examples: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Aggregate a round.

        Parameters
        ----------
        updates
            Float ``(n, d)``, one row a client.
        num_examples
            Taken for the sake of engines that pass it, and not used: weights that depend on a
            client's data would change what one client can add.

        Returns
        -------
        np.ndarray
            Noisy mean update, float32 ``(d,)``.

        Raises
        ------
        PrivacyError
            If the updates do not fit.
        """
        release = private_round(
            updates,
            self.l2_norm_clip,
            self.noise_multiplier,
            self.expected_clients,
            self._clip,
            self._rng,
        )
        self.releases.append(replace(release, update=release.update[:0].copy()))
        self._l2_norm_clip = release.next_clip
        return release.update

    def fresh(self) -> DPFedAvg:
        """Return one with the same settings that has not aggregated anything.

        Without a seed its noise is new.
        """
        return DPFedAvg(self.noise_multiplier, self.expected_clients, self._clip, self.seed)

    def state(self) -> list[np.ndarray]:
        """Return everything the next round depends on, for a checkpoint.

        Returns
        -------
        list of np.ndarray
            Clip norm, float64 ``()``, and the state of the noise's generator as JSON in uint8
            ``(n,)``: who reads it can subtract the noise.
        """
        position = json.dumps(self._rng.bit_generator.state).encode()
        return [np.array(self._l2_norm_clip), np.frombuffer(position, np.uint8)]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        clip_norm, position = arrays
        self._l2_norm_clip = float(clip_norm)
        self._rng.bit_generator.state = json.loads(position.tobytes())
        self.releases = []

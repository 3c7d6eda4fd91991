"""What the rounds of a federated run spend, and a budget that ends it before the round too many.

This room and the federated one do not know each other: a round is any object with the attributes
of :class:`Round`, such as the records of a history, and says itself how it was released.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import dp_accounting
import numpy as np
from numpy.typing import NDArray

from helpers.errors import PrivacyError
from helpers.privacy.accounting import Method, dp_sgd_event, event_epsilon
from helpers.privacy.ledger import Charge, PrivacyLedger


class Round(Protocol):
    """A round of a federated run."""

    @property
    def round(self) -> int:
        """Number of the round, from 1."""
        ...

    @property
    def noise_multiplier(self) -> float | None:
        """Noise of all its releases together over the clip norm; None if it is not private."""
        ...

    @property
    def sample_rate(self) -> float | None:
        """Probability with which each client joined, independently."""
        ...


class NamedRound(Round, Protocol):
    """A round that is about to start."""

    @property
    def run_id(self) -> str:
        """Name of its run, kept when the run is resumed."""
        ...


def epsilon_after_rounds(
    rounds: Sequence[Round], delta: float, method: Method = "rdp"
) -> NDArray[np.float64]:
    """Bound what one client has lost after each round of a run.

    Parameters
    ----------
    rounds
        All rounds of the run in order, such as ``history.records``. Rounds that nobody joined
        count too: that they were empty is itself secret.
    delta
        Probability of failure that the bound may have; well below 1 over the number of clients.
    method
        Accountant; ``"pld"`` takes up to a second a round.

    Returns
    -------
    np.ndarray
        Epsilon for adding or removing one client, float64 ``(rounds,)``; infinity without noise.

    Raises
    ------
    PrivacyError
        If a round is not private, one is missing, or ``delta`` or ``method`` is out of its range.
    """
    spent, counts = [], Counter[dp_accounting.DpEvent]()
    for number, one in enumerate(rounds, 1):
        if one.round != number:
            raise PrivacyError(
                f"Round {one.round} stands where round {number} should: give every round of the "
                "run, from the first, in order."
            )
        noise_multiplier, sample_rate = _mechanism(one)
        counts[dp_sgd_event(noise_multiplier, sample_rate, 1)] += 1
        parts = [dp_accounting.SelfComposedDpEvent(*item) for item in counts.items()]
        spent.append(event_epsilon(dp_accounting.ComposedDpEvent(parts), delta, method))
    return np.array(spent, np.float64)


class RoundBudget:
    """Pays for each round before it starts, and ends the run before one that is too expensive.

    Give it to ``helpers.federated.run`` as ``before_round=[RoundBudget(ledger)]``. A round is paid
    for once, also if the run is killed and resumed from its checkpoints. The first round must fit:
    a run that could not train at all is refused.

    Parameters
    ----------
    ledger
        Pays. With RDP, its default, the rounds of several runs may be charged as they come.
    path
        File in which the ledger is saved before each round starts; None saves nothing.
    label
        Name of the charge in the ledger.
    """

    def __init__(
        self,
        ledger: PrivacyLedger,
        path: str | os.PathLike[str] | None = None,
        label: str = "federated rounds",
    ) -> None:
        self._ledger, self._path, self._label = ledger, path, label

    def __call__(self, upcoming: NamedRound) -> bool:
        """Pay for a round and all before it.

        Parameters
        ----------
        upcoming
            Round that is about to start.

        Returns
        -------
        bool
            Whether it is paid; if not, the ledger is as before.

        Raises
        ------
        PrivacyError
            If the first round does not fit, or the round is not private.
        """
        noise_multiplier, sample_rate = _mechanism(upcoming)
        charge = Charge(
            noise_multiplier,
            sample_rate,
            steps=upcoming.round,
            label=self._label,
            run=upcoming.run_id,
        )
        if upcoming.round > 1 and self._ledger.would_spend(charge) > self._ledger.epsilon:
            return False
        self._ledger.charge(charge)
        if self._path is not None:
            self._ledger.save(self._path)
        return True


def _mechanism(one: Round) -> tuple[float, float]:
    if one.noise_multiplier is None or one.sample_rate is None:
        raise PrivacyError(
            f"Round {one.round} was not made private, so that no epsilon bounds it: give the task "
            "a private_aggregator, such as DPFedAvg."
        )
    return one.noise_multiplier, one.sample_rate

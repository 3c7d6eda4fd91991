"""A privacy budget that pays for federated rounds and ends a run before the round too many.

This room and the federated one do not know each other: a round is any object with the attributes
of :class:`Round`, and says itself how it will be released.
"""

from __future__ import annotations

import os
from typing import Protocol

from helpers.errors import PrivacyError
from helpers.privacy.ledger import Charge, PrivacyLedger


class Round(Protocol):
    """A round that is about to start."""

    @property
    def round(self) -> int:
        """Number of the round, from 1."""
        ...

    @property
    def run_id(self) -> str:
        """Name of its run, kept when the run is resumed."""
        ...

    @property
    def noise_multiplier(self) -> float | None:
        """Noise of all its releases together over the clip norm; None if it is not private."""
        ...

    @property
    def sample_rate(self) -> float | None:
        """Probability with which each client joined, independently."""
        ...


class RoundBudget:
    """Pays for each round before it starts, and ends the run before one that is too expensive.

    Give it to ``helpers.federated.run`` as ``before_round=[RoundBudget(ledger)]``. A round is paid
    for once, also if the run is killed and resumed from its checkpoints. The first round must fit:
    a run that could not train at all is refused.

    Parameters
    ----------
    ledger
        Pays. The rounds of one mechanism may be charged as they come; for runs that differ see
        :class:`~helpers.privacy.ledger.PrivacyLedger`.
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

    def __call__(self, upcoming: Round) -> bool:
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

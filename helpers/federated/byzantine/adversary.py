"""Who is Byzantine, and what they know when they choose what to send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import TaskError


@dataclass(frozen=True, eq=False)
class AttackView:
    """What an omniscient adversary sees of a round before its clients send anything.

    Attributes
    ----------
    honest
        What the honest clients send, float32 ``(h, d)``, h at least 1. Where a round holds no
        honest client it is ``own``.
    honest_clients
        Their positions in the task, int64 ``(h,)``.
    own
        What the Byzantine clients would send if they were honest, float32 ``(b, d)``, b at least
        1: the update from the data they hold, poisoned or not.
    previous
        Aggregate of the round before, float32 ``(d,)``; zero in the first.
    round_number
        Number of the round, from 1.
    response
        What the server would make of Byzantine updates ``(b, d)`` beside the honest ones,
        ``(d,)``. It knows the server's rule but not the server's random numbers of this round.
    rng
        The adversary's random generator of this round.
    """

    honest: np.ndarray
    honest_clients: np.ndarray
    own: np.ndarray
    previous: np.ndarray
    round_number: int
    response: Callable[[np.ndarray], np.ndarray]
    rng: np.random.Generator

    @property
    def num_byzantine(self) -> int:
        """Number of Byzantine clients in the round."""
        return len(self.own)

    @property
    def num_clients(self) -> int:
        """Number of clients in the round."""
        return len(self.honest) + len(self.own)

    def everyone_sends(self, update: np.ndarray) -> np.ndarray:
        """Return ``update`` ``(d,)`` once for each Byzantine client, ``(b, d)``."""
        return np.tile(update.astype(self.own.dtype), (self.num_byzantine, 1))


UpdateAttack = Callable[[AttackView], np.ndarray]


@dataclass(frozen=True)
class Adversary:
    """Clients under one control, and what they send in place of their updates.

    Attributes
    ----------
    clients
        Positions of the Byzantine clients in the task.
    attack
        Maps an :class:`AttackView` to the updates they send, ``(b, d)``, in the order of
        ``own``. Like Krum's paper and every attack here, it assumes that they collude.

    Raises
    ------
    TaskError
        If ``clients`` is empty, or not distinct whole numbers from 0.
    """

    clients: Sequence[int]
    attack: UpdateAttack

    def __post_init__(self) -> None:
        ids = np.asarray(self.clients)
        if ids.ndim != 1 or not len(ids) or not np.issubdtype(ids.dtype, np.integer):
            raise TaskError(
                f"Adversary clients={self.clients!r} must list at least one client position."
            )
        if len(np.unique(ids)) != len(ids) or ids.min() < 0:
            raise TaskError(f"Adversary clients={self.clients!r} must be distinct, from 0 upwards.")
        if not callable(self.attack):
            raise TaskError(f"attack={self.attack!r} must be callable, such as SignFlip().")
        object.__setattr__(self, "clients", tuple(sorted(int(client) for client in ids)))

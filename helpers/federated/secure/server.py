"""The server of one round: a state machine that learns the sum, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import EdgesecError, PrivacyError, TaskError
from helpers.federated.secure import keys, messages, shamir
from helpers.federated.secure.client import LARGEST_CLIENT
from helpers.federated.secure.graph import ring_of_neighbours
from helpers.federated.secure.messages import Stage
from helpers.federated.secure.quantisation import (
    dequantise,
    reduce_words,
    require_valid_sum,
    unpack_words,
    word_type,
)
from helpers.federated.secure.settings import Plan, SecureSettings
from helpers.federated.validation import require_whole

Received = Iterable[tuple[int, bytes]]


@dataclass(frozen=True)
class Rejection:
    """A message that the server did not take; its sender counts as dropped out, others go on."""

    stage: Stage
    sender: int
    reason: str


class Server:
    """The server of one round of secure aggregation, made for the clients it invites.

    Call :meth:`advertised`, :meth:`shared`, :meth:`masked` and :meth:`unmasked` in this order.
    Each takes the messages that came in time as ``(sender, bytes)``, the sender as the transport
    knows it, and all but the last return the answer for each client that is still there.

    Parameters
    ----------
    clients
        Numbers of the invited clients.
    num_values
        Length of the vectors.
    settings
        What all have agreed on.
    round_number
        Number of the round.
    random_bytes
        Source of the graph's randomness.

    Attributes
    ----------
    dropped
        ``{client: stage}`` in which it was last waited for.
    rejected
        Messages that were not taken, with the reason.
    neighbours
        ``{client: neighbours}``, after the first stage.
    masked_sum
        Sum of the vectors as they came, after the third stage.
    quantised_sum
        The same without masks, after the last.

    Raises
    ------
    TaskError
        If a number is out of its range, ``clients`` are not distinct whole numbers from 0, or the
        settings do not suit so many.
    """

    def __init__(
        self,
        clients: Sequence[int],
        num_values: int,
        settings: SecureSettings,
        round_number: int,
        *,
        random_bytes: keys.RandomBytes = os.urandom,
    ) -> None:
        require_whole("num_values", num_values, at_least=1)
        require_whole("round_number", round_number, at_least=0)
        invited = [int(client) for client in clients]
        if len(set(invited)) != len(invited) or not invited or min(invited) < 0:
            raise TaskError(f"clients={invited} must be distinct whole numbers from 0.")
        if max(invited) > LARGEST_CLIENT:
            raise TaskError(f"A client's number must be at most {LARGEST_CLIENT}.")
        settings.plan(len(invited))
        self.settings, self.round_number = settings, int(round_number)
        self.num_values = int(num_values)
        self.dropped: dict[int, Stage] = {}
        self.rejected: list[Rejection] = []
        self.neighbours: dict[int, tuple[int, ...]] = {}
        self.masked_sum = np.zeros(0, np.uint32)
        self.quantised_sum = np.zeros(0, np.uint32)
        self._random = random_bytes
        self._stage = 0
        self._present = invited
        self._keys: dict[int, messages.PublicKeys] = {}
        self._commitments: dict[int, bytes] = {}
        self._lost: list[int] = []
        self._requests: dict[int, messages.UnmaskRequest] = {}
        self._plan: Plan | None = None

    @property
    def plan(self) -> Plan:
        """The plan of the round, once it is known who takes part.

        Raises
        ------
        TaskError
            If that is not known yet.
        """
        if self._plan is None:
            raise TaskError("The plan is known after stage 'advertise'.")
        return self._plan

    @property
    def survivors(self) -> tuple[int, ...]:
        """Clients that have answered so far; after stage ``mask``, those in the sum."""
        return tuple(self._present)

    def advertised(self, received: Received) -> dict[int, bytes]:
        """Take public keys, seat the clients, and tell each its neighbours.

        Raises
        ------
        PrivacyError
            If fewer than two clients sent their keys.
        """
        limit = messages.size_limit(messages.PublicKeys, 0)
        taken = self._take("advertise", received, messages.PublicKeys, limit, self._fresh_keys)
        self._keys = taken
        if len(taken) < 2:
            raise PrivacyError(
                f"{len(taken)} of {len(self._present)} clients sent their keys: with fewer than "
                "two there is nobody to hide among. Start the round again."
            )
        self._plan = self.settings.plan(len(taken))
        self._go_on("advertise", taken)
        rng = np.random.default_rng(list(self._random(32)))
        self.neighbours = ring_of_neighbours(self._present, self.plan.num_neighbours, rng)
        return {
            client: messages.encode(
                messages.Roster(
                    self.round_number,
                    client,
                    len(taken),
                    {o: (taken[o].mask_key, taken[o].share_key) for o in self.neighbours[client]},
                )
            )
            for client in self._present
        }

    def shared(self, received: Received) -> dict[int, bytes]:
        """Take sealed shares and pass each on to the one it is for.

        Raises
        ------
        TaskError, PrivacyError
            If another stage is due; if too few clients are left to hide among.
        """
        limit = messages.size_limit(messages.SealedShares, self.plan.num_neighbours)
        taken = self._take("share", received, messages.SealedShares, limit, self._for_neighbours)
        self._commitments = {client: message.commitment for client, message in taken.items()}
        self._go_on("share", taken)
        answers = {}
        for client in self._present:
            there = [other for other in self.neighbours[client] if other in taken]
            sealed = {other: taken[other].sealed[client] for other in there}
            answers[client] = messages.encode(messages.Inbox(self.round_number, client, sealed))
        return answers

    def masked(self, received: Received) -> dict[int, bytes]:
        """Add the masked vectors up, and ask each survivor for its shares.

        Raises
        ------
        TaskError, PrivacyError
            As for :meth:`shared`.
        """
        plan = self.plan
        size = self.num_values * plan.bytes_per_value
        limit = messages.size_limit(messages.MaskedVector, 0, size)
        total = np.zeros(self.num_values, word_type(plan.modulus_bits))

        def add(message: messages.MaskedVector) -> None:
            words = unpack_words(message.packed, plan.modulus_bits)
            if len(words) != self.num_values:
                raise TaskError(f"A vector of {len(words)} values came, not {self.num_values}.")
            np.add(total, words, out=total)

        shared = set(self._present)
        taken = self._take("mask", received, messages.MaskedVector, limit, add)
        self._go_on("mask", taken)
        self.masked_sum = reduce_words(total, plan.modulus_bits)
        self._lost = sorted(shared - set(taken))
        here, lost = set(taken), set(self._lost)
        for client in self._present:
            around = self.neighbours[client]
            self._requests[client] = messages.UnmaskRequest(
                self.round_number,
                client,
                len(here),
                tuple(other for other in around if other in here),
                tuple(other for other in around if other in lost),
            )
        return {client: messages.encode(asked) for client, asked in self._requests.items()}

    def unmasked(self, received: Received) -> np.ndarray:
        """Rebuild the secrets that are needed, take the masks off, and return the sum.

        Returns
        -------
        np.ndarray
            Sum of the survivors' vectors, float64 ``(num_values,)``; its error is at most
            ``len(survivors) * settings.error_bound`` for values within the clip.

        Raises
        ------
        TaskError
            If too few shares came, shares are false, or the sum is out of range.
        """
        plan, in_sum = self.plan, self._present
        limit = messages.size_limit(messages.UnmaskShares, plan.num_neighbours)
        taken = self._take("unmask", received, messages.UnmaskShares, limit, self._as_asked)
        for client in in_sum:
            if client not in taken:
                self.dropped[client] = "unmask"
        total = self.masked_sum.copy()
        for owner in in_sum:
            found = {c: m.seed_shares[owner] for c, m in taken.items() if owner in m.seed_shares}
            seed = self._rebuilt(owner, found, "self mask", self._is_seed)
            key = keys.self_mask_key(seed, self.round_number, owner)
            keys.add_mask(total, key, subtract=True)
        for owner in self._lost:
            found = {c: m.key_shares[owner] for c, m in taken.items() if owner in m.key_shares}
            if set(self.neighbours[owner]).isdisjoint(in_sum):
                continue
            private = self._rebuilt(owner, found, "mask key", self._is_mask_key)
            self._take_off(total, owner, private, in_sum)
        self.quantised_sum = reduce_words(total, plan.modulus_bits)
        require_valid_sum(self.quantised_sum, len(in_sum), self.settings)
        return dequantise(self.quantised_sum, len(in_sum), self.settings)

    def _take_off(
        self, total: np.ndarray, lost: int, private: bytes, in_sum: Sequence[int]
    ) -> None:
        """Take off the pairwise masks that a lost client left in the survivors' vectors."""
        pair = keys.KeyPair.of(private)
        for other in set(self.neighbours[lost]) & set(in_sum):
            low, high = sorted((lost, other))
            public = self._keys[other].mask_key
            key = keys.shared_key(pair, public, "pairwise mask", self.round_number, low, high)
            keys.add_mask(total, key, subtract=other > lost)

    def _rebuilt(
        self,
        owner: int,
        found: Mapping[int, bytes],
        what: str,
        is_right: Callable[[int, bytes], bool],
    ) -> bytes:
        """Rebuild a secret; where a share is false, try others."""
        needed = self.plan.num_shares_needed
        if len(found) < needed:
            raise TaskError(
                f"The {what} of client {owner} cannot be rebuilt: {len(found)} shares came and "
                f"{needed} are needed. The round is lost, and nothing leaks; start it again."
            )
        points = sorted(found)
        for start in range(len(points) if len(points) > needed else 1):
            chosen = [points[(start + i) % len(points)] for i in range(needed)]
            try:
                secret = shamir.combine({point + 1: found[point] for point in chosen})
            except TaskError:
                continue
            if is_right(owner, secret):
                return secret
        raise TaskError(
            f"The shares of the {what} of client {owner} rebuild another secret than it advertised:"
            f" {owner} or some of clients {points} sent false shares."
        )

    def _is_seed(self, owner: int, secret: bytes) -> bool:
        return keys.commitment(secret, self.round_number, owner) == self._commitments[owner]

    def _is_mask_key(self, owner: int, secret: bytes) -> bool:
        return keys.KeyPair.of(secret).public == self._keys[owner].mask_key

    def _fresh_keys(self, message: messages.PublicKeys) -> None:
        if message.mask_key == message.share_key:
            raise TaskError("The mask key and the share key are the same key.")
        # A key that cannot agree with any other would only fail at its neighbours.
        probe = keys.KeyPair.new()
        for public in (message.mask_key, message.share_key):
            probe.exchange(public)

    def _for_neighbours(self, message: messages.SealedShares) -> None:
        due = set(self.neighbours[message.client])
        if set(message.sealed) != due:
            raise TaskError(
                f"Shares for {sorted(message.sealed)}; {sorted(due)} are its neighbours."
            )

    def _as_asked(self, message: messages.UnmaskShares) -> None:
        asked = self._requests[message.client]
        if set(message.seed_shares) != set(asked.survived) or set(message.key_shares) != set(
            asked.dropped
        ):
            raise TaskError("The shares are not those that were asked for.")

    def _take(
        self,
        stage: Stage,
        received: Received,
        kind: type[messages.M],
        limit: int,
        check: Callable[[messages.M], None],
    ) -> dict[int, messages.M]:
        """Take the good messages of a stage; note why the others were not taken."""
        due = messages.STAGES[self._stage] if self._stage < len(messages.STAGES) else None
        if stage != due:
            raise TaskError(f"The server is at stage {due!r} of the round, not at {stage!r}.")
        self._stage += 1
        taken: dict[int, messages.M] = {}
        for sender, raw in received:
            try:
                if sender not in self._present:
                    raise TaskError(f"Client {sender} is not waited for at stage {stage!r}.")
                if sender in taken:
                    raise TaskError(f"Client {sender} has already sent its {kind.__name__}.")
                message = messages.decode(raw, kind, round_number=self.round_number, limit=limit)
                if message.client != sender:
                    raise TaskError(f"Client {sender} sent a message in the name of another.")
                check(message)
            except EdgesecError as error:
                self.rejected.append(Rejection(stage, sender, str(error)))
            else:
                taken[sender] = message
        return taken

    def _go_on(self, stage: Stage, taken: Mapping[int, messages.Message]) -> None:
        for client in self._present:
            if client not in taken:
                self.dropped[client] = stage
        self._present = [client for client in self._present if client in taken]
        self.plan.require_survivors(len(self._present))

"""The client of one round: a state machine of bytes in, bytes out, one method a stage."""

from __future__ import annotations

import os

import numpy as np

from helpers.errors import PrivacyError, TaskError
from helpers.federated.secure import keys, messages, shamir
from helpers.federated.secure.messages import Stage
from helpers.federated.secure.quantisation import pack_words, quantise, reduce_words, word_type
from helpers.federated.secure.settings import LARGEST_NUM_CLIENTS, Plan, SecureSettings
from helpers.federated.validation import require_whole

LARGEST_CLIENT = (1 << 32) - 2


class Client:
    """One client in one round of secure aggregation (Bonawitz et al. 2017, Figure 4).

    Call :meth:`advertise`, :meth:`share_keys`, :meth:`mask` and :meth:`unmask` once each, in this
    order, passing on what the server answers; the bytes may cross any transport that says who sent
    them. A new round takes a new client: keys are never used again.

    Parameters
    ----------
    client
        The client's number, from 0.
    num_values
        Length of the vectors.
    settings
        What all have agreed on.
    round_number
        Number of the round.
    random_bytes
        Source of keys: the operating system, in everything but teaching.

    Raises
    ------
    TaskError
        If a number is out of its range.

    Notes
    -----
    Proved for a server that follows the protocol and is curious (and for fewer than the threshold
    of clients that tell it all they know). A server that hands out public keys of its own making
    is out of scope here: sign keys and survivors as in the paper's active variant. A client that
    hands out false keys, shares or masks can make a round fail, and learns nothing by it.
    """

    def __init__(
        self,
        client: int,
        num_values: int,
        settings: SecureSettings,
        round_number: int,
        *,
        random_bytes: keys.RandomBytes = os.urandom,
    ) -> None:
        require_whole("client", client, at_least=0)
        require_whole("num_values", num_values, at_least=1)
        require_whole("round_number", round_number, at_least=0)
        if client > LARGEST_CLIENT:
            raise TaskError(f"client={client} must be at most {LARGEST_CLIENT}.")
        self.client, self.num_values = int(client), int(num_values)
        self.settings, self.round_number = settings, int(round_number)
        self._random = random_bytes
        self._next: Stage | None = "advertise"
        self._mask_keys, self._share_keys = (
            keys.KeyPair.new(random_bytes),
            keys.KeyPair.new(random_bytes),
        )
        self._seed = random_bytes(keys.KEY_BYTES)
        self._roster: messages.Roster | None = None
        self._shares: dict[int, tuple[bytes, bytes]] = {}

    @property
    def plan(self) -> Plan:
        """The plan of the round, once the roster has said how many take part.

        Raises
        ------
        TaskError
            If there is no roster yet.
        """
        return self.settings.plan(self._known_roster().num_clients)

    def advertise(self) -> bytes:
        """Return the client's public keys (stage ``advertise``).

        Raises
        ------
        TaskError
            If another stage is due.
        """
        self._enter("advertise")
        message = messages.PublicKeys(
            self.round_number, self.client, self._mask_keys.public, self._share_keys.public
        )
        return messages.encode(message)

    def share_keys(self, roster: bytes) -> bytes:
        """Split both secrets among the neighbours and seal each share (stage ``share``).

        Raises
        ------
        TaskError
            If the roster is malformed, of another round or client, or not as agreed.
        """
        self._enter("share")
        known = self._read(roster, messages.Roster)
        plan = self.settings.plan(known.num_clients)
        self._check_roster(known, plan)
        self._roster = known
        points = [neighbour + 1 for neighbour in known.neighbours]
        needed = plan.num_shares_needed
        of_seed = shamir.split(self._seed, needed, points, self._random)
        of_key = shamir.split(self._mask_keys.private, needed, points, self._random)
        sealed = {
            neighbour: keys.seal(
                self._delivery_key(self.client, neighbour),
                of_seed[neighbour + 1] + of_key[neighbour + 1],
                self.round_number,
                self.client,
                neighbour,
            )
            for neighbour in known.neighbours
        }
        promise = keys.commitment(self._seed, self.round_number, self.client)
        return messages.encode(
            messages.SealedShares(self.round_number, self.client, promise, sealed)
        )

    def mask(self, inbox: bytes, vector: np.ndarray) -> bytes:
        """Open the neighbours' shares, and mask the quantised vector (stage ``mask``).

        Parameters
        ----------
        inbox
            What the server passed on.
        vector
            Real and finite ``(num_values,)``.

        Raises
        ------
        TaskError
            If a share is not authentic, too few neighbours are left, or the vector does not fit.
        """
        self._enter("mask")
        received, plan = self._read(inbox, messages.Inbox), self.plan
        strangers = sorted(set(received.sealed) - set(self._known_roster().neighbours))
        if strangers:
            raise TaskError(f"Shares came from {strangers}, who are no neighbours.")
        if len(received.sealed) < plan.num_shares_needed:
            raise TaskError(
                f"Only {len(received.sealed)} neighbours of client {self.client} are left; "
                f"{plan.num_shares_needed} are needed to recover from a dropout."
            )
        for sender, sealed in received.sealed.items():
            opened = keys.unseal(
                self._delivery_key(sender, self.client),
                sealed,
                self.round_number,
                sender,
                self.client,
            )
            self._shares[sender] = opened[: shamir.SHARE_BYTES], opened[shamir.SHARE_BYTES :]
        if np.shape(vector) != (self.num_values,):
            raise TaskError(f"The vector has shape {np.shape(vector)}, not ({self.num_values},).")
        rng = np.random.default_rng(list(self._random(16)))
        words = quantise(vector, self.settings, rng).astype(word_type(plan.modulus_bits))
        self._add_masks(words)
        packed = pack_words(reduce_words(words, plan.modulus_bits), plan.modulus_bits)
        return messages.encode(messages.MaskedVector(self.round_number, self.client, packed))

    def unmask(self, request: bytes) -> bytes:
        """Hand out one kind of share for each neighbour (stage ``unmask``).

        Raises
        ------
        PrivacyError
            If the server asks for both kinds of shares of one client, or would add up too few.
        TaskError
            If the request is malformed, or names clients whose shares are not here.
        """
        self._enter("unmask")
        asked = self._read(request, messages.UnmaskRequest)
        both = sorted(set(asked.survived) & set(asked.dropped))
        if both:
            raise PrivacyError(
                f"The server asks for both kinds of shares of clients {both}: with both it could "
                "take every mask off one vector. Client "
                f"{self.client} gives neither; leave this server."
            )
        self.plan.require_survivors(asked.num_survivors)
        unknown = sorted(set(asked.survived + asked.dropped) - set(self._shares))
        if unknown:
            raise TaskError(f"Client {self.client} holds no shares of {unknown}.")
        answer = messages.UnmaskShares(
            self.round_number,
            self.client,
            {owner: self._shares[owner][0] for owner in asked.survived},
            {owner: self._shares[owner][1] for owner in asked.dropped},
        )
        # One answer a round: forgetting makes a second request, for the other kind, worthless.
        self._shares.clear()
        return messages.encode(answer)

    def _add_masks(self, words: np.ndarray) -> None:
        keys.add_mask(words, keys.self_mask_key(self._seed, self.round_number, self.client))
        for other in self._shares:
            low, high = sorted((self.client, other))
            key = keys.shared_key(
                self._mask_keys,
                self._known_roster().neighbours[other][0],
                "pairwise mask",
                self.round_number,
                low,
                high,
            )
            keys.add_mask(words, key, subtract=self.client < other)

    def _delivery_key(self, sender: int, receiver: int) -> bytes:
        other = receiver if sender == self.client else sender
        public = self._known_roster().neighbours[other][1]
        return keys.shared_key(
            self._share_keys, public, "share delivery", self.round_number, sender, receiver
        )

    def _check_roster(self, roster: messages.Roster, plan: Plan) -> None:
        others = roster.neighbours
        if self.client in others or len(others) != plan.num_neighbours:
            raise TaskError(
                f"The roster names {len(others)} neighbours {sorted(others)} for client "
                f"{self.client}; {plan.num_neighbours} others were agreed on."
            )
        own = {self._mask_keys.public, self._share_keys.public}
        public = [key for both in others.values() for key in both]
        if len(set(public) | own) != len(public) + 2:
            raise TaskError("The roster holds a public key twice, or one of this client's own.")

    def _known_roster(self) -> messages.Roster:
        if self._roster is None:
            raise TaskError(f"Client {self.client} has not seen a roster yet: call share_keys.")
        return self._roster

    def _read(self, raw: bytes, kind: type[messages.M]) -> messages.M:
        most = self.settings.num_neighbours or LARGEST_NUM_CLIENTS
        if self._roster is not None:
            most = len(self._roster.neighbours)
        message = messages.decode(
            raw,
            kind,
            round_number=self.round_number,
            limit=messages.size_limit(kind, most),
        )
        if message.client != self.client:
            raise TaskError(
                f"A {kind.__name__} for client {message.client} came to client {self.client}."
            )
        return message

    def _enter(self, stage: Stage) -> None:
        if self._next != stage:
            due = f"stage {self._next!r} is due" if self._next else "the round is over"
            raise TaskError(
                f"Client {self.client} was asked for stage {stage!r} in round "
                f"{self.round_number}, but {due}: each stage comes once, in order."
            )
        at = messages.STAGES.index(stage) + 1
        self._next = messages.STAGES[at] if at < len(messages.STAGES) else None

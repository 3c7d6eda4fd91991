"""One update on the wire: how a node signs it, and what the server checks before counting it.

TLS protects an update between two machines, and Flower's node authentication signs a time stamp
with every call. Neither says *which update this is*. Here the node signs the update itself together
with the run, the round, a challenge that the server drew for this attempt at the round, and its own
number. An update that is recorded and sent again carries an old challenge and is refused.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from helpers.federated.deployment.errors import RejectedUpdate

# Signed with every update, so that no signature made for another purpose can be one of ours.
_PURPOSE = b"edge-ml-security: federated update, version 1\x00"
# Mean of -log p over examples: never negative, and far below this unless somebody makes it up.
_LARGEST_LOSS = 1e6
# A header of a .npy file of float32 is 128 bytes; a hostile one may be longer.
_HEADER_BYTES = 512


class Ticket(NamedTuple):
    """For what an update is good: one node, one attempt at one round of one run.

    Attributes
    ----------
    run_id
        Flower's number of the run.
    round_number
        Number of the round, from 1.
    challenge
        32 random bytes that the server drew for this attempt.
    node_id
        Flower's number of the node.
    """

    run_id: int
    round_number: int
    challenge: bytes
    node_id: int


@dataclass(frozen=True)
class SignedUpdate:
    """What a node sends: still bytes, nothing of it believed.

    Attributes
    ----------
    ticket
        What the update says it is good for.
    arrays
        Serialised arrays (``.npy``) by name.
    num_examples, train_loss
        What the client reports.
    signature
        ECDSA with SHA-256 over all of the above.
    """

    ticket: Ticket
    arrays: Mapping[str, bytes]
    num_examples: int
    train_loss: float
    signature: bytes = b""

    def signed_bytes(self) -> bytes:
        """Return what the signature covers; every part is preceded by its length."""
        ticket = self.ticket
        digest = hashlib.sha256()
        for name, content in self.arrays.items():
            for part in (name.encode(), content):
                digest.update(struct.pack("<Q", len(part)))
                digest.update(part)
        return (
            _PURPOSE
            + struct.pack("<QQQ", ticket.run_id, ticket.round_number, ticket.node_id)
            + struct.pack("<Q", len(ticket.challenge))
            + ticket.challenge
            + struct.pack("<qd", self.num_examples, self.train_loss)
            + digest.digest()
        )

    def signed_by(self, key: ec.EllipticCurvePrivateKey) -> SignedUpdate:
        """Return this update with a signature."""
        signature = key.sign(self.signed_bytes(), ec.ECDSA(hashes.SHA256()))
        return SignedUpdate(self.ticket, self.arrays, self.num_examples, self.train_loss, signature)


class Member(NamedTuple):
    """A node that takes part in a round.

    Attributes
    ----------
    client
        Its position in the task.
    name
        Its name, for the log.
    public_key
        Key that it registered when it joined.
    num_examples
        Number of examples that it declared when it joined.
    """

    client: int
    name: str
    public_key: ec.EllipticCurvePublicKey
    num_examples: int


class Admitted(NamedTuple):
    """An update that passed every check.

    Attributes
    ----------
    client
        Position of the client.
    weights
        Its new weights, float32, finite, in the task's shapes.
    train_loss
        Its mean training loss, finite.
    """

    client: int
    weights: list[np.ndarray]
    train_loss: float


class UpdateGate:
    """Lets in each update once, and only one that was made for this round.

    Parameters
    ----------
    shapes
        Shapes of the task's weights.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._shapes = [tuple(shape) for shape in shapes]
        self._members: dict[int, Member] = {}
        self._run_id = 0
        self._round = 0
        self._challenge = b""
        self._past: dict[bytes, int] = {}
        self._seen: set[int] = set()

    def open_round(
        self, run_id: int, round_number: int, challenge: bytes, members: Mapping[int, Member]
    ) -> None:
        """Start an attempt at a round; everything made for an earlier one is now late.

        Parameters
        ----------
        run_id, round_number, challenge
            What updates must be signed for.
        members
            The nodes that take part, by Flower's number of the node.
        """
        if self._challenge:
            self._past[self._challenge] = self._round
        self._run_id, self._round, self._challenge = run_id, round_number, challenge
        self._members, self._seen = dict(members), set()

    def admit(self, sender: int, update: SignedUpdate) -> Admitted:
        """Check an update; cheap checks first, and the signature before the content is parsed.

        Parameters
        ----------
        sender
            Number of the node from which the reply came, as Flower says.
        update
            What it sent.

        Returns
        -------
        Admitted
            The node cannot get a second one into this round.

        Raises
        ------
        RejectedUpdate
            With the reason.
        """
        member = self._members.get(sender)
        if member is None:
            raise RejectedUpdate("unknown node", f"node {sender} does not take part in this round.")
        if sender in self._seen:
            raise RejectedUpdate("duplicate", f"{member.name} has already sent its update.")
        self._check_ticket(sender, update.ticket)
        self._check_size(update)
        try:
            member.public_key.verify(
                update.signature, update.signed_bytes(), ec.ECDSA(hashes.SHA256())
            )
        except InvalidSignature as error:
            raise RejectedUpdate(
                "bad signature", f"not signed by the key that {member.name} registered."
            ) from error
        if update.num_examples != member.num_examples:
            raise RejectedUpdate(
                "wrong count",
                f"claims {update.num_examples} examples; {member.name} joined with "
                f"{member.num_examples}.",
            )
        weights = [
            _array(content, shape)
            for content, shape in zip(update.arrays.values(), self._shapes, strict=True)
        ]
        if not np.isfinite(update.train_loss) or not all(np.isfinite(w).all() for w in weights):
            raise RejectedUpdate("not finite", "it holds NaN or infinity.")
        if not 0 <= update.train_loss < _LARGEST_LOSS:
            raise RejectedUpdate("wrong loss", f"claims a training loss of {update.train_loss:g}.")
        self._seen.add(sender)
        return Admitted(member.client, weights, update.train_loss)

    def _check_ticket(self, sender: int, ticket: Ticket) -> None:
        if ticket.challenge in self._past:
            raise RejectedUpdate(
                "replayed",
                f"signed for an attempt at round {self._past[ticket.challenge]} that is over.",
            )
        if ticket.run_id != self._run_id:
            raise RejectedUpdate("wrong run", f"signed for run {ticket.run_id}.")
        if ticket.round_number != self._round:
            raise RejectedUpdate(
                "wrong round",
                f"signed for round {ticket.round_number}; this is round {self._round}.",
            )
        if ticket.challenge != self._challenge:
            raise RejectedUpdate("replayed", "its challenge is not the one of this round.")
        if ticket.node_id != sender:
            raise RejectedUpdate("wrong node", f"signed by node {ticket.node_id}, not {sender}.")

    def _check_size(self, update: SignedUpdate) -> None:
        if len(update.arrays) != len(self._shapes):
            raise RejectedUpdate(
                "wrong shape", f"{len(update.arrays)} arrays; {len(self._shapes)} are needed."
            )
        limit = _HEADER_BYTES * len(self._shapes) + 4 * sum(
            int(np.prod(shape)) for shape in self._shapes
        )
        size = sum(len(content) for content in update.arrays.values())
        if size > limit:
            raise RejectedUpdate("oversized", f"{size:,} bytes; the limit is {limit:,}.")


def pack(arrays: Sequence[np.ndarray]) -> dict[str, bytes]:
    """Serialise arrays as Flower does: ``.npy`` bytes under the names ``"0"``, ``"1"`` and so on.

    Parameters
    ----------
    arrays
        Any dtype but object.
    """
    packed = {}
    for index, array in enumerate(arrays):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        packed[str(index)] = buffer.getvalue()
    return packed


def _array(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Read one float32 array of a known shape, without allocating what a header claims."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        claimed, fortran, dtype = read(stream)
    # The header is a Python literal: a hostile one raises anything the parser can.
    except Exception as error:
        raise RejectedUpdate("malformed", f"not a .npy array ({type(error).__name__}).") from error
    if claimed != shape or dtype != np.dtype("<f4"):
        raise RejectedUpdate("wrong shape", f"{dtype} {claimed}; float32 {shape} is needed.")
    body = content[stream.tell() :]
    if len(body) != 4 * int(np.prod(shape)):
        raise RejectedUpdate("malformed", f"{len(body)} bytes for float32 {shape}.")
    flat = np.frombuffer(body, np.float32)
    return flat.reshape(shape, order="F" if fortran else "C").copy()

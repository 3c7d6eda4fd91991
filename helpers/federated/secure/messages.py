"""The messages of a round, to bytes and back: every length is checked before anything is read.

A round has four stages, and in each the clients send one message and get one back.

=========== ============================ ============================
stage       client sends                 server answers
=========== ============================ ============================
advertise   :class:`PublicKeys`          :class:`Roster`
share       :class:`SealedShares`        :class:`Inbox`
mask        :class:`MaskedVector`        :class:`UnmaskRequest`
unmask      :class:`UnmaskShares`        (the sum, if it likes)
=========== ============================ ============================
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, get_args

from helpers.errors import TaskError
from helpers.federated.secure.keys import KEY_BYTES, TAG_BYTES
from helpers.federated.secure.shamir import SHARE_BYTES

Stage = Literal["advertise", "share", "mask", "unmask"]
STAGES: tuple[Stage, ...] = get_args(Stage)

_MAGIC = b"SAg1"
_HEADER = struct.Struct("<4sBQI")
SEALED_BYTES = 2 * SHARE_BYTES + TAG_BYTES
COMMITMENT_BYTES = 32


@dataclass(frozen=True)
class PublicKeys:
    """A client's public keys for one round: one for masks, one for the delivery of shares."""

    round_number: int
    client: int
    mask_key: bytes
    share_key: bytes
    kind: ClassVar[int] = 1


@dataclass(frozen=True)
class Roster:
    """What a client is told of its neighbours; ``client`` is the receiver.

    ``neighbours`` maps a neighbour to its mask key and share key; ``num_clients`` started.
    """

    round_number: int
    client: int
    num_clients: int
    neighbours: dict[int, tuple[bytes, bytes]]
    kind: ClassVar[int] = 2


@dataclass(frozen=True)
class SealedShares:
    """Shares of a client's two secrets, sealed for each neighbour, and a commitment to its seed."""

    round_number: int
    client: int
    commitment: bytes
    sealed: dict[int, bytes]
    kind: ClassVar[int] = 3


@dataclass(frozen=True)
class Inbox:
    """The sealed shares for one client, by sender: those neighbours are still there."""

    round_number: int
    client: int
    sealed: dict[int, bytes]
    kind: ClassVar[int] = 4


@dataclass(frozen=True)
class MaskedVector:
    """A client's quantised vector plus its masks, packed as whole bytes a value."""

    round_number: int
    client: int
    packed: bytes
    kind: ClassVar[int] = 5


@dataclass(frozen=True)
class UnmaskRequest:
    """Which shares the server asks of one client.

    For neighbours that ``survived`` it asks shares of the self-mask seed, for those that
    ``dropped`` shares of the mask key. ``num_survivors`` vectors will be added up.
    """

    round_number: int
    client: int
    num_survivors: int
    survived: tuple[int, ...]
    dropped: tuple[int, ...]
    kind: ClassVar[int] = 6


@dataclass(frozen=True)
class UnmaskShares:
    """The shares asked for, by the client whose secret they belong to."""

    round_number: int
    client: int
    seed_shares: dict[int, bytes]
    key_shares: dict[int, bytes]
    kind: ClassVar[int] = 7


Message = PublicKeys | Roster | SealedShares | Inbox | MaskedVector | UnmaskRequest | UnmaskShares
M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Write a message as bytes."""
    head = _HEADER.pack(_MAGIC, message.kind, message.round_number, message.client)
    return head + _WRITERS[message.kind](message)


def decode(raw: bytes, expected: type[M], *, round_number: int, limit: int) -> M:
    """Read a message, or say what is wrong with it.

    Parameters
    ----------
    raw
        Bytes from the network.
    expected
        The kind of message that belongs here.
    round_number
        The round that is on.
    limit
        Most bytes it may have.

    Raises
    ------
    TaskError
        If it is too long, cut short, of another kind or of another round.
    """
    if not isinstance(raw, bytes | bytearray | memoryview):
        raise TaskError(f"A message is a {type(raw).__name__}; bytes are needed.")
    if len(raw) > limit:
        raise TaskError(f"A {expected.__name__} has {len(raw)} bytes; at most {limit} can be true.")
    reader = _Reader(bytes(raw))
    magic, kind, its_round, client = _HEADER.unpack(reader.take(_HEADER.size))
    if magic != _MAGIC or kind != expected.kind:
        found = _KINDS[kind].__name__ if magic == _MAGIC and kind in _KINDS else "something else"
        raise TaskError(f"A {expected.__name__} is needed here; this is {found}.")
    if its_round != round_number:
        raise TaskError(
            f"A {expected.__name__} of client {client} is for round {its_round}; round "
            f"{round_number} is on. An old message may have been replayed."
        )
    message = _READERS[kind](reader, its_round, client)
    reader.require_end()
    if not isinstance(message, expected):
        raise TaskError(f"A {expected.__name__} is needed here; this is another message.")
    return message


def size_limit(kind: type[M], num_neighbours: int, vector_bytes: int = 0) -> int:
    """Return the most bytes that a true message of a kind can have."""
    entries: dict[type[Any], int] = {
        PublicKeys: 0,
        Roster: 4 + 2 * KEY_BYTES,
        SealedShares: 4 + SEALED_BYTES,
        Inbox: 4 + SEALED_BYTES,
        MaskedVector: 0,
        UnmaskRequest: 4,
        UnmaskShares: 4 + SHARE_BYTES,
    }
    return _HEADER.size + 2 * KEY_BYTES + 12 + num_neighbours * entries[kind] + vector_bytes


class _Reader:
    """Takes bytes off the front, never more than there are."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def take(self, count: int) -> bytes:
        if count > len(self._raw) - self._at:
            raise TaskError(
                f"A message of {len(self._raw)} bytes is cut short: {count} more were due at "
                f"byte {self._at}."
            )
        self._at += count
        return self._raw[self._at - count : self._at]

    def rest(self) -> bytes:
        return self.take(len(self._raw) - self._at)

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def entries(self, size: int) -> dict[int, bytes]:
        count = self.number()
        raw = self.take(count * (4 + size))
        pairs = [raw[at : at + 4 + size] for at in range(0, len(raw), 4 + size)]
        found = {int.from_bytes(pair[:4], "little"): pair[4:] for pair in pairs}
        if len(found) != count:
            raise TaskError("A message names a client twice.")
        return found

    def require_end(self) -> None:
        if self._at != len(self._raw):
            raise TaskError(f"A message has {len(self._raw) - self._at} bytes too many.")


def _entries(pairs: dict[int, bytes], size: int) -> bytes:
    for client, content in pairs.items():
        if len(content) != size:
            raise TaskError(f"The entry of client {client} has {len(content)} bytes, not {size}.")
    parts = [client.to_bytes(4, "little") + content for client, content in pairs.items()]
    return len(pairs).to_bytes(4, "little") + b"".join(parts)


def _numbers(clients: tuple[int, ...]) -> bytes:
    return _entries(dict.fromkeys(clients, b""), 0)


_WRITERS: dict[int, Callable[..., bytes]] = {
    1: lambda m: m.mask_key + m.share_key,
    2: lambda m: (
        m.num_clients.to_bytes(4, "little")
        + _entries({c: a + b for c, (a, b) in m.neighbours.items()}, 2 * KEY_BYTES)
    ),
    3: lambda m: m.commitment + _entries(m.sealed, SEALED_BYTES),
    4: lambda m: _entries(m.sealed, SEALED_BYTES),
    5: lambda m: m.packed,
    6: lambda m: m.num_survivors.to_bytes(4, "little") + _numbers(m.survived) + _numbers(m.dropped),
    7: lambda m: _entries(m.seed_shares, SHARE_BYTES) + _entries(m.key_shares, SHARE_BYTES),
}


def _read_roster(r: _Reader, round_number: int, client: int) -> Roster:
    count, keys = r.number(), r.entries(2 * KEY_BYTES)
    split = {c: (both[:KEY_BYTES], both[KEY_BYTES:]) for c, both in keys.items()}
    return Roster(round_number, client, count, split)


_READERS: dict[int, Callable[[_Reader, int, int], Message]] = {
    1: lambda r, n, c: PublicKeys(n, c, r.take(KEY_BYTES), r.take(KEY_BYTES)),
    2: _read_roster,
    3: lambda r, n, c: SealedShares(n, c, r.take(COMMITMENT_BYTES), r.entries(SEALED_BYTES)),
    4: lambda r, n, c: Inbox(n, c, r.entries(SEALED_BYTES)),
    5: lambda r, n, c: MaskedVector(n, c, r.rest()),
    6: lambda r, n, c: UnmaskRequest(n, c, r.number(), tuple(r.entries(0)), tuple(r.entries(0))),
    7: lambda r, n, c: UnmaskShares(n, c, r.entries(SHARE_BYTES), r.entries(SHARE_BYTES)),
}
_KINDS: dict[int, type[Message]] = {
    kind.kind: kind
    for kind in (PublicKeys, Roster, SealedShares, Inbox, MaskedVector, UnmaskRequest, UnmaskShares)
}

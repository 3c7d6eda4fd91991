"""A whole round in one call, with everything the server gets to see."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from helpers.errors import EdgesecError, TaskError
from helpers.federated.secure import keys, messages
from helpers.federated.secure.client import Client
from helpers.federated.secure.messages import STAGES, Stage
from helpers.federated.secure.quantisation import unpack_words
from helpers.federated.secure.server import Rejection, Server
from helpers.federated.secure.settings import Plan, SecureSettings

Tamper = Callable[[Stage, int, bytes], bytes]


@dataclass(frozen=True, eq=False)
class ServerView:
    """Everything that reaches the server in a round, stage by stage.

    Attributes
    ----------
    public_keys
        ``{client: (mask key, share key)}``, 32 bytes each: stage ``advertise``.
    neighbours
        ``{client: neighbours}``, which the server draws itself.
    sealed
        ``{(sender, receiver): ciphertext}`` of the key shares: stage ``share``.
    masked
        ``{client: vector}``, uint32 or uint64 ``(d,)``, modulo 2^modulus_bits: stage ``mask``.
    masked_sum
        Their sum, ``(d,)``.
    shares
        ``{(holder, owner): "seed" or "key"}``: stage ``unmask``.
    quantised_sum
        The sum without masks, ``(d,)``.
    """

    public_keys: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    neighbours: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sealed: dict[tuple[int, int], bytes] = field(default_factory=dict)
    masked: dict[int, np.ndarray] = field(default_factory=dict)
    masked_sum: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    shares: dict[tuple[int, int], str] = field(default_factory=dict)
    quantised_sum: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))


@dataclass(frozen=True, eq=False)
class SecureRound:
    """What came out of a round, and what it cost.

    Attributes
    ----------
    total
        Sum of the survivors' vectors, float64 ``(d,)``.
    survivors
        Clients in the sum.
    dropped
        ``{client: stage}`` at which a client was last waited for. One that dropped at ``unmask``
        is in the sum.
    rejected
        Messages the server did not take.
    failed
        ``{client: reason}`` of clients that stopped by themselves.
    bytes_up, bytes_down
        ``{stage: {client: bytes}}`` that a client sent and received.
    client_seconds, server_seconds
        CPU seconds: ``{stage: {client: seconds}}`` and ``{stage: seconds}``.
    settings, plan
        As used.
    view
        What the server saw; empty if it was not kept.
    """

    total: np.ndarray
    survivors: tuple[int, ...]
    dropped: dict[int, Stage]
    rejected: tuple[Rejection, ...]
    failed: dict[int, str]
    bytes_up: dict[Stage, dict[int, int]]
    bytes_down: dict[Stage, dict[int, int]]
    client_seconds: dict[Stage, dict[int, float]]
    server_seconds: dict[Stage, float]
    settings: SecureSettings
    plan: Plan
    view: ServerView

    @property
    def mean(self) -> np.ndarray:
        """Mean of the survivors' vectors, float64 ``(d,)``, off by ``settings.error_bound``."""
        return self.total / len(self.survivors)

    def bytes_per_client(self) -> dict[Stage, float]:
        """Mean bytes a client sends at each stage."""
        return {stage: float(np.mean(list(sent.values()))) for stage, sent in self.bytes_up.items()}

    def pictures(self, client: int, values: slice = slice(None)) -> dict[str, np.ndarray]:
        """Return what the server holds at each step as plain arrays, to be drawn.

        Parameters
        ----------
        client
            A survivor.
        values
            Which coordinates, such as those of one picture.

        Returns
        -------
        dict
            ``{step: float64 array}``; the masked ones as fractions of the modulus, from 0 to 1.

        Raises
        ------
        TaskError
            If the view was not kept or the client is not in the sum.
        """
        if client not in self.view.masked:
            raise TaskError(
                f"The view holds no vector of client {client}: take one of {self.survivors}, and "
                "keep_view=True."
            )
        modulus = float(2**self.plan.modulus_bits)
        return {
            f"what client {client} sends": self.view.masked[client][values] / modulus,
            "sum of what all send": self.view.masked_sum[values] / modulus,
            "mean, masks taken off": self.mean[values],
        }


def secure_sum(
    vectors: np.ndarray | Sequence[np.ndarray],
    settings: SecureSettings | None = None,
    *,
    dropouts: Mapping[int, Stage] | None = None,
    round_number: int = 1,
    clients: Sequence[int] | None = None,
    seed: int | None = None,
    keep_view: bool = True,
    tamper: Tamper | None = None,
) -> SecureRound:
    """Add vectors up so that the server learns the sum only, every message as bytes.

    Parameters
    ----------
    vectors
        One for each client, real ``(n, d)``.
    settings
        None is the defaults: values in [-1, 1], 16 bits, all pairs.
    dropouts
        ``{client: stage}``, the first stage at which a client says nothing any more.
    round_number
        Number of the round; keys are bound to it.
    clients
        Numbers of the clients, in the order of ``vectors``; None counts from 0.
    seed
        Makes all keys reproducible, **for teaching only**: who knows it reads every vector. None
        takes keys from the operating system; the sum does not depend on them, except through
        stochastic rounding.
    keep_view
        Whether to keep what the server saw; it takes as much memory as all vectors.
    tamper
        Called as ``tamper(stage, client, message)`` on each message a client sends, returns what
        arrives instead: for hostile clients.

    Returns
    -------
    SecureRound
        The sum, who dropped out, the costs and the server's view.

    Raises
    ------
    TaskError
        If the round cannot be finished: too few shares, or a sum out of range.
    PrivacyError
        If too few clients are left.
    """
    settings = SecureSettings() if settings is None else settings
    if not len(vectors) or any(np.ndim(vector) != 1 for vector in vectors):
        raise TaskError("vectors must be one row of numbers for each client, (n, d), n at least 1.")
    numbers = list(range(len(vectors))) if clients is None else [int(c) for c in clients]
    if len(numbers) != len(vectors):
        raise TaskError(f"{len(numbers)} clients for {len(vectors)} vectors.")
    _check_dropouts(dropouts or {}, numbers)
    size = len(vectors[0])
    source = _sources(seed)
    members = {
        c: Client(c, size, settings, round_number, random_bytes=source(c + 1)) for c in numbers
    }
    server = Server(numbers, size, settings, round_number, random_bytes=source(0))
    log = _Log(server, members, dict(dropouts or {}), tamper, keep_view)
    rosters = log.stage("advertise", lambda c, _: c.advertise(), dict.fromkeys(numbers, b""))
    inboxes = log.stage("share", lambda c, raw: c.share_keys(raw), rosters)
    rows = dict(zip(numbers, vectors, strict=True))
    requests = log.stage("mask", lambda c, raw: c.mask(raw, rows[c.client]), inboxes)
    total = log.finish(lambda c, raw: c.unmask(raw), requests)
    return log.result(total)


def _check_dropouts(dropouts: Mapping[int, Stage], numbers: Sequence[int]) -> None:
    for client, stage in dropouts.items():
        if client not in numbers or stage not in STAGES:
            raise TaskError(
                f"dropouts={{{client}: {stage!r}}} must map a client of the round to one of "
                f"{', '.join(STAGES)}."
            )


def _sources(seed: int | None) -> Callable[[int], keys.RandomBytes]:
    if seed is None:
        return lambda _: os.urandom
    return lambda stream: keys.teaching_bytes(seed, stream)


class _Log:
    """Carries messages between the clients and the server, and notes what passes."""

    def __init__(
        self,
        server: Server,
        members: dict[int, Client],
        dropouts: dict[int, Stage],
        tamper: Tamper | None,
        keep_view: bool,
    ) -> None:
        self.server, self.members = server, members
        self.dropouts, self.tamper = dropouts, tamper
        self.view, self.keep_view = ServerView(), keep_view
        self.failed: dict[int, str] = {}
        self.up: dict[Stage, dict[int, int]] = {}
        self.down: dict[Stage, dict[int, int]] = {}
        self.client_seconds: dict[Stage, dict[int, float]] = {}
        self.server_seconds: dict[Stage, float] = {}

    def stage(
        self, stage: Stage, act: Callable[[Client, bytes], bytes], incoming: dict[int, bytes]
    ) -> dict[int, bytes]:
        sent = self._send(stage, act, incoming)
        take = {
            "advertise": self.server.advertised,
            "share": self.server.shared,
            "mask": self.server.masked,
        }[stage]
        start = time.process_time()
        answers = take(sent)
        self.server_seconds[stage] = time.process_time() - start
        return answers

    def finish(
        self, act: Callable[[Client, bytes], bytes], incoming: dict[int, bytes]
    ) -> np.ndarray:
        sent = self._send("unmask", act, incoming)
        start = time.process_time()
        total = self.server.unmasked(sent)
        self.server_seconds["unmask"] = time.process_time() - start
        return total

    def _send(
        self, stage: Stage, act: Callable[[Client, bytes], bytes], incoming: dict[int, bytes]
    ) -> list[tuple[int, bytes]]:
        sent: list[tuple[int, bytes]] = []
        seconds: dict[int, float] = {}
        for number, raw in incoming.items():
            gone = self.dropouts.get(number)
            if gone is not None and STAGES.index(gone) <= STAGES.index(stage):
                continue
            start = time.process_time()
            try:
                message = act(self.members[number], raw)
            except EdgesecError as error:
                self.failed[number] = str(error)
                continue
            seconds[number] = time.process_time() - start
            if self.tamper is not None:
                message = self.tamper(stage, number, message)
            sent.append((number, message))
            if self.keep_view:
                self._see(stage, number, message)
        self.up[stage] = {number: len(message) for number, message in sent}
        self.down[stage] = {number: len(incoming[number]) for number, _ in sent}
        self.client_seconds[stage] = seconds
        return sent

    def _see(self, stage: Stage, number: int, raw: bytes) -> None:
        view = self.view
        kinds: dict[Stage, type[messages.Message]] = {
            "advertise": messages.PublicKeys,
            "share": messages.SealedShares,
            "mask": messages.MaskedVector,
            "unmask": messages.UnmaskShares,
        }
        try:
            message = messages.decode(
                raw, kinds[stage], round_number=self.server.round_number, limit=len(raw)
            )
            if isinstance(message, messages.PublicKeys):
                view.public_keys[number] = message.mask_key, message.share_key
            elif isinstance(message, messages.SealedShares):
                view.sealed.update({(number, to): raw for to, raw in message.sealed.items()})
            elif isinstance(message, messages.MaskedVector):
                bits = self.server.plan.modulus_bits
                view.masked[number] = unpack_words(message.packed, bits)
            elif isinstance(message, messages.UnmaskShares):
                view.shares.update({(number, owner): "seed" for owner in message.seed_shares})
                view.shares.update({(number, owner): "key" for owner in message.key_shares})
        except TaskError:
            pass  # the server does not take it either, and says why

    def result(self, total: np.ndarray) -> SecureRound:
        server, view = self.server, self.view
        if self.keep_view:
            view = ServerView(
                view.public_keys,
                server.neighbours,
                view.sealed,
                view.masked,
                server.masked_sum,
                view.shares,
                server.quantised_sum,
            )
        return SecureRound(
            total=total,
            survivors=server.survivors,
            dropped=dict(server.dropped),
            rejected=tuple(server.rejected),
            failed=self.failed,
            bytes_up=self.up,
            bytes_down=self.down,
            client_seconds=self.client_seconds,
            server_seconds=self.server_seconds,
            settings=server.settings,
            plan=server.plan,
            view=view,
        )
